package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels/kerneltest/spec"
)

var updatePeers = flag.Bool("update-peers", false, "write peers/shapes.json")

// TestPeerShapes checks that the peers measure what BenchmarkLarge does: peers/shapes.json is the specification's list, as text.
//
//	go test ./bench -run TestPeerShapes -update-peers
func TestPeerShapes(t *testing.T) {
	const file = "peers/shapes.json"
	want := peerShapes(t)
	if *updatePeers {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what package spec says: run go test ./bench -run TestPeerShapes -update-peers", file)
	}
}

// peerShapes are the models, and a line for each case: its name, its op and the dimensions, in the letters of kernels.h.
func peerShapes(t *testing.T) []byte {
	var out bytes.Buffer
	line := func(comma bool, format string, a ...any) {
		fmt.Fprintf(&out, format, a...)
		if comma {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	text := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	line(false, `{"models": [`)
	for i, s := range spec.Sizes {
		line(i < len(spec.Sizes)-1, "%s", text(s))
	}
	line(false, `], "cases": [`)
	var cases []map[string]any
	for _, s := range spec.Sizes {
		for _, c := range slices.Concat(s.Ceilings(), s.Work()) {
			shape := map[string]any{"model": s.Name, "name": c.Name, "op": c.Op}
			op := reflect.ValueOf(c.Plan()).Elem()
			for i := range op.NumField() {
				if f := op.Type().Field(i); f.Type.Kind() == reflect.Int && op.Field(i).Int() != 0 {
					shape[f.Name] = op.Field(i).Int()
				}
			}
			cases = append(cases, shape)
		}
	}
	for i, c := range cases {
		line(i < len(cases)-1, "%s", text(c))
	}
	line(false, "]}")
	return out.Bytes()
}

// TestPeerSizes reads the file as the peers do, where there is Python.
func TestPeerSizes(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	cmd := exec.Command("python3", "-c", `from shapes import cases, models
for m in models.values():
    print(m.Name, m.Hidden, [c.name for c in cases(m.Name, "matmul", "attention")])`)
	cmd.Dir = "peers"
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, s := range spec.Sizes {
		var names []string
		for _, c := range slices.Concat(s.Ceilings(), s.Work()) {
			if c.Op == "matmul" || c.Op == "attention" {
				names = append(names, "'"+c.Name+"'")
			}
		}
		if want := fmt.Sprintf("%s %d [%s]\n", s.Name, s.Hidden, strings.Join(names, ", ")); !strings.Contains(string(out), want) {
			t.Errorf("no line %s in\n%s", want, out)
		}
	}
}
