package corpus

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// share is the probability that two sets of Jaccard similarity j have a band in common.
func share(j float64) float64 { return 1 - math.Pow(1-math.Pow(j, bandRows), bands) }

// Sets of known similarity have a band in common as often as the theory says, at any similarity: within 4.5 standard deviations of a binomial,
// which seven comparisons leave by chance once in 20,000 times, and the seeds are fixed.
func TestBandsMeetAsOftenAsDerived(t *testing.T) {
	s := newSketcher(1)
	const n = 3000
	for i, j := range []struct{ both, each int }{{10, 10}, {30, 30}, {60, 30}, {70, 20}, {80, 15}, {80, 10}, {95, 5}} {
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		want := float64(j.both) / float64(j.both+2*j.each)
		met := 0
		for range n {
			var x, y []uint64
			for range j.both {
				v := rng.Uint64()
				x, y = append(x, v), append(y, v)
			}
			for range j.each {
				x, y = append(x, rng.Uint64()), append(y, rng.Uint64())
			}
			a, b := s.signature(x), s.signature(y)
			for band := range bands {
				if a[band] == b[band] {
					met++
					break
				}
			}
		}
		p := share(want)
		if sd := math.Sqrt(n * p * (1 - p)); math.Abs(float64(met)-n*p) > 4.5*sd+1 {
			t.Errorf("Jaccard %.3f: %d of %d pairs have a band in common, want %.0f ± %.0f", want, met, n, n*p, sd)
		}
	}
}

// word is a made-up word.
func word(rng *rand.Rand) string {
	b := make([]byte, 3+rng.IntN(7))
	for i := range b {
		b[i] = byte('a' + rng.IntN(26))
	}
	return string(b)
}

func words(rng *rand.Rand, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = word(rng)
	}
	return out
}

