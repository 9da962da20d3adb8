package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzCommandLine: whatever is typed, and whatever a recipe says, a command ends in time with one of the exit codes, never a panic; an error
// is one line that is not too long. It works in a folder with a model, a recipe and rows; paths that lead elsewhere are not tried.
func FuzzCommandLine(f *testing.F) {
	model, err := tiny()
	if err != nil {
		f.Fatal(err)
	}
	rows := sumPairs(3) + judged("a", []int{9}, []int{1}) + `{"prompt":"p","chosen":"c","rejected":"r","x":1}` + "\n"
	for _, args := range []string{
		"", "help", "version", "--help", "generate --help", "genrate", "train --print_config", "train --recipe r.yaml --print_config", "train --recipe r.yaml --dry_run --model m --train_file p.jsonl",
		"train --model m --train_file p.jsonl --method bt --output_dir run --max_steps 2 --batch_size 1 --accumulation 1", "train --recipe r.yaml --model m --train_file p.jsonl --output_dir run --max_bad 9",
		"generate --model m --in p.jsonl --out o.jsonl --max_tokens 3 --critiques 1 --prompts q", "filter --in p.jsonl --out o.jsonl --max_bad 5 --rule none", "refine --in p.jsonl --out o.jsonl --mode margin --top_k 1",
		"refine --model m --prompts q --in p.jsonl --out o.jsonl --mode summarize --max_tokens 2", "score --model m --in p.jsonl --plain", "eval --in p.jsonl --draws 10", "eval --model m --judge --in p.jsonl --samples 1 --max_tokens 2 --prompts q",
		"tokenize --model m --in p.jsonl --raw", "tokenize --model m --in ids --decode", "logits --model m --ids ids --out l.safetensors", "inspect m", "inspect p.jsonl", "inspect m --text hi", "export --model m --out e --format causal-lm", "devices",
		"score --model m --in p.jsonl --chunk 99999999999999999999", "eval --in p.jsonl --draws -1 --curve 0,-1,9", "generate --model m --in p.jsonl --out o --max_tokens 9223372036854775807", "--model=", "score -- --x", "train --seed -1 --lr NaN",
		"score --model m --in p.jsonl --top_p nan --temperature inf", "filter --in=p.jsonl --out=p.jsonl.gz", "inspect \x00", "inspect " + strings.Repeat("x", 3000), "generate --model m --in m --out m", "train --model p.jsonl --train_file m --output_dir ids", "score --device cuda:99999999999",
	} {
		f.Add(args, "method: bt\nmax_steps: 1\nbatch_size: 1\n")
	}
	f.Add("train --recipe r.yaml --print_config", "max_steps: 1e400\nlr: [1]\n&a x: *a\n")
	f.Fuzz(func(t *testing.T, line, recipe string) {
		args := strings.Fields(line)
		if strings.ContainsAny(line, "/\\~") || strings.Contains(line, "..") || strings.ContainsAny(recipe, "/\\~") || strings.Contains(recipe, "..") {
			t.Skip("it leads out of the folder")
		}
		for _, a := range args {
			if a == "demo" || a == "base" { // they take minutes
				t.Skip()
			}
		}
		t.Chdir(t.TempDir())
		if err := os.CopyFS("m", os.DirFS(model)); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS("q", os.DirFS(shortPrompts(t))); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"p.jsonl": rows, "ids": "[1,2]\n{\"ids\":[3]}\n", "r.yaml": recipe} {
			writeFile(t, filepath.Join(".", name), content)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		var out, errs bytes.Buffer
		code := run(ctx, args, &out, &errs)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%q took %v", args, took)
		}
		last := lastLine(errs.String())
		switch code {
		case exitOK:
		case exitFailed, exitUsage, exitData:
			if !strings.HasPrefix(last, "criticrm: ") || len(last) > 2000 {
				t.Errorf("%q: exit code %d, and the last line is %.200q of %d bytes", args, code, last, len(last))
			}
		default:
			t.Errorf("%q: exit code %d, %q", args, code, errs.String())
		}
	})
}
