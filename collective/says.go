package collective

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"syscall"
)

// launcherSays passes on what ranks say and keeps back what mpirun says itself, between lines of dashes: pages on how to report bugs, and, in one
// line, which process a signal has ended.
type launcherSays struct {
	to     io.Writer
	line   []byte // begun
	inside bool
	ended  string
}

// bySignal is that line of mpirun's.
var bySignal = regexp.MustCompile(`process rank (\d+) with PID \d+ on node (\S+) exited on\s+signal (.*?)\.?\s*$`)

// ruler is at least as many dashes; mpirun's has 74.
const ruler = 60

func (l *launcherSays) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, more, whole := bytes.Cut(rest, []byte("\n"))
		if l.line, rest = append(l.line, part...), more; !whole {
			break
		}
		if err := l.pass(append(l.line, '\n')); err != nil {
			return 0, err
		}
		l.line = l.line[:0]
	}
	return len(p), nil
}

func (l *launcherSays) pass(line []byte) (err error) {
	text := bytes.TrimRight(line, " \r\n")
	switch {
	case len(text) >= ruler && len(bytes.Trim(text, "-")) == 0:
		l.inside = !l.inside
	case l.inside:
		if m := bySignal.FindSubmatch(text); m != nil {
			l.ended = fmt.Sprintf("rank %s (%s) was ended by signal %s", m[1], m[2], m[3])
		}
	default:
		_, err = l.to.Write(line)
	}
	return err
}

// launchError is an error of mpirun with what it says.
type launchError struct {
	error
	text string
}

func (e *launchError) Error() string { return e.text }
func (e *launchError) Unwrap() error { return e.error }

// end passes on what is left, and gives the error that mpirun has ended with.
func (l *launcherSays) end(err error) error {
	if len(l.line) > 0 {
		_ = l.pass(l.line) // nobody can be told
	}
	if err != nil && l.ended != "" {
		return &launchError{err, l.ended}
	}
	return err
}

// Ended says which rank a signal has ended, if a launcher's error does.
func Ended(err error) string {
	var l *launchError
	var e *ExitError
	switch {
	case errors.As(err, &l):
		return l.text
	case errors.As(err, &e) && e.Code >= 128:
		return fmt.Sprintf("rank %d was ended by signal %d (%v)", e.Rank, e.Code-128, syscall.Signal(e.Code-128))
	}
	return ""
}
