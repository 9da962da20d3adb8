package experiment

// The tables: rows from the measured models, their intervals and differences, curves, and critiques to read.

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/demo"
	"criticrm/measure"
	"criticrm/record"
	"criticrm/trainer"
)

// tables makes the results from what is measured so far, and leaves them. What the critiques are worth, which takes longer, is for the last time.
func (r *runner) tables(cells []*cell, last bool) error {
	res := r.results
	res.Tasks, res.Seconds, res.Stages = nil, map[string]float64{}, nil
	for _, t := range r.tasks {
		b := &builder{runner: r, Task: &Task{Name: t.Name, Title: t.Title}}
		held := t.split(demo.Evaluation, atMost(r.Held, t.most.held))
		b.boot = measure.NewBootstrap(held, 2000, .95, 1)
		b.Categories = inOrder(b.boot.Categories())
		for _, c := range cells {
			if c.task.Name != t.Name {
				continue
			}
			if err := b.cell(c); err != nil {
				return err
			}
		}
		if len(b.Rows) == 0 {
			continue
		}
		b.finish()
		if last {
			if err := b.critiques(cells); err != nil {
				return err
			}
		}
		res.Tasks = append(res.Tasks, b.Task)
	}
	if last {
		var err error
		if res.Validation, err = r.validation(); err != nil {
			return err
		}
	}
	return r.save()
}

// every is each of the models that there can be, in the order of the tables.
func (r *runner) every() []*variant {
	if r.Text != nil {
		return r.parts[0].variants
	}
	return allVariants()
}

// inOrder sorts categories: those that all tasks may have first.
func inOrder(names []string) []string {
	known := []string{"Chat", "Chat Hard", "Safety", "Reasoning"}
	at := func(s string) int {
		if i := slices.Index(known, s); i >= 0 {
			return i
		}
		return len(known)
	}
	names = slices.Clone(names)
	slices.SortStableFunc(names, func(a, b string) int { return at(a) - at(b) })
	return names
}

// builder makes the tables of a task.
type builder struct {
	*runner
	*Task
	boot *measure.Bootstrap
}

// cell adds the rows of a cell's measured models.
func (b *builder) cell(c *cell) error {
	for _, v := range b.every() {
		e := b.finished[c.key(v)]
		if e == nil {
			continue
		}
		b.spent(v.kind(), e.Seconds)
		if err := b.model(c, v, e); err != nil {
			return err
		}
	}
	if b.Text != nil {
		if err := b.length(c); err != nil {
			return err
		}
	}
	for _, method := range []string{trainer.BT, trainer.Cloud} {
		e := b.finished[c.task.Name+"/tuning/"+method]
		if e == nil || c.seed != c.Seeds[0] {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(e.Valid)) {
			b.Notes = append(b.Notes, fmt.Sprintf("%s, %s: %.1f on the validation split", method, name, e.Valid[name]))
		}
		b.Notes = append(b.Notes, fmt.Sprintf("%s, chosen: %s", method, e.Choice))
	}
	if c.seed != b.Seeds[0] {
		return nil
	}
	return b.shown(c)
}

// kind is what the seconds of a variant are counted under.
func (v *variant) kind() string {
	if v.group != "" {
		return "ablations"
	}
	return v.name
}

// place is where a model is read: at a temperature, averaging so many critiques.
type place struct {
	at string // as a Row has it
	t  float64
	m  int
}

// places are those of a model. Some may be the same; the table shows them once.
func (r *runner) places(v *variant, e *entry) []place {
	list := []place{{atChosen, *e.Chosen, r.of(v, *e.Chosen)}}
	if v.group == "" && v.samples == 0 {
		list = append(list, place{atGreedy, 0, 1})
	}
	if !v.curve {
		return list
	}
	for _, x := range []place{{atAbove, e.above(), 0}, {atOne, 1, 0}} {
		for _, m := range []int{1, averaged} {
			list = append(list, place{fmt.Sprintf("%s, m = %d", x.at, m), x.t, m})
		}
	}
	return list
}

