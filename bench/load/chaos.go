package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// spoilt are requests that are wrong, with the status that each must get.
var spoilt = []struct {
	path, body, kind string
	status           int
}{
	{"v1/reward", `{"prompt": "a", "respon`, asJSON, 400},
	{"v1/reward", ``, asJSON, 400},
	{"v1/reward", `{"prompt": "a", "response": 5}`, asJSON, 400},
	{"v1/reward", `{"prompt": "a"}`, asJSON, 400},
	{"v1/reward", `{"prompt": "a", "response": "b", "sample": 2}`, asJSON, 400},
	{"v1/reward", `{"prompt": "a", "response": "b", "temperature": -1}`, asJSON, 422},
	{"v1/reward", `{"prompt": "a", "response": "b"}`, "text/plain", 415},
	{"v1/rewards", `{"prompt": "a", "response": "b"}`, asJSON, 404},
}

// sent is a request of chaos.
type sent struct {
	cut  bool
	want int // the status that it must have, or 503, which is said before a body is looked at
	got  int // 0: it was cut before there was an answer
}

// chaos sends requests of which 5 % are given up at a random time and 5 % are wrong, to a queue that is too short, and compares three counts: what clients saw,
// what the server's metrics say and its log, which has a line for each request.
func chaos(s *settings) (err error) {
	rows, err := readRows(s.rows)
	if err != nil {
		return err
	}
	written, _, _, err := table(s, s.rows)
	if err != nil {
		return err
	}
	plain, _, _, err := table(s, s.rows, asPlain...)
	if err != nil {
		return err
	}
	const clients = 64
	p, err := ours(s, "--max_queue", strconv.Itoa(clients-4))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	var asks []ask
	for i, r := range rows {
		if i%2 == 0 {
			asks = append(asks, rewardAsk(r, s.samples, false, written))
		} else {
			asks = append(asks, rewardAsk(r, 0, true, plain))
		}
	}
	warm := newClient(p.url) // also says how long requests take
	n, seconds := warm.closed(clients-4, asks, func(i int) bool { return i < len(asks) })
	if err := warm.check(); err != nil {
		return err
	}
	usual := time.Duration(seconds / float64(n) * clients * float64(time.Second))
	time.Sleep(time.Second)
	before, err := p.metrics()
	if err != nil {
		return err
	}

	r := rand.New(rand.NewPCG(s.seed, 0))
	list := make([]sent, s.count)
	after := make([]time.Duration, s.count)
	spoil := make([]int, s.count)
	for i := range list {
		spoil[i], list[i].want = -1, 200
		switch x := r.IntN(20); x {
		case 0:
			list[i].cut, after[i] = true, time.Duration(r.Int64N(int64(2*usual)))
		case 1:
			spoil[i] = r.IntN(len(spoilt))
			list[i].want = spoilt[spoil[i]].status
		}
	}
	c := newClient(p.url)
	var next atomic.Int64
	var group sync.WaitGroup
	began := time.Now()
	for range clients {
		group.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= len(list) {
					return
				}
				q, id, kind := &asks[i%len(asks)], fmt.Sprintf("load-%d", i), asJSON
				if k := spoil[i]; k >= 0 {
					q, kind = &ask{path: spoilt[k].path, body: []byte(spoilt[k].body)}, spoilt[k].kind
				}
				ctx, cancel := context.WithCancel(context.Background())
				if list[i].cut {
					time.AfterFunc(after[i], cancel)
				}
				list[i].got = c.send(ctx, q, id, kind)
				cancel()
				if list[i].got == http.StatusServiceUnavailable {
					time.Sleep(50 * time.Millisecond)
				}
			}
		})
	}
	group.Wait()
	seconds = time.Since(began).Seconds()
	c.http.CloseIdleConnections()
	var m map[string]float64
	for range 50 { // what was given up leaves at once, but not before this side knows
		if m, err = p.metrics(); err != nil {
			return err
		}
		if m["go_goroutines"] <= before["go_goroutines"] && m["criticrm_requests_inside"]+m["criticrm_samples_running"]+m["criticrm_samples_waiting"] == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	logged, err := p.logged("load-")
	if err != nil {
		return err
	}
	inLog := map[int]int{}
	for _, all := range logged {
		for _, status := range all {
			inLog[status]++
		}
	}
	counted := counts(before, m)
	say(struct {
		What       string      `json:"what"`
		Requests   int         `json:"requests"`
		Seconds    float64     `json:"seconds"`
		Seen       map[int]int `json:"answers_seen"`
		Cut        int         `json:"cut"` // before there was an answer
		Broken     int         `json:"without_an_answer"`
		Wrong      int         `json:"wrong_rewards"`
		Log        map[int]int `json:"lines_of_the_log"`
		Counted    map[int]int `json:"metrics"`
		Before     float64     `json:"goroutines_before"`
		After      float64     `json:"goroutines_after"`
		Inside     float64     `json:"requests_left"`
		AtWork     float64     `json:"samples_left"`
		InsideText string      `json:"first_wrong,omitempty"`
	}{"chaos", s.count, seconds, c.status, c.cut, c.broken, c.wrong, inLog, counted, before["go_goroutines"], m["go_goroutines"], m["criticrm_requests_inside"],
		m["criticrm_samples_running"] + m["criticrm_samples_waiting"], c.which})
	return verdict(c, list, logged, inLog, counted, before, m)
}

