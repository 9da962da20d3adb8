package trainer

// Training whose state is divided among processes (zero_stage): what all of them do together beside the steps.

import (
	"errors"
	"fmt"

	"criticrm/checkpoint"
	"criticrm/collective"
	"criticrm/model"
)

// writes says whether this process has a part in checkpoints: rank 0 has, and where the state is divided all have.
func (r *run) writes() bool { return r.first() || r.m.Divided() > 0 }

// checkDivided refuses a model that was opened otherwise than the recipe says, and what does not go with a state that is divided.
func (r *run) checkDivided() error {
	c, stage := &r.c, r.m.Divided()
	if r.group.Size() > 1 && stage != c.ZeroStage {
		return fmt.Errorf("trainer: zero_stage is %d, but the model was opened with %d", c.ZeroStage, stage)
	}
	switch {
	case stage == 0:
		if c.ZeroStage > 0 {
			r.report.say("zero_stage %d divides nothing: there is one process (nproc)", c.ZeroStage)
		}
		return nil
	case stage > 1 && c.GradientSum == SumTree:
		return fmt.Errorf("trainer: config: gradient_sum: tree adds whole gradients, and zero_stage %d divides them: take zero_stage 0 or 1", stage)
	}
	return nil
}

// meetDivided gets each rank's parts of the state: of the checkpoint that rank 0 has found, or fresh, as they were loaded.
func (r *run) meetDivided(from string) error {
	if r.saved < 0 {
		return r.m.Dev.Sync()
	}
	var err error
	if !r.first() {
		_, err = r.restore(from)
		r.result.Checkpoint = from
	}
	if err := allOf(r.group, "what ranks have read of the checkpoint", err); err != nil {
		return err
	}
	r.m.Updated()
	return nil
}

// allOf is an error at all ranks if it is one at any: of each the text. It is an unsound if one of them is.
func allOf(g *collective.Group, what string, own error) error {
	text, ofRun := "", 0.0
	if own != nil {
		text = own.Error()
	}
	if bad := (unsound{}); errors.As(own, &bad) {
		ofRun = 1
	}
	texts, err := g.Texts(what, text)
	if err != nil {
		return err
	}
	kinds, err := g.Share(what, []float64{ofRun})
	if err != nil {
		return err
	}
	var list []error
	for rank, t := range texts {
		ofRun = max(ofRun, kinds[rank][0])
		if t != "" {
			list = append(list, fmt.Errorf("rank %d: %s", rank, t))
		}
	}
	if err = errors.Join(list...); ofRun == 1 {
		return unsound{err}
	}
	return err
}

// together is a checkpoint of which each rank writes its part.
type together struct {
	dir    string // of the parts
	state  *checkpoint.State
	shared *checkpoint.Shared // rank 0's
}

// writeTogether writes a checkpoint, each rank its parts. Path and error are the same at all ranks.
func (r *run) writeTogether(s *checkpoint.State) (path string, err error) {
	t, err := r.beginTogether(s)
	if err != nil {
		return "", err
	}
	return r.endTogether(t, checkpoint.WritePart(t.dir, r.group.Rank(), s))
}

func (r *run) beginTogether(s *checkpoint.State) (t *together, err error) {
	t = &together{state: s}
	if r.first() {
		r.protect()
		if t.shared, err = r.store.Begin(s.Step, SpaceOf(r.m, r.c, r.plan).Checkpoint); err == nil {
			t.dir = t.shared.Dir()
		}
	}
	if err := allOf(r.group, "the checkpoint's beginning", err); err != nil {
		return nil, err
	}
	name, err := r.group.Tell("the checkpoint's directory", []byte(t.dir))
	if err != nil {
		return nil, unsound{err}
	}
	t.dir = string(name)
	return t, nil
}

// endTogether makes the parts a checkpoint, if all have written theirs; own is what became of this rank's.
func (r *run) endTogether(t *together, own error) (path string, err error) {
	g := r.group
	if err := allOf(g, "the checkpoint's parts", own); err != nil {
		t.abandon()
		return "", err
	}
	if t.shared != nil {
		path, err = t.shared.Commit(g.Size(), t.state.Meta, r.c.SaveTotalLimit)
		if path != "" && err != nil { // it is safe; something older could not be removed
			r.console.say("checkpoint of step %d: %v", t.state.Step, err)
			err = nil
		}
	}
	if err := allOf(g, "the checkpoint's end", err); err != nil {
		return "", err
	}
	name, err := g.Tell("the checkpoint's name", []byte(path))
	return string(name), err
}

func (t *together) abandon() {
	if t.shared != nil {
		t.shared.Abandon()
	}
}

// lacking is how many batches of an evaluation this rank has less than the one with the most, whose forward passes it has to take part in.
func lacking(m *model.Model, g *collective.Group, own int) (n int, err error) {
	if m.Divided() < 3 || g.Size() == 1 {
		return 0, nil
	}
	all, err := g.Share("the batches of an evaluation", []float64{float64(own)})
	for _, x := range all {
		n = max(n, int(x[0])-own)
	}
	return n, err
}