// model adds the rows of one model.
func (b *builder) model(c *cell, v *variant, e *entry) error {
	if e.Chosen == nil {
		return b.add(c, v, e, e.Reading, "eval", place{at: atChosen})
	}
	for _, p := range b.places(v, e) {
		if err := b.add(c, v, e, e.Reading, "eval "+number(p.t), p); err != nil {
			return err
		}
		if v.rewards() && (v.group == "" || v.scored) && p.at == atChosen {
			if err := b.add(c, v, e, readScore, "eval "+number(p.t), p); err != nil {
				return err
			}
		}
	}
	return nil
}

// add notes a model's figures at a seed for a row; rows stand in the order in which they first come up.
func (b *builder) add(c *cell, v *variant, e *entry, reading, file string, p place) error {
	correct, err := b.correctOf(e.Files[file], reading, p.m)
	if err != nil {
		return err
	}
	row := b.row(v.group, v.name, reading, p.at)
	if row == nil {
		row = &Row{Method: v.name, Ablation: v.group, Reading: reading, At: p.at, Pairs: e.Pairs}
		b.Rows = append(b.Rows, row)
	}
	s := SeedRow{Seed: c.seed, M: p.m, File: e.Files[file], RewardLoss: e.RewardLoss, Valid: e.Valid[""], correct: correct}
	if e.Chosen != nil {
		s.Temperature, s.Valid = &p.t, e.Valid[number(p.t)]
	}
	s.Accuracy = percent(s.correct)
	if n := len(row.Seeds); n == 0 || row.Seeds[n-1].Seed != c.seed { // places of one name are one
		row.Seeds = append(row.Seeds, s)
	}
	return nil
}

// row finds a row; nil if there is none.
func (b *builder) row(group, method, reading, at string) *Row {
	for _, row := range b.Rows {
		if row.Method == method && row.Ablation == group && row.Reading == reading && row.At == at {
			return row
		}
	}
	return nil
}

// finish computes intervals, differences and curves, and leaves out rows that are others once more.
func (b *builder) finish() {
	for _, row := range b.Rows {
		row.fill(b.boot)
	}
	b.differences()
	var kept []*Row
	for _, row := range b.Rows {
		if !slices.ContainsFunc(kept, row.same) {
			kept = append(kept, row)
		}
	}
	b.Rows = kept
	b.byData()
}

// same says whether two rows are one measurement.
func (r *Row) same(o *Row) bool {
	return r.Ablation == o.Ablation && r.Reading == o.Reading && slices.EqualFunc(r.Seeds, o.Seeds, func(x, y SeedRow) bool { return x.File == y.File && x.M == y.M })
}

// fill computes the row's figures from its correctness. Intervals are the bootstrap over evaluation prompts of the mean over the seeds; the
// t interval over the seeds is given beside it.
func (r *Row) fill(boot *measure.Bootstrap) {
	var list [][]float64
	var each []float64
	for _, s := range r.Seeds {
		list, each = append(list, s.correct), append(each, s.Accuracy)
		r.Valid += s.Valid / float64(len(r.Seeds))
	}
	e := boot.Mean(meanOver(list))
	r.Overall, r.OverSeeds = interval(e.Mean, e.Interval), overSeeds(each)
	r.Categories = byCategory(e)
}

func interval(mean float64, i measure.Interval) Interval {
	return Interval{100 * mean, 100 * i.Low, 100 * i.High}
}

// overSeeds is the 95 % t interval of the mean of x; nil for fewer than two values.
func overSeeds(x []float64) *Interval {
	if len(x) < 2 {
		return nil
	}
	n := float64(len(x))
	mean, sd := stat.MeanStdDev(x, nil)
	half := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(.975) * sd / math.Sqrt(n)
	return &Interval{mean, mean - half, mean + half}
}

// meanOver is the mean over the seeds, pair by pair.
func meanOver(correct [][]float64) []float64 {
	mean := make([]float64, len(correct[0]))
	for _, c := range correct {
		for i, v := range c {
			mean[i] += v / float64(len(correct))
		}
	}
	return mean
}

