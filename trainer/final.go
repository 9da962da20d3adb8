package trainer

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/version"
)

func nan() float64 { return math.NaN() }

// publishModel makes dir the final model: written, proved and then put in its place in one step.
func (r *run) publishModel(dir string) error {
	if err := modeldir.Publish(dir, r.saveModel); err != nil {
		return fmt.Errorf("trainer: final model: %w", err)
	}
	return nil
}

// saveModel writes the model as a Hugging Face directory, or its adapter as a PEFT folder, with what WithFiles adds and critic_rm.json, then opens it again and
// wants the same rewards and log-probabilities, bit for bit, on the first example that fits.
func (r *run) saveModel(dir string) error {
	to, err := r.saveType()
	if err != nil {
		return err
	}
	save := func(dir string) error { return r.m.SaveCausalLMAs(dir, to) }
	if r.m.HasAdapter() {
		save = func(dir string) error { return r.m.SaveAdapter(dir, false) }
	}
	if err := save(dir); err != nil {
		return err
	}
	if r.last != nil {
		step := r.st.Step
		if b := r.result.Best; b != nil {
			step = b.Update
		}
		if err := r.last(dir, step); err != nil {
			return err
		}
	}
	if err := r.writeState(dir); err != nil {
		return err
	}
	if err := r.finalFacts().Write(dir); err != nil {
		return err
	}
	if to == kernels.BF16 && r.m.DType() == kernels.F32 && !r.m.HasAdapter() {
		r.console.say("the final model is the trained one, rounded to bfloat16 (save_dtype): what was measured while training is the one before")
		return r.rounded(dir)
	}
	return r.verify(dir)
}

// finalFacts are what WithFacts gave with what the run itself knows.
func (r *run) finalFacts() modeldir.Facts {
	f := r.facts
	f.Method, f.Program = r.c.Method, "criticrm "+version.String()
	f.HeadPosition = cmp.Or(f.HeadPosition, r.c.HeadPosition, "end")
	f.Averaged, f.Best = r.result.Averaged, r.result.Best
	f.MaxLength, f.Overlong = limit(r.m, r.c), r.c.Overlong
	if r.m.Quantised() {
		f.Quantised = modeldir.NF4
	}
	if f.EndTokens == nil {
		f.EndTokens = r.m.EOSTokenIDs
	}
	if f.Data == nil && r.hash != "" {
		f.Data = []modeldir.Data{{Use: "train", SHA256: r.hash, Used: r.plan.Examples}}
	}
	return f
}

// verify compares the saved model with the one in memory.
func (r *run) verify(dir string) error {
	var b *model.Batch
	for i := 0; i < r.plan.Examples && b == nil; i++ {
		p, err := packExamples(r.data, []int{i}, &r.c, limit(r.m, r.c), r.m.VocabSize)
		if err != nil {
			return err
		}
		if len(p.Batches) > 0 {
			b = p.Batches[0]
		}
	}
	if b == nil {
		return nil // nothing was trained either
	}
	err := modeldir.Same(r.m, dir, b)
	var full kernels.OutOfMemory
	if errors.As(err, &full) {
		r.console.say("%s is written, but not compared with the model in memory: the device has no room for both", dir)
		return nil
	}
	return err
}
