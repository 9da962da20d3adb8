package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// took is what a run of n requests took.
type took struct {
	n         int
	wall, cpu float64 // seconds; cpu is the server's
}

// least is the run with the least CPU time for a request, and the least wall time for one, in turn.
func least(runs []took) (out took) {
	out = took{n: 1, wall: runs[0].wall / float64(runs[0].n), cpu: runs[0].cpu / float64(runs[0].n)}
	for _, r := range runs {
		out.wall, out.cpu = min(out.wall, r.wall/float64(r.n)), min(out.cpu, r.cpu/float64(r.n))
	}
	return out
}

// measured runs clients that wait for their answers, and looks at the server's CPU time before and behind.
func measured(p *server, c *client, clients int, asks []ask, more func(int) bool) (t took, err error) {
	before, err := p.cpu()
	if err != nil {
		return t, err
	}
	t.n, t.wall = c.closed(clients, asks, more)
	after, err := p.cpu()
	t.cpu = after - before
	return t, errors.Join(err, c.check())
}

// throughput compares the server's with the command score's, for the same rows and samples, in turn. What score needs to begin is taken off: its time for one row.
func throughput(s *settings) (err error) {
	rows, err := readRows(s.rows)
	if err != nil {
		return err
	}
	one := filepath.Join(s.scratch, "one.jsonl")
	if err := os.WriteFile(one, append(text(rows[0]), '\n'), 0o600); err != nil {
		return err
	}
	want, _, _, err := table(s, s.rows)
	if err != nil {
		return err
	}
	p, err := ours(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	asks := make([]ask, len(rows))
	for i, r := range rows {
		asks[i] = rewardAsk(r, s.samples, false, want)
	}
	var offline, start []took
	served := map[int][]took{}
	clients := []int{1, 8, 64}
	for range s.runs {
		for _, of := range []struct {
			path string
			n    int
			to   *[]took
		}{{one, 1, &start}, {s.rows, len(rows), &offline}} {
			_, cpu, wall, err := table(s, of.path)
			if err != nil {
				return err
			}
			*of.to = append(*of.to, took{of.n, wall, cpu})
		}
		for _, n := range clients {
			t, err := measured(p, newClient(p.url), n, asks, func(i int) bool { return i < len(asks) })
			if err != nil {
				return err
			}
			served[n] = append(served[n], t)
		}
	}
	begin, all := least(start), least(offline)
	wall, cpu := all.wall-begin.wall/float64(len(rows)), all.cpu-begin.cpu/float64(len(rows))
	type figures struct {
		What    string  `json:"what"`
		Clients int     `json:"clients,omitempty"`
		Rate    float64 `json:"responses_per_second"`
		CPU     float64 `json:"cpu_ms_per_response"` // of the program that answers
		Ratio   float64 `json:"of_score,omitempty"`  // throughput by the clock, 1 is score's
		PerCPU  float64 `json:"of_score_by_cpu,omitempty"`
	}
	say(figures{What: "score", Rate: 1 / wall, CPU: cpu * 1e3})
	for _, n := range clients {
		t := least(served[n])
		say(figures{What: "serve", Clients: n, Rate: 1 / t.wall, CPU: t.cpu * 1e3, Ratio: wall / t.wall, PerCPU: cpu / t.cpu})
	}
	return nil
}

// latency finds how many plain rewards a second the server gives at most, and then sends four fifths of those, when they come, whether or not others are answered.
func latency(s *settings) (err error) {
	rows, err := readRows(s.rows)
	if err != nil {
		return err
	}
	want, _, _, err := table(s, s.rows, asPlain...)
	if err != nil {
		return err
	}
	p, err := ours(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	var asks []ask
	for _, r := range rows {
		asks = append(asks, rewardAsk(r, 0, true, want))
	}
	for _, share := range []float64{0.5, 0.8} {
		var runs []arrival
		for run := range s.runs { // other work on the machine changes what it can do: each run has a saturation of its own
			t, err := measured(p, newClient(p.url), 64, asks, lasting(s.seconds/2))
			if err != nil {
				return err
			}
			saturation := float64(t.n) / t.wall
			a, err := arriving(p, share*saturation, s, asks, s.seed+uint64(run))
			if err != nil {
				return err
			}
			a.saturation = saturation
			runs = append(runs, a)
		}
		tell(fmt.Sprintf("plain reward at %v of what 64 clients get that wait for their answers", share), runs)
	}
	return nil
}

// arrival is one run of requests that come at a rate; times are in milliseconds.
type arrival struct {
	rate, p50, p99, worst, cores float64
	saturation                   float64 // requests a second; 0: not measured
	late                         float64 // by which the machine woke a thread that only slept, p99: what else it does
	refused                      int
}

// arriving is such a run.
func arriving(p *server, rate float64, s *settings, asks []ask, seed uint64) (a arrival, err error) {
	c := newClient(p.url)
	before, err := p.cpu()
	if err != nil {
		return a, err
	}
	late := lateness(s.seconds)
	list, seconds := c.open(rate, s.seconds, asks, seed)
	after, err := p.cpu()
	if err != nil {
		return a, err
	}
	a.refused = c.status[http.StatusServiceUnavailable] // it said so: the queue was full
	delete(c.status, http.StatusServiceUnavailable)
	a.rate, a.cores = float64(len(list))/s.seconds.Seconds(), (after-before)/seconds
	a.p50, a.p99, a.worst = quantile(list, 0.5)*1e3, quantile(list, 0.99)*1e3, list[len(list)-1]*1e3
	a.late = <-late * 1e3
	return a, c.check()
}

// lateness is how much later than it wanted a thread wakes that sleeps a millisecond again and again for a while: the p99, in seconds.
func lateness(d time.Duration) <-chan float64 {
	out := make(chan float64, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		var list []float64
		for until := time.Now().Add(d); time.Now().Before(until); {
			began := time.Now()
			_ = syscall.Nanosleep(&syscall.Timespec{Nsec: 1e6}, nil) // one that is cut short is early, which the p99 does not see
			list = append(list, time.Since(began).Seconds()-1e-3)
		}
		slices.Sort(list)
		out <- quantile(list, 0.99)
	}()
	return out
}

// tell prints runs at one rate: the best of them, and what the others had.
func tell(what string, runs []arrival) {
	slices.SortFunc(runs, func(a, b arrival) int { return cmp.Compare(a.p99, b.p99) })
	var all []float64
	refused := 0
	for _, a := range runs {
		all, refused = append(all, a.p99), refused+a.refused
	}
	say(struct {
		What    string    `json:"what"`
		Most    float64   `json:"saturation,omitempty"`
		Rate    float64   `json:"requests_per_second"`
		P50     float64   `json:"p50_ms"`
		P99     float64   `json:"p99_ms"`
		Worst   float64   `json:"worst_ms"`
		Cores   float64   `json:"cores"` // that the server kept busy
		Late    float64   `json:"p99_ms_of_waking"`
		All     []float64 `json:"p99_ms_of_all_runs"`
		Refused int       `json:"refused"` // in all runs: the queue was full
	}{what, runs[0].saturation, runs[0].rate, runs[0].p50, runs[0].p99, runs[0].worst, runs[0].cores, runs[0].late, all, refused})
}

// peers asks a plain server on PyTorch for the same rewards of the same texts, in turn with ours.
func peers(s *settings) (err error) {
	rows, err := readRows(s.rows)
	if err != nil {
		return err
	}
	want, _, _, err := table(s, s.rows, asPlain...)
	if err != nil {
		return err
	}
	texts, rewards, err := rendered(s, rows, want)
	if err != nil {
		return err
	}
	p, err := ours(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	q, err := begin(s, s.python, s.peer, s.export)
	if err != nil {
		return err
	}
	q.signal = true
	defer func() { err = errors.Join(err, q.end()) }()
	sides := []struct {
		name string
		*server
		near float64
	}{{"criticrm", p, 0}, {"peer", q, 1e-4}}
	shapes := []struct{ clients, texts int }{{1, 1}, {8, 1}, {64, 1}, {8, 32}}
	runs := make([][2][]took, len(shapes))
	asks := make([][2][]ask, len(shapes))
	for range s.runs {
		for i, shape := range shapes {
			for k, side := range sides {
				if asks[i][k] == nil {
					for lo := range slices.Chunk(slices.Collect(upTo(len(texts))), shape.texts) {
						hi := lo[len(lo)-1] + 1
						asks[i][k] = append(asks[i][k], queryAsk(texts[lo[0]:hi], rewards[lo[0]:hi], side.near))
					}
				}
				t, err := measured(side.server, newClient(side.url), shape.clients, asks[i][k], lasting(s.seconds/2))
				if err != nil {
					return err
				}
				runs[i][k] = append(runs[i][k], t)
			}
		}
	}
	rate := 0.0
	for i, shape := range shapes {
		for k, side := range sides {
			t := least(runs[i][k])
			say(struct {
				What    string  `json:"what"`
				Clients int     `json:"clients"`
				Texts   int     `json:"texts_per_request"`
				Rate    float64 `json:"requests_per_second"`
				CPU     float64 `json:"cpu_ms_per_request"`
			}{side.name, shape.clients, shape.texts, 1 / t.wall, t.cpu * 1e3})
			if k == 1 && shape.texts == 1 {
				rate = max(rate, 1/t.wall)
			}
		}
	}
	var at [2][]arrival
	for run := range s.runs { // at what the slower one can do
		for k, side := range sides {
			a, err := arriving(side.server, 0.8*rate, s, asks[0][k], s.seed+uint64(run))
			if err != nil {
				return err
			}
			at[k] = append(at[k], a)
		}
	}
	for k, side := range sides {
		tell(side.name+" at 0.8 of what the peer can do, 1 text a request", at[k])
	}
	return nil
}

// upTo gives 0 to n-1.
func upTo(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// rendered are the rows as whole texts, which the peer's chat template makes of them, and their rewards.
func rendered(s *settings, rows []row, want map[string]float32) (texts []string, rewards []float32, err error) {
	out := filepath.Join(s.scratch, "texts.jsonl")
	if err := command(s.python, s.peer, s.export, "--render", s.rows, "--out", out); err != nil {
		return nil, nil, err
	}
	err = each(out, func(t string) error {
		texts = append(texts, t)
		return nil
	})
	if err == nil && len(texts) != len(rows) {
		err = errors.New(strconv.Itoa(len(texts)) + " texts of " + strconv.Itoa(len(rows)) + " rows")
	}
	for _, r := range rows {
		rewards = append(rewards, want[r.ID])
	}
	return texts, rewards, err
}

// soak sends plain requests, and looks at the server's memory while they are answered.
func soak(s *settings) (err error) {
	rows, err := readRows(s.rows)
	if err != nil {
		return err
	}
	want, _, _, err := table(s, s.rows, asPlain...)
	if err != nil {
		return err
	}
	p, err := ours(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	var asks []ask
	for _, r := range rows {
		asks = append(asks, rewardAsk(r, 0, true, want))
	}
	const parts = 10
	var resident []float64
	began := time.Now()
	for k := range parts + 1 {
		if k > 0 {
			c := newClient(p.url)
			n := s.count * k / parts
			n -= s.count * (k - 1) / parts
			if c.closed(16, asks, func(i int) bool { return i < n }); c.check() != nil {
				return c.check()
			}
		}
		time.Sleep(200 * time.Millisecond) // connections are closed there, too
		m, err := p.metrics()
		if err != nil {
			return err
		}
		mib, err := p.resident()
		if err != nil {
			return err
		}
		resident = append(resident, mib)
		say(struct {
			What       string  `json:"what"`
			Requests   float64 `json:"requests"`
			Seconds    float64 `json:"seconds"`
			Resident   float64 `json:"resident_mib"`
			Heap       float64 `json:"heap_in_use_mib"`
			Goroutines float64 `json:"goroutines"`
		}{"soak", m[`criticrm_requests_total{route="/v1/reward",status="200"}`], time.Since(began).Seconds(), mib, m["go_memstats_heap_inuse_bytes"] / (1 << 20), m["go_goroutines"]})
	}
	say(struct {
		What   string  `json:"what"`
		Growth float64 `json:"growth_of_the_second_half_mib"`
	}{"soak", resident[parts] - resident[parts/2]})
	return nil
}
