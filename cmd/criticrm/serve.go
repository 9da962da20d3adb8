package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/pipeline"
	"criticrm/serve"
)

func newServe() *cobra.Command {
	s, o := sampler{}, pipeline.DefaultScore()
	set := serve.DefaultSettings()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer requests for critiques and rewards over HTTP, on trainers' routes too, with a page to try the model",
		Long: `serve answers over HTTP what score answers in files: POST /v1/reward gives rewards with the critiques they were read behind. The routes on
which trainers ask OpenRLHF's, vLLM's, SGLang's and LLaMA-Factory's servers, and slime's form, give the same rewards in their bodies; OpenAI's
/v1/chat/completions and /v1/completions are the critic itself. GET / is a page to try it.

--samples, --temperature and the like are what a request leaves open. The same request has the same answer, alone or among others: samples
depend on the seed and on what is asked, not on when. SIGTERM lets running requests end, for --drain seconds; SIGHUP reads keys and
certificates again. Other addresses than this machine's own need a key (--api_key_file).`,
		Example: `  criticrm serve --model run/model
  criticrm serve --model run/model --host 0.0.0.0 --api_key_file keys --samples 4`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", s.model.Dir); err != nil {
				return err
			}
			if err := set.Validate(); err != nil {
				return inputError{err}
			}
			s.o = o.Options()
			closeModel, err := s.openServed(cmd)
			if err != nil {
				return err
			}
			defer closeModel()
			return s.serve(cmd, set)
		},
	}
	s.model.bind(cmd)
	bindTable(cmd, &o, "samples", "ask_score", "max_length", "overlong", "temperature", "top_p", "top_k", "max_tokens", "seed")
	bindTable(cmd, &set)
	return cmd
}

// garbage is how many bytes a server makes before they are collected. Weights are no part of Go's heap, which has a few MiB: collected whenever
// as much was made, it would be fifty times a second, and each time requests wait.
const garbage = 32 << 20

// collectAt is the percentage of a live heap (runtime/debug.SetGCPercent) that garbage is; never less than Go's own.
func collectAt(live uint64) int { return int(max(100, 100*garbage/max(live, 1<<20))) }

// openServed opens the model as score does, or, of a model without a reward head, for its critiques alone, which it says.
func (s *sampler) openServed(cmd *cobra.Command) (func(), error) {
	closeModel, err := s.openScorer(cmd, pipeline.Remote{}, false)
	if err == nil && !s.engine.Model.HasHead() {
		fmt.Fprintln(cmd.ErrOrStderr(), "the model has no reward head: scores are those that its critiques end in, and there are no rewards")
	}
	return closeModel, err
}

// serve serves the open model until the command is stopped.
func (s *sampler) serve(cmd *cobra.Command, set serve.Settings) error {
	e, stderr := s.engine, cmd.ErrOrStderr()
	e.Progress = nil
	if set.Fixed {
		e.Model.Dev.Fix(true)
	}
	lost := func(err error) bool {
		var lost kernels.Lost
		return errors.As(err, &lost)
	}
	live, err := engine.NewLive(e, engine.LiveOptions{Ask: s.o.Asks(), KeepTokens: set.KeepTokens})
	if err != nil {
		return inputError{err}
	}
	defer live.Close()
	srv, err := serve.New(e.Dir, e.Renderer, live, serve.Options{Set: set, Score: s.o, Plain: s.plain, Head: e.Model.HasHead(),
		Log: slog.New(slog.NewTextHandler(stderr, nil)), IsLost: lost})
	if err != nil {
		return inputError{err}
	}
	l, err := srv.Listen()
	if err != nil {
		return begin(err)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer close(hup)
	defer signal.Stop(hup)
	go func() {
		for range hup {
			if err := srv.Reload(); err != nil {
				fmt.Fprintf(stderr, "criticrm: SIGHUP: %v: what was read before holds\n", err)
			} else {
				fmt.Fprintln(stderr, "SIGHUP: keys and certificate are read again")
			}
		}
	}()
	if os.Getenv("GOGC") == "" {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		debug.SetGCPercent(collectAt(m.HeapAlloc))
	}
	fmt.Fprintf(stderr, "serving %s at %s\n", s.o.Model, srv.URL(l))
	return srv.Serve(cmd.Context(), l)
}
