package trainer

// The best model of a run by a held-out figure: which evaluation counts, which checkpoint is kept for it, and when a run stops early. It counts
// as Hugging Face's Trainer and EarlyStoppingCallback do; what is added is said where it is.

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/modeldir"
)

// When checkpoints are written, besides those at the end and of an interruption.
const (
	SaveEverySteps = "steps"
	SaveEachEpoch  = "epoch"
	SaveBest       = "best"
	SaveNever      = "no"
)

// saveStrategy is the one that holds.
func (c Config) saveStrategy() string {
	switch {
	case c.SaveStrategy != "":
		return c.SaveStrategy
	case c.LoadBest:
		return c.evalStrategy()
	}
	return SaveEverySteps
}

// evalStrategy is the one that holds.
func (c Config) evalStrategy() string {
	switch {
	case c.EvalStrategy != "":
		return c.EvalStrategy
	case c.EvalSteps > 0:
		return EvalEverySteps
	}
	return EvalEachEpoch
}

// Picks is the setting that wants a figure to be followed; "": none does.
func (c Config) Picks() string {
	switch {
	case c.LoadBest:
		return "load_best_model_at_end"
	case c.Patience > 0:
		return "early_stopping_patience"
	case c.SaveStrategy == SaveBest:
		return "save_strategy best"
	}
	return ""
}

// NeedsEval is the setting that needs held-out records while training; "": none does.
func (c Config) NeedsEval() string {
	if c.EvalOnStart {
		return cmp.Or(c.Picks(), "eval_on_start")
	}
	return c.Picks()
}

// checkEvalFile refuses a recipe whose settings need held-out records and that names none.
func (c Config) checkEvalFile() error {
	if s := c.NeedsEval(); s != "" && c.EvalFile == "" {
		return fmt.Errorf("trainer: config: %s: needs eval_file", s)
	}
	return nil
}

// checkBest refuses settings that do not go together, as Hugging Face's do.
func (c Config) checkBest() error {
	switch eval, save := c.evalStrategy(), c.saveStrategy(); {
	case c.Picks() != "" && eval == EvalNever:
		return fmt.Errorf("trainer: config: %s: needs evaluations, and eval_strategy is no", c.Picks())
	case !c.LoadBest || save == SaveBest:
	case save == SaveNever:
		return errors.New("trainer: config: load_best_model_at_end: needs checkpoints, and save_strategy is no")
	case save != eval:
		return fmt.Errorf("trainer: config: load_best_model_at_end: save_strategy is %s and eval_strategy %s: give both the same, or save_strategy best", save, eval)
	case save == SaveEverySteps && c.SaveSteps%c.EvalSteps != 0:
		return fmt.Errorf("trainer: config: load_best_model_at_end: save_steps %d is no multiple of eval_steps %d: the evaluated steps would not be the saved ones", c.SaveSteps, c.EvalSteps)
	}
	return nil
}

// Followed is the full name of the figure that Picks follows.
func (c Config) Followed() string {
	name := cmp.Or(c.Metric, "loss")
	if !strings.HasPrefix(name, "eval_") {
		name = "eval_" + name
	}
	return name
}

// greater says whether more of the figure is better.
func (c Config) greater() bool {
	if c.GreaterIsBetter != "" {
		return c.GreaterIsBetter == "true"
	}
	return !strings.HasSuffix(c.Followed(), "loss") && !strings.HasSuffix(c.Followed(), "perplexity")
}

// mark is a value of the figure, and the update behind which it was measured.
type mark struct {
	Value float64 `json:"value"`
	Step  int     `json:"step"`

	before *mark // the one before it, until this one's checkpoint is on the disk
}

// better says whether a value is better than that of a mark; nil is worse than all.
func (m *mark) better(value float64, greater bool) bool {
	switch {
	case math.IsNaN(value):
		return false
	case m == nil:
		return true
	case greater:
		return value > m.Value
	}
	return value < m.Value
}

