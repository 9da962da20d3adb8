package stage

// The first process's end of a helper, and what the two say to each other.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"criticrm/internal/limit"
	"criticrm/record"
)

// HelperVariable is set in the environment of helpers: their rank and how many processes there are, as "1/4". They are asked on file
// descriptor 3 and answer on 4.
const HelperVariable = "CRITICRM_HELPER"

// asked is what a helper must be asked for: the stage and its settings.
type asked struct {
	Stage    string          `json:"stage"`
	Settings json.RawMessage `json:"settings"`
}

// request is a line to a helper: to do so many records behind the first ones.
type request struct {
	First   int `json:"first"`
	Records int `json:"records"`
}

// answer is a line from a helper; the rows of a chunk follow it.
type answer struct {
	Hello *asked           `json:"hello,omitempty"` // its first, but for those that say that it lives
	Wrote *[2]int          `json:"wrote,omitempty"` // tokens and finished samples since it said so last
	Bytes int              `json:"bytes,omitempty"` // of the rows of a finished chunk
	Error string           `json:"error,omitempty"` // in place of them
	Row   *record.RowError `json:"row,omitempty"`   // the error's, if it is of one row
}

const (
	beat     = time.Second      // how often a helper says that it lives
	maxRows  = 1 << 32          // bytes of a finished chunk
	maxLine  = 1 << 20          // of an answer
	patience = 10 * time.Second // for a helper to end by itself
)

// helper is another process.
type helper struct {
	rank   int
	cmd    *exec.Cmd
	wants  asked
	wrote  func(int, int)
	limit  time.Duration
	ask    *os.File
	hear   *os.File
	lines  *bufio.Reader
	said   tail
	exited chan struct{}
	failed error // of the process, behind exited
}

func startHelper(t *Team, rank int, wants asked) (h *helper, err error) {
	h = &helper{rank: rank, cmd: t.Command(rank), wants: wants, wrote: t.Wrote, exited: make(chan struct{})}
	if h.limit, err = limit.Of(limit.Silence, time.Minute); err != nil {
		return nil, err
	}
	theirs := [2]*os.File{}
	if theirs[0], h.ask, err = os.Pipe(); err != nil {
		return nil, err
	}
	defer theirs[0].Close()
	if h.hear, theirs[1], err = os.Pipe(); err != nil {
		h.ask.Close()
		return nil, err
	}
	defer theirs[1].Close()
	h.lines = bufio.NewReaderSize(h.hear, maxLine)
	h.cmd.Env = append(h.cmd.Environ(), fmt.Sprintf("%s=%d/%d", HelperVariable, rank, t.Size))
	h.cmd.ExtraFiles = theirs[:]
	h.cmd.Stdout, h.cmd.Stderr = &h.said, &h.said
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is for the first process; with it the others end
	if err := h.cmd.Start(); err != nil {
		h.ask.Close()
		h.hear.Close()
		return nil, fmt.Errorf("rank %d cannot be started: %w", rank, err)
	}
	go func() {
		h.failed = h.cmd.Wait()
		close(h.exited)
	}()
	return h, nil
}

// work does tasks until there are no more; an error is the end of the helper.
func (h *helper) work(todo <-chan *task) error {
	var said answer
	err := h.next(&said)
	switch {
	case err != nil:
		return err
	case said.Hello == nil || said.Hello.Stage != h.wants.Stage:
		return fmt.Errorf("%s does not work on stage %s", h.name(), h.wants.Stage)
	}
	if what := Differing(h.wants.Settings, said.Hello.Settings); what != "" {
		return fmt.Errorf("%s has other settings: here %s there", h.name(), what)
	}
	for t := range todo {
		line, err := json.Marshal(request{t.first, len(t.chunk)})
		if err == nil {
			_, err = h.ask.Write(append(line, '\n'))
		}
		var said answer
		if err == nil || errors.Is(err, syscall.EPIPE) { // then it says why, or has ended
			err = h.next(&said)
		}
		if err != nil {
			return err
		}
		if t.err = h.told(&said); t.err == nil {
			if t.rows = make([]byte, said.Bytes); said.Bytes > 0 {
				if err := h.patiently(func() error { _, err := io.ReadFull(h.lines, t.rows); return err }); err != nil {
					return err
				}
			}
		}
		close(t.done)
	}
	return nil
}

