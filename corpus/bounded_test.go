package corpus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"criticrm/record"
)

// tiny keeps next to nothing in memory.
var tiny = limits{block: 3, cached: 5, rows: 4, numbers: 1, sorted: 7}

// made writes a file of pairs with prompts that come again, or nearly do, in this file and in others of the same pool.
func made(t *testing.T, name string, rng *rand.Rand, pool []string, n int) string {
	var lines []string
	for range n {
		prompt := pool[rng.IntN(len(pool))]
		switch rng.IntN(6) {
		case 0:
			prompt += " " + word(rng)
		case 1:
			prompt = strings.Join(words(rng, 6), " ")
		case 2:
			prompt = strings.ToUpper(prompt)
		}
		lines = append(lines, fmt.Sprintf(`{"prompt":"%s","chosen":"%s","rejected":"%s","category":"%c"}`, prompt, word(rng), word(rng), 'a'+rng.IntN(4)))
	}
	return file(t, name, lines...)
}

func pool(rng *rand.Rand, n int) (list []string) {
	for range n {
		list = append(list, strings.Join(words(rng, 12), " "))
	}
	return list
}

// What stands in memory changes no figure of a report, and nothing is left behind.
func TestCheckBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	of := pool(rng, 90)
	files := []string{made(t, "a.jsonl", rng, of, 400), made(t, "b.jsonl", rng, of[30:], 300)}
	against := []string{made(t, "c.jsonl", rng, of[:50], 200), file(t, "d.jsonl", `{"prompt":"x","chosen":"a","rejected":"b"}`)}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	report := func(l limits) string {
		r, err := Check(t.Context(), files, against, Options{Draws: 200, Level: .9, Seed: 5, limits: &l})
		if err != nil {
			t.Fatal(err)
		}
		if f := r.Files[0]; f.Repeated == 0 || r.Pairs[0].Shared.Near == 0 || r.Pairs[0].Prompts == 0 || f.Bias == nil || len(f.Bias.Categories) != 4 {
			t.Errorf("the test wants something of everything: %+v, %+v", f, r.Pairs)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := report(inMemory)
	for _, l := range []limits{tiny, {block: 1, cached: 1, rows: 1, numbers: 1, sorted: 1}, {block: 64, cached: 100, rows: 1000, numbers: 4096, sorted: 50}} {
		if got := report(l); got != want {
			t.Errorf("%+v: %s\nwant %s", l, got, want)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

// And no side of a split.
func TestSplitBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 1))
	in := made(t, "in.jsonl", rng, pool(rng, 60), 400)
	for _, s := range []SplitOptions{{Share: .2, Seed: 3}, {Share: .3, Seed: 4, Near: true}, {Share: .2, Seed: 5, Near: true, ByCategory: true}} {
		split := func(l limits) (out string) {
			dir := t.TempDir()
			parts := []string{filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "eval.jsonl")}
			did, err := Split(t.Context(), in, parts[0], parts[1], s, Options{limits: &l})
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range parts {
				b, err := os.ReadFile(path)
				if err != nil || len(b) == 0 {
					t.Fatal(err, len(b))
				}
				out += string(b) + "\n"
			}
			return out + strings.Join(did.Lines("train", "eval"), "\n")
		}
		if got, want := split(tiny), split(inMemory); got != want {
			t.Errorf("%+v: other sides than in memory", s)
		}
	}
}

// plain is link in memory: prompts by number with their bands, and all groups of a bucket compared in one loop.
type plain struct {
	sketches []sketch
	sets     [][]uint64 // of their shingles
	group    []int
	found    int
	over     int
}

func (p *plain) root(id int) int {
	for p.group[id] != id {
		id = p.group[id]
	}
	return id
}

func (p *plain) link() {
	order := make([]int, len(p.sketches))
	for i := range order {
		order[i] = i
	}
	p.group = slices.Clone(order)
	for band := range bands {
		key := func(id int) uint32 { return p.sketches[id].Signature[band] }
		slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a, b)) })
		var first []int
		for i, id := range order {
			if i == 0 || key(id) != key(order[i-1]) {
				first = nil
			}
			known := false
			for k, other := range first {
				if p.root(other) == p.root(id) {
					known = true
					continue
				}
				if k >= maxCompared {
					p.over++
					continue
				}
				if jaccard(p.sets[other], p.sets[id]) >= Near {
					p.found++
					a, b := p.root(other), p.root(id)
					p.group[max(a, b)] = min(a, b)
					known = true
				}
			}
			if !known {
				first = append(first, id)
			}
		}
	}
}

