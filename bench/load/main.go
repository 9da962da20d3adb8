// Load measures a server of rewards as its clients see it, and compares every answer with what the command score gives for the same row:
//
//	go build -o build/load ./bench/load
//	build/load rows held-out.jsonl > rows.jsonl
//	build/load throughput -program bin/criticrm -model CRITIC -rows rows.jsonl
//	build/load latency    -program bin/criticrm -model SCALAR -rows rows.jsonl
//	build/load soak       -program bin/criticrm -model SCALAR -rows rows.jsonl
//	build/load chaos      -program bin/criticrm -model CRITIC -rows rows.jsonl
//	build/load peer       -program bin/criticrm -model SCALAR -rows rows.jsonl -python python3 -export DIR
//
// rows makes rows of one response of pairs. The other parts start servers as processes of their own, on a free port of this machine, and end them;
// bench/serving.sh runs all of them. Each prints lines of JSON; it fails where an answer is not the one of the command score to the bit, where one is lost or
// comes twice, and where work is left behind. Speed is printed and no reason to fail: machines differ, and may have other work.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

// settings of a part.
type settings struct {
	program, model, rows string
	scratch              string // folder for what is not kept
	python, export, peer string
	samples, runs, count int
	threads              int
	seconds              time.Duration
	seed                 uint64
}

// parts by name, with how many requests they send by themselves.
var parts = map[string]struct {
	run   func(*settings) error
	count int
}{
	"throughput": {throughput, 0}, // all rows once a run
	"latency":    {latency, 0},    // as many as there is time for
	"soak":       {soak, 200_000},
	"chaos":      {chaos, 10_000},
	"peer":       {peers, 0},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "rows" {
		return split(args[1])
	}
	if len(args) == 0 || parts[args[0]].run == nil {
		return errors.New("want a part: rows, throughput, latency, soak, chaos or peer; see the head of bench/load/main.go")
	}
	part := parts[args[0]]
	var s settings
	f := flag.NewFlagSet("load "+args[0], flag.ContinueOnError)
	f.StringVar(&s.program, "program", "bin/criticrm", "the program")
	f.StringVar(&s.model, "model", "", "model directory")
	f.StringVar(&s.rows, "rows", "", "rows of one response")
	f.StringVar(&s.python, "python", "python3", "Python with torch, transformers, fastapi and uvicorn")
	f.StringVar(&s.export, "export", "", "the model as criticrm export --format sequence-classification has it")
	f.StringVar(&s.peer, "peer", "bench/peers/serve.py", "the peer's program")
	f.IntVar(&s.threads, "threads", 0, "CPU threads of the program; 0: all cores")
	f.IntVar(&s.samples, "samples", 4, "critiques of a response")
	f.IntVar(&s.runs, "runs", 3, "runs of each kind, in turn; the least time counts")
	f.IntVar(&s.count, "requests", part.count, "requests")
	f.DurationVar(&s.seconds, "seconds", 10*time.Second, "how long a run of latency or peer lasts")
	f.Uint64Var(&s.seed, "seed", 1, "what is cut, what is malformed, and when requests come")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if s.model == "" || s.rows == "" || f.NArg() > 0 {
		return errors.New("want -model and -rows, and nothing behind the flags")
	}
	var err error
	if s.scratch, err = os.MkdirTemp("", "criticrm-load"); err != nil {
		return err
	}
	defer os.RemoveAll(s.scratch)
	return part.run(&s)
}

// say prints figures.
func say(figures any) {
	b, err := json.Marshal(figures)
	if err != nil {
		panic(err) // they have a form
	}
	fmt.Println(string(b))
}

// row is one response.
type row struct {
	ID       string `json:"id"`
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// each reads a file of JSON Lines.
func each[T any](path string, f func(T) error) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if err := f(v); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	return lines.Err()
}

// split writes pairs as rows of one response.
func split(path string) error {
	out := json.NewEncoder(os.Stdout)
	return each(path, func(p struct{ ID, Prompt, Chosen, Rejected string }) error {
		if p.ID == "" || p.Prompt == "" || p.Chosen == "" || p.Rejected == "" {
			return errors.New("want id, prompt, chosen and rejected, all of them texts")
		}
		return errors.Join(out.Encode(row{p.ID + "/chosen", p.Prompt, p.Chosen}), out.Encode(row{p.ID + "/rejected", p.Prompt, p.Rejected}))
	})
}

// readRows reads rows of one response.
func readRows(path string) (list []row, err error) {
	err = each(path, func(r row) error {
		if r.ID == "" || r.Prompt == "" || r.Response == "" {
			return errors.New("want id, prompt and response: make rows of pairs by 'load rows'")
		}
		list = append(list, r)
		return nil
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s: there are no rows", path)
	}
	return list, err
}
