package experiment

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Interval is an accuracy, or a difference of two, in per cent with its 95 % interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

func (i Interval) String() string { return fmt.Sprintf("%.1f [%.1f, %.1f]", i.Value, i.Low, i.High) }

// Results are all figures of a demo run.
type Results struct {
	Version    string             `json:"version"`
	Go         string             `json:"go"`
	CPU        string             `json:"cpu"`
	Device     string             `json:"device"`
	Threads    int                `json:"threads"`
	Full       bool               `json:"full"`
	Complete   bool               `json:"complete"` // all models of all seeds are measured
	Seeds      []uint64           `json:"seeds"`    // that were asked for
	TrainPairs int                `json:"train_pairs"`
	ValidPairs int                `json:"valid_pairs"`
	EvalPairs  int                `json:"eval_pairs"`
	Averaged   int                `json:"averaged"` // critiques of a response at temperatures above 0, as a rule
	Seconds    map[string]float64 `json:"seconds"`  // per kind of model, summed over tasks and seeds
	Stages     []string           `json:"stages"`   // order of Seconds
	Tasks      []*Task            `json:"tasks"`
	Validation []Recipe           `json:"validation,omitempty"` // recipes, the best first
}

// Task are the figures of one task.
type Task struct {
	Name        string       `json:"name"`
	Title       string       `json:"title"`
	Categories  []string     `json:"categories"`
	Rows        []*Row       `json:"table"`
	Differences []Difference `json:"differences"`
	Quality     []QualityRow `json:"critique_quality"`
	ByM         []Curve      `json:"accuracy_by_m"`
	ByData      []Curve      `json:"accuracy_by_pairs"`
	Training    []Step       `json:"training"`
	Examples    []Example    `json:"examples"`
	Notes       []string     `json:"notes"` // what was chosen on the validation split, by what figures
}

// Row is one line of the table: a model, how it is read, at which temperature, and how many critiques are averaged.
type Row struct {
	Method     string              `json:"method"`
	Ablation   string              `json:"ablation,omitempty"` // what is changed; "": a row of the main table
	Reading    string              `json:"reading"`            // reward, or own score: the mean of the scores in the critiques
	At         string              `json:"at"`                 // chosen: the temperature that was best on the validation split; greedy; 1 or best above 0
	Pairs      int                 `json:"pairs"`              // training pairs; 0: none
	Seeds      []SeedRow           `json:"seeds"`
	Overall    Interval            `json:"overall"`              // mean over the seeds; interval over the prompts of the evaluation split
	OverSeeds  *Interval           `json:"over_seeds,omitempty"` // t interval over the seeds, where there are two or more
	Valid      float64             `json:"valid"`                // on the validation split at this temperature, with eight critiques above 0; mean over the seeds
	Categories map[string]Interval `json:"categories"`
}

// SeedRow is a row at one seed.
type SeedRow struct {
	Seed        uint64    `json:"seed"`
	Temperature *float64  `json:"temperature,omitempty"`
	M           int       `json:"m"`                     // critiques averaged; 0: none are written
	File        string    `json:"file"`                  // what the model wrote about the evaluation pairs
	RewardLoss  *float64  `json:"reward_loss,omitempty"` // of the last tenth of its training; ln 2 = .693 is a head that has learned nothing
	Valid       float64   `json:"valid"`
	Accuracy    float64   `json:"accuracy"`
	correct     []float64 // of each pair: 1 right, 0.5 tie, 0 wrong
}

// atChosen and its like are what At of a Row can be.
const (
	atChosen = "chosen"
	atGreedy = "greedy"
	atOne    = "1"
	atAbove  = "above 0"
)

// Point is one point of a curve.
type Point struct {
	X float64  `json:"x"`
	Y Interval `json:"y"`
}

// Curve is a named line of a plot.
type Curve struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
}

// Step is one optimizer step of the main run, for the loss plot.
type Step struct {
	Step     int     `json:"step"`
	Critique float64 `json:"critique_loss"`
	Reward   float64 `json:"reward_loss"`
	Lambda   float64 `json:"lambda"`
	Accuracy float64 `json:"accuracy"`
}

// Example is a reply with a critique of the base model and one of the trained model.
type Example struct {
	Prompt   string  `json:"prompt"`
	Reply    string  `json:"reply"`
	Right    bool    `json:"right"`
	Base     string  `json:"base_critique"`
	Tuned    string  `json:"critic_rm_critique"`
	Reward   float64 `json:"reward"`
	BaseOff  bool    `json:"base_wrong"`
	TunedOff bool    `json:"critic_rm_wrong"`
}

// Difference is a paired comparison of two rows, in points.
type Difference struct {
	What      string    `json:"what"` // the same at every task
	A         string    `json:"a"`
	B         string    `json:"b"`
	Ablation  bool      `json:"ablation,omitempty"` // one of the rows of the ablations is compared
	Diff      Interval  `json:"difference"`         // mean over the seeds that both have; interval over the prompts
	Seeds     []float64 `json:"seeds"`
	OverSeeds *Interval `json:"over_seeds,omitempty"` // t interval over the seeds

	Categories map[string]Interval `json:"categories"`
}

// Name is the row's label, without temperature and m.
func (r *Row) Name() string {
	name := r.Method
	if r.Ablation != "" {
		name = r.Ablation + ": " + name
	}
	if r.Reading == readScore && r.Method != llmJudge { // which has nothing else
		name += ", own score"
	}
	return name
}