// differences compares rows, paired, at the seeds that both have.
func (b *builder) differences() {
	main := func(method, reading, at string) *Row { return b.row("", method, reading, at) }
	mine := main(ours, readReward, atChosen)
	greedy, many := main(ours, readReward, atGreedy), main(ours, readReward, fmt.Sprintf("%s, m = %d", atOne, averaged))
	for _, d := range []struct {
		what string
		x, y *Row
	}{
		{"selection by labels: SFT on the selected critiques − the judge", main(sft, readScore, atChosen), main(llmJudge, readScore, atChosen)},
		{"the reward head: ours − SFT on the same critiques", mine, main(sft, readScore, atChosen)},
		{"the same model: its reward − its own score", mine, main(ours, readScore, atChosen)},
		{"CLoud-style: its reward − its own score", main(cloud, readReward, atChosen), main(cloud, readScore, atChosen)},
		{"ours − the judge", mine, main(llmJudge, readScore, atChosen)},
		{"ours − the judge, asked more often", mine, main(llmJudge+", asked more often", readScore, atChosen)},
		{"ours − scalar RM", mine, main(scalarRM, readReward, atChosen)},
		{"ours − scalar RM with 100 times the pairs", mine, main(scalarRM+moreData, readReward, atChosen)},
		{"ours − CLoud-style", mine, main(cloud, readReward, atChosen)},
		{"ours − as published, rank", mine, main(published, readReward, atChosen)},
		{"ours − as published, summary", mine, main(merged, readReward, atChosen)},
		{"ours − product defaults", mine, main(defaults, readReward, atChosen)},
		{"ours − placebo", mine, main(placebo, readReward, atChosen)},
		{"ours on 10 % of the pairs − scalar RM on all", main(tenth, readReward, atChosen), main(scalarRM, readReward, atChosen)},
		{"second round − ours", main(secondly, readReward, atChosen), mine},
		{"ours: one greedy critique − eight at T = 1", greedy, many},
		{"ours at T = 1: eight critiques − one", many, main(ours, readReward, atOne+", m = 1")},
		{"the judge: at the chosen T − at T = 1", main(llmJudge, readScore, atChosen), main(llmJudge, readScore, fmt.Sprintf("%s, m = %d", atOne, averaged))},
	} {
		b.compare(d.what, d.x, d.y)
	}
	noisy := b.row(noise, "ours", readReward, atChosen)
	before := len(b.Differences)
	for _, row := range b.Rows {
		switch {
		case row.Ablation == "", row.Ablation == again && row.Reading == readScore && row.Method != againSFT: // compared with its own rewards below
		case row.Ablation == noise:
			b.compare(row.Name()+" − ours", row, noisy)
		default:
			b.compare(row.Name()+" − ours", row, mine)
		}
	}
	head := b.row(again, anyLinear, readReward, atChosen)
	for _, d := range []struct {
		what string
		y    *Row
	}{
		{"its reward − its own score", b.row(again, anyLinear, readScore, atChosen)},
		{"λ linear − constant", b.row(again, anyConstant, readReward, atChosen)},
		{"the head − SFT on the critiques that margin selects there", b.row(again, againSFT, readScore, atChosen)},
	} {
		b.compare(again+": "+d.what, head, d.y)
	}
	for i := range b.Differences[before:] {
		b.Differences[before+i].Ablation = true
	}
}

// compare notes the paired difference x - y, if both are there and are not the same.
func (b *builder) compare(what string, x, y *Row) {
	if x == nil || y == nil || x.same(y) {
		return
	}
	var list [][]float64
	d := Difference{What: what, A: x.Full(), B: y.Full()}
	for _, s := range x.Seeds {
		i := slices.IndexFunc(y.Seeds, func(o SeedRow) bool { return o.Seed == s.Seed })
		if i < 0 {
			continue
		}
		each := make([]float64, len(s.correct))
		for k := range each {
			each[k] = s.correct[k] - y.Seeds[i].correct[k]
		}
		list, d.Seeds = append(list, each), append(d.Seeds, percent(each))
	}
	if len(list) == 0 {
		return
	}
	e := b.boot.Mean(meanOver(list))
	d.Diff, d.OverSeeds, d.Categories = interval(e.Mean, e.Interval), overSeeds(d.Seeds), byCategory(e)
	b.Differences = append(b.Differences, d)
}

