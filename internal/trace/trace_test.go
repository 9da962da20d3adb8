package trace

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

type event struct {
	Ph, Name string
	Pid, Tid int
	Ts, Dur  float64
	Args     map[string]any
}

func read(t *testing.T, path string) (list []event) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return list
}

// named are the spans of a name.
func named(list []event, name string) (out []event) {
	for _, e := range list {
		if e.Ph == "X" && e.Name == name {
			out = append(out, e)
		}
	}
	return out
}

// TestSpans: spans have their times, rows and numbers; calls that overlap have rows of their own, which are used again; the file is JSON at every
// moment, and spans of a process that does not record are nothing.
func TestSpans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.json")
	Begin(Host, "before").End()
	before := time.Now()
	stop, err := Start(path, Who{Rank: 3, Device: "cuda"})
	if err != nil {
		t.Fatal(err)
	}
	if len(read(t, path)) != 5 {
		t.Errorf("%v at the beginning", read(t, path))
	}
	if _, err := Start(path+"2", Who{}); err == nil || !strings.Contains(err.Error(), "records already") {
		t.Errorf("a second recorder: %v", err)
	}
	outer := Begin(Host, `a "name"`)
	BeginNumbered(Compute, "layer", 7).End()
	a, b := BeginCall("a"), BeginCall("b")
	a.EndWith(Number{"bytes", 12}, Number{Waited, 5})
	c := BeginCall("c")
	b.End()
	c.End()
	time.Sleep(2 * time.Millisecond)
	outer.End()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				BeginCall("many").EndWith(Number{"bytes", 1})
			}
		})
	}
	all.Wait()
	read(t, path) // some of it is there
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	Begin(Host, "behind").End()
	list := read(t, path)
	if n := len(named(list, "many")); n != 2000 || len(named(list, "before"))+len(named(list, "behind")) > 0 {
		t.Errorf("%d spans of 2000", n)
	}
	for name, row := range map[string]int{`a "name"`: 3, "layer 7": 1, "a": 2, "b": 9, "c": 2} {
		got := named(list, name)
		if len(got) != 1 || got[0].Tid != row || got[0].Pid != 3 || got[0].Dur < 0 {
			t.Errorf("%s: %+v, want row %d", name, got, row)
			continue
		}
		if late := got[0].Ts - float64(before.UnixMicro()); late < -1 || late > 60e6 {
			t.Errorf("%s begins %v µs behind the test", name, late)
		}
	}
	if o := named(list, `a "name"`)[0]; o.Dur < 2000 || o.Dur > 60e6 {
		t.Errorf("2 ms last %v µs", o.Dur)
	}
	if got := named(list, "a")[0].Args["bytes"]; got != 12.0 {
		t.Errorf("%v bytes", got)
	}
	sums, err := Sums(path)
	if err != nil || len(sums) != 1 || sums[0].Rank != 3 || sums[0].Calls != 1 || sums[0].Bytes != 12 || sums[0].Waited != 5*time.Microsecond ||
		sums[0].Lasted < 2*time.Millisecond || sums[0].Lasted > time.Since(before) {
		t.Errorf("%+v %v", sums, err)
	}
	names := ""
	for _, e := range list {
		if e.Ph == "M" {
			names += e.Args["name"].(string) + "\n"
		}
	}
	for _, want := range []string{"rank 3 (", ", cuda)\nqueueing of compute (host)\ncommunication\nhost\ncheckpoint writing\ncommunication 2\n"} {
		if !strings.Contains(names, want) {
			t.Errorf("%q lacks %q", names, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { BeginNumbered(Compute, "layer", 70000).EndWith(Number{"bytes", 1}) }); n > 0 {
		t.Errorf("a span of nobody takes memory %v times", n)
	}
}

// TestJoin: what ranks have written becomes one file, without the line in which one was ended.
func TestJoin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.json")
	for rank := range 3 {
		if rank == 1 {
			continue
		}
		stop, err := Start(RankPath(path, rank), Who{Rank: rank, Device: "cpu"})
		if err != nil {
			t.Fatal(err)
		}
		Begin(Host, "work").End()
		Begin(Host, "more").End()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(RankPath(path, 2))
	if err == nil {
		err = os.WriteFile(RankPath(path, 2), b[:len(b)-20], 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	missing, err := Join(path, 3)
	if err != nil || len(missing) != 1 || missing[0] != 1 {
		t.Errorf("missing %v, %v", missing, err)
	}
	list := read(t, path)
	if len(named(list, "work")) != 2 || len(named(list, "more")) != 1 || len(list) != 13 {
		t.Errorf("%+v", list)
	}
	if left, _ := filepath.Glob(path + ".rank*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func BenchmarkOff(b *testing.B) {
	for b.Loop() {
		BeginNumbered(Compute, "layer", 3).EndWith(Number{"bytes", 1})
	}
}