// best is what a checkpoint holds of the figure that is followed.
type best struct {
	Of     string `json:"of"`               // the figure, its direction and its data, on which all below depends
	Best   *mark  `json:"best,omitempty"`   // of all evaluations that count
	Saved  *mark  `json:"saved,omitempty"`  // of those whose checkpoint is there
	Waited int    `json:"waited,omitempty"` // how many evaluations, without a gap, were no better
}

// startBest gets the following of a figure ready. What a checkpoint holds of another figure, or of other data, is forgotten, and said.
func (r *run) startBest() error {
	setting := r.c.Picks()
	if setting == "" {
		return nil
	}
	if !r.measures() {
		return fmt.Errorf("trainer: %s: needs held-out records: give eval_file", setting)
	}
	if r.c.LoadBest && r.c.OutputDir == "" {
		return errors.New("trainer: load_best_model_at_end: needs output_dir, for the checkpoints")
	}
	if names := r.metricNames(); !slices.Contains(names, r.c.Followed()) {
		return fmt.Errorf("trainer: metric_for_best_model: %s is not measured; there are %s", r.c.Followed(), strings.Join(names, ", "))
	}
	of, err := r.followed()
	if err != nil {
		return err
	}
	if r.st.Best == nil || r.st.Best.Of != of {
		if r.st.Best != nil {
			r.console.say("%s: the best so far was of another figure or of other rows: it is forgotten", setting)
		}
		r.st.Best = &best{Of: of}
	}
	r.sayFollowed()
	return nil
}

// followed identifies the figure that is followed.
func (r *run) followed() (string, error) {
	of := fmt.Sprintf("%s, greater %v", r.c.Followed(), r.c.greater())
	for _, h := range r.held {
		if d, ok := h.data.(Hasher); ok {
			sum, err := d.Hash()
			if err != nil {
				return "", err
			}
			of += ", " + h.use() + " " + sum
		}
	}
	return of, nil
}

// sayFollowed says of a figure that moves with lambda what that means.
func (r *run) sayFollowed() {
	first, last := Lambda(r.c, r.plan, 0), Lambda(r.c, r.plan, r.plan.Total-1)
	if first == last || r.st.Step > 0 {
		return
	}
	if r.counts(1) {
		return
	}
	if strings.HasSuffix(r.c.Followed(), "_loss") && !strings.HasSuffix(r.c.Followed(), "reward_loss") {
		r.console.say("warning: metric_for_best_model: %s is a mean whose weights move with lambda: accuracy and reward_loss keep their meaning", r.c.Followed())
	}
	from := 1
	for from < r.plan.Total && !r.counts(from) {
		from++
	}
	r.console.say("%s counts from update %d on: rewards are not trained before", r.c.Followed(), from)
}

// counts says whether an evaluation behind an update counts. Figures of rewards do not while rewards are not trained: lambda was 1 until then, and
// nothing could have become better.
func (r *run) counts(step int) bool {
	return step > 0 && (!r.c.rewards() || strings.Contains(r.c.Followed(), "_critique_") || Lambda(r.c, r.plan, step-1) < 1)
}

// metricNames are the figures that an evaluation of the run's data can have.
func (r *run) metricNames() (names []string) {
	for _, h := range r.held {
		names = append(names, r.c.Figures(h.name, newByCategory(h.data).names)...)
	}
	return names
}

// Figures are the full names of those that an evaluation of rows of these categories can have; name is theirs in eval_file.
func (c Config) Figures(name string, categories []string) (names []string) {
	e := Evaluation{Name: name}
	if !c.rewards() {
		e.RewardLoss, e.Accuracy, e.Margin = nan(), nan(), nan()
	} else {
		e.Rewards.N = 1
	}
	if c.Method == BT {
		e.CritiqueLoss = nan()
	}
	if len(categories) > 1 {
		for _, of := range slices.Sorted(slices.Values(categories)) {
			e.Categories = append(e.Categories, CategoryAccuracy{Name: of})
		}
	}
	for _, p := range e.figures() {
		names = append(names, p.name)
	}
	return names
}

