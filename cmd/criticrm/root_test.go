package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelp: every command explains itself with an example, and -h is help.
func TestHelp(t *testing.T) {
	for _, cmd := range allCommands(newRoot()) {
		if cmd.Name() == "version" {
			continue
		}
		if cmd.Short == "" || cmd.Long == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s lacks a description or an example", cmd.CommandPath())
		}
		out, _ := must(t, append(strings.Fields(cmd.CommandPath())[1:], "-h")...)
		if !strings.Contains(out, "Examples:") {
			t.Errorf("%s -h: %q", cmd.Name(), out)
		}
	}
	out, _ := must(t)
	if !strings.Contains(out, "Exit codes: 0 done") {
		t.Errorf("%q", out)
	}
	if out, _ := must(t, "version"); !strings.HasPrefix(out, "criticrm 0.") {
		t.Errorf("%q", out)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out, _ := must(t, "completion", shell); len(out) < 1000 || !strings.Contains(out, "criticrm") {
			t.Errorf("%s: %d bytes", shell, len(out))
		}
	}
	out, _ := must(t, cobra.ShellCompRequestCmd, "g")
	if !strings.HasPrefix(out, "generate\t") {
		t.Errorf("%q", out)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"genrate", `unknown command "genrate", did you mean "generate"? (see 'criticrm --help')`},
		{"generate --max-tokns 3", `unknown flag --max_tokns, did you mean --max_tokens? (see 'criticrm generate --help-all')`},
		{"train --learning_rat 3", `unknown flag --learning_rat, did you mean --learning_rate? (see 'criticrm train --help-all')`},
		{"train --lr x", `invalid argument "x" for "--learning_rate" flag: must be a number (see 'criticrm train --help')`},
		{"train --bf16 maybe", `unexpected argument "maybe": flags are written --name value, switches --name or --name=false (see 'criticrm train --help')`},
		{"train --bf16 True", `--model is missing (see 'criticrm train --help')`},
		{"logits --ids a --ids b", `invalid argument "b" for "--ids" flag: --ids is given twice, as "a" and "b": it takes one file (see 'criticrm logits --help')`},
		{"train --method dpo", `trainer: config: method: got "dpo", want one of critic bt cloud sft lm`},
		{"train", `--model is missing (see 'criticrm train --help')`},
		{"generate --model m", `--in is missing (see 'criticrm generate --help')`},
		{"generate --model m --in a --out b --critiques 0", `critic: critiques: got 0, want 1 to 10000`},
		{"generate --model m --in a --out b --temperature 0", `critic: temperature 0 makes all 10 critiques equal: set a temperature or critiques to 1`},
		{"generate --model m --in a --out b --top_p 1.5", `record: top_p: got 1.5, want 0 to 1`},
		{"generate --model m --in a --out b --overlong cut", `critic: overlong: got "cut", want one of error, drop, truncate-left, truncate-right`},
		{"filter --in a --out b --rule best", `critic: filter: got "best", want one of mean, mean+each, none`},
		{"refine --in a --out b --mode best", `critic: refine: got "best", want one of rank, summarize, margin, random, random-all, none`},
		{"refine --in a --out b", `--model is missing (see 'criticrm refine --help')`},
		{"eval --in a --judge", `--out, --judge, --plain and --nproc need --model, or --engine openai for --judge (see 'criticrm eval --help')`},
		{"export --model m --out o --format onnx", `--format: got "onnx", want sequence-classification, causal-lm, peft, gguf`},
		{"inspect", `want one PATH, got 0 (see 'criticrm inspect --help')`},
	} {
		code, out, errs := command(t, strings.Fields(c.args)...)
		if code != exitUsage || errs != "criticrm: "+c.want+"\n" || out != "" {
			t.Errorf("%s: exit code %d, %q, %q, want %q", c.args, code, out, errs, c.want)
		}
	}
}

// TestAliases: dashes and underscores, and the names of other trainers.
func TestAliases(t *testing.T) {
	for _, args := range []string{"train --model-name-or-path x --lr 0.5 --print-config", "train --model x --learning_rate=0.5 --print_config", "train --model x --learning-rate 0.5 --print_config"} {
		out, _ := must(t, strings.Fields(args)...)
		if !strings.Contains(out, "\nlearning_rate: 0.5\n") || !strings.Contains(out, "\nmodel: x\n") {
			t.Errorf("%s: %s", args, out)
		}
	}
	for _, args := range []string{"generate --model_name_or_path /none --in a --out b", "score --model-name-or-path /none --in a --m 3", "export --model_name_or_path /none --output b", "tokenize --tokenizer /none"} {
		code, _, errs := command(t, strings.Fields(args)...)
		if code != exitUsage || !strings.Contains(errs, "/none") {
			t.Errorf("%s: %d %s", args, code, errs)
		}
	}
}
