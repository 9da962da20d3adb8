package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// Adapters that are served beside their base give the rewards and critiques that each gives by itself, to the bit, also when all are asked at once.
func TestServeAdapters(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains models")
	}
	docsFolder(t)
	common := []string{"--model", "my-model", "--lora_r", "2", "--learning_rate", "3e-2", "--max_steps", "2", "--per_device_train_batch_size", "4", "--gradient_accumulation_steps", "1"}
	must(t, append([]string{"train", "--method", "bt", "--train_file", "pairs.jsonl", "--output_dir", "scalar"}, common...)...)
	must(t, "generate", "--model", "my-model", "--in", "pairs.jsonl", "--out", "one.jsonl", "--critiques", "1", "--max_tokens", "40")
	must(t, append([]string{"train", "--method", "cloud", "--train_file", "one.jsonl", "--output_dir", "critic", "--lora_target_modules", "q_proj,v_proj"}, common...)...)
	// The adapters name their base by its path when they were trained.
	type answer struct {
		Reward    *float64
		Critiques []struct{ Text string }
	}
	want := map[string]answer{}
	const prompt, response = "What is 12 + 30?", "It is 42."
	writeFile(t, "row.jsonl", fmt.Sprintf(`{"id": "r", "prompt": %q, "response": %q}`+"\n", prompt, response))
	for _, name := range []string{"scalar", "critic"} {
		must(t, "score", "--model", name+"/model", "--in", "row.jsonl", "--out", name+".jsonl", "--samples", "2", "--max_tokens", "40", "--seed", "7")
		var row answer
		if err := json.Unmarshal([]byte(strings.TrimSpace(readFile(t, name+".jsonl"))), &row); err != nil {
			t.Fatal(err)
		}
		want[name] = row
	}
	if *want["scalar"].Reward == *want["critic"].Reward || len(want["critic"].Critiques) != 2 {
		t.Fatalf("%+v", want)
	}
	url, stop := serving(t, "--model", "my-model", "--adapter", "scalar=scalar/model", "--adapter", "critic=critic/model", "--samples", "2", "--max_tokens", "40")
	var group sync.WaitGroup
	for range 4 {
		for name, row := range want {
			group.Go(func() {
				code, b := askServer(t, url+"/v1/reward", fmt.Sprintf(`{"model": %q, "id": "r", "prompt": %q, "response": %q, "seed": 7}`, name, prompt, response))
				var got struct{ Data []answer }
				if err := json.Unmarshal(b, &got); code != 200 || err != nil {
					t.Errorf("%s: %d %s (%v)", name, code, b, err)
					return
				}
				if a := got.Data[0]; a.Reward == nil || float32(*a.Reward) != float32(*row.Reward) || len(a.Critiques) != len(row.Critiques) || len(a.Critiques) > 0 && a.Critiques[1].Text != row.Critiques[1].Text {
					t.Errorf("%s: the server gives %s, score %v", name, b, *row.Reward)
				}
			})
			group.Go(func() {
				if code, b := askServer(t, url+"/v1/reward", fmt.Sprintf(`{"prompt": %q, "response": %q}`, prompt, response)); code != 200 || !strings.Contains(string(b), `"reward":null`) {
					t.Errorf("the base: %d %s", code, b)
				}
			})
		}
	}
	group.Wait()
	if code, b := askServer(t, url+"/v1/reward", `{"model": "other", "prompt": "x", "response": "y"}`); code != 404 || !strings.Contains(string(b), "there are my-model, scalar, critic") {
		t.Errorf("%d %s", code, b)
	}
	if code, text := stop(); code != exitOK || !strings.Contains(text, "adapter scalar: ") || !strings.Contains(text, "adapter critic: ") {
		t.Errorf("serve ended with %d: %s", code, text)
	}

	// What cannot be served so is told at once.
	if err := os.CopyFS("other", os.DirFS("my-model")); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"want NAME=DIR":                       {"--adapter", "scalar/model"},
		"my-model holds no adapter":           {"--adapter", "a=my-model"},
		`two models are called "a"`:           {"--adapter", "a=scalar/model", "--adapter", "a=critic/model"},
		`two models are called "my-model"`:    {"--adapter", "my-model=scalar/model"},
		"scalar/model is no adapter of other": {"--model", "other", "--adapter", "a=scalar/model"},
	} {
		args := append([]string{"serve", "--model", "my-model"}, args...)
		if code, _, errs := command(t, args...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d: %s, want %q", args, code, errs, want)
		}
	}
}
