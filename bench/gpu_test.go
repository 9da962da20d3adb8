package bench

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

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
	if !strings.HasPrefix(parts["one"], " device probes conformance") || len(parts) != 3 {
		t.Errorf("calls: %v", parts)
	}
	for call, names := range parts {
		out := sh("DRY=1 sh gpu.sh run " + t.TempDir() + " " + call)
		for name := range strings.FieldsSeq(names) {
			if !strings.Contains(out, "- "+name+": would run for at most") && !strings.Contains(out, "- "+name+": there is no ") {
				t.Errorf("call %s does not say what %s would run:\n%s", call, name, out)
			}
		}
		if call == "one" && strings.Index(out, "TestFreshThread") > strings.Index(out, "TestTail") {
			t.Errorf("not the first probe: TestFreshThread\n%s", out)
		}
	}
}
