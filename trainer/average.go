package trainer

// The mean of a run's last checkpoints as its final model.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/model"
)

// averagedPrefix stands before the names of an evaluation's figures that are of the averaged model.
const averagedPrefix = "averaged_"

// checkAverage refuses settings that do not go together.
func (c Config) checkAverage() error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("trainer: config: average_checkpoints: "+format, args...)
	}
	switch save := c.saveStrategy(); {
	case c.Average == 0:
	case c.LoadBest:
		return fault("the final model is either the mean of the last checkpoints or, with load_best_model_at_end, the best: leave one of them out")
	case save != SaveEverySteps && save != SaveEachEpoch:
		return fault("needs checkpoints at even distances, and save_strategy is %s: take steps or epoch", save)
	case c.SaveTotalLimit > 0 && c.SaveTotalLimit < c.Average:
		return fault("%d checkpoints are averaged, and save_total_limit keeps %d", c.Average, c.SaveTotalLimit)
	}
	return nil
}

// averages are the updates whose checkpoints a run averages that ends with update last, in order. Checkpoints of interruptions are not among them,
// so that the mean does not depend on when a run was stopped.
func (c Config) averages(p Plan, last int) (steps []int) {
	steps = []int{last}
	if every := c.savesEvery(p); every > 0 {
		for s := (last - 1) / every * every; s > 0 && len(steps) < c.Average; s -= every {
			steps = append(steps, s)
		}
	}
	slices.Reverse(steps)
	return steps
}

// startAverage refuses a run that cannot have so many checkpoints.
func (r *run) startAverage() error {
	n := r.c.Average
	if n == 0 {
		return nil
	}
	if r.c.OutputDir == "" {
		return errors.New("trainer: average_checkpoints: needs output_dir, for the checkpoints")
	}
	if have := len(r.c.averages(r.plan, r.plan.Total)); have < n {
		return fmt.Errorf("trainer: average_checkpoints: %d are wanted, and a run of %d updates with a checkpoint every %d has %d: lower save_steps", n, r.plan.Total, r.c.savesEvery(r.plan), have)
	}
	return nil
}

// takeAverage puts the mean of the last checkpoints into the model, in place of the last state, and measures it.
func (r *run) takeAverage(ctx context.Context) error {
	if r.c.Average == 0 {
		return nil
	}
	entries, err := checkpoint.List(r.checkpoints())
	if err != nil {
		return fmt.Errorf("trainer: average_checkpoints: %w", err)
	}
	var use []checkpoint.Entry
	for _, step := range r.c.averages(r.plan, r.st.Step) {
		i := slices.IndexFunc(entries, func(e checkpoint.Entry) bool { return e.Step == int64(step) && e.Complete() })
		if i < 0 {
			r.console.say("average_checkpoints: the checkpoint of update %d is not in %s: the mean is without it", step, r.checkpoints())
			continue
		}
		use = append(use, entries[i])
	}
	if r.result.Averaged, err = average(r.m, use); err != nil {
		return fmt.Errorf("trainer: average_checkpoints: %w; the last update is saved as %s", err, named(r.result.Checkpoint))
	}
	r.m.Updated()
	r.console.say("the model is the mean of the checkpoints of updates %s", updates(r.result.Averaged))
	return r.measureAverage(ctx)
}

// measureAverage measures the averaged model once; a run that is asked for its model again has its figures in its metrics.
func (r *run) measureAverage(ctx context.Context) error {
	if !r.measures() {
		return nil
	}
	if r.group.Size() > 1 && r.m.Divided() == 0 { // the others have ended
		r.console.say("average_checkpoints: several processes do not measure the averaged model: the figures above are of the last update; measure output_dir/model with criticrm eval")
		return nil
	}
	lambda := Lambda(r.c, r.plan, max(r.st.Step-1, 0))
	var list []Evaluation
	for _, h := range r.held {
		e, err := evaluate(r.work(ctx), r.m, h.data, r.c, lambda, r.group)
		if err != nil && r.work(ctx).Err() != nil {
			r.console.say("average_checkpoints: stopped before the averaged model was measured; the model is written")
			return nil
		}
		if err != nil {
			return err
		}
		e.Name = h.name
		list = append(list, e)
	}
	r.result.Evals = list
	for _, e := range list {
		line := []pair{{"step", r.st.Step}, {"averaged_checkpoints", len(r.result.Averaged)}}
		for _, p := range e.pairs(r.st.Step)[1:] {
			line = append(line, pair{averagedPrefix + p.name, p.value})
		}
		r.console.say("%s", consoleLine(line))
		if r.log == nil || r.log.history.has(r.st.Step, line[2].name) {
			continue
		}
		if err := r.log.write(line); err != nil {
			return err
		}
	}
	return nil
}

// has says whether there is an entry of an update with a figure.
func (h *history) has(step int, name string) bool {
	return slices.ContainsFunc(h.entries, func(e map[string]any) bool { return e["step"] == step && e[name] != nil })
}

// protectAverage gives the steps whose checkpoints will be averaged, of those that are there.
func (r *run) protectAverage() (steps []int64) {
	if r.c.Average == 0 {
		return nil
	}
	for _, s := range r.c.averages(r.plan, r.st.Step) {
		steps = append(steps, int64(s))
	}
	return steps
}

