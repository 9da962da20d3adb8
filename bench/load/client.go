package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ask is a request that is ready to be sent.
type ask struct {
	path string
	body []byte
	want []float32 // rewards that must come back; nil: whatever comes
	near float64   // how far from them they may be, relative to 1 or more; 0: not at all
	read func(b []byte) ([]float32, error)
}

// rewardAsk is a row on the server's own route.
func rewardAsk(r row, samples int, plain bool, want map[string]float32) ask {
	q := map[string]any{"id": r.ID, "prompt": r.Prompt, "response": r.Response}
	if plain {
		q["plain"] = true
	} else if samples > 0 {
		q["samples"] = samples
	}
	return ask{path: "v1/reward", body: text(q), want: []float32{want[r.ID]}, read: func(b []byte) ([]float32, error) {
		var a struct{ Data []struct{ Reward *float32 } }
		if err := json.Unmarshal(b, &a); err != nil {
			return nil, err
		}
		var list []float32
		for _, d := range a.Data {
			if d.Reward == nil {
				return nil, fmt.Errorf("no reward")
			}
			list = append(list, *d.Reward)
		}
		return list, nil
	}}
}

// queryAsk is whole texts on OpenRLHF's route.
func queryAsk(texts []string, want []float32, near float64) ask {
	return ask{path: "get_reward", body: text(map[string]any{"query": texts, "prompts": texts}), want: want, near: near, read: func(b []byte) ([]float32, error) {
		var a struct{ Rewards []float32 }
		err := json.Unmarshal(b, &a)
		return a.Rewards, err
	}}
}

func text(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it has a form
	}
	return b
}

// client asks one server, and counts.
type client struct {
	url  string
	http *http.Client

	mu     sync.Mutex
	status map[int]int // answers by status
	cut    int         // requests that this side gave up
	broken int         // without an answer for another reason
	first  error       // of those
	wrong  int         // answers whose rewards are not those that are wanted
	which  string      // the first of them
}

func newClient(url string) *client {
	return &client{url: url, status: map[int]int{}, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}}}
}

// send sends a request and takes the answer down; 0 is the status of none.
func (c *client) send(ctx context.Context, a *ask, id, kind string) int {
	status, b, err := c.exchange(ctx, a, id, kind)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && ctx.Err() != nil:
		c.cut++
		return 0
	case err != nil:
		if c.broken++; c.first == nil {
			c.first = err
		}
		return 0
	}
	c.status[status]++
	if status == http.StatusOK && a.read != nil {
		got, err := a.read(b)
		if err != nil || !slices.EqualFunc(got, a.want, a.same) {
			if c.wrong++; c.which == "" {
				c.which = fmt.Sprintf("%s: got %v (%v), want %v", a.body, got, err, a.want)
			}
		}
	}
	return status
}

func (a *ask) same(x, y float32) bool {
	if a.near > 0 {
		return math.Abs(float64(x)-float64(y)) <= a.near*max(1, math.Abs(float64(y)))
	}
	return math.Float32bits(x) == math.Float32bits(y)
}

func (c *client) exchange(ctx context.Context, a *ask, id, kind string) (int, []byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+a.path, bytes.NewReader(a.body))
	if err != nil {
		return 0, nil, err
	}
	q.Header.Set("Content-Type", kind)
	if id != "" {
		q.Header.Set("X-Request-Id", id)
	}
	r, err := c.http.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer drain(r.Body)
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, b, err
}

// check gives an error where not every answer was 200 and right.
func (c *client) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrong > 0 {
		return fmt.Errorf("%d answers are wrong; the first: %s", c.wrong, c.which)
	}
	if len(c.status) != 1 || c.status[http.StatusOK] == 0 || c.cut+c.broken > 0 {
		return fmt.Errorf("answers by status: %v; %d cut, %d without an answer, the first: %v", c.status, c.cut, c.broken, c.first)
	}
	return nil
}

const asJSON = "application/json"

// closed sends requests from so many clients, each of which waits for its answer before it sends the next; more says whether there is a request i.
// It gives how many were sent, in how many seconds.
func (c *client) closed(clients int, asks []ask, more func(i int) bool) (n int, seconds float64) {
	var next, sent atomic.Int64
	var group sync.WaitGroup
	began := time.Now()
	for range clients {
		group.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if !more(i) {
					return
				}
				c.send(context.Background(), &asks[i%len(asks)], "", asJSON)
				sent.Add(1)
			}
		})
	}
	group.Wait()
	seconds = time.Since(began).Seconds()
	c.http.CloseIdleConnections()
	return int(sent.Load()), seconds
}

// open sends requests when they come, at random with the given number a second, whether or not others are answered. Latencies are from the time at which a
// request should have been sent to the last byte of its answer, in rising order, in seconds.
func (c *client) open(rate float64, d time.Duration, asks []ask, seed uint64) (latencies []float64, seconds float64) {
	r := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	var group sync.WaitGroup
	began := time.Now()
	at := time.Duration(0)
	for i := 0; ; i++ {
		if at += time.Duration(r.ExpFloat64() / rate * float64(time.Second)); at > d {
			break
		}
		time.Sleep(time.Until(began.Add(at)))
		due := began.Add(at)
		group.Go(func() {
			c.send(context.Background(), &asks[i%len(asks)], "", asJSON)
			took := time.Since(due).Seconds()
			mu.Lock()
			latencies = append(latencies, took)
			mu.Unlock()
		})
	}
	group.Wait()
	seconds = time.Since(began).Seconds()
	c.http.CloseIdleConnections() // a server has only so many
	slices.Sort(latencies)
	return latencies, seconds
}

// quantile of numbers in rising order.
func quantile(list []float64, q float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	return list[min(int(q*float64(len(list))), len(list)-1)]
}

// lasting says that there are requests until the time is over.
func lasting(d time.Duration) func(int) bool {
	until := time.Now().Add(d)
	return func(int) bool { return time.Now().Before(until) }
}
