package pipeline

// results.json: every method of a run in one table, their paired differences, and the rounds.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"criticrm/critic"
	"criticrm/internal/progress"
	"criticrm/measure"
	"criticrm/modeldir"
	"criticrm/record"
)

// resultsVersion is the format of results.json.
const resultsVersion = 1

// Results are what a run came to: results.json.
type Results struct {
	Version     int                  `json:"version"`
	TrainPairs  int                  `json:"train_pairs"` // of train_file, without the validation split
	ValidPairs  int                  `json:"valid_pairs"` // of the validation split
	EvalPairs   int                  `json:"eval_pairs"`  // held out
	EvalPrompts int                  `json:"eval_prompts"`
	Level       float64              `json:"level"` // of the intervals
	Rows        []Row                `json:"rows"`
	Differences []measure.Difference `json:"differences"` // of the best round and its rivals, on the pairs that both have measured
	Rounds      []Round              `json:"rounds"`
	Chosen      []Chosen             `json:"chosen,omitempty"`         // by which evaluations trainings have chosen their models
	Best        int                  `json:"best"`                     // the round whose model is the run's
	Stopped     string               `json:"stopped"`                  // why there are no more rounds
	Benchmark   string               `json:"benchmark,omitempty"`      // the held-out rows are of it, and rows and differences are not its score
	Official    []Official           `json:"official,omitempty"`       // which is here, by its rule
	Notice      string               `json:"notice,omitempty"`         // of rows that only have a benchmark's subsets: that the figures are not its score
	Part        bool                 `json:"benchmark_part,omitempty"` // they are not all of the rows that its owners have published

	dir     string
	seconds float64
}

// Row is one method with one number of critiques.
type Row struct {
	Method  string `json:"method"`
	Dir     string `json:"dir"`             // of the run, with its eval.jsonl and eval.json; "": length, which needs no model
	Name    string `json:"name"`            // in eval.json
	Round   int    `json:"round,omitempty"` // of Critic-RM
	Pairs   int    `json:"pairs"`           // that it was trained on
	M       int    `json:"m"`               // critiques of a response that are averaged; 0: none
	Ties    int    `json:"ties"`
	NoScore int    `json:"no_score"`
	measure.Estimate
}

// Round is what one round came to.
type Round struct {
	Round    int      `json:"round"`
	Pairs    int      `json:"pairs"`           // that were left to train on
	Filter   string   `json:"filter"`          // what the filter kept
	Accuracy float64  `json:"accuracy"`        // on the held-out pairs, of all critiques
	Valid    *float64 `json:"valid,omitempty"` // on the validation split, by which the round is chosen
}

// Methods of a Row.
const (
	MethodCritic = "Critic-RM"
	MethodJudged = "Critic-RM as judge"
	MethodJudge  = "LLM judge (base)"
	MethodBT     = "scalar RM (bt)"
	MethodCloud  = "CLoud-style"
	MethodLength = "length"
)

// rival is a measured directory of a run.
type rival struct {
	*measured
	method, judged string // of its rewards, and of its critiques' scores; "": no row
	dir            string
	round, pairs   int
}

