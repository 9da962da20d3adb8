package record

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// byMaps finds issues the plain way, in memory.
type byMaps struct {
	issues    []Issue
	counts    map[string]int
	ids, rows map[string]int
	swapped   []string
}

func (m *byMaps) add(r *Record) {
	note := func(kind string, earlier int) {
		m.counts[kind]++
		if len(m.issues) < maxIssues {
			m.issues = append(m.issues, Issue{Kind: kind, ID: r.ID, At: Place{Line: r.Line}, Earlier: Place{Line: earlier}})
		}
	}
	if line, ok := m.ids[r.ID]; ok {
		note("duplicate id", line)
	} else {
		m.ids[r.ID] = r.Line
	}
	first, second := r.Chosen, r.Rejected
	if !r.Paired() {
		first = *r.Response
	}
	key := fmt.Sprintf("%q %q %q", r.Prompt.Key(), first, second)
	if line, ok := m.rows[key]; ok {
		note("duplicate row", line)
		return
	}
	m.rows[key] = r.Line
	if r.Paired() {
		swapped := fmt.Sprintf("%q %q %q", r.Prompt.Key(), second, first)
		if m.swapped = append(m.swapped, swapped); m.rows[swapped] > 0 {
			note("contradiction", m.rows[swapped])
		}
	}
}

// In memory and beyond it the issues are those of maps, between two sets, too.
func TestCheckBounded(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	rng := rand.New(rand.NewPCG(3, 1))
	for _, bound := range [][2]int{{1, 1}, {7, 300}, {64, 1 << 20}, {1 << 20, 64}, {checkKeys, checkLog}} {
		for _, spread := range []int{3, 40, 4000} {
			var sets [2]*Checker
			var want [2]*byMaps
			for i := range sets {
				c := newChecker(bound[0], bound[1])
				m := &byMaps{counts: map[string]int{}, ids: map[string]int{}, rows: map[string]int{}}
				for line := range 1 + rng.IntN(700) {
					word := func() string { return fmt.Sprint("w", rng.IntN(spread)) }
					r := &Record{ID: strings.Repeat(word(), rng.IntN(3)), Line: line + 1, Prompt: Prompt{Text: word()}, Chosen: word(), Rejected: word()}
					if spread > 3 && rng.IntN(2) > 0 { // and some that are there
						r.Prompt.Text, r.Chosen, r.Rejected = "p"+word()[:2], "c"+word()[:2], "c"+word()[:2]
					}
					if rng.IntN(4) == 0 {
						text := r.Chosen
						r.Response, r.Chosen, r.Rejected = &text, "", ""
					}
					if err := c.Add(r); err != nil {
						t.Fatal(err)
					}
					m.add(r)
				}
				if err := c.Finish(); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(m.counts, c.Counts) + cmp.Diff(m.issues, c.Issues); d != "" {
					t.Fatalf("bound %d, %d words: %s", bound, spread, d)
				}
				sets[i], want[i] = c, m
			}
			n := 0
			for _, swapped := range want[1].swapped {
				if want[0].rows[swapped] > 0 {
					n++
				}
			}
			if got, err := sets[0].Contradictions(sets[1]); got != n || err != nil {
				t.Errorf("bound %d, %d words: %d contradictions, %v, want %d", bound, spread, got, err, n)
			}
			for _, c := range sets {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
	t.Setenv("TMPDIR", dir+"/none")
	c := newChecker(1, 1)
	if err := c.Add(&Record{ID: "a", Chosen: "x"}); err == nil || !strings.Contains(err.Error(), "where rows stand") || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("no place for a temporary file: %v", err)
	}
}

// What a check holds has a bound, whatever there is to check.
func TestCheckMemory(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	c := newChecker(1<<12, 1<<16)
	defer c.Close()
	for i := range 40000 {
		if err := c.Add(&Record{ID: fmt.Sprint("row-", i), Prompt: Prompt{Text: fmt.Sprint(i)}, Chosen: "x", Rejected: "y"}); err != nil {
			t.Fatal(err)
		}
	}
	const most = 1<<12*sightingSize*5/4 + 2*(1<<18) + 1<<16 + 1<<16 // of append's steps, two files' buffers, the journal, and a little
	if got := heap() - before; got > most {
		t.Errorf("%d bytes, want at most %d", got, most)
	}
	if err := c.Finish(); err != nil || len(c.Counts) > 0 {
		t.Error(err, c.Counts)
	}
}