// Temperature is that of the row's critiques, at each seed if they differ; – where none are written.
func (r *Row) Temperature() string {
	return r.perSeed(func(s SeedRow) string {
		if s.Temperature == nil {
			return "–"
		}
		return number(*s.Temperature)
	})
}

// M is how many critiques are averaged, likewise.
func (r *Row) M() string {
	return r.perSeed(func(s SeedRow) string {
		if s.M == 0 {
			return "–"
		}
		return fmt.Sprint(s.M)
	})
}

func (r *Row) perSeed(of func(SeedRow) string) string {
	return ofSeeds(r.Seeds, of)
}

// ofSeeds says something once if it is the same of all, else of each.
func ofSeeds[T any](seeds []T, of func(T) string) string {
	var list []string
	for _, s := range seeds {
		list = append(list, of(s))
	}
	if len(slices.Compact(slices.Clone(list))) == 1 {
		return list[0]
	}
	return strings.Join(list, "/")
}

// Full names the row with all that tells it from others.
func (r *Row) Full() string {
	name := r.Name()
	if t := r.Temperature(); t != "–" {
		name += fmt.Sprintf(" (T = %s, m = %s)", t, r.M())
	}
	return name
}

// Headline says whether the row is the main method at its chosen temperature.
func (r *Row) Headline() bool {
	return r.Method == ours && r.Ablation == "" && r.At == atChosen && r.Reading == readReward
}

// AtChosen says whether the temperature is the one chosen on the validation split, and m what goes with it.
func (r *Row) AtChosen() bool { return r.At == atChosen }

// Short says whether the row is one of the few that a first look needs: every method at its chosen temperature, and what temperature and
// number of critiques do to the main method and the judge.
func (r *Row) Short() bool {
	main := r.Method == ours || r.Method == llmJudge
	switch {
	case r.Ablation != "":
		return false
	case r.Reading == readScore && r.Method != llmJudge && r.Method != sft:
		return r.Method == ours
	}
	return r.AtChosen() || main && (r.At == atGreedy || r.Temperature() == "1")
}

// PairsText is the number of training pairs.
func (r *Row) PairsText() string {
	if r.Pairs == 0 {
		return "–"
	}
	return fmt.Sprint(r.Pairs)
}

// SeedsText are the accuracies of the seeds.
func (r *Row) SeedsText() string {
	var list []string
	for _, s := range r.Seeds {
		list = append(list, fmt.Sprintf("%.1f", s.Accuracy))
	}
	return strings.Join(list, " ")
}

// WriteTable prints the tables, one row a line: each task's, then its ablations.
func (r *Results) WriteTable(w io.Writer) {
	for _, t := range r.Tasks {
		fmt.Fprintf(w, "\n%s: %s\n", t.Name, t.Title)
		t.writeTable(w, t.rows(func(row *Row) bool { return row.Ablation == "" && (r.Full || row.Short()) }), r.Full)
		if list := t.rows(func(row *Row) bool { return row.Ablation != "" }); len(list) > 0 {
			fmt.Fprintf(w, "\n%s, ablations\n", t.Name)
			t.writeTable(w, list, r.Full)
		}
		t.writeQuality(w)
	}
	fmt.Fprintln(w, "\nT: sampling temperature, chosen for each model on the validation split; 0: one greedy critique. m: critiques averaged. own score:")
	fmt.Fprintln(w, "by the scores that the critiques end in, without the reward head. [95 %]: bootstrap over the prompts.")
}

func (t *Task) rows(want func(*Row) bool) (list []*Row) {
	for _, row := range t.Rows {
		if want(row) {
			list = append(list, row)
		}
	}
	return list
}

func (t *Task) writeTable(w io.Writer, rows []*Row, full bool) {
	wide := 0
	for _, row := range rows {
		wide = max(wide, len([]rune(row.Name())))
	}
	head := fmt.Sprintf("%-*s %5s %5s %5s  %-19s", wide, "method", "pairs", "T", "m", "overall [95 %]")
	if full {
		head += fmt.Sprintf("  %-16s", "seeds")
	}
	for _, c := range t.Categories {
		head += fmt.Sprintf("  %9s", c)
	}
	fmt.Fprintf(w, "%s\n%s\n", head, strings.Repeat("─", len([]rune(head))))
	for _, row := range rows {
		fmt.Fprintf(w, "%-*s %5s %5s %5s  %-19s", wide, row.Name(), row.PairsText(), row.Temperature(), row.M(), row.Overall)
		if full {
			fmt.Fprintf(w, "  %-16s", row.SeedsText())
		}
		for _, c := range t.Categories {
			fmt.Fprintf(w, "  %9.1f", row.Categories[c].Value)
		}
		fmt.Fprintln(w)
	}
}

// JSON is the content of results.json.
func (r *Results) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("demo: results: %w", err)
	}
	return append(b, '\n'), nil
}

// WriteExamples prints a few critiques to read, of the first task, and says how they were picked.
func (r *Results) WriteExamples(w io.Writer) {
	const few = 3
	for _, t := range r.Tasks[:min(1, len(r.Tasks))] {
		n := 0
		for _, e := range t.Examples {
			if n == few || !e.BaseOff {
				continue
			}
			if n++; n == 1 {
				fmt.Fprintln(w, "\ncritiques to read, of replies that the base gets wrong and Critic-RM right, the shortest of each kind:")
			}
			fmt.Fprintf(w, "\n%s\n  reply      %s  (%s)\n  base       %s   ✗\n  Critic-RM  %s  → reward %.2f\n", e.Prompt, e.Reply,
				map[bool]string{true: "right", false: "wrong"}[e.Right], e.Base, e.Tuned, e.Reward)
		}
	}
}
