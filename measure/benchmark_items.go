package measure

// From records to the rows of a benchmark.

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"criticrm/critic"
	"criticrm/record"

	"gonum.org/v1/gonum/stat"
)

// rows are the records of a benchmark, put together.
type rows struct {
	items      []*item
	parts      []string
	groups     []string
	left       int // rows that were left out
	leftWhy    map[string]int
	duplicates int // rows that stand there before
	repeats    int // pairs of answers that a row has twice
	shortened  int // rows of which some text was not read
}

// rows puts records together. A row whose answers are not all there is an error; one of which an answer was left out for its length is left
// out whole.
func (b *Benchmark) rows(records []*record.Record) (*rows, error) {
	out := &rows{leftWhy: map[string]int{}}
	open := map[string][]*item{} // rows of several answers by their name, in the order in which they begin
	seen := map[string]bool{}
	var all []*item
	for _, r := range records {
		info := r.Benchmark
		if info == nil {
			if !b.AnyPairs || !r.Paired() {
				return nil, r.Fault("no row of %s", b.Title)
			}
			info = &record.Benchmark{Name: b.Name}
			if part := r.Group(); part != "all" {
				info.Part = part
			}
		}
		if info.Name != b.Name {
			return nil, r.Fault("a row of %s, not of %s", info.Name, b.Name)
		}
		it := &item{row: info.Row, partName: info.Part, group: info.Group}
		if b.part != nil {
			it.partName = b.part(info.Part, info.Group)
		}
		if info.Answers == 0 {
			it.row, it.second, it.right, it.records = r.ID, info.Second, []bool{true, false}, []*record.Record{r}
			all = append(all, it)
			if key := r.Prompt.Key() + "\x02" + r.Chosen + "\x02" + r.Rejected; seen[key] {
				out.duplicates++
			} else {
				seen[key] = true
			}
			continue
		}
		key := fmt.Sprintf("%s\x02%s\x02%d\x02%s", info.Part, info.Row, info.Answers, r.Prompt.Key())
		i := slices.IndexFunc(open[key], func(it *item) bool { return it.records[info.Answer] == nil })
		if i < 0 {
			if open[key] != nil {
				out.duplicates++
			}
			n := info.Answers
			it.records, it.right, it.ratings = make([]*record.Record, n), make([]bool, n), make([]float64, n)
			open[key], all = append(open[key], it), append(all, it)
			i = len(open[key]) - 1
		}
		it = open[key][i]
		it.records[info.Answer], it.ratings[info.Answer] = r, math.NaN()
		it.right[info.Answer] = r.Correct != nil && *r.Correct
		if b.Name == record.CriticBench {
			var err error
			if it.mended, err = mended(r); err != nil {
				return nil, err
			}
		}
		if info.Rating != nil {
			it.ratings[info.Answer] = *info.Rating
		}
		if info.Pairs != nil {
			var repeats int
			it.pairs, repeats = once(info.Pairs)
			out.repeats += repeats
		}
	}
	for _, it := range all {
		if err := out.add(b, it); err != nil {
			return nil, err
		}
	}
	slices.Sort(out.parts)
	slices.Sort(out.groups)
	for _, it := range out.items {
		it.part, _ = slices.BinarySearch(out.parts, it.partName)
	}
	return out, nil
}

// add takes a row that is whole.
func (rs *rows) add(b *Benchmark, it *item) error {
	there, dropped, short := 0, false, false
	var some *record.Record
	for _, r := range it.records {
		if r == nil {
			continue
		}
		there, some = there+1, r
		dropped = dropped || r.Dropped == critic.DropOverlong
		short = short || r.Cut != nil || r.PlainCut != nil
	}
	if there < len(it.records) {
		missing := slices.Index(it.records, nil)
		return some.Fault("row %.60q of %s has %d of its %d answers, number %d is missing: score all of them", it.row, b.Title, there, len(it.records), missing+1)
	}
	if dropped {
		rs.left++
		rs.leftWhy[critic.DropOverlong]++
		return nil
	}
	if short {
		rs.shortened++
	}
	if b.check != nil {
		if err := b.check(it); err != nil {
			return err
		}
	}
	rs.items = append(rs.items, it)
	if !slices.Contains(rs.parts, it.partName) {
		rs.parts = append(rs.parts, it.partName)
	}
	if it.group != "" && !slices.Contains(rs.groups, it.group) {
		rs.groups = append(rs.groups, it.group)
	}
	return nil
}

