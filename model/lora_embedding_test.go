package model_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels"
	"criticrm/model"
)

// untied are models whose LM head is another one than the embedding, with and without a scaled embedding.
func untied() map[string]model.Config {
	own, scaled := tinyConfig(), tinyConfig()
	scaled.ModelType = "gemma2"
	own.TieWordEmbeddings, scaled.TieWordEmbeddings = false, false
	return map[string]model.Config{"own head": own, "scaled": scaled}
}

// fillEmbedding gives the A of the embedding's adapter values other than zero.
func fillEmbedding(m *model.Model) {
	a := param(m, "model.embed_tokens.lora_embedding_A")
	x := random(a.W.Len(), 0.2)
	for _, t := range []kernels.Tensor{a.W, a.Master} {
		if !t.IsNil() {
			m.Dev.Upload(t, x)
		}
	}
}

// An adapter of the embedding begins as the base, to the bit; losses and gradients are those of the plain model whose embedding is W + s·(B·A)ᵀ; gradient
// checkpointing changes no bit, and Merge gives that plain model.
func TestEmbeddingAdapter(t *testing.T) {
	for name, c := range untied() {
		l := lora("embed_tokens,v_proj")
		o := model.Options{Train: true, Head: true, LoRA: l}
		b := pairBatch(3, 2, true)
		plain := newModel(t, c, model.Options{Train: true, Head: true}, 0)
		fresh := newModel(t, c, o, 0)
		if got, want := trainStep(t, fresh, b, joint), trainStep(t, plain, b, joint); got != want {
			t.Errorf("%s: losses %v, the base has %v", name, got, want)
		}
		m := newModel(t, c, o, 0)
		fillEmbedding(m)
		plain = newModel(t, c, model.Options{Train: true, Head: true}, 0)
		pa, pb, pw := param(m, "model.embed_tokens.lora_embedding_A"), param(m, "model.embed_tokens.lora_embedding_B"), param(plain, "model.embed_tokens.weight")
		A, B, W := download(m, pa.W), download(m, pb.W), download(plain, pw.W)
		V, H, r, scale := pw.Shape[0], pw.Shape[1], l.Rank, l.Alpha/float64(l.Rank)
		if pa.Shape[0] != V || pa.Shape[1] != r || pb.Shape[0] != H || slices.Max(B) < 1 {
			t.Fatalf("%s: A %v, B %v", name, pa.Shape, pb.Shape)
		}
		for v := range V {
			for h := range H {
				x := 0.
				for k := range r {
					x += float64(A[v*r+k]) * float64(B[h*r+k])
				}
				W[v*H+h] += float32(scale * x)
			}
		}
		plain.Dev.Upload(pw.W, W)
		got, want := trainStep(t, m, b, joint), trainStep(t, plain, b, joint)
		if at, ok := close32([]float32{got.Joint, got.Critique, got.Reward}, []float64{float64(want.Joint), float64(want.Critique), float64(want.Reward)}, 1e-5); !ok {
			t.Errorf("%s: loss %v, want %v (%d)", name, got, want, at)
		}
		g, dw := gradients(m), gradients(plain)["model.embed_tokens.weight"]
		da, db := make([]float64, V*r), make([]float64, H*r)
		for v := range V {
			for h := range H {
				for k := range r {
					da[v*r+k] += scale * float64(dw[v*H+h]) * float64(B[h*r+k])
					db[h*r+k] += scale * float64(dw[v*H+h]) * float64(A[v*r+k])
				}
			}
		}
		for what, want := range map[string][]float64{"A": da, "B": db} {
			if at, ok := close32(g["model.embed_tokens.lora_embedding_"+what], want, 2e-4); !ok {
				t.Errorf("%s: the gradient of %s differs at %d", name, what, at)
			}
		}
		o.GradientCheckpointing = true
		again := newModel(t, c, o, 0)
		fillEmbedding(again)
		if trainStep(t, again, b, joint) != got || !maps.EqualFunc(gradients(again), g, slices.Equal[[]float32]) {
			t.Errorf("%s: gradient checkpointing has other bits", name)
		}
		l2 := *l
		merged := newModel(t, c, model.Options{Head: true, LoRA: &l2}, 0)
		fillEmbedding(merged)
		before := evaluate(t, merged, b)
		if err := merged.Merge(); err != nil || merged.HasAdapter() || param(merged, "model.embed_tokens.lora_embedding_A") != nil {
			t.Fatal(err)
		}
		if at, ok := close32(download(merged, param(merged, "model.embed_tokens.weight").W), float64s(W), 1e-6); !ok {
			t.Errorf("%s: the merged embedding differs at %d", name, at)
		}
		if at, ok := close32(evaluate(t, merged, b), float64s(before), 1e-4); !ok {
			t.Errorf("%s: the merged model differs at %d", name, at)
		}
	}
}

// A saved adapter of an embedding is read to the same bits, in both types, alone and over an open base; of a tied model it is not merged.
func TestSaveEmbeddingAdapter(t *testing.T) {
	dir, _ := base(t)
	for _, dtype := range []kernels.DType{kernels.F32, kernels.BF16} {
		l := lora("embed_tokens")
		l.Base = dir
		m, err := model.Load(newModel(t, tinyConfig(), model.Options{}, 0).Dev, dir, model.Options{DType: dtype, Train: true, Head: true, LoRA: l})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		fillEmbedding(m)
		m.Dev.Upload(param(m, "score.weight").W, random(32, 0.3))
		b := pairBatch(3, 2, true)
		want := evaluate(t, m, b)
		to := filepath.Join(t.TempDir(), "adapter")
		if err := m.SaveAdapter(to, true); err != nil {
			t.Fatal(err)
		}
		plain, err := model.Load(m.Dev, dir, model.Options{DType: dtype})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(plain.Close)
		for _, over := range []*model.Model{nil, plain} {
			again, err := model.Load(m.Dev, to, model.Options{DType: dtype, Over: over})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(evaluate(t, again, b), want) {
				t.Errorf("%v, over a base %v: the adapter that was read differs", dtype, over != nil)
			}
			if err := again.Merge(); err == nil || !strings.Contains(err.Error(), "the LM head is the embedding (tie_word_embeddings)") {
				t.Errorf("%v", err)
			}
			again.Close()
		}
	}
}

// The embedding has an adapter where it is named, and nowhere else.
func TestEmbeddingAdapterOnRequest(t *testing.T) {
	for targets, has := range map[string]bool{model.AllLinear: false, ".*": false, `.*(embed_tokens|q_proj)`: true, "embed_tokens": true, "q_proj": false, "model.embed_tokens,q_proj": true} {
		m := newModel(t, tinyConfig(), model.Options{LoRA: lora(targets)}, 0)
		if got := param(m, "model.embed_tokens.lora_embedding_A") != nil; got != has {
			t.Errorf("%s: %v", targets, got)
		}
	}
}
