package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serving runs criticrm serve until the test ends, and gives its address.
func serving(t *testing.T, args ...string) (url string, stop func() (code int, stderr string)) {
	t.Helper()
	return servingBy(t, run, args...)
}

// apart is run in a process of its own, which is sent SIGTERM when the context ends.
func apart(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), asProgram+"=1"), stdout, stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(stderr, err)
		return -1
	}
	return cmd.ProcessState.ExitCode()
}

func servingBy(t *testing.T, by func(ctx context.Context, args []string, stdout, stderr io.Writer) int, args ...string) (url string, stop func() (code int, stderr string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	found, code := make(chan string, 1), make(chan int, 1)
	listens := regexp.MustCompile(`(?m)^serving .* at (http\S+)$`)
	var mu sync.Mutex
	var all bytes.Buffer
	stderr := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		told := listens.Match(all.Bytes())
		all.Write(p)
		if m := listens.FindSubmatch(all.Bytes()); m != nil && !told {
			found <- string(m[1])
		}
		return len(p), nil
	})
	go func() { code <- by(ctx, append([]string{"serve", "--port", "0"}, args...), io.Discard, stderr) }()
	stop = sync.OnceValues(func() (int, string) {
		cancel()
		c := <-code
		mu.Lock()
		defer mu.Unlock()
		return c, all.String()
	})
	t.Cleanup(func() { stop() })
	select {
	case url = <-found:
	case c := <-code:
		code <- c
		_, text := stop()
		t.Fatalf("serve ended with %d: %s", c, text)
	case <-time.After(time.Minute):
		t.Fatal("serve says no address")
	}
	return strings.TrimSuffix(url, "/"), stop
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// ask asks a server and gives its answer.
func askServer(t *testing.T, url, body string) (int, []byte) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b
}

// served is an answer of /v1/reward as far as it is compared with rows of score.
type served struct {
	Data []struct {
		Reward    *float32
		Critiques []struct {
			Text   string
			Reward *float32
			Score  float32
		}
	}
}

// The server gives the rewards and critiques that score gives for rows of the same id, to the bit, in requests of one or of many; a scalar model's
// too, and those of whole texts. All curl lines of serving.md are answered.
func TestServe(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains models")
	}
	page := readFile(t, filepath.Join(repository, "docs", "serving.md"))
	docsFolder(t)
	must(t, "run", "--model", "my-model", "--train", "pairs.jsonl", "--eval", "held-out.jsonl", "--output_dir", "run", "--train.learning_rate", "3e-4", "--train.per_device_train_batch_size", "4")
	must(t, "train", "--method", "bt", "--model", "my-model", "--train_file", "pairs.jsonl", "--output_dir", "run-bt", "--learning_rate", "3e-4", "--per_device_train_batch_size", "4")
	for _, model := range []string{"run/model", "run-bt/model"} {
		must(t, "score", "--model", model, "--in", "answers.jsonl", "--out", model+".jsonl", "--samples", "3", "--max_tokens", "60", "--seed", "7")
		url, stop := serving(t, "--model", model, "--samples", "3", "--max_tokens", "60")
		rows := 0
		for _, line := range strings.Split(strings.TrimSpace(readFile(t, model+".jsonl")), "\n") {
			var row struct {
				ID               any
				Prompt, Response string
				Reward           float64
				Critiques        []struct {
					Text   string
					Reward float32
				}
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			rows++
			prompt, _ := json.Marshal(row.Prompt)
			response, _ := json.Marshal(row.Response)
			for _, responses := range []string{string(response), `"another", ` + string(response)} {
				code, b := askServer(t, url+"/v1/reward", fmt.Sprintf(`{"id": "%v", "prompt": %s, "responses": [%s], "seed": 7}`, row.ID, prompt, responses))
				var got served
				if err := json.Unmarshal(b, &got); code != 200 || err != nil {
					t.Fatalf("%d %s (%v)", code, b, err)
				}
				last := got.Data[len(got.Data)-1]
				if *last.Reward != float32(row.Reward) || len(last.Critiques) != len(row.Critiques) {
					t.Errorf("%s: row %v: the server gives %v with %d critiques, score %v with %d", model, row.ID, *last.Reward, len(last.Critiques), float32(row.Reward), len(row.Critiques))
					continue
				}
				for i, z := range last.Critiques {
					if z.Text != row.Critiques[i].Text || *z.Reward != row.Critiques[i].Reward {
						t.Errorf("%s: row %v: critique %q with %v, score gives %q with %v", model, row.ID, z.Text, *z.Reward, row.Critiques[i].Text, row.Critiques[i].Reward)
					}
				}
			}
			if model == "run-bt/model" {
				text, _ := json.Marshal("<|user|>" + row.Prompt + "<|assistant|>" + row.Response + "<|end|>")
				if code, b := askServer(t, url+"/slime", fmt.Sprintf(`{"prompt": %s, "response": %s}`, prompt, response)); code != 200 || strings.TrimSpace(string(b)) != fmt.Sprint(float32(row.Reward)) {
					t.Errorf("row %v: slime gets %d %s, score gives %v", row.ID, code, b, row.Reward)
				}
				code, b := askServer(t, url+"/get_reward", fmt.Sprintf(`{"query": [%s]}`, text))
				var got struct{ Rewards []float32 }
				if err := json.Unmarshal(b, &got); code != 200 || err != nil || got.Rewards[0] != float32(row.Reward) {
					t.Errorf("row %v: OpenRLHF gets %d %s, score gives %v", row.ID, code, b, row.Reward)
				}
			}
		}
		if rows < 2 {
			t.Errorf("%d rows", rows)
		}
		curls := curlLines(t, page)
		if len(curls) < 6 {
			t.Errorf("serving.md has %d curl lines", len(curls))
		}
		for _, c := range curls {
			if code, b := askServer(t, url+c.path, c.body); code != 200 || !json.Valid(b) {
				t.Errorf("serving.md: curl %s: %d %s", c.path, code, b)
			}
		}
		if code, text := stop(); code != exitOK || !strings.Contains(text, "route=/v1/reward status=200") {
			t.Errorf("serve ended with %d: %s", code, text)
		}
	}
}

