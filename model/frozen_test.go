package model_test

import (
	"regexp"
	"slices"
	"testing"

	"criticrm/kernels"
	"criticrm/model"
)

// TestFrozen: whatever is frozen, losses and gradients of the others have the bits that they have where all are trained, and a frozen parameter has a
// weight alone.
func TestFrozen(t *testing.T) {
	own, biased, after := tinyConfig(), tinyConfig(), tinyConfig()
	own.TieWordEmbeddings = false
	biased.ModelType, biased.AttentionBias, biased.MLPBias = "llama", true, true
	after.ModelType = "olmo2"
	patterns := []string{"norm", "mlp", "self_attn", "embed_tokens|lm_head", `layers\.[01]\.|embed_tokens`, `layers\.2\.`, "layers", "layers|embed_tokens", "layers|embed_tokens|model.norm", `layers\.0|bias`, "."}
	for name, c := range map[string]model.Config{"tied": tinyConfig(), "own head": own, "biases": biased, "norms after": after} {
		for _, o := range []model.Options{{}, {DType: kernels.BF16, GradientCheckpointing: true}, {DType: kernels.BF16, Moments8Bit: true}} {
			o.Train, o.Head = true, true
			all := newModel(t, c, o, 0)
			b, small := pairBatch(3, 2, true), pairBatch(1, 2, true)
			trainStep(t, all, small, joint)
			losses, want := trainStep(t, all, b, joint), gradients(all)
			for _, pattern := range patterns {
				o.Frozen = regexp.MustCompile(pattern).MatchString
				part, err := model.New(all.Dev, c, o, 7) // on one device: an emulated one is large
				if err != nil {
					t.Fatal(err)
				}
				score := param(part, "score.weight").W
				part.Dev.Upload(score, random(score.Len(), 0.3))
				trainStep(t, part, small, joint)
				if got := trainStep(t, part, b, joint); got != losses {
					t.Errorf("%s, %v, frozen %s: losses %v, want %v", name, o.DType, pattern, got, losses)
				}
				for _, p := range part.Params() {
					frozen := o.Frozen(p.Name) && p.Kind != model.Head
					bare := p.G.IsNil() && p.M.IsNil() && p.V.IsNil() && p.Master.IsNil() && p.Scale.IsNil()
					if bare != frozen {
						t.Errorf("%s, frozen %s: %s: without tensors of its own: %v, want %v", name, pattern, p.Name, bare, frozen)
					} else if !frozen && !slices.Equal(download(part, p.G), want[p.Name]) {
						t.Errorf("%s, %v, frozen %s: the gradient of %s differs", name, o.DType, pattern, p.Name)
					}
				}
				part.Close()
			}
		}
	}
}