// byData draws accuracy against training pairs.
func (b *builder) byData() {
	for _, row := range b.Rows {
		if row.At != atChosen || row.Reading != readReward || row.Ablation != "" && row.Ablation != data {
			continue
		}
		switch {
		case strings.Contains(row.Method, scalarRM):
			addPoint(&b.ByData, scalarRM, row.Pairs, row.Overall)
		case row.Method == ours || row.Method == tenth || row.Ablation == data:
			addPoint(&b.ByData, ours, row.Pairs, row.Overall)
		}
	}
}

// addPoint adds a point to the curve of a name.
func addPoint(curves *[]Curve, name string, x int, y Interval) {
	i := slices.IndexFunc(*curves, func(c Curve) bool { return c.Name == name })
	if i < 0 {
		i = len(*curves)
		*curves = append(*curves, Curve{Name: name})
	}
	c := &(*curves)[i]
	c.Points = append(c.Points, Point{float64(x), y})
	slices.SortFunc(c.Points, func(a, b Point) int { return int(a.X - b.X) })
}

// shown reads what the page shows of the first seed: accuracy against m at two temperatures, critiques to read, the training.
func (b *builder) shown(c *cell) error {
	for _, v := range b.parts[0].variants {
		e := b.finished[c.key(v)]
		if !v.curve || e == nil {
			continue
		}
		for _, t := range slices.Compact([]float64{e.above(), 1}) {
			d, err := b.read(e.Files["eval "+number(t)])
			if err != nil {
				return err
			}
			for m := 1; m <= averaged; m *= 2 {
				est := b.boot.Mean(d.correct(e.Reading, m))
				addPoint(&b.ByM, fmt.Sprintf("%s, T = %g", v.name, t), m, interval(est.Mean, est.Interval))
			}
		}
	}
	base, tuned := b.finished[c.key(&variant{name: llmJudge})], b.finished[c.key(&variant{name: ours})]
	if base == nil || tuned == nil || c.task.quiet {
		return nil
	}
	x, err := b.read(base.Files["eval 0"])
	if err != nil {
		return err
	}
	y, err := b.read(tuned.Files["eval 0"])
	if err != nil {
		return err
	}
	b.Examples = examples(x, y)
	b.Training, err = steps(filepath.Join(c.dir(), "round-1", "train", "metrics.jsonl"))
	return err
}

// examples picks replies to read: where the base's greedy critique is wrong and the trained model's is right, one of each kind, and one where
// both are right; of each the shortest.
func examples(base, tuned *measured) []Example {
	var kinds []string
	best := map[string]Example{}
	middle := critic.DefaultScale().Middle()
	wrong := func(c *record.Critique, right bool) bool { return c.Score == nil || (*c.Score > middle) != right }
	for i, r := range base.records {
		for _, side := range []record.Side{record.Rejected, record.Chosen} {
			b, t := &(*r.SideCritiques(side))[0], &(*tuned.records[i].SideCritiques(side))[0]
			right := side == record.Chosen
			kind := r.Subset
			if !wrong(b, right) {
				kind = "both right"
			}
			was, seen := best[kind]
			if wrong(t, right) || seen && len(was.Prompt)+len(was.Base) <= len(r.Prompt.Text)+len(b.Text) {
				continue
			}
			if !seen {
				kinds = append(kinds, kind)
			}
			best[kind] = Example{Prompt: r.Prompt.Text, Reply: r.Text(side), Right: right, Base: b.Text, Tuned: t.Text,
				Reward: float64(*t.Reward), BaseOff: wrong(b, right), TunedOff: wrong(t, right)}
		}
	}
	var out []Example
	for _, kind := range kinds {
		out = append(out, best[kind])
	}
	return out
}

// save leaves results.json and report.html, whole or not at all.
func (r *runner) save() error {
	b, err := r.results.JSON()
	if err != nil {
		return err
	}
	if err := checkpoint.WriteFileAtomic(r.in(resultsFile), b); err != nil {
		return err
	}
	if r.Text != nil {
		if err := checkpoint.WriteFileAtomic(r.in(tableFile), []byte(r.results.Markdown())); err != nil {
			return err
		}
	}
	if b, err = r.results.HTML(); err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(r.in(reportFile), b)
}