// curl is what a line of a page asks.
type curl struct{ path, body string }

// curlLines are those of the ```bash fences.
func curlLines(t *testing.T, page string) (list []curl) {
	t.Helper()
	lines, err := shellLines(strings.ReplaceAll(strings.ReplaceAll(page, "```sh\n", "```text\n"), "```bash\n", "```sh\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		w, err := words(line.text)
		if err != nil {
			t.Fatal(err)
		}
		path, ours := strings.CutPrefix(w[1], "http://127.0.0.1:5000")
		if len(w) != 6 || w[0] != "curl" || !ours || w[2] != "-H" || w[3] != "Content-Type: application/json" || w[4] != "-d" {
			t.Fatalf("line %d: %q", line.at, w)
		}
		list = append(list, curl{path, w[5]})
	}
	return list
}

// What is wrong with the flags, or with the model, is told before anything is served; a model without a reward head is served for its critiques.
func TestServeBad(t *testing.T) {
	docsFolder(t)
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"--model is missing":             {},
		"there is no key":                {"--model", "my-model", "--host", "0.0.0.0"},
		"max_queue: got 0":               {"--model", "my-model", "--max_queue", "0"},
		"a key of 5 characters":          {"--model", "my-model", "--api_key_file", keys},
		"no such file":                   {"--model", "my-model", "--api_key_file", keys + "x"},
		"belong together":                {"--model", "my-model", "--tls_cert", keys},
		"temperature 0 makes all 2":      {"--model", "my-model", "--samples", "2", "--temperature", "0"},
		"samples: 100, and max_samples ": {"--model", "my-model", "--samples", "100"},
	} {
		code, _, errs := command(t, append([]string{"serve"}, args...)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d: %s, want %q", args, code, errs, want)
		}
	}
	url, stop := serving(t, "--model", "my-model", "--max_tokens", "40")
	code, b := askServer(t, url+"/v1/reward", `{"prompt": "What is 12 + 30?", "response": "It is 42."}`)
	if code != 200 || !strings.Contains(string(b), `"reward":null`) || !strings.Contains(string(b), "no reward head") {
		t.Errorf("%d %s", code, b)
	}
	if code, text := stop(); code != exitOK || !strings.Contains(text, "the model has no reward head") {
		t.Errorf("serve ended with %d: %s", code, text)
	}
}