// Groups and counts are those of the plain way, in crowded buckets whose groups grow together, too.
func TestLinkIsThePlainWay(t *testing.T) {
	for round, l := range []limits{inMemory, tiny, {block: 50, cached: 10, rows: 20, numbers: 1024, sorted: 100}} {
		rng := rand.New(rand.NewPCG(uint64(round), 21))
		x, err := newIndex(1, l)
		if err != nil {
			t.Fatal(err)
		}
		x.file()
		p := &plain{}
		of, seen := pool(rng, 300), map[string]int{}
		var numbers []int // of each row, in p
		for range 1000 {
			list := strings.Fields(of[rng.IntN(len(of))])
			for range rng.IntN(4) { // some are near duplicates of one another through others alone
				list = append(list, word(rng)[:3])
			}
			text := strings.Join(list, " ")
			k := x.sketcher.sketch(text)
			if n, ok := seen[text]; ok {
				k = p.sketches[n]
			} else {
				for band := range k.Signature { // few keys: crowds, after bands in which some of them become groups
					k.Signature[band] = rng.Uint32N([]uint32{40, 2}[band%2]) << 26
				}
				seen[text] = len(p.sketches)
				p.sketches, p.sets = append(p.sketches, k), append(p.sets, x.sketcher.shingles(k.Normal))
			}
			numbers = append(numbers, seen[text])
			if err := x.add(&k, len(numbers), ""); err != nil {
				t.Fatal(err)
			}
		}
		p.link()
		if err := x.link(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if p.over == 0 || p.found == 0 || x.over != p.over || x.found != p.found {
			t.Errorf("%+v: %d left out, %d found, want %d and %d", l, x.over, x.found, p.over, p.found)
		}
		groups, back, row := map[int32]int{}, map[int]int32{}, 0
		for id, err := range x.rowsOf(0) {
			if err != nil {
				t.Fatal(err)
			}
			own, other := x.root(id), p.root(numbers[row])
			if _, ok := groups[own]; !ok {
				groups[own] = other
			}
			if _, ok := back[other]; !ok {
				back[other] = own
			}
			if groups[own] != other || back[other] != own {
				t.Fatalf("%+v: row %d is in another group", l, row+1)
			}
			row++
		}
		if want := len(p.sketches) - len(back); row != len(numbers) || x.repeated(0) != want {
			t.Errorf("%+v: %d rows, %d repeated, want %d and %d", l, row, x.repeated(0), len(numbers), want)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What is kept of files has a bound, whatever their number of rows.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("60,000 rows")
	}
	kept := func(n int) int {
		l := limits{block: 1 << 9, cached: 1 << 10, rows: 1 << 10, numbers: 1 << 12, sorted: 1 << 9}
		x, err := newIndex(1, l)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f, err := Scan(t.Context(), "-", Options{Index: x, Draws: 10, Level: .9, limits: &l, Read: record.ReadOptions{Stdin: rows(n, 4, 4), MaxBad: AnyBad}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.check.Close() // its own bound is tested with it
		if err := x.link(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(x)
		if x.repeated(0) != 0 || f.Prompts != n {
			t.Errorf("%d repeated, %d prompts", x.repeated(0), f.Prompts)
		}
		return int(after.HeapAlloc) - int(before.HeapAlloc)
	}
	short, long := kept(20000), kept(40000)
	t.Logf("%d bytes of 20,000 rows, %d of 40,000", short, long)
	if long > short+1<<16 || long > 4<<20 { // 20,000 rows more are 3 bytes each
		t.Errorf("%d bytes of 20,000 rows, %d of 40,000", short, long)
	}
}

// A place for temporary files that is lost on the way is an error that says what did not fit.
func TestNoPlace(t *testing.T) {
	path := made(t, "a.jsonl", rand.New(rand.NewPCG(1, 1)), []string{"some question or other"}, 50)
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	if _, err := Check(t.Context(), []string{path}, nil, Options{limits: &tiny}); err == nil || !strings.Contains(err.Error(), "the prompts' texts") || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
	if _, err := Scan(t.Context(), path, Options{limits: &tiny}, nil); err == nil || !strings.Contains(err.Error(), "the hashes of prompts") || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
}
