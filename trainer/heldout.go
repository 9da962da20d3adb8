package trainer

// Held-out data: which files, when they are measured, and the lines that this gives.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"criticrm/internal/trace"
)

// heldOut is a data set that is measured, under a name if there are several.
type heldOut struct {
	name string
	data Dataset
}

// WithEval gives held-out examples, which are evaluated as eval_on_start, eval_strategy and eval_steps say.
func WithEval(d Dataset) Option { return WithNamedEval("", d) }

// WithNamedEval is WithEval of one of several data sets: figures of NAME are called eval_NAME_accuracy and so on.
func WithNamedEval(name string, d Dataset) Option {
	return func(o *options) { o.held = append(o.held, heldOut{name, d}) }
}

// use is what the data set is called where training data is "train".
func (h heldOut) use() string {
	switch h.name {
	case "":
		return "eval"
	case "train":
		return h.name
	}
	return "eval_" + h.name
}

// EvalFile is one of the inputs of eval_file, with its name if it has one.
type EvalFile struct{ Name, Path string }

// evalName is a name in front of a file. It becomes a part of the names of figures.
var evalName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]*)=`)

// EvalFiles lists what eval_file names: one input without a name, or name=input,name2=input2, where what has no name of its own is one more
// file of the name before it.
func (c Config) EvalFiles() (list []EvalFile, err error) {
	text := c.EvalFile
	fault := func(format string, args ...any) ([]EvalFile, error) {
		return nil, fmt.Errorf("trainer: config: eval_file: "+format, args...)
	}
	if text == "" {
		return nil, nil
	}
	if _, err := os.Stat(text); err == nil { // a file whose name has such characters
		return []EvalFile{{Path: text}}, nil
	}
	for _, word := range strings.Split(text, ",") {
		m := evalName.FindStringSubmatch(word)
		if _, err := os.Stat(word); m == nil || err == nil {
			if len(list) == 0 {
				list = append(list, EvalFile{Path: word})
			} else {
				list[len(list)-1].Path += "," + word
			}
			continue
		}
		f := EvalFile{m[1], strings.TrimPrefix(word, m[0])}
		switch {
		case len(list) > 0 && list[0].Name == "":
			return fault("%s has a name, and %s before it has none: write name=file for each", f.Name, list[0].Path)
		case slices.ContainsFunc(list, func(o EvalFile) bool { return o.Name == f.Name }):
			return fault("the name %s is given twice", f.Name)
		case f.Path == "":
			return fault("%s= names no file", f.Name)
		case f.Name == "train" || slices.ContainsFunc(evalFigures, func(figure string) bool { return strings.HasPrefix(f.Name+"_", figure+"_") }):
			return fault("%s is the name of a figure, too: eval_%s would be read as one; choose another name", f.Name, f.Name)
		}
		list = append(list, f)
	}
	return list, nil
}

// evalFigures are the names of an evaluation's figures, behind eval_ or eval_NAME_.
var evalFigures = []string{"loss", "critique_loss", "critique_perplexity", "reward_loss", "accuracy", "margin", "min_reward", "mean_reward", "max_reward", "std_reward", "ties", "samples", "runtime"}

// Categorised is a Dataset that knows the categories of its examples.
type Categorised interface {
	// Categories are their names.
	Categories() []string
	// Category is that of example i, as an index of Categories; -1: it has none.
	Category(i int) int
}

// byCategory counts right pairs by category.
type byCategory struct {
	data  Categorised // nil: there are none
	names []string
	pairs []int
	right []float64
}

func newByCategory(data Dataset) *byCategory {
	b := &byCategory{}
	if d, ok := data.(Categorised); ok {
		if b.names = d.Categories(); len(b.names) > 1 { // the accuracy of one is that of all
			b.data, b.pairs, b.right = d, make([]int, len(b.names)), make([]float64, len(b.names))
		}
	}
	return b
}

// add counts the pair of example i.
func (b *byCategory) add(i int, accuracy float64) {
	if b.data == nil {
		return
	}
	if k := b.data.Category(i); k >= 0 {
		b.pairs[k]++
		b.right[k] += accuracy
	}
}

// accuracies are those of all categories, by name.
func (b *byCategory) accuracies() (list []CategoryAccuracy) {
	for k, n := range b.pairs {
		list = append(list, CategoryAccuracy{b.names[k], n, b.right[k] / float64(n)})
	}
	slices.SortFunc(list, func(a, b CategoryAccuracy) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// figures are an evaluation's, under their full names. What does not exist (NaN) is left out.
func (e Evaluation) figures() (list []pair) {
	add := func(name string, v float64) {
		if !math.IsNaN(v) {
			list = append(list, pair{e.figure(name), v})
		}
	}
	add("loss", e.Loss)
	add("critique_loss", e.CritiqueLoss)
	add("reward_loss", e.RewardLoss)
	add("accuracy", e.Accuracy)
	for _, c := range e.Categories {
		add("accuracy_"+c.Name, c.Accuracy)
	}
	add("margin", e.Margin)
	for _, p := range append(rewardPairs(e.Rewards), perplexity(e.CritiqueLoss)...) {
		add(p.name, p.value.(float64))
	}
	return list
}

// figure is the full name of a figure: Hugging Face's, eval_accuracy or eval_NAME_accuracy.
func (e Evaluation) figure(name string) string {
	if e.Name != "" {
		name = e.Name + "_" + name
	}
	return "eval_" + name
}

// pairs are the fields of an evaluation's log line.
func (e Evaluation) pairs(step int) []pair {
	list := append([]pair{{"step", step}}, e.figures()...)
	if e.Ties > 0 {
		list = append(list, pair{e.figure("ties"), e.Ties})
	}
	if e.Margins != nil {
		list = append(list, pair{e.figure("margin_histogram"), e.Margins})
	}
	return append(list, pair{e.figure("samples"), e.Examples}, pair{e.figure("runtime"), e.Seconds})
}

// measures says whether there is anything to measure while training.
func (r *run) measures() bool { return len(r.held) > 0 && r.c.EvalStrategy != EvalNever }

// checkHeld refuses held-out data sets without examples, and two of one name.
func (r *run) checkHeld() error {
	seen := map[string]bool{}
	for _, h := range r.held {
		if h.data.Len() == 0 {
			return errors.New("trainer: there are no examples to evaluate")
		}
		if seen[h.name] {
			return fmt.Errorf("trainer: two held-out data sets are called %q", h.name)
		}
		seen[h.name] = true
	}
	return nil
}

// Evaluations is how often a run measures each of its held-out rows.
func (c Config) Evaluations(p Plan) int {
	every := max(1, c.evalEvery(p.PerEpoch))
	n := (p.Total + every - 1) / every
	if c.EvalOnStart {
		n++
	}
	return n
}

// evalNow says whether an evaluation follows the last step, as eval_strategy wants it; one stands at the end.
func (r *run) evalNow() bool {
	return r.measures() && (r.st.Step%r.c.evalEvery(r.plan.PerEpoch) == 0 || r.st.Step == r.plan.Total)
}

// evaluate makes the evaluations that are due, if they are. If ctx ends one of them all stay due, also over a resume.
func (r *run) evaluate(ctx context.Context) error {
	if !r.st.EvalDue || len(r.held) == 0 {
		r.st.EvalDue = false
		return nil
	}
	defer trace.BeginNumbered(trace.Host, "evaluation behind update", r.st.Step).End()
	lambda := Lambda(r.c, r.plan, max(r.st.Step-1, 0))
	var list []Evaluation
	for _, h := range r.held {
		e, err := evaluate(ctx, r.m, h.data, r.c, lambda, r.group)
		if err != nil {
			return err
		}
		e.Name = h.name
		list = append(list, e)
	}
	r.st.EvalDue = false
	r.result.Evals = list
	for _, e := range list {
		line := e.pairs(r.st.Step)
		r.console.say("%s", consoleLine(line))
		if err := r.log.write(line); err != nil {
			return err
		}
	}
	r.follow(list)
	return nil
}