// follow takes the figures of an evaluation.
func (r *run) follow(list []Evaluation) {
	if r.c.Picks() == "" || !r.counts(r.st.Step) {
		return
	}
	value, name, greater := nan(), r.c.Followed(), r.c.greater()
	for _, e := range list {
		for _, p := range e.figures() {
			if p.name == name {
				value = p.value.(float64)
			}
		}
	}
	if math.IsNaN(value) {
		r.console.say("%s is not among the figures of this evaluation: it counts as no better one", name)
	}
	b := r.st.Best
	if b.Best.better(value, greater) && (b.Best == nil || math.Abs(value-b.Best.Value) > r.c.Threshold) {
		b.Waited = 0
	} else {
		b.Waited++
	}
	if b.Best.better(value, greater) {
		b.Best = &mark{Value: value, Step: r.st.Step}
	}
	if r.savesBest() && b.Saved.better(value, greater) {
		b.Saved = &mark{value, r.st.Step, b.Saved}
	}
	if r.stopsEarly() {
		r.console.say("early stopping at update %d of %d: %s was no better than %.4g, of update %d, in %d evaluations", r.st.Step, r.plan.Total, name, b.Best.orNaN().Value, b.Best.orNaN().Step, b.Waited)
	}
}

func (m *mark) orNaN() mark {
	if m == nil {
		return mark{Value: math.NaN()}
	}
	return *m
}

// stopsEarly says whether the figure has not become better for too long.
func (r *run) stopsEarly() bool {
	return r.c.Patience > 0 && r.st.Best != nil && r.st.Best.Waited >= r.c.Patience
}

// protect tells the store which checkpoints stay whatever save_total_limit says. While the best one is written, the one before it stays, too: nothing is
// removed before the new one is safe.
func (r *run) protect() {
	if r.c.LoadBest && r.st.Best != nil && r.st.Best.Saved != nil {
		r.store.Protect(int64(r.st.Best.Saved.Step))
	}
	if r.c.Average > 0 {
		r.store.Protect(r.protectAverage()...)
	}
}

// savesBest says whether the best states are saved.
func (r *run) savesBest() bool { return r.c.LoadBest || r.c.SaveStrategy == SaveBest }

// bestDue says whether the present state is the best so far, and to be saved for that.
func (r *run) bestDue() bool {
	return r.savesBest() && r.st.Best != nil && r.st.Best.Saved != nil && r.st.Best.Saved.Step == r.st.Step
}

// bestSaved takes note of what became of the checkpoint of a step. One that the disk has not taken is not the best that is saved.
func (r *run) bestSaved(step int, ok bool) {
	if r.st.Best == nil {
		return
	}
	for at := &r.st.Best.Saved; *at != nil; at = &(*at).before {
		if (*at).Step != step {
			continue
		}
		if ok {
			(*at).before = nil
			return
		}
		*at = (*at).before
		r.console.say("the state of update %d was the best, and is not saved", step)
		return
	}
}

// takeBest puts the best state into the model, in place of the last one.
func (r *run) takeBest() error {
	if !r.c.LoadBest {
		return nil
	}
	if r.st.Best == nil || r.st.Best.Saved == nil {
		r.console.say("load_best_model_at_end: no evaluation counted: the model is that of the last update")
		return nil
	}
	b := *r.st.Best.Saved
	if b.Step != r.st.Step {
		if err := r.restoreStep(b.Step); err != nil {
			return fmt.Errorf("trainer: load_best_model_at_end: the state of update %d, whose %s is %.4g: %w; the last update is saved as %s: with load_best_model_at_end false and resume latest it becomes the model",
				b.Step, r.c.Followed(), b.Value, err, named(r.result.Checkpoint))
		}
	}
	r.m.Updated()
	r.result.Best = &modeldir.Best{Metric: r.c.Followed(), Value: b.Value, Update: b.Step, Of: r.st.Step}
	r.console.say("the model is that %v", r.result.Best)
	return nil
}

// restoreStep puts the newest checkpoint of a step into the model.
func (r *run) restoreStep(step int) error {
	entries, err := checkpoint.List(r.checkpoints())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(e checkpoint.Entry) bool { return e.Step == int64(step) && e.Complete() })
	if i < 0 {
		return fmt.Errorf("no checkpoint of it is in %s", r.checkpoints())
	}
	_, err = r.restore(entries[i].Path)
	return err
}
