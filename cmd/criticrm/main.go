// Command criticrm trains critique-writing reward models (Critic-RM): it samples critiques, filters and refines them with
// preference labels, trains critique and reward jointly, and scores and evaluates with the result.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"criticrm/stage"
)

func main() {
	ctx, stop := signalContext()
	code := exitFailed
	helping, err := stage.Answering(ctx, func() { os.Exit(exitFailed) })
	if err == nil {
		code = run(helping, os.Args[1:], os.Stdout, os.Stderr)
	} else {
		fmt.Fprintf(os.Stderr, "criticrm: %v\n", err)
	}
	stop()
	os.Exit(code)
}

// signalCause is the reason of a context that a signal ended.
type signalCause struct{ signal syscall.Signal }

func (c signalCause) Error() string { return "stopped by " + c.signal.String() }

// doubled is how long a signal may come twice: timeout(1) sends it to the process and to its group.
const doubled = 500 * time.Millisecond

// signalContext ends at the first SIGINT, SIGTERM or SIGUSR1, so that the work in hand is saved; a second signal
// ends the process at once.
func signalContext() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1)
	go func() {
		s, ok := <-signals
		if !ok {
			return
		}
		cancel(signalCause{s.(syscall.Signal)})
		first := time.Now()
		for s := range signals {
			if time.Since(first) < doubled {
				continue
			}
			fmt.Fprintf(os.Stderr, "criticrm: ended at once by a second signal (%v): what was not saved yet is lost\n", s)
			os.Exit(128 + int(s.(syscall.Signal)))
		}
	}()
	return ctx, func() { signal.Stop(signals); close(signals) }
}
