package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// driver calls the reward function as TRL's GRPOTrainer and OpenRLHF's executor do.
const driver = `
import asyncio, importlib.util, json, sys
spec = importlib.util.spec_from_file_location("reward_func", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
f = module.reward_func
out = {}

talk = [{"role": "user", "content": "2+2?"}]
metrics = {}
out["trl"] = f(prompts=[talk] * 3 + [[{"role": "user", "content": "3+3?"}]], completions=[[{"role": "assistant", "content": c}] for c in ["4", "five", "null", "6"]],
    completion_ids=[[1], [2], [3], [4]], trainer_state=None, log_extra=None, log_metric=metrics.__setitem__, answer=["4"] * 4)
out["metrics"] = metrics
out["empty"] = f(prompts=["2+2?", "2+2?", "2+2?"], completions=[" ", "44", ""], completion_ids=[[1]] * 3)
out["trl text"] = f(prompts=["2+2?"], completions=[" 4"], completion_ids=[[1]])

chatml = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
llama = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
gemma = "<bos><start_of_turn>user\n2+2?<end_of_turn>\n<start_of_turn>model\n"
for name, prompt, query in [("chatml", chatml, chatml + "4<|im_end|>\n"), ("llama", llama, llama + "4<|eot_id|>"), ("gemma", gemma, gemma + "4<end_of_turn>\n<eos>"), ("empty chatml", chatml, chatml + "<|im_end|>"),
        ("plain", "2+2? ", "2+2? 4\n"), ("cut", "x" * 40 + chatml, chatml + "4<|im_end|>"), ("other template", "<|user|>2+2?<|end|><|assistant|>", "<|user|>2+2?<|end|><|assistant|>4<|end|>")]:
    async def call():
        return await asyncio.to_thread(f, [query], [prompt], ["label"])
    out[name] = asyncio.run(call())
for name, call in [("null", lambda: f(["2+2?null"], ["2+2?"], [""])), ("refused", lambda: f(prompts=["refuse"], completions=["x"])), ("forged", lambda: f(prompts=["forge"], completions=["x"])), ("unknown", lambda: f(["[INST] 2+2? [/INST]4"], ["[INST] 2+2? [/INST]"], [""]))]:
    try:
        out[name] = call()
    except module.RewardError as e:
        out[name] = str(e)
print(json.dumps(out))
`

// TestRewardFunc: examples/reward_func.py sends what the route reads, goes on over trouble that passes, and gives each trainer its form.
func TestRewardFunc(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3: examples/reward_func.py is not run")
	}
	var mu sync.Mutex
	var calls int
	var bodies []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Prompt    string
			Messages  []Message
			Responses []string
			Input     []string
		}
		var b strings.Builder
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.URL.Path != "/v1/reward" || r.Header.Get("Authorization") != "Bearer k-secret" {
			http.Error(w, fmt.Sprintf("%v %s %v", err, r.URL.Path, r.Header), http.StatusBadRequest)
			return
		}
		mu.Lock()
		calls++
		call := calls
		mu.Unlock()
		switch {
		case call == 1:
			w.Header().Set("Retry-After", "0")
			http.Error(w, `{"error":{"code":"busy","message":"full"}}`, http.StatusServiceUnavailable)
			return
		case call == 2:
			panic(http.ErrAbortHandler)
		case call == 3:
			fmt.Fprint(w, `{"data":[`)
			return
		case q.Prompt == "refuse":
			http.Error(w, `{"error":{"code":"invalid_value","message":"no: k-secret"}}`, http.StatusUnprocessableEntity)
			return
		case q.Prompt == "forge":
			fmt.Fprint(w, `{"data":[{"index":3}]}`)
			return
		}
		mu.Lock()
		notes := ""
		if q.Input != nil {
			bodies = append(bodies, fmt.Sprint("input ", q.Input))
			q.Responses = []string{"4"}
			if strings.Contains(q.Input[0], "INST") {
				notes = `"notes":["read plain"],`
			}
		} else {
			bodies = append(bodies, fmt.Sprint(q.Prompt, q.Messages, q.Responses))
		}
		mu.Unlock()
		for i, text := range q.Responses {
			score := fmt.Sprint(float32(len(text)) + 0.5)
			if text == "null" {
				score = "null"
			}
			fmt.Fprintf(&b, `,{"index":%d,"score":%s,"plain":%v,"critiques":[{"text":"c","tokens":10},{"text":"d","tokens":5}]}`, i, score, notes != "")
		}
		fmt.Fprintf(w, `{%s"data":[%s]}`, notes, b.String()[1:])
	}))
	t.Cleanup(s.Close)
	file, err := filepath.Abs("../examples/reward_func.py")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-B", "-c", driver, file)
	cmd.Env = append(os.Environ(), "CRITICRM_URL="+s.URL+"/, "+s.URL, "CRITICRM_API_KEY=k-secret", "CRITICRM_CONCURRENCY=1", "PYTHONDONTWRITEBYTECODE=1", "no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(stdout, &got); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	const one = `{"rewards": [1.5], "scores": [1.5], "extra_logs": {"critique_len": [15]}}`
	for name, want := range map[string]string{
		"trl": "[1.5, 4.5, null, 1.5]", "metrics": `{"critique_tokens": 15.0}`, "trl text": "[2.5]", "empty": "[1.5, 2.5, 0.5]", "empty chatml": `{"rewards": [0.5], "scores": [0.5], "extra_logs": {"critique_len": [15]}}`, "chatml": one, "llama": one, "gemma": one, "cut": one, "other template": one,
		"plain": strings.ReplaceAll(one, "1.5]", "2.5]"), "null": `"the server gives no reward for a response"`, "forged": `"the answer has 1 rewards, want 1"`,
	} {
		if string(got[name]) != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	if text := string(got["refused"]); !strings.Contains(text, "422 Unprocessable Entity") || strings.Contains(text, "k-secret") {
		t.Errorf("refused: %s", text)
	}
	if text := string(got["unknown"]); !strings.Contains(text, "neither this file nor the model knows: read plain") {
		t.Errorf("an unknown template: %s", text)
	}
	want := []string{"[{user 2+2?}] [4 five null]", "[{user 3+3?}] [6]", "2+2?[] [  44 ]", "2+2?[] [ 4]", "[{system Be brief.} {user 2+2?}] [4]", "[{user 2+2?}] [4]", "[{user 2+2?}] [4]", "[{system Be brief.} {user 2+2?}] []", "2+2? [] [4\n]",
		"[{system Be brief.} {user 2+2?}] [4]", "input [<|user|>2+2?<|end|><|assistant|>4<|end|>]",
		"2+2?[] [null]", "input [[INST] 2+2? [/INST]4]"}
	if strings.Join(bodies, "|") != strings.Join(want, "|") {
		t.Errorf("%q\nwant %q", bodies, want)
	}
}
