package collective

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// ExitError is a rank's end with a code that is not 0. A signal's is 128 and its number.
type ExitError struct{ Rank, Code int }

func (e *ExitError) Error() string {
	return fmt.Sprintf("collective: rank %d has ended with code %d", e.Rank, e.Code)
}

// ExitCode is the code.
func (e *ExitError) ExitCode() int { return e.Code }

// What ranks have when another one has failed: to say what they know, then to end when they are asked to.
const (
	graceOwn   = 15 * time.Second
	graceAsked = 15 * time.Second
)

// LaunchLocal runs a program in n processes on this machine until all have ended, with the variables of torchrun, by which each finds its GPU and the
// others. Lines that they write have their rank in front. If one fails, the others are ended when they have had time to say why, and its code is in
// the error, an *[ExitError]. When ctx ends all are asked to stop by SIGUSR1, and waited for. They end with the process that launched them.
func LaunchLocal(ctx context.Context, n int, program string, args []string, stdout, stderr io.Writer) error {
	port, err := freePort()
	if err != nil {
		return fmt.Errorf("collective: no port for the ranks to meet: %w", err)
	}
	env := append(os.Environ(), fmt.Sprint("WORLD_SIZE=", n), fmt.Sprint("LOCAL_WORLD_SIZE=", n), "MASTER_ADDR=127.0.0.1", fmt.Sprint("MASTER_PORT=", port),
		"CRITICRM_TOKEN="+rand.Text(), "TORCHELASTIC_USE_AGENT_STORE=False")
	runtime.LockOSThread() // whose end would be taken for the process's
	defer runtime.UnlockOSThread()
	var lock sync.Mutex
	type end struct {
		rank int
		err  error
	}
	ends := make(chan end, n)
	var started []*exec.Cmd
	signal := func(s os.Signal) {
		for _, cmd := range started {
			_ = cmd.Process.Signal(s)
		}
	}
	for rank := range n {
		cmd := exec.Command(program, args...)
		cmd.Env = append(env, fmt.Sprint("RANK=", rank), fmt.Sprint("LOCAL_RANK=", rank))
		out, errs := &lines{w: stdout, lock: &lock, rank: rank}, &lines{w: stderr, lock: &lock, rank: rank}
		cmd.Stdout, cmd.Stderr = out, errs
		cmd.SysProcAttr = endsWithUs(&syscall.SysProcAttr{Setpgid: true}) // a terminal's Ctrl-C is for this process, which passes it on
		if err := cmd.Start(); err != nil {
			signal(syscall.SIGKILL)
			return fmt.Errorf("collective: rank %d: %w", rank, err)
		}
		started = append(started, cmd)
		go func() {
			err := cmd.Wait()
			out.flush()
			errs.flush()
			ends <- end{rank, err}
		}()
	}
	var first error
	var timer <-chan time.Time
	next := []os.Signal{syscall.SIGTERM, syscall.SIGKILL}
	for left, stop := n, ctx.Done(); left > 0; {
		select {
		case e := <-ends:
			left--
			if e.err != nil && first == nil {
				first = &ExitError{e.rank, exitCode(e.err)}
				timer = time.After(graceOwn)
			}
		case <-timer:
			signal(next[0])
			if next = next[1:]; len(next) > 0 {
				timer = time.After(graceAsked)
			}
		case <-stop:
			stop = nil
			signal(syscall.SIGUSR1)
		}
	}
	return first
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 1
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return exit.ExitCode()
}

// freePort is a port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// lines writes a rank's output, whole lines at a time. Rank 0 speaks for all: only the lines of others say whose they are.
type lines struct {
	w    io.Writer
	lock *sync.Mutex
	rank int
	rest []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexAny(l.rest, "\n\r")
		if i < 0 {
			return len(b), nil
		}
		l.put(l.rest[:i+1])
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) put(line []byte) {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.rank > 0 {
		line = append([]byte("[rank "+strconv.Itoa(l.rank)+"] "), line...)
	}
	_, _ = l.w.Write(line)
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.put(append(l.rest, '\n'))
		l.rest = nil
	}
}