// verdict says what is wrong.
func verdict(c *client, list []sent, logged map[string][]int, inLog, counted map[int]int, before, after map[string]float64) (err error) {
	fault := func(format string, a ...any) { err = errors.Join(err, fmt.Errorf(format, a...)) }
	if c.wrong > 0 || c.broken > 0 {
		fault("%d rewards are wrong, %d requests have no answer (%v)", c.wrong, c.broken, c.first)
	}
	known := 0
	for i, q := range list {
		lines := logged[fmt.Sprintf("load-%d", i)]
		known += len(lines)
		switch {
		case q.got != 0 && (len(lines) != 1 || lines[0] != q.got):
			fault("request %d: got %d, the log has %v", i, q.got, lines)
		case q.got == 0 && len(lines) > 1:
			fault("request %d was cut, the log has %v", i, lines)
		case q.got == 0 && len(lines) == 1 && lines[0] != 200 && lines[0] != 499 && lines[0] != 503:
			fault("request %d was cut and is none of 200, 499 and 503: %v", i, lines)
		case q.got != 0 && q.got != q.want && q.got != 503:
			fault("request %d: got %d, want %d", i, q.got, q.want)
		}
	}
	total := 0
	for status, n := range inLog {
		if total += n; counted[status] != n {
			fault("status %d: %d lines in the log, %d in the metrics", status, n, counted[status])
		}
	}
	if len(counted) != len(inLog) || known != total {
		fault("the log has %v, the metrics %v, and %d lines are of requests that were sent", inLog, counted, known)
	}
	if after["go_goroutines"] > before["go_goroutines"] {
		fault("%v goroutines before, %v after", before["go_goroutines"], after["go_goroutines"])
	}
	if left := after["criticrm_requests_inside"] + after["criticrm_samples_running"] + after["criticrm_samples_waiting"]; left != 0 {
		fault("%v requests or samples are left", left)
	}
	return err
}

var ofStatus = regexp.MustCompile(`^criticrm_requests_total\{route="([^"]*)",status="(\d+)"\}$`)

// counts are requests by status between two looks at the metrics, which count themselves, too, and are left out.
func counts(before, after map[string]float64) map[int]int {
	all := map[int]int{}
	for name, n := range after {
		if f := ofStatus.FindStringSubmatch(name); f != nil && f[1] != "/metrics" && n > before[name] {
			status, _ := strconv.Atoi(f[2])
			all[status] += int(n - before[name])
		}
	}
	return all
}

// logged are the statuses of each request in the server's log whose id begins so.
func (p *server) logged(id string) (map[string][]int, error) {
	in, err := os.Open(p.log)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	all := map[string][]int{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var name string
		status := 0
		for f := range strings.FieldsSeq(lines.Text()) {
			if v, ok := strings.CutPrefix(f, "id="); ok {
				name = v
			}
			if v, ok := strings.CutPrefix(f, "status="); ok {
				status, _ = strconv.Atoi(v)
			}
		}
		if strings.HasPrefix(name, id) {
			all[name] = append(all[name], status)
		}
	}
	return all, lines.Err()
}
