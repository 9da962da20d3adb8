// Real measures this program's share of bench/peers/real.py: a model directory, the same work as PyTorch and llama.cpp have.
//
//	go build -o build/real ./bench/real && build/real MODEL WORK.json THREADS infer|train
//
// It loads the model, in float32, and prints what that took. Then, for each line of standard input, it does one piece of the work that
// real.py wrote to WORK.json and prints it as a line of JSON: rows (training, one sequence a row), trees (pairs as trees), treerows (the same pairs as
// rows) or sample.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"criticrm/kernels"
	"criticrm/model"
)

// work is what real.py writes: token ids.
type work struct {
	Rows  [][]int32
	Pairs []struct {
		Prompt           []int32
		Chosen, Rejected side
	}
	Prefixes [][]int32 // of sampling
	N, New   int       // samples of each, and their tokens
}

type side struct {
	Response  []int32
	Critiques [][]int32
}

// figures of one piece of work.
type figures struct {
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"` // wall clock
	CPU     float64 `json:"cpu"`     // seconds of all threads, user and system
	Tokens  int     `json:"tokens"`
	Loss    float32 `json:"loss"`
	PeakMiB int64   `json:"peak_mib"` // resident, of the process so far
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "real:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: real MODEL WORK.json THREADS infer|train")
	}
	threads, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	var w work
	if err := json.Unmarshal(text, &w); err != nil {
		return fmt.Errorf("%s: %w", args[1], err)
	}
	d, err := kernels.OpenCPU(threads)
	if err != nil {
		return err
	}
	defer d.Close()
	var m *model.Model
	err = measure("load", func(*figures) error {
		train := args[3] == "train"
		m, err = model.Load(d, args[0], model.Options{DType: kernels.F32, Train: train, Head: train})
		return err
	})
	if err != nil {
		return err
	}
	defer m.Close()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		what := in.Text()
		if err := measure(what, func(f *figures) error { return w.do(m, what, f) }); err != nil {
			return err
		}
	}
	return in.Err()
}

// measure runs f and prints its figures.
func measure(what string, f func(*figures) error) error {
	start, before, out := time.Now(), usage(), figures{What: what}
	if err := f(&out); err != nil {
		return err
	}
	after := usage()
	out.Seconds, out.CPU, out.PeakMiB = time.Since(start).Seconds(), cpu(after)-cpu(before), after.Maxrss>>10
	return json.NewEncoder(os.Stdout).Encode(out)
}

func usage() (u unix.Rusage) {
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // fails for no process of one's own
	return u
}

func cpu(u unix.Rusage) float64 { return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9 }

func (w *work) do(m *model.Model, what string, f *figures) error {
	var b model.Batch
	switch what {
	case "rows":
		for _, ids := range w.Rows {
			at := b.Len()
			b.Open(ids)
			b.Close()
			predict(&b, at, ids[1:])
		}
	case "trees":
		w.trees(&b)
	case "treerows":
		w.treeRows(&b)
	case "sample":
		return w.sample(m, f)
	default:
		return fmt.Errorf("%q: want rows, trees, treerows or sample", what)
	}
	m.ZeroGrad()
	o := model.LossOptions{Lambda: 1, TokenScale: 1 / float32(len(b.Row))}
	if pairs := len(b.SidePtr) / 2; pairs > 0 {
		o.Lambda, o.PairScale = 0.5, 1/float32(pairs)
	}
	losses, err := m.TrainStep(&b, o)
	f.Tokens, f.Loss = b.Len(), losses.Joint
	return err
}

// predict makes the token at and those behind it predict ids.
func predict(b *model.Batch, at int, ids []int32) {
	for i, id := range ids {
		b.Row, b.Target, b.Weight = append(b.Row, int32(at+i)), append(b.Target, id), append(b.Weight, 1)
	}
}

func (w *work) trees(b *model.Batch) {
	b.SidePtr = []int32{0}
	for _, p := range w.Pairs {
		b.Open(p.Prompt)
		for _, s := range []side{p.Chosen, p.Rejected} {
			b.Open(s.Response)
			last := b.Len() - 1
			for _, c := range s.Critiques {
				predict(b, last, c[:1])
				at := b.Len()
				b.Open(c)
				b.Close()
				predict(b, at, c[1:])
				b.Leaf = append(b.Leaf, int32(b.Len()-1))
			}
			b.Close()
			b.SidePtr = append(b.SidePtr, int32(len(b.Leaf)))
		}
		b.Close()
	}
}

func (w *work) treeRows(b *model.Batch) {
	b.SidePtr = []int32{0}
	for _, p := range w.Pairs {
		for _, s := range []side{p.Chosen, p.Rejected} {
			for _, c := range s.Critiques {
				b.Open(p.Prompt)
				b.Open(s.Response)
				predict(b, b.Len()-1, c)
				b.Open(c)
				b.Close()
				b.Close()
				b.Close()
				b.Leaf = append(b.Leaf, int32(b.Len()-1))
			}
			b.SidePtr = append(b.SidePtr, int32(len(b.Leaf)))
		}
	}
}

func (w *work) sample(m *model.Model, f *figures) error {
	reqs := make([]model.GenRequest, len(w.Prefixes))
	for i, p := range w.Prefixes {
		reqs[i] = model.GenRequest{Prefix: p, N: w.N, Key: uint64(i)}
	}
	return m.Generate(context.Background(), reqs, model.GenOptions{Temperature: 0.7, TopP: 0.9, MaxTokens: w.New, Seed: 1}, func(_ int, s []model.GenSample) {
		for _, g := range s {
			f.Tokens += len(g.IDs)
		}
	})
}