// results measures everything that was made, writes results.json and points the link to the best model.
func (r *run) results(best int, why string) (*Results, error) {
	res := &Results{Version: resultsVersion, Best: best, Stopped: why, Level: r.Eval.Level, dir: r.dir}
	var list []*rival
	add := func(v *rival) error {
		var err error
		if v.measured, err = r.readMeasured(r.path(v.dir + "/eval.jsonl")); err != nil {
			return err
		}
		if v.dir != "base" {
			var best *modeldir.Best
			if v.pairs, best, err = trainedOn(r.path(v.dir + "/train/model")); best != nil {
				res.Chosen = append(res.Chosen, Chosen{v.dir, *best})
			}
		}
		list = append(list, v)
		return err
	}
	for k := 1; r.state.find(round(k, eval)) != nil; k++ {
		v := &rival{method: MethodCritic, judged: MethodJudged, dir: fmt.Sprintf("round-%d", k), round: k}
		if err := add(v); err != nil {
			return nil, err
		}
		one := Round{Round: k, Pairs: v.pairs, Filter: r.state.find(round(k, filter)).Says, Accuracy: v.best().Mean}
		if r.state.find(round(k, validate)) != nil {
			score, err := r.validAccuracy(k)
			if err != nil {
				return nil, err
			}
			one.Valid = &score
		}
		res.Rounds = append(res.Rounds, one)
	}
	for _, v := range []*rival{{judged: MethodJudge, dir: base}, {method: MethodCloud, dir: Cloud}, {method: MethodBT, dir: BT}} {
		if r.state.find(v.dir) != nil {
			if err := add(v); err != nil {
				return nil, err
			}
		}
	}
	if res.Benchmark = list[0].report.Benchmark; res.Benchmark == "" {
		res.Notice = list[0].report.NotOfficial()
	}
	res.EvalPairs, res.EvalPrompts = list[0].report.Pairs, list[0].report.Prompts
	var data Data
	if err := readJSON(r.path(DataFile), &data); err != nil {
		return nil, err
	}
	res.TrainPairs = data.Train.Rows
	if data.Valid != nil {
		res.TrainPairs, res.ValidPairs = data.Valid.Left, data.Valid.Rows
	}
	for i, v := range list {
		res.Rows = append(res.Rows, v.rows()...)
		res.Official = append(res.Official, v.official(i == len(list)-1)...)
		res.Part = res.Part || v.bench != nil && !v.bench.Whole
	}
	if length, ok := list[0].report.Method("length"); ok {
		res.Rows = append(res.Rows, rowOf(MethodLength, &rival{}, length))
	}
	r.compare(res, list)
	res.seconds = r.state.Spent
	if err := writeJSON(r.path(ResultsFile), res); err != nil {
		return nil, err
	}
	if err := r.card(res); err != nil {
		return nil, err
	}
	return res, r.link(best)
}

// trainedOn is how many pairs a model was trained on, and by what it was chosen, as it says itself.
func trainedOn(dir string) (pairs int, best *modeldir.Best, err error) {
	f, _, err := modeldir.ReadFacts(dir)
	for _, d := range f.Data {
		if d.Use == "train" {
			pairs = d.Used
		}
	}
	return pairs, f.Best, err
}

func rowOf(method string, v *rival, m *measure.Method) Row {
	return Row{Method: method, Dir: v.dir, Name: m.Name, Round: v.round, Pairs: v.pairs, M: m.Samples, Ties: m.Ties, NoScore: m.NoScore, Estimate: m.Estimate}
}

// rows are those of a rival: its rewards for each number of critiques, and its critiques' scores for the largest, or for each if it has no
// rewards.
func (v *rival) rows() (rows []Row) {
	var curve, judged []*measure.Method
	for i := range v.report.Methods {
		m := &v.report.Methods[i]
		switch {
		case strings.HasPrefix(m.Name, "reward m="):
			curve = append(curve, m)
		case strings.HasPrefix(m.Name, "judge"):
			judged = append(judged, m)
		}
	}
	if reward, ok := v.report.Method("reward"); ok && len(curve) == 0 {
		curve = append(curve, reward) // read without critiques
	}
	if v.method != "" {
		for _, m := range curve {
			rows = append(rows, rowOf(v.method, v, m))
		}
		judged = judged[max(0, len(judged)-1):]
	}
	if v.judged != "" {
		for _, m := range judged {
			rows = append(rows, rowOf(v.judged, v, m))
		}
	}
	return rows
}

// last is the method of a rival that it is compared by, and the records that it was measured on.
func (v *rival) last() (name string, m *measure.Method) {
	if m := v.best(); v.method != "" && m.Name == "reward" {
		return v.method, m
	}
	return v.judged, v.best()
}

// compare takes the best round against each rival, and against fewer critiques of its own, on the pairs that both have measured.
func (r *run) compare(res *Results, list []*rival) {
	best := list[res.Best-1]
	_, mine := best.last()
	add := func(name string, v *rival, m *measure.Method) {
		pairs, a, b := common(best.records, mine.Correct, v.records, m.Correct)
		if len(pairs) == 0 {
			return
		}
		boot := measure.NewBootstrap(pairs, r.Eval.Draws, r.Eval.Level, r.Eval.EvalSeed)
		res.Differences = append(res.Differences, measure.Difference{Name: MethodCritic + " - " + name, Estimate: boot.Difference(a, b)})
	}
	for _, v := range list {
		if v.round == 0 {
			name, m := v.last()
			add(name, v, m)
		}
	}
	if one, ok := best.report.Method("reward m=1"); ok {
		add("with one critique", best, one)
	}
	if length, ok := best.report.Method("length"); ok {
		add(MethodLength, best, length)
	}
	for _, v := range list {
		if v.round > 0 && v != best {
			_, m := v.last()
			add(fmt.Sprintf("round %d", v.round), v, m)
		}
	}
}

