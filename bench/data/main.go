// Data measures what reading pairs takes, this program's share of bench/peers/data.py:
//
//	go build -o build/data ./bench/data
//	build/data pairs N > pairs.jsonl
//	build/data check pairs.jsonl
//	build/data read MODEL pairs.jsonl THREADS MIB
//
// pairs writes N pairs of made-up text of realistic lengths. read does what a training does before its first update, and prints what
// each part took as a line of JSON: check (the rows are read and compared with each other, as "criticrm generate" and "run" do), render (they
// are read, checked, rendered with the model's chat template and kept, MIB of them in memory) and pack (one epoch of batches of 96 pairs, in
// shuffled order, in micro-batches of 8192 tokens). check does the first of them alone.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
	"criticrm/trainer"
)

// figures of one part of the work.
type figures struct {
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"`  // wall clock
	CPU     float64 `json:"cpu"`      // seconds of all threads, user and system
	Rows    int     `json:"rows"`     //
	Tokens  int     `json:"tokens"`   // of all branches, as if nothing were shared
	PeakMiB int64   `json:"peak_mib"` // resident, of the process so far
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "data:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "pairs":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return pairs(os.Stdout, n, 1)
	case len(args) == 2 && args[0] == "check":
		return check(args[1])
	case len(args) == 5 && args[0] == "read":
		threads, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		memory, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		return read(args[1], args[2], threads, memory)
	}
	return errors.New("usage: data pairs N | data check FILE | data read MODEL FILE THREADS MIB")
}

// measure does a part of the work and prints what it took.
func measure(what string, work func() (rows, tokens int, err error)) error {
	start, before := time.Now(), cpu()
	rows, tokens, err := work()
	if err != nil {
		return err
	}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(figures{what, time.Since(start).Seconds(), cpu() - before, rows, tokens, u.Maxrss >> 10})
}

// cpu is the processor time of the process so far, in seconds.
func cpu() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// check reads the rows and compares them with each other.
func check(file string) error {
	return measure("check", func() (rows, tokens int, err error) {
		in, err := record.Open(file, record.ReadOptions{})
		if err != nil {
			return 0, 0, err
		}
		defer in.Close()
		check := record.NewChecker()
		defer check.Close()
		for rec, err := range in.Records() {
			if err != nil {
				return rows, 0, err
			}
			if err := check.Add(rec); err != nil {
				return rows, 0, err
			}
			rows++
		}
		return rows, 0, check.Finish()
	})
}

func read(dir, file string, threads, memory int) error {
	runtime.GOMAXPROCS(threads)
	c := trainer.Default()
	c.Method, c.Threads, c.DataMemory, c.Overlong = trainer.BT, threads, memory, record.TruncateRight
	if err := check(file); err != nil {
		return err
	}
	var data *trainer.Records
	err := measure("render", func() (rows, tokens int, err error) {
		d, err := modeldir.Open(dir, modeldir.Given{NoCritiques: true})
		if err != nil {
			return 0, 0, err
		}
		r, err := render.Of(d)
		if err != nil {
			return 0, 0, err
		}
		if data, err = trainer.LoadRecords(context.Background(), file, r, c, d.Config.MaxPositionEmbeddings, trainer.Report{Log: os.Stderr}); err != nil {
			return 0, 0, err
		}
		return data.Rows, 0, nil
	})
	if err != nil {
		return err
	}
	defer data.Close()
	return measure("pack", func() (rows, tokens int, err error) { return pack(data, c) })
}

// pack goes through an epoch as training does.
func pack(data *trainer.Records, c trainer.Config) (rows, tokens int, err error) {
	const update = 96
	order, parts := trainer.Order(c.Seed, 0, data.Len()), c.Parts()
	for len(order) > 0 {
		n := min(update, len(order))
		var examples []render.Example
		var sizes []int
		for _, i := range order[:n] {
			e, err := data.Example(i)
			if err != nil {
				return rows, tokens, err
			}
			size := e.Size(parts)
			examples, sizes, tokens = append(examples, e), append(sizes, size.Tokens), tokens+size.Flat
		}
		for _, bin := range trainer.Pack(sizes, c.BatchTokens) {
			b := &model.Batch{}
			for _, i := range bin {
				examples[i].AppendTo(b, parts)
			}
			rows += len(b.SidePtr) / 2
		}
		order = order[n:]
	}
	return rows, tokens, nil
}
