package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/record"
)

// A stage takes several files as one input: each must be finished and as it was left, and what is read of them belongs to the work.
func TestSeveralInputs(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rows := func(name string, n int) (s string) {
		for i := range n {
			s += fmt.Sprintf(`{"prompt":"%s%d","chosen":"c","rejected":"r"}`+"\n", name, i)
		}
		return s
	}
	write("a.jsonl", rows("a", 4))
	write("b.csv", "prompt,chosen,rejected\nb0,c,r\nb1,c,r\n")
	run := func(in, out string, at int) error {
		n := 0
		s := &Stage{Name: "test", In: in, Out: out, Chunk: 1, Work: func(_ context.Context, list []*record.Record) error {
			if n++; n == at {
				return list[0].Fault("broken")
			}
			return nil
		}}
		_, err := s.Run(context.Background())
		return err
	}
	wants := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	wants(run("a.jsonl,b.csv", "out.jsonl", 6), `b.csv:3: record "row-2-3": broken`)
	wants(run("b.csv,a.jsonl", "out.jsonl", 0), "the input changed")
	wants(run("a.jsonl:1,b.csv:1", "out.jsonl", 0), "the input changed")
	if err := run("a.jsonl,b.csv", "out.jsonl", 0); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("out.jsonl")
	if err != nil || strings.Count(string(got), "\n") != 6 || !strings.Contains(string(got), `"id":"row-2-2"`) {
		t.Errorf("%s, %v", got, err)
	}
	side, err := os.ReadFile(SidecarPath("out.jsonl"))
	if err != nil || !strings.Contains(string(side), `"name": "a.jsonl,b.csv"`) {
		t.Errorf("%s, %v", side, err)
	}
	wants(run("a.jsonl,b.csv", "a.jsonl", 0), "output a.jsonl is what is read")
	wants(run("-", "piped.jsonl", 0), "standard input can be read once only")

	// A part that a stage writes still, or that was changed since.
	wants(run("a.jsonl", "half.jsonl", 3), "broken")
	for _, in := range []string{"half.jsonl,b.csv", "b.csv:1,half.jsonl:1", "half*"} {
		wants(run(in, "next.jsonl", 0), "half.jsonl is not complete")
	}
	if err := os.Mkdir("folder", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"half.jsonl", "half.jsonl.stage.json"} {
		if err := os.Rename(name, filepath.Join("folder", name)); err != nil {
			t.Fatal(err)
		}
	}
	wants(run("folder", "next.jsonl", 0), "half.jsonl is not complete")
	write("out.jsonl", strings.Replace(string(got), "a0", "A0", 1))
	wants(run("b.csv,out.jsonl", "next.jsonl", 0), "out.jsonl is not as stage test has left it")
	if _, _, err := ReadFile("b.csv,out.jsonl", record.ReadOptions{}); err == nil {
		t.Error("a changed part was read")
	}
}
