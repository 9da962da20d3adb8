package bench

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// found gives what a pattern's group matches in files.
func found(t *testing.T, pattern string, files ...string) (names []string) {
	t.Helper()
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(b), -1) {
			names = append(names, m[1])
		}
	}
	if len(names) == 0 {
		t.Fatalf("nothing in %v is like %s", files, pattern)
	}
	return names
}

// The fault: tests of the kernels that belong to no op of the list, and that bench/gpu.sh did not know: they never ran on a GPU.
func TestGPUScriptKnowsAllTests(t *testing.T) {
	b, err := os.ReadFile("gpu.sh")
	if err != nil {
		t.Fatal(err)
	}
	want := "(" + strings.Join(found(t, `t\.Run\("(\w+)"`, "../kernels/kerneltest/kerneltest.go"), "|") + ")"
	if !strings.Contains(string(b), `echo "`+want+`"`) {
		t.Errorf("each runs other tests than %s", want)
	}
}

// The fault: parts of bench/gpu.sh that together had more time than a call, so that the last ones, the comparison with PyTorch among
// them, never ran. Each part has its own time, a call's parts are within ten minutes, and a call without a GPU says what it would run.
func TestGPUScript(t *testing.T) {
	sh := func(script string) string {
		t.Helper()
		out, err := exec.Command("sh", "-c", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	sums, parts := map[string]int{}, map[string]string{}
	for line := range strings.Lines(sh("sh gpu.sh list")) {
		var call, part string
		var seconds int
		if n, _ := fmt.Sscan(line, &call, &part, &seconds); n != 3 || seconds <= 0 {
			t.Fatalf("list says %q", line)
		}
		if part != "all" {
			sums[call] += seconds
			parts[call] += " " + part
		} else if sums[call] != seconds || seconds > 570 {
			t.Errorf("call %s takes %d s, said to be %d", call, sums[call], seconds)
		}
	}
	if !strings.HasPrefix(parts["one"], " device probes conformance") || len(parts) != 4 {
		t.Errorf("calls: %v", parts)
	}
	for call, names := range parts {
		out := sh("DRY=1 sh gpu.sh run " + t.TempDir() + " " + call)
		for name := range strings.FieldsSeq(names) {
			if !strings.Contains(out, "- "+name+": would run for at most") && !strings.Contains(out, "- "+name+": there is no ") {
				t.Errorf("call %s does not say what %s would run:\n%s", call, name, out)
			}
		}
		for _, probe := range found(t, `(?m)^func (Test\w+)`, "../cuda/probe_test.go", "../cuda/sampled_test.go") {
			if call == "one" && !strings.Contains(out, "^"+probe+"$") {
				t.Errorf("a probe that never runs: %s", probe)
			}
		}
		if call == "one" && strings.Index(out, "TestFreshThread") > strings.Index(out, "TestTail") {
			t.Errorf("not the first probe: TestFreshThread\n%s", out)
		}
	}
}
