package model_test

import (
	"slices"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/internal/golden"
	"criticrm/kernels"
	"criticrm/model"
)

// eachFamily runs a test on every language model of the golden files: all families, each with windows shorter than the texts here where it
// has some.
func eachFamily(t *testing.T, test func(t *testing.T, dir string)) {
	set := golden.Repository(t)
	for _, name := range set.Causal {
		t.Run(name, func(t *testing.T) { test(t, set.Dir(name)) })
	}
}

// withHead loads a model for training, with a reward head that is not zero.
func withHead(t *testing.T, dir string, o model.Options) *model.Model {
	o.Head = true
	m := load(t, dir, o)
	m.Dev.Upload(param(m, "score.weight").W, random(m.HiddenSize, 0.3))
	return m
}

// A tree is its branches, in every family: a window counts positions along the branch, not places in the stream.
func TestFamiliesTrees(t *testing.T) {
	eachFamily(t, func(t *testing.T, dir string) {
		m := withHead(t, dir, model.Options{Train: true})
		const tol = 3e-5 // of the largest value: float32 sums in another order
		var lp, r [2][]float32
		var losses [2]model.Losses
		var grads [2]map[string][]float32
		for i, shared := range []bool{true, false} {
			b := pairBatch(3, 3, shared)
			var err error
			if lp[i], r[i], err = m.Evaluate(b); err != nil {
				t.Fatal(err)
			}
			m.ZeroGrad()
			losses[i], grads[i] = trainStep(t, m, b, joint), gradients(m)
		}
		near(t, "log-probabilities", lp[0], lp[1], tol)
		near(t, "rewards", r[0], r[1], tol)
		near(t, "loss", []float32{losses[0].Joint}, []float32{losses[1].Joint}, tol)
		for name, g := range grads[0] {
			near(t, name, g, grads[1][name], tol)
		}
	})
}

// What is read while sampling is what one forward pass gives, in every family.
func TestFamiliesDecode(t *testing.T) {
	eachFamily(t, func(t *testing.T, dir string) {
		for _, typ := range precisions {
			m := withHead(t, dir, model.Options{DType: typ})
			tol := map[kernels.DType]float64{kernels.F32: 3e-5, kernels.BF16: 0.15}[typ]
			reqs := genRequests(devicetest.Fewer(3, 1))
			o := sampling
			o.MaxTokens = 20
			got := generate(t, m, reqs, o)
			logprob, reward, err := m.Evaluate(branches(reqs, got, o.Reward))
			if err != nil {
				t.Fatal(err)
			}
			var lp, want, r []float32
			for _, samples := range got {
				for _, s := range samples {
					sum := 0.0
					for _, x := range logprob[:len(s.IDs)] {
						sum += float64(x)
					}
					logprob = logprob[len(s.IDs):]
					lp, want, r = append(lp, float32(s.LogProb)), append(want, float32(sum)), append(r, s.Reward)
				}
			}
			near(t, "log-probability", lp, want, tol)
			near(t, "reward", r, reward, tol)
		}
	})
}

// Activations that are computed again are the same bits, in every family.
func TestFamiliesCheckpointing(t *testing.T) {
	eachFamily(t, func(t *testing.T, dir string) {
		b := pairBatch(2, 2, true)
		kept, again := withHead(t, dir, model.Options{Train: true}), withHead(t, dir, model.Options{Train: true, GradientCheckpointing: true})
		if x, y := trainStep(t, kept, b, joint), trainStep(t, again, b, joint); x != y {
			t.Fatalf("losses %v, want %v", y, x)
		}
		want := gradients(kept)
		for name, g := range gradients(again) {
			if !slices.Equal(g, want[name]) {
				t.Fatalf("the gradient of %s differs", name)
			}
		}
	})
}

// A saved model is the one that was loaded, as a language model and, where transformers has the class, as a classifier.
func TestFamiliesSave(t *testing.T) {
	eachFamily(t, func(t *testing.T, dir string) {
		m := withHead(t, dir, model.Options{})
		b := pairBatch(2, 2, true)
		lp, r, err := m.Evaluate(b)
		if err != nil {
			t.Fatal(err)
		}
		causal, classifier := t.TempDir(), t.TempDir()
		if err := m.SaveCausalLM(causal); err != nil {
			t.Fatal(err)
		}
		lp2, r2, err := load(t, causal, model.Options{}).Evaluate(b)
		if err != nil || !slices.Equal(lp, lp2) || !slices.Equal(r, r2) {
			t.Errorf("values differ after save and load (%v)", err)
		}
		err = m.SaveSequenceClassification(classifier)
		if m.ModelType == "granite" {
			if err == nil {
				t.Error("a class that transformers does not have was written")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		bare := *b
		bare.Row, bare.Target, bare.Weight = nil, nil, nil
		if _, r2, err = load(t, classifier, model.Options{}).Evaluate(&bare); err != nil {
			t.Fatal(err)
		}
		near(t, "reward of the classifier", r2, r, 1e-5)
	})
}