// Of prompts that were changed in some of their words, those are found that are near duplicates, but for as many as the bands are derived to
// miss, and no others.
func TestNearDuplicatesAreFound(t *testing.T) {
	x := index(t, 3)
	x.file()
	rng := rand.New(rand.NewPCG(1, 1))
	type pair struct {
		first, second int32
		j             float64
	}
	var pairs []pair
	add := func(text string) int32 {
		k := x.sketcher.sketch(text)
		if err := x.add(&k, len(x.rows[0])+1, ""); err != nil {
			t.Fatal(err)
		}
		return x.rows[0][len(x.rows[0])-1]
	}
	misses, variance := 0.0, 0.0
	for range 2000 {
		list := words(rng, 20+rng.IntN(60))
		first := strings.Join(list, " ")
		for range 1 + rng.IntN(len(list)/8) {
			list[rng.IntN(len(list))] = word(rng)
		}
		second := strings.Join(list, " ")
		j := jaccard(x.sketcher.shingles(Normal(first)), x.sketcher.shingles(Normal(second)))
		pairs = append(pairs, pair{add(first), add(second), j})
		if j >= Near {
			p := 1 - share(j)
			misses, variance = misses+p, variance+p*(1-p)
		}
	}
	if err := x.link(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	near, missed := 0, 0
	for _, p := range pairs {
		linked := x.root(p.first) == x.root(p.second)
		switch {
		case p.j >= Near && !linked:
			missed++
			near++
		case p.j >= Near:
			near++
		case linked:
			t.Errorf("prompts of Jaccard %.3f are called near duplicates", p.j)
		}
	}
	if near < 400 || near > 1800 {
		t.Fatalf("%d of %d pairs are near duplicates: the test wants many of both kinds", near, len(pairs))
	}
	if most := misses + 4.5*math.Sqrt(variance) + 1; float64(missed) > most {
		t.Errorf("%d of %d near duplicates were missed, derived are %.2f, at most %.1f", missed, near, misses, most)
	}
	if x.found < near-missed || x.over > 0 {
		t.Errorf("%d found, %d left out", x.found, x.over)
	}
}

// Groups join what no single comparison does, whichever file it stands in, and rows that are the same up to Normal are one prompt.
func TestGroupsOfFiles(t *testing.T) {
	x := index(t, 1)
	base := words(rand.New(rand.NewPCG(5, 5)), 60)
	text := func(changed int) string {
		list := append([]string(nil), base...)
		for i := range changed {
			list[i] = "another"
		}
		return strings.Join(list, " ")
	}
	put := func(texts ...string) {
		x.file()
		for i, s := range texts {
			k := x.sketcher.sketch(s)
			if err := x.add(&k, i+1, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(text(0), "Something else altogether, of no use to anyone")
	put(text(3), text(3), "  "+strings.ToUpper(text(0)), "Not a word of it is like the others, is it?")
	if err := x.link(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := x.shared(0, 1); got != (Shared{Prompts: 1, Rows: 1, Near: 1}) {
		t.Errorf("%+v", got)
	}
	if x.repeated(0) != 0 || x.repeated(1) != 1 {
		t.Errorf("%d, %d", x.repeated(0), x.repeated(1))
	}
	if len(x.pairs) != 1 || x.pairs[0].First != (Place{0, 1, ""}) || x.pairs[0].Second != (Place{1, 1, ""}) {
		t.Errorf("%+v", x.pairs)
	}
}

// A bucket of many prompts that are alike in part does not cost the square of their number, and what is not compared is counted.
func TestCrowdedBucket(t *testing.T) {
	x := index(t, 1)
	x.file()
	rng := rand.New(rand.NewPCG(9, 9))
	const n = maxCompared + 40
	var ids []int32
	for i := range n {
		k := x.sketcher.sketch(strings.Join(words(rng, 10), " "))
		if err := x.add(&k, i+1, ""); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, int32(i))
	}
	for band := range bands {
		for i := range n {
			x.bands[band][i] = uint32(i)
			if band == 0 {
				x.bands[band][i] = 1
			}
		}
	}
	if err := x.link(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want := 0
	for i := range n {
		want += max(0, i-maxCompared)
	}
	if x.over != want || x.found != 0 {
		t.Errorf("%d comparisons left out, want %d; %d found", x.over, want, x.found)
	}
	_ = ids
}

func index(t testing.TB, seed uint64) *Index {
	t.Helper()
	x, err := NewIndex(seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func TestShingles(t *testing.T) {
	s := newSketcher(1)
	for text, want := range map[string]int{"": 1, "abcd": 1, "abcde": 1, "abcdef": 2, "aaaaaaaaa": 1, "日本語の文章です": 4} {
		if got := len(s.shingles(text)); got != want {
			t.Errorf("%q has %d shingles, want %d", text, got, want)
		}
	}
	one := func(text string) uint64 { return s.shingles(text)[0] }
	seen := map[uint64]string{}
	for _, text := range []string{"", "a", "b", "ab", "ba", "abcde", "edcba", "abcd\x00"} {
		if other, twice := seen[one(text)]; twice {
			t.Errorf("%q and %q have one hash", text, other)
		}
		seen[one(text)] = text
	}
}

func TestNormal(t *testing.T) {
	for in, want := range map[string]string{
		"  What\tis\n\n 12 + 30 ? ":        "what is 12 + 30 ?",
		"“Ｆｕｌｌ” ‘width’":                   `"full" 'width'`,
		"STRASSE Straße ÄÖ":                "strasse straße äö",
		"zero\u200bwidth soft\u00adhyphen": "zerowidth softhyphen",
		"e\u0301 \u00a0 \u3000x":           "é x",
		"":                                 "",
		"a-b a+b":                          "a-b a+b",
	} {
		if got := Normal(in); got != want {
			t.Errorf("Normal(%q) = %q, want %q", in, got, want)
		}
		if Normal(want) != want {
			t.Errorf("Normal is not itself for %q", want)
		}
	}
	// The first eight bytes of sha256("abc"), as FIPS 180-2 has it.
	if got := fmt.Sprintf("%016x", Fingerprint(" ABC\n")); got != "ba7816bf8f01cfea" {
		t.Error(got)
	}
}

func BenchmarkSketch(b *testing.B) {
	s := newSketcher(1)
	text := strings.Join(words(rand.New(rand.NewPCG(1, 2)), 75), " ")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s.sketch(text)
	}
}
