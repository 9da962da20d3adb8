package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/internal/golden"
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
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range set.Causal {
			t.Run(name, func(t *testing.T) { testLogits(t, set.Dir(name), "logits", "logits", "input_ids") })
		}
		for _, name := range set.Reward {
			t.Run(name, func(t *testing.T) {
				testLogits(t, set.Dir(name), "reward", "rewards", "input_ids.0", "input_ids.1", "input_ids.2", "input_ids.3")
			})
		}
	})
}

func testLogits(t *testing.T, dir, output, kind string, inputs ...string) {
	ref := openTensors(t, filepath.Join(dir, "reference.safetensors"))
	var lines []string
	for _, name := range inputs {
		ids, err := ref.ReadInts(name)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := ref.Info(name)
		for row := range slices.Chunk(ids, int(info.Shape[len(info.Shape)-1])) {
			b, _ := json.Marshal(row)
			lines = append(lines, string(b))
		}
	}
	file := writeFile(t, filepath.Join(t.TempDir(), "ids.jsonl"), strings.Join(lines, "\n")+"\n")
	out := filepath.Join(t.TempDir(), "out.safetensors")
	must(t, "logits", "--model", dir, "--ids", file, "--out", out)
	want, err := ref.ReadF32(kind)
	if err != nil {
		t.Fatal(err)
	}
	var got []float32
	for i := range lines {
		x, err := openTensors(t, out).ReadF32(fmt.Sprintf("%s.%d", output, i))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, x...)
	}
	golden.Near(t, kind, got, want, golden.Tolerance(t, dir, "float32")[kind])
}