// Stages take critiques from the server as from any engine: on the completions route they come with their tokens, each row and sample is there once, and
// asking again gives the same file. What is over the server's context is the row's fault.
func TestServeAsEngine(t *testing.T) {
	docsFolder(t)
	url, stop := servingBy(t, apart, "--model", "my-model", "--max_tokens", "40")
	for _, route := range []string{"chat", "completions"} {
		args := func(out string) []string {
			return []string{"generate", "--engine", "openai", "--base_url", url + "/v1", "--engine_route", route, "--model", "my-model", "--in", "pairs.jsonl", "--out", out,
				"--critiques", "2", "--max_tokens", "40", "--concurrency", "8"}
		}
		_, errs := must(t, args(route+".jsonl")...)
		must(t, args(route+"-again.jsonl")...)
		text := readFile(t, route+".jsonl")
		if text != readFile(t, route+"-again.jsonl") {
			t.Errorf("%s: another file the second time", route)
		}
		critiques := 0
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			var row struct {
				C []struct {
					Text   string
					Tokens []int32
				} `json:"chosen_critiques"`
				R []struct {
					Text   string
					Tokens []int32
				} `json:"rejected_critiques"`
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			for _, z := range append(row.C, row.R...) {
				critiques++
				if len(z.Tokens) == 0 {
					t.Errorf("%s: %q has no tokens: %s", route, z.Text, errs)
				}
			}
		}
		if rows := countLines("pairs.jsonl"); critiques != 4*rows || rows == 0 {
			t.Errorf("%s: %d critiques of %d rows", route, critiques, rows)
		}
	}
	long := strings.Repeat("more and ", 1500)
	writeFile(t, "long.jsonl", `{"prompt": "a", "chosen": "`+long+`", "rejected": "b"}`+"\n")
	code, _, errs := command(t, "generate", "--engine", "openai", "--base_url", url+"/v1", "--in", "long.jsonl", "--out", "long-out.jsonl", "--critiques", "1", "--max_tokens", "40")
	if code != exitData || !strings.Contains(errs, "context is 2048") {
		t.Errorf("a long row: exit code %d: %s", code, errs)
	}
	if code, text := stop(); code != exitOK || !strings.Contains(text, "status=200") {
		t.Errorf("serve ended with %d: %.1000s", code, text)
	}
}

// As a process: SIGHUP has new keys read, SIGTERM ends it with exit code 0 behind the request that runs.
func TestServeSignals(t *testing.T) {
	docsFolder(t)
	const first, second = "0123456789abcdef", "fedcba9876543210"
	writeFile(t, "keys", first+"\n")
	cmd := exec.Command(os.Args[0], "serve", "--model", "my-model", "--port", "0", "--api_key_file", "keys")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := make(chan string, 100)
	go func() {
		for s := bufio.NewScanner(stderr); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	next := func(what string) string {
		for {
			select {
			case line, ok := <-lines:
				if !ok || strings.Contains(line, what) {
					return line
				}
			case <-time.After(time.Minute):
				t.Fatalf("nothing says %q", what)
			}
		}
	}
	_, url, _ := strings.Cut(next(" at http"), " at ")
	try := func(key string) int {
		r, err := http.NewRequest(http.MethodGet, url+"v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	if a, b := try(first), try(second); a != 200 || b != 401 {
		t.Errorf("%d and %d", a, b)
	}
	for text, want := range map[string]string{second: "are read again", "bad": "what was read before holds"} {
		writeFile(t, "keys", text+"\n")
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		next(want)
		if text == second {
			if a, b := try(first), try(second); a != 401 || b != 200 {
				t.Errorf("behind SIGHUP: %d and %d", a, b)
			}
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	next("stopping")
	for range lines { // to its end
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
}

// A small heap is collected when 32 MiB of garbage are there, a large one as Go does it.
func TestCollectAt(t *testing.T) {
	for live, want := range map[uint64]int{0: 3200, 2 << 20: 1600, 16 << 20: 200, 32 << 20: 100, 4 << 30: 100} {
		if got := collectAt(live); got != want {
			t.Errorf("%d bytes: %d, want %d", live, got, want)
		}
	}
}
