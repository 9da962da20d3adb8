package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The example of real text gives the program what was fetched, then the user's flags; with pairs of their own nothing else is fetched or read.
func TestRunOfRealText(t *testing.T) {
	m := newMachine(t)
	script, err := os.ReadFile("../examples/real/run.sh")
	if err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(m.root, "examples/real/run.sh"), string(script))
	m.write(filepath.Join(m.root, "bin/criticrm"), "#!/bin/sh\necho \"$*\"\n")
	for _, name := range []string{"smollm2", "gsm8k"} {
		m.write(filepath.Join(m.root, "scripts", name+".sh"), "echo "+name+"\n")
	}
	for flags, want := range map[string][2]string{
		"":                         {"smollm2\ngsm8k\ndemo text --model build/smollm2/", "--pairs build/gsm8k/train.jsonl --other build/gsm8k/example_model_solutions.jsonl --null build/gsm8k/harmless.jsonl.gz --max_bad 9 --size evening --output_dir runs/text\n"},
		"--size night":             {"smollm2\ngsm8k\ndemo text", "--size evening --output_dir runs/text --size night\n"},
		"--pairs=own.jsonl":        {"smollm2\ndemo text", ".gguf --pairs=own.jsonl\n"},
		"--other o --pairs a.json": {"smollm2\ndemo text", ".gguf --other o --pairs a.json\n"},
	} {
		c := exec.Command("sh", append([]string{filepath.Join(m.root, "examples/real/run.sh")}, strings.Fields(flags)...)...)
		c.Dir, c.Env = t.TempDir(), []string{"PATH=" + m.path, "HOME=" + m.root}
		out, err := c.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), want[0]) || !strings.HasSuffix(string(out), want[1]) {
			t.Errorf("%q: %v:\n%s", flags, err, out)
		}
	}
}