// told is what an answer says to be wrong.
func (h *helper) told(a *answer) error {
	switch {
	case a.Row != nil:
		return &workError{a.Error, a.Row}
	case a.Error != "":
		return &workError{h.name() + ": " + a.Error, nil}
	case a.Bytes < 0 || a.Bytes > maxRows:
		return fmt.Errorf("%s speaks of %d bytes", h.name(), a.Bytes)
	}
	return nil
}

// workError is an error of Work in another process.
type workError struct {
	text string
	row  *record.RowError
}

func (e *workError) Error() string { return e.text }

func (e *workError) As(target any) bool {
	to, ok := target.(**record.RowError)
	if ok = ok && e.row != nil; ok {
		*to = e.row
	}
	return ok
}

// next reads answers up to one that is not only of progress.
func (h *helper) next(a *answer) error {
	for {
		var line []byte
		err := h.patiently(func() (err error) {
			line, err = h.lines.ReadSlice('\n')
			return err
		})
		if err != nil {
			return err
		}
		*a = answer{}
		if err := json.Unmarshal(line, a); err != nil {
			return fmt.Errorf("%s says %.80q: %w", h.name(), line, err)
		}
		if a.Wrote == nil {
			return nil
		}
		if h.wrote != nil {
			h.wrote(a.Wrote[0], a.Wrote[1])
		}
	}
}

// patiently reads from the helper as long as it lives.
func (h *helper) patiently(read func() error) error {
	if err := h.hear.SetReadDeadline(time.Now().Add(h.limit)); err != nil {
		return err
	}
	err := read()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		_ = h.cmd.Process.Kill()
		return &LostError{fmt.Sprintf("%s has been silent for %v: it is stopped or stuck; the same command goes on", h.name(), h.limit)}
	}
	select { // the pipe ends when it does
	case <-h.exited:
	case <-time.After(patience):
		return fmt.Errorf("%s: %w", h.name(), err)
	}
	var exit *exec.ExitError
	if errors.As(h.failed, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return &LostError{fmt.Sprintf("%s was ended by a signal (%v); the same command goes on", h.name(), status.Signal())}
		}
	}
	if h.failed == nil {
		return fmt.Errorf("%s has ended too early: %s", h.name(), h.said.last())
	}
	return fmt.Errorf("%s has failed (%v): %s", h.name(), h.failed, h.said.last())
}

// name is the helper's in errors.
func (h *helper) name() string { return fmt.Sprintf("rank %d (process %d)", h.rank, h.cmd.Process.Pid) }

// leave tells it that there is no more to do.
func (h *helper) leave(well bool) {
	h.ask.Close()
	if !well {
		_ = h.cmd.Process.Signal(syscall.SIGTERM) // it fails if it has ended
	}
}

// wait waits for its end, which is made if it does not come.
func (h *helper) wait() {
	select {
	case <-h.exited:
	case <-time.After(patience):
		_ = h.cmd.Process.Kill()
		<-h.exited
	}
	h.hear.Close()
}

// tail keeps the end of what a process says, and gives its last line.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	if t.b = append(t.b, p...); len(t.b) > 1<<14 {
		t.b = append(t.b[:0], t.b[len(t.b)-1<<13:]...)
	}
	return len(p), nil
}

func (t *tail) last() string {
	lines := bytes.Split(bytes.TrimSpace(t.b), []byte("\n"))
	return strings.TrimPrefix(string(lines[len(lines)-1]), "criticrm: ")
}
