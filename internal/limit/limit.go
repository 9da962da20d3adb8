// Package limit is how long processes that work together wait for each other, where the environment says it.
package limit

import (
	"fmt"
	"os"
	"time"
)

// Variables of the environment, durations as Go writes them (45s, 2m).
const (
	Silence = "CRITICRM_SILENCE" // another process says nothing: it is stopped, or its machine is gone
	Meet    = "CRITICRM_MEET"    // not all processes of a training have come
	Call    = "CRITICRM_CALL"    // one is alive, and does not come to where others wait
)

// Least is the shortest limit: processes say once a second or more often that they live.
const Least = 2 * time.Second

// Of is what the environment says of a variable, or otherwise.
func Of(name string, otherwise time.Duration) (time.Duration, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < Least {
		return 0, fmt.Errorf("the environment's %s is %q: want a time of %v or more", name, text, Least)
	}
	return d, nil
}
