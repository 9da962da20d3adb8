package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// Help has at most 100 columns where words allow, shows common flags first and all of them with --help-all, and every flag is in a group
// once.
func TestHelpFitsAndIsComplete(t *testing.T) {
	for _, cmd := range allCommands(newRoot()) {
		help := func(flag string) string {
			out, _ := must(t, append(strings.Fields(cmd.CommandPath())[1:], flag)...)
			return out
		}
		short, long := help("--help"), help("--help-all")
		if under := help("--help_all"); under != long {
			t.Errorf("%s: --help_all is not --help-all", cmd.Name())
		}
		for line := range strings.Lines(long) {
			if n := len([]rune(line)) - 1; n > helpWidth && !strings.HasPrefix(line, "  criticrm ") && len(strings.Fields(line)) > 1 {
				t.Errorf("%s --help-all: %d columns: %s", cmd.Name(), n, line)
			}
		}
		flags := 0
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" || f.Name == "help_all" {
				return
			}
			flags++
			if n := strings.Count(long, fmt.Sprintf("\n  --%s ", f.Name)) + strings.Count(long, fmt.Sprintf("\n  --%s\n", f.Name)); n != 1 {
				t.Errorf("%s --help-all: --%s stands %d times", cmd.Name(), f.Name, n)
			}
		})
		if shorter := len(short) < len(long); shorter != strings.Contains(short, "more flags: '"+cmd.CommandPath()+" --help-all'") {
			t.Errorf("%s --help: %d flags, %q", cmd.Name(), flags, short)
		}
	}
}

// Foreign flags of other trainers are understood or refused, and shown nowhere.
func TestForeignFlags(t *testing.T) {
	if out, _ := must(t, "train", "--print_config", "--report_to", "none", "--fp16", "False", "--bf16", "True", "--optim", "adamw_torch", "--model_name_or_path", "m"); !strings.Contains(out, "optim: adamw\n") ||
		!strings.Contains(out, "bf16: true") || !strings.Contains(out, "model: m\n") {
		t.Error(out)
	}
	for args, want := range map[string]string{
		"train --report_to wandb":            "metrics.jsonl",
		"train --use_peft":                   "give lora_r, the rank",
		"train --load_in_8bit":               "weights of 8 bits are not built",
		"train --zzz 1":                      "unknown flag --zzz (see 'criticrm train --help-all')",
		"run --train.deepspeed x":            "divide what they keep with zero_stage",
		"train --lr_scheduler_type greedy":   "nearest to it is cosine",
		"trian":                              `did you mean "train"?`,
		"deploy":                             `unknown command "deploy" (see`,
		"generate --num_critique 3 --in a":   "did you mean --num_critiques?",
		"train --learning_rat 3 --model_n m": "unknown flag --learning_rat, did you mean --learning_rate?",
	} {
		if code, _, errs := command(t, strings.Fields(args)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %q, want %q", args, code, errs, want)
		}
	}
	if out, _ := must(t, "train", "--help-all"); strings.Contains(out, "deepspeed") || strings.Contains(out, "fp16") {
		t.Error("foreign flags are in the help")
	}
}

func TestEnv(t *testing.T) {
	out, _ := must(t, "env")
	for _, want := range []string{"criticrm:  0.", "built:     go1.", "system:    ", "processor: ", "memory:    ", "kB", "cuda"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