// answers lists a row's answers: a record and a side of it each.
func (it *item) answers(yield func(*record.Record, record.Side) bool) {
	for _, r := range it.records {
		for _, side := range r.Sides() {
			if !yield(r, side) {
				return
			}
		}
	}
}

// clusters groups rows that are drawn together: those of a prompt, as a rule.
func (b *Benchmark) clusters(items []*item) (out [][]int) {
	index := map[string]int{}
	for i, it := range items {
		key := it.records[0].Prompt.Key()
		if b.cluster != nil {
			if name := b.cluster(it); name != "" {
				key = "\x03" + name
			}
		}
		g, ok := index[key]
		if !ok {
			g = len(out)
			index[key], out = g, append(out, nil)
		}
		out[g] = append(out[g], i)
	}
	return out
}

// rewards are the rewards of a row's answers. One that is not there is an error, never a loss.
func rewards(it *item, b *Benchmark) (values []float64, err error) {
	for r, side := range it.answers {
		switch v := *r.SideReward(side); {
		case v == nil:
			return nil, r.Fault("the reward of %s is missing (row %.60q of %s), and others have theirs: score all records first", side, it.row, b.Title)
		case math.IsNaN(*v) || math.IsInf(*v, 0):
			return nil, r.Fault("the reward of %s is %v (row %.60q of %s)", side, *v, it.row, b.Title)
		default:
			values = append(values, *v)
		}
	}
	return values, nil
}

// scores are the means of what the critiques of each answer say themselves; NaN, or what the owners say: there is none.
func scores(it *item, b *Benchmark) (values []float64) {
	for r, side := range it.answers {
		v := math.NaN()
		if list := parsedScores(sampled(*r.SideCritiques(side))); len(list) > 0 {
			v = stat.Mean(list, nil)
		} else if b.silent != nil {
			v = *b.silent
		}
		values = append(values, v)
	}
	return values
}

// characters are the lengths of a row's answers.
func characters(it *item) (values []float64) {
	for r, side := range it.answers {
		values = append(values, float64(utf8.RuneCountInString(r.Text(side))))
	}
	return values
}

// compared says what makes the scores of these rows something else than the published ones; "": nothing that is known.
func (b *Benchmark) compared(rs *rows) (whole bool, notes []string) {
	counts := map[string]int{}
	for _, it := range rs.items {
		counts[it.partName]++
	}
	if rs.left > 0 {
		notes = append(notes, fmt.Sprintf("%d rows are left out: %s", rs.left, record.Counts(rs.leftWhy)))
	}
	if rs.duplicates > 0 {
		notes = append(notes, fmt.Sprintf("%d rows stand there twice, and count twice, as they do in the owners' programs", rs.duplicates))
	}
	if rs.repeats > 0 {
		notes = append(notes, fmt.Sprintf("%d pairs of answers stand in their row twice, and count once", rs.repeats))
	}
	if len(b.Sizes) == 0 {
		return rs.left+rs.duplicates == 0, notes
	}
	var differs []string
	for _, size := range b.Sizes {
		var list []string
		total, known := 0, 0
		for _, part := range sortedKeys(size) {
			total += size[part]
			known += min(counts[part], size[part])
			if counts[part] != size[part] {
				list = append(list, fmt.Sprintf("%s %d of %d", part, counts[part], size[part]))
			}
		}
		for _, part := range rs.parts {
			if _, ok := size[part]; !ok {
				list = append(list, fmt.Sprintf("%d rows of %s, which is no part of %s", counts[part], cmp.Or(part, unnamed), b.Title))
			}
		}
		if list == nil {
			return rs.left == 0, notes // what stands there twice does so in the published files
		}
		list = append([]string{fmt.Sprintf("%d of %d rows", known, total)}, list...)
		if differs == nil || len(list) < len(differs) {
			differs = list
		}
	}
	const most = 8
	if len(differs) > most {
		differs = append(differs[:most], "…")
	}
	return false, append([]string{"NOT COMPARABLE with published scores: " + strings.Join(differs, ", ")}, notes...)
}

func sortedKeys(m map[string]int) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
