package collective

import (
	"errors"
	"fmt"

	"criticrm/internal/limit"
)

// LimitsHere are the default limits, but for what the environment says.
func LimitsHere() (l Limits, err error) {
	d := DefaultLimits()
	var errs [3]error
	l.Meet, errs[0] = limit.Of(limit.Meet, d.Meet)
	l.Silence, errs[1] = limit.Of(limit.Silence, d.Silence)
	l.Call, errs[2] = limit.Of(limit.Call, d.Call)
	if err := errors.Join(errs[:]...); err != nil {
		return Limits{}, fmt.Errorf("collective: %w", err)
	}
	return l, nil
}
