package trainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/model"
)

func nan() float64 { return math.NaN() }

// metaFile says how a trained reward model is to be read; it lies beside the weights.
const metaFile = "critic_rm.json"

// publishModel makes dir the final model. It is written and proved beside dir and renamed at the end, so that dir is always a
// whole model: this one, an older one, or none.
func (r *run) publishModel(dir string) error {
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil { // of a run that was killed here
		return fmt.Errorf("trainer: final model: %w", err)
	}
	if err := r.saveModel(partial); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	err := os.RemoveAll(dir)
	if err == nil {
		err = os.Rename(partial, dir)
	}
	if err == nil {
		err = syncDir(filepath.Dir(dir))
	}
	if err != nil {
		return fmt.Errorf("trainer: final model: %w", err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// saveModel writes the model as a Hugging Face directory with critic_rm.json and what WithFiles adds, then opens it again and
// wants the same rewards and log-probabilities, bit for bit, on the first example that fits.
func (r *run) saveModel(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("trainer: final model: %w", err)
	}
	if err := r.m.SaveCausalLM(dir); err != nil {
		return fmt.Errorf("trainer: final model: %w", err)
	}
	meta, err := json.MarshalIndent(map[string]string{"method": r.c.Method, "head_position": r.c.HeadPosition}, "", "  ")
	if err != nil {
		return err
	}
	if err := checkpoint.WriteFileAtomic(filepath.Join(dir, metaFile), append(meta, '\n')); err != nil {
		return fmt.Errorf("trainer: final model: %w", err)
	}
	if r.last != nil {
		if err := r.last(dir); err != nil {
			return err
		}
	}
	return r.verify(dir)
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
	saved, err := model.Load(r.m.Dev, dir, model.Options{DType: r.c.dtype()})
	var full kernels.OutOfMemory
	if errors.As(err, &full) {
		r.console.say("%s is written, but not compared with the model in memory: the device has no room for both", dir)
		return nil
	}
	if err != nil {
		return fmt.Errorf("trainer: the saved model cannot be read: %w", err)
	}
	defer saved.Close()
	logprob, reward, err := r.m.Evaluate(b)
	if err != nil {
		return err
	}
	logprob2, reward2, err := saved.Evaluate(b)
	if err != nil {
		return fmt.Errorf("trainer: the saved model: %w", err)
	}
	for _, x := range []struct {
		what      string
		was, read []float32
	}{{"reward", reward, reward2}, {"log-probability", logprob, logprob2}} {
		if len(x.was) != len(x.read) {
			return fmt.Errorf("trainer: %s gives %d values of %s, the model in memory %d", dir, len(x.read), x.what, len(x.was))
		}
		for i := range x.was {
			if math.Float32bits(x.was[i]) != math.Float32bits(x.read[i]) {
				return fmt.Errorf("trainer: %s does not hold what was trained: %s %d is %v, in memory %v", dir, x.what, i, x.read[i], x.was[i])
			}
		}
	}
	return nil
}

// tokenizerFiles are copied from the first model to the final one.
var tokenizerFiles = [...]string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "generation_config.json"}

// copyTokenizer copies the tokenizer's files that exist; template, if not empty, becomes the chat template.
func copyTokenizer(from, to, template string) error {
	for _, name := range tokenizerFiles {
		b, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = checkpoint.WriteFileAtomic(filepath.Join(to, name), b)
		}
		if err != nil {
			return fmt.Errorf("trainer: final model: %w", err)
		}
	}
	if template == "" {
		return nil
	}
	b, err := os.ReadFile(template)
	if err == nil {
		err = checkpoint.WriteFileAtomic(filepath.Join(to, "chat_template.jinja"), b)
	}
	if err != nil {
		return fmt.Errorf("trainer: final model: chat template: %w", err)
	}
	return nil
}
