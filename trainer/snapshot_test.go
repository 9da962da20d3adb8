package trainer

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// A value that no training makes is an error of the run and not of the disk, wherever it is in the checkpoint, and leaves the older checkpoint the newest.
func TestUnsoundValuesAreNotSaved(t *testing.T) {
	d := devicetest.Open(t, 1)
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		c := model.Config{ModelType: "llama", VocabSize: 61, HiddenSize: 32, IntermediateSize: 48, NumHiddenLayers: 1, NumAttentionHeads: 2, MaxPositionEmbeddings: 64}
		m, err := model.New(d, c, model.Options{DType: typ, Train: true, Head: true}, 1)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		store, err := checkpoint.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := &run{m: m, saved: -1, store: store}
		if err := r.save(); err != nil {
			t.Fatal(err)
		}
		p := m.Params()[len(m.Params())-2]
		bad := make([]float32, p.M.Len())
		for _, x := range []struct {
			t    kernels.Tensor
			v    float32
			want string
		}{{p.V, -1, "v/" + p.Name + ": element 3 is -1"}, {p.M, float32(math.NaN()), "m/" + p.Name + ": element 3 is NaN"}, {p.W, float32(math.Inf(1)), "weight/" + p.Name + ": element 3 is +Inf"}} {
			bad[3] = x.v
			d.Upload(x.t.View(x.t.Len()), bad)
			r.st.Step++
			err := r.save()
			var disk notStored
			if err == nil || errors.As(err, &disk) || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%v: %v, want %q, and no error of the disk", typ, err, x.want)
			}
			bad[3] = 0
			d.Upload(x.t.View(x.t.Len()), bad)
		}
		left, err := filepath.Glob(filepath.Join(dir, "step-*"))
		if err != nil || len(left) != 1 {
			t.Errorf("%v: checkpoints %v, want the first alone (%v)", typ, left, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 3 { // LATEST, LOCK and the checkpoint
			t.Errorf("%v: %v", typ, left)
		}
		r.st.Step++
		if err := r.save(); err != nil {
			t.Errorf("%v: sound again: %v", typ, err)
		}
		store.Close()
		m.Close()
	}
}