// common are the pairs that two files have measured, by their line, with the correctness of each.
func common(x []*record.Record, a []float64, y []*record.Record, b []float64) (pairs []*record.Record, ca, cb []float64) {
	at := map[int]float64{}
	for i, rec := range measuredPairs(y) {
		at[rec.Line] = b[i]
	}
	for i, rec := range measuredPairs(x) {
		if v, ok := at[rec.Line]; ok {
			pairs, ca, cb = append(pairs, rec), append(ca, a[i]), append(cb, v)
		}
	}
	return pairs, ca, cb
}

// measuredPairs are the records that measure.Evaluate has compared, in its order.
func measuredPairs(records []*record.Record) (pairs []*record.Record) {
	for _, rec := range records {
		if rec.Paired() && rec.Dropped != critic.DropOverlong {
			pairs = append(pairs, rec)
		}
	}
	return pairs
}

// link points output_dir/model to the best round's.
func (r *run) link(best int) error {
	link, partial := r.path(ModelLink), r.path("."+ModelLink)
	if err := os.Remove(partial); err != nil && !errors.Is(err, os.ErrNotExist) { // of a run that was killed here
		return err
	}
	if err := os.Symlink(filepath.FromSlash(round(best, "train/model")), partial); err != nil {
		return err
	}
	return os.Rename(partial, link)
}

// String is the run on one screen: at most 24 lines of 100 columns.
func (res *Results) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d pairs to train on, ", res.TrainPairs)
	if res.ValidPairs > 0 {
		fmt.Fprintf(&b, "%d to validate, ", res.ValidPairs)
	}
	fmt.Fprintf(&b, "%d held out (%d prompts); %s in all\n", res.EvalPairs, res.EvalPrompts,
		progress.Round(time.Duration(res.seconds*float64(time.Second))))
	if line := res.notOfficial(); line != "" {
		fmt.Fprintln(&b, line)
	}
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, row := range res.officialTable(1) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if res.Benchmark == "" {
		res.figures(w)
	}
	w.Flush()
	if len(res.Rounds) > 1 {
		fmt.Fprintf(&b, "best is round %d of %d; %s\n", res.Best, len(res.Rounds), res.Stopped)
	}
	for _, line := range res.chosen() {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintf(&b, "model:   %s\nresults: %s\nreport:  %s\n", filepath.Join(res.dir, ModelLink), filepath.Join(res.dir, ResultsFile), filepath.Join(res.dir, ReportFile))
	return b.String()
}

// figures are the methods' accuracies, and their differences.
func (res *Results) figures(w *tabwriter.Writer) {
	fmt.Fprintf(w, "method\tpairs\tm\taccuracy [%.3g %%]\tties\tn\n", 100*res.Level)
	for _, row := range res.shown() {
		name, pairs, m := row.cells(len(res.Rounds) > 1)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\n", name, pairs, m, percent(row.Mean, row.Interval), row.Ties, row.N)
	}
	w.Flush() // the columns that follow are others
	for _, d := range res.Differences[:min(len(res.Differences), 7)] {
		fmt.Fprintf(w, "%s\t%+.1f [%+.1f, %+.1f]\n", d.Name, 100*d.Mean, 100*d.Interval.Low, 100*d.Interval.High)
	}
}

// notOfficial is what must be said of the figures; "" if the rows are of no benchmark.
func (res *Results) notOfficial() string {
	if res.Benchmark != "" {
		line := fmt.Sprintf("The held-out rows are of the benchmark %s; the scores are by its rule.", res.Benchmark)
		if res.Part {
			line += " They are not the published rows, so it does not compare with published scores."
		}
		return line
	}
	return res.Notice
}

// shown are the rows that fit on a screen: of the best round one critique and all of them, of the others all.
func (res *Results) shown() (rows []Row) {
	most := map[string]int{}
	key := func(row Row) string { return fmt.Sprint(row.Method, row.Round) }
	for i, row := range res.Rows {
		most[key(row)] = i
	}
	others := 0
	for i, row := range res.Rows {
		switch {
		case row.Round > 0 && row.Round != res.Best:
			if i != most[key(row)] || row.Method == MethodJudged {
				continue
			}
			if others++; others > 3 {
				continue
			}
		case i != most[key(row)] && !(row.Method == MethodCritic && row.M == 1):
			continue
		}
		rows = append(rows, row)
	}
	return rows
}

func percent(mean float64, i measure.Interval) string {
	return fmt.Sprintf("%.1f [%.1f, %.1f]", 100*mean, 100*i.Low, 100*i.High)
}