// AverageLast puts the mean of the last n checkpoints beside a trained model, output_dir/model, into the model that was opened from there, and gives
// their updates. An adapter's A and B are averaged each.
func AverageLast(m *model.Model, dir string, n int) (steps []int, err error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("trainer: average: %w", err)
	}
	from := filepath.Join(filepath.Dir(real), checkpointsDir)
	if _, err := os.Stat(from); err != nil {
		return nil, fmt.Errorf("trainer: average: the checkpoints of the training are looked for beside its model: %w", err)
	}
	entries, err := checkpoint.List(from)
	if err != nil {
		return nil, fmt.Errorf("trainer: average: %w", err)
	}
	var use []checkpoint.Entry
	for _, e := range entries { // the newest first
		again := len(use) > 0 && use[len(use)-1].Step == e.Step
		if len(use) < n && e.Complete() && !again {
			use = append(use, e)
		}
	}
	if len(use) < n {
		return nil, fmt.Errorf("trainer: average: %d checkpoints are wanted, and %s has %d", n, from, len(use))
	}
	slices.Reverse(use)
	return average(m, use)
}

// part is a weight, or the part of one whose state this process keeps, on its way to a mean.
type part struct {
	from      int            // its first element in the whole
	w, master kernels.Tensor // flat
	mean      []float32
}

// parts are those of a parameter that this process keeps.
func parts(m *model.Model, p *model.Param) (list []*part) {
	if m.Divided() == 0 {
		whole := &part{w: p.W.View(p.W.Len()), master: p.Master}
		if !p.Master.IsNil() {
			whole.master = p.Master.View(p.Master.Len())
		}
		return []*part{whole}
	}
	for _, o := range p.Own {
		list = append(list, &part{from: o.Lo, w: o.W.View(o.W.Len()), master: o.Master})
	}
	return list
}

// average makes the trained weights of a model, or this process's parts of them, the means of those in checkpoints, of masters where there are any. Means are in
// float32, from the first to the last: of equal values it is that value.
func average(m *model.Model, use []checkpoint.Entry) (steps []int, err error) {
	params := map[string]*model.Param{}
	for _, p := range m.Params() {
		params[p.Name] = p
	}
	into := map[string][]*part{}
	trained := 0 // parameters
	for _, e := range use {
		steps = append(steps, int(e.Step))
		n := float32(len(steps))
		var roles map[string]string // where the best copy of a weight is, by parameter
		begin := func(manifest *checkpoint.Manifest) (err error) {
			roles, err = weightsOf(manifest, params)
			if err == nil && trained > 0 && len(roles) != trained {
				err = fmt.Errorf("it has %d trained parameters, the one before %d", len(roles), trained)
			}
			trained = len(roles)
			return err
		}
		err := checkpoint.LoadEach(e.Path, begin, func(p checkpoint.Piece, data []byte) error {
			role, name, _ := strings.Cut(p.Name, "/")
			if roles[name] != role {
				return nil
			}
			if into[name] == nil {
				into[name] = parts(m, params[name])
			}
			for _, to := range into[name] {
				to.take(data, p, n)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	for _, list := range into {
		for _, to := range list {
			m.Dev.Upload(to.w, to.mean)
			if !to.master.IsNil() {
				m.Dev.Upload(to.master, to.mean)
			}
		}
	}
	return steps, m.Dev.Sync()
}

// weightsOf says for each trained parameter in which role a checkpoint has it best, and refuses one that is of another model.
func weightsOf(manifest *checkpoint.Manifest, params map[string]*model.Param) (map[string]string, error) {
	roles := map[string]string{}
	for _, f := range manifest.Files {
		for _, t := range f.Tensors {
			role, name, _ := strings.Cut(t.Name, "/")
			if role != "weight" && role != "master" {
				continue
			}
			p := params[name]
			if p == nil || !slices.Equal(shape64(p.Shape), t.Shape) {
				return nil, fmt.Errorf("it has %s of %v, and the model has not: they are not of one training", name, t.Shape)
			}
			if roles[name] != "master" {
				roles[name] = role
			}
		}
	}
	if len(roles) == 0 {
		return nil, errors.New("it has no weights")
	}
	return roles, nil
}

// take takes a piece of the n-th tensor, as far as it is of this part, into the mean of those before it.
func (to *part) take(data []byte, p checkpoint.Piece, n float32) {
	if to.mean == nil {
		to.mean = make([]float32, to.w.Len())
	}
	size := 4
	if p.DType == "BF16" {
		size = 2
	}
	first := int(p.Begin)/size - to.from // element of the part that the piece begins with
	for i := max(0, -first); i < len(data)/size && first+i < len(to.mean); i++ {
		x, mean := float32(0), &to.mean[first+i]
		if size == 2 {
			x = kernels.F32FromBF16(binary.LittleEndian.Uint16(data[2*i:]))
		} else {
			x = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		*mean += (x - *mean) / n
	}
}

// updates lists numbers as a text.
func updates(steps []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(steps), " ", ", "), "[]")
}
