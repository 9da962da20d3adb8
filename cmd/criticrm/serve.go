package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/pipeline"
	"criticrm/serve"
)

func newServe() *cobra.Command {
	s, o := sampler{}, pipeline.DefaultScore()
	var adapters []string
	set := serve.DefaultSettings()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer requests for critiques and rewards over HTTP, on trainers' routes too, with a page to try the model",
		Long: `serve answers over HTTP what score answers in files: POST /v1/reward gives rewards with the critiques they were read behind. The routes on
which trainers ask OpenRLHF's, vLLM's, SGLang's and LLaMA-Factory's servers, and slime's form, give the same rewards in their bodies; OpenAI's
/v1/chat/completions and /v1/completions are the critic itself. GET / is a page to try it.

--samples, --temperature and the like are what a request leaves open. The same request has the same answer, alone or among others: samples
depend on the seed and on what is asked, not on when. SIGTERM lets running requests end, for --drain seconds; SIGHUP reads keys and
certificates again. Other addresses than this machine's own need a key (--api_key_file).

--adapter NAME=DIR, as often as you like, serves adapters of --model beside it, over one copy of its weights; "model" of a request, or ?model=NAME
in its address, says which one is asked. They take turns: a batch is of one of them.`,
		Example: `  criticrm serve --model run/model
  criticrm serve --model my-model --adapter helpful=run-a/model --adapter harmless=run-b/model
  criticrm serve --model run/model --host 0.0.0.0 --api_key_file keys --samples 4`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", s.model.Dir); err != nil {
				return err
			}
			if err := set.Validate(); err != nil {
				return inputError{err}
			}
			more, err := parseAdapters(cmd, adapters)
			if err != nil {
				return err
			}
			s.model.nf4 = len(more) > 0 && more[0].quantised
			s.o = o.Options()
			closeModel, err := s.openServed(cmd)
			if err != nil {
				return err
			}
			defer closeModel()
			for i := range more {
				a := &more[i]
				a.model, a.o = s.model, o.Options()
				a.model.Dir, a.model.over = a.dir, s.engine
				closeAdapter, err := a.openServed(cmd)
				if err != nil {
					return fmt.Errorf("--adapter %s: %w", a.name, err)
				}
				defer closeAdapter()
			}
			return s.serve(cmd, set, more)
		},
	}
	s.model.bind(cmd)
	bindTable(cmd, &o, "samples", "ask_score", "max_length", "overlong", "temperature", "top_p", "top_k", "max_tokens", "seed")
	bindTable(cmd, &set)
	cmd.Flags().StringArrayVar(&adapters, "adapter", nil, "NAME=DIR: an adapter of the model to serve beside it under this name; may be given again")
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

// live starts the open model.
func (s *sampler) live(set serve.Settings, turn sync.Locker) (*engine.Live, error) {
	s.engine.Progress = nil
	return engine.NewLive(s.engine, engine.LiveOptions{Ask: s.o.Asks(), KeepTokens: set.KeepTokens, Turn: turn})
}

// served are a server's options with those of the open model.
func (s *sampler) served(o serve.Options) serve.Options {
	o.Score, o.Plain, o.Head = s.o, s.plain, s.engine.Model.HasHead()
	return o
}

// servedAdapter is an adapter that is served beside its base.
type servedAdapter struct {
	sampler
	name, dir string
	quantised bool // it was trained over a base of 4 bits, or its base is stored so
}

// parseAdapters reads --adapter.
func parseAdapters(cmd *cobra.Command, list []string) (all []servedAdapter, err error) {
	for _, text := range list {
		name, dir, ok := strings.Cut(text, "=")
		if name = strings.TrimSpace(name); !ok || name == "" || dir == "" {
			return nil, inputError{fmt.Errorf("--adapter: got %q, want NAME=DIR", text)}
		}
		if err := asModelDir(cmd, &dir); err != nil {
			return nil, err
		}
		if !model.IsAdapter(dir) {
			return nil, inputError{fmt.Errorf("--adapter %s: %s holds no adapter (adapter_config.json)", name, dir)}
		}
		facts, _, err := modeldir.ReadFacts(dir)
		if err != nil {
			return nil, begin(err)
		}
		config, err := model.LoadConfig(dir)
		if err != nil {
			return nil, begin(err)
		}
		a := servedAdapter{name: name, dir: dir, quantised: facts.Quantised == modeldir.NF4 || config.Quantised()}
		if len(all) > 0 && all[0].quantised != a.quantised {
			return nil, inputError{fmt.Errorf("--adapter %s: some of the adapters were trained over a base of 4 bits and some were not: serve them apart, since they share its weights", name)}
		}
		all = append(all, a)
	}
	return all, nil
}

// serve serves the open model, and adapters of it, until the command is stopped.
func (s *sampler) serve(cmd *cobra.Command, set serve.Settings, more []servedAdapter) error {
	e, stderr := s.engine, cmd.ErrOrStderr()
	if set.Fixed {
		e.Model.Dev.Fix(true)
	}
	lost := func(err error) bool {
		var lost kernels.Lost
		return errors.As(err, &lost)
	}
	turn := new(sync.Mutex)
	live, err := s.live(set, turn)
	if err != nil {
		return inputError{err}
	}
	defer live.Close()
	o := serve.Options{Set: set, Log: slog.New(slog.NewTextHandler(stderr, nil)), IsLost: lost}
	srv, err := serve.New(e.Dir, e.Renderer, live, s.served(o))
	if err != nil {
		return inputError{err}
	}
	for i := range more {
		a := &more[i]
		live, err := a.live(set, turn)
		if err != nil {
			return inputError{fmt.Errorf("--adapter %s: %w", a.name, err)}
		}
		defer live.Close()
		if err := srv.Add(a.name, a.engine.Dir, a.engine.Renderer, live, a.served(o)); err != nil {
			return inputError{err}
		}
		fmt.Fprintf(stderr, "adapter %s: %s\n", a.name, a.o.Model)
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
