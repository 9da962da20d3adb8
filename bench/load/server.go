package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one that runs as a process.
type server struct {
	cmd  *exec.Cmd
	url  string // ends in /
	log  string // what it has written to stderr
	done chan error

	signal bool // it may end by the signal that it is sent, as uvicorn does when all is done
}

// address is how servers say where they listen: ours, and uvicorn.
var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// begin starts a server and waits until it has said where it listens.
func begin(s *settings, name string, args ...string) (*server, error) {
	out, err := os.CreateTemp(s.scratch, "server-*.log")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &server{cmd: exec.Command(name, args...), log: out.Name(), done: make(chan error, 1)}
	p.cmd.Stderr = out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- p.cmd.Wait() }()
	for range 1200 {
		text, err := os.ReadFile(p.log)
		if err != nil {
			return nil, err
		}
		if p.url = string(address.Find(text)); p.url != "" {
			p.url += "/"
			return p, nil
		}
		select {
		case err := <-p.done:
			return nil, fmt.Errorf("%s has ended (%v): %s", name, err, text)
		case <-time.After(50 * time.Millisecond):
		}
	}
	_ = p.cmd.Process.Kill()
	return nil, fmt.Errorf("%s does not say within a minute where it listens", name)
}

// ours starts the program's server.
func ours(s *settings, more ...string) (*server, error) {
	return begin(s, s.program, append([]string{"serve", "--model", s.model, "--port", "0", "--samples", strconv.Itoa(s.samples), "--threads", strconv.Itoa(s.threads)}, more...)...)
}

// end stops the server, which has to end well.
func (p *server) end() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-p.done:
		var exit *exec.ExitError
		if errors.As(err, &exit) && p.signal && !exit.Exited() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the server ended with %w", err)
		}
		return nil
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		return errors.New("the server does not end within 40 s")
	}
}

// cpu is the seconds that all threads of the server have worked so far, in steps of 10 ms.
func (p *server) cpu() (float64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "stat"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may have spaces
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, errors.New("/proc: stat has another form")
	}
	user, err1 := strconv.ParseFloat(f[11], 64)
	system, err2 := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100, errors.Join(err1, err2)
}

// resident is the server's resident memory in MiB.
func (p *server) resident() (float64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "statm"))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0, errors.New("/proc: statm has another form")
	}
	pages, err := strconv.ParseFloat(f[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20), err
}

// metrics are what the server counts, by name with labels. They are asked for on a connection that is closed behind it.
func (p *server) metrics() (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"metrics", nil)
	if err != nil {
		return nil, err
	}
	q.Close = true
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s", r.Status)
	}
	all := map[string]float64{}
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if line == "" || line[0] == '#' || at < 0 {
			continue
		}
		if all[line[:at]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
	}
	return all, lines.Err()
}

// asPlain has score read rewards at the end of responses, those of a critic too, whose directory says that they belong behind critiques.
var asPlain = []string{"--plain", "--override"}

// table is what the command score gives for all rows, by id, with the time that it takes.
func table(s *settings, rows string, more ...string) (rewards map[string]float32, cpu, wall float64, err error) {
	out := filepath.Join(s.scratch, "scored.jsonl")
	cmd := exec.Command(s.program, append([]string{"score", "--model", s.model, "--in", rows, "--out", out, "--restart", "--samples", strconv.Itoa(s.samples), "--threads", strconv.Itoa(s.threads)}, more...)...)
	began := time.Now()
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, 0, 0, fmt.Errorf("score: %w: %s", err, text)
	}
	wall = time.Since(began).Seconds()
	cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	rewards = map[string]float32{}
	err = each(out, func(r struct {
		ID     string
		Reward *float64
	}) error {
		if r.Reward == nil {
			return errors.New("there is no reward")
		}
		rewards[r.ID] = float32(*r.Reward)
		return nil
	})
	return rewards, cpu, wall, err
}

// drain reads the rest of a body, so that its connection is used again.
func drain(r io.ReadCloser) {
	_, _ = io.Copy(io.Discard, r)
	_ = r.Close()
}
