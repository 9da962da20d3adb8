package main

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/checkpoint"
)

// TestLogits: names, shapes and types; a sequence gives the same whatever stands on the other lines.
func TestLogits(t *testing.T) {
	dir := t.TempDir()
	one := writeFile(t, filepath.Join(dir, "one.jsonl"), "[5, 6, 7]\n")
	two := writeFile(t, filepath.Join(dir, "two.jsonl"), `{"ids":[9, 1, 2, 3, 4]}`+"\n[5, 6, 7]\n")
	for _, x := range [][2]string{{one, "1"}, {two, "2"}} {
		must(t, "logits", "--model", rewardModel(t, "critic"), "--ids", x[0], "--out", filepath.Join(dir, x[1]+".safetensors"))
	}
	a, b := openTensors(t, filepath.Join(dir, "1.safetensors")), openTensors(t, filepath.Join(dir, "2.safetensors"))
	for name, want := range map[string]string{"logits": "[3 320]", "hidden": "[3 32]", "reward": "[1]"} {
		info, ok := b.Info(name + ".1")
		if !ok || fmt.Sprint(info.Shape) != want || info.DType != "F32" {
			t.Errorf("%s: %+v, want shape %s", name, info, want)
		}
		x, _ := a.ReadRaw(name + ".0")
		y, _ := b.ReadRaw(name + ".1")
		if len(x) == 0 || string(x) != string(y) {
			t.Errorf("%s depends on the other lines", name)
		}
	}
	must(t, "logits", "--model", tinyModel(t), "--ids", one, "--out", filepath.Join(dir, "3.safetensors"))
	if openTensors(t, filepath.Join(dir, "3.safetensors")).Has("reward.0") {
		t.Error("a reward without a head")
	}
	for line, want := range map[string]string{"[]": "0 ids, want 1 to 512", "[320]": "ids[0]: 320 is not in the vocabulary of 320 tokens", "[-1]": "ids[0]: -1 is not in the vocabulary of 320 tokens"} {
		bad := writeFile(t, filepath.Join(dir, "bad.jsonl"), line+"\n")
		if code, _, errs := command(t, "logits", "--model", tinyModel(t), "--ids", bad, "--out", filepath.Join(dir, "4.safetensors")); code != exitData || errs != "criticrm: "+bad+":1: "+want+"\n" {
			t.Errorf("%d %q, want %q", code, errs, want)
		}
	}
}

func openTensors(t *testing.T, path string) *checkpoint.SafetensorsFile {
	t.Helper()
	f, err := checkpoint.OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestLogitsGolden compares with transformers, at the tolerance that the golden files derive.
func TestLogitsGolden(t *testing.T) {
	root := shared(t, "golden/llama_text", "golden/llama_reward")
	for _, c := range []struct {
		model, out, tensor string
		inputs             []string
	}{{"llama_text", "logits", "logits", []string{"input_ids"}}, {"llama_reward", "reward", "rewards", []string{"input_ids.0", "input_ids.1", "input_ids.2", "input_ids.3"}}} {
		dir := filepath.Join(root, "golden", c.model)
		ref := openTensors(t, filepath.Join(dir, "reference.safetensors"))
		var lines []string
		for _, name := range c.inputs {
			ids, err := ref.ReadInts(name)
			if err != nil {
				t.Fatal(err)
			}
			info, _ := ref.Info(name)
			n := int(info.Shape[len(info.Shape)-1])
			for ; len(ids) > 0; ids = ids[n:] {
				b, _ := json.Marshal(ids[:n])
				lines = append(lines, string(b))
			}
		}
		file := writeFile(t, filepath.Join(t.TempDir(), "ids.jsonl"), strings.Join(lines, "\n")+"\n")
		out := filepath.Join(t.TempDir(), "out.safetensors")
		must(t, "logits", "--model", dir, "--ids", file, "--out", out)
		var tolerance map[string]map[string]float64
		if err := json.Unmarshal([]byte(readFile(t, filepath.Join(dir, "error.json"))), &tolerance); err != nil {
			t.Fatal(err)
		}
		got := openTensors(t, out)
		want, err := ref.ReadF32(c.tensor)
		if err != nil {
			t.Fatal(err)
		}
		var have []float32
		for i := range lines {
			x, err := got.ReadF32(fmt.Sprintf("%s.%d", c.out, i))
			if err != nil {
				t.Fatal(err)
			}
			have = append(have, x...)
		}
		worst, most := 0.0, 0.0
		for i := range want {
			worst, most = max(worst, math.Abs(float64(have[i]-want[i]))), max(most, math.Abs(float64(want[i])))
		}
		e := tolerance["float32"][c.tensor]
		if len(have) != len(want) || !(worst <= 3*e*most) {
			t.Errorf("%s: %d values, want %d; off by %.3g, allowed %.3g", c.model, len(have), len(want), worst, 3*e*most)
		}
	}
}
