package modeldir

// Writing a model directory: whole or not at all, and read back before it counts.

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"criticrm/model"
)

// Publish makes dir what write puts into a new folder beside it. The two change places in one step, so that dir is always a whole
// model: the new one, the old one, or none.
func Publish(dir string, write func(partial string) error) error {
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil { // of a run that was killed here
		return fmt.Errorf("modeldir: %w", err)
	}
	if err := os.MkdirAll(partial, 0o777); err != nil {
		return fmt.Errorf("modeldir: %w", err)
	}
	if err := write(partial); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	err := os.Rename(partial, dir) // over nothing, or over an empty folder
	if err != nil && exists(dir) {
		err = exchange(partial, dir)
	}
	if err == nil {
		err = syncDir(filepath.Dir(dir))
	}
	if err == nil {
		err = os.RemoveAll(partial) // the old one
	}
	if err != nil {
		return fmt.Errorf("modeldir: %s: %w", dir, err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Same opens what was written of a model and wants the same log-probabilities and rewards for a batch, bit for bit. Rows and leaves that
// the written form has no head for must not be in it.
func Same(m *model.Model, dir string, b *model.Batch) error {
	saved, err := model.Load(m.Dev, dir, model.Options{DType: m.DType(), NF4: m.Quantised()})
	if err != nil {
		return fmt.Errorf("modeldir: the written model cannot be read: %w", err)
	}
	defer saved.Close()
	logprob, reward, err := m.Evaluate(b)
	if err != nil {
		return err
	}
	logprob2, reward2, err := saved.Evaluate(b)
	if err != nil {
		return fmt.Errorf("modeldir: the written model: %w", err)
	}
	for _, x := range []struct {
		what      string
		was, read []float32
	}{{"reward", reward, reward2}, {"log-probability", logprob, logprob2}} {
		if len(x.was) != len(x.read) {
			return fmt.Errorf("modeldir: %s gives %d values of %s, the model in memory %d", dir, len(x.read), x.what, len(x.was))
		}
		for i := range x.was {
			if math.Float32bits(x.was[i]) != math.Float32bits(x.read[i]) {
				return fmt.Errorf("modeldir: %s does not hold the model: %s %d is %v, in memory %v", dir, x.what, i, x.read[i], x.was[i])
			}
		}
	}
	return nil
}

// exchangeInSteps is exchange with a moment in which b does not exist: whole or none still.
func exchangeInSteps(a, b string) error {
	aside := b + ".old"
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Rename(b, aside); err != nil {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return errors.Join(err, os.Rename(aside, b))
	}
	return os.Rename(aside, a)
}
