package model_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// deepDir is a causal model with a reward head that has a hidden layer, and the numbers of the head.
func deepDir(t *testing.T, change func(list []checkpoint.TensorData) []checkpoint.TensorData) (dir string, head [4][]float32) {
	t.Helper()
	dir, h := t.TempDir(), tinyConfig().HiddenSize
	m := newModel(t, tinyConfig(), model.Options{}, 0)
	if err := m.SaveCausalLM(dir); err != nil {
		t.Fatal(err)
	}
	var list []checkpoint.TensorData
	for i, shape := range [...][]int64{{int64(h), int64(h)}, {int64(h)}, {1, int64(h)}, {1}} {
		head[i] = random([...]int{h * h, h, h, 1}[i], 0.4)
		list = append(list, checkpoint.TensorData{TensorInfo: checkpoint.TensorInfo{Name: model.DeepHead[i], DType: "F32", Shape: shape}, Data: checkpoint.F32Bytes(head[i])})
	}
	if change != nil {
		list = change(list)
	}
	if err := checkpoint.WriteSafetensors(filepath.Join(dir, model.HeadFile), list, nil); err != nil {
		t.Fatal(err)
	}
	return dir, head
}

// Rewards of a head with a hidden layer are w·tanh(W·x + b) + c of the last hidden state, behind whole texts and while sampling.
func TestDeepHead(t *testing.T) {
	dir, head := deepDir(t, nil)
	for typ, tol := range map[kernels.DType]float64{kernels.F32: 1e-5, kernels.BF16: 0.03} {
		m, err := model.Load(devicetest.Open(t, 0), dir, model.Options{DType: typ})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		reqs := genRequests(3)
		got := generate(t, m, reqs, sampling)
		_, rewards, err := m.Evaluate(branches(reqs, got, sampling.Reward))
		if err != nil {
			t.Fatal(err)
		}
		n, h := 0, m.HiddenSize
		for i, r := range reqs {
			for _, s := range got[i] {
				var f model.Forest
				f.Open(slices.Concat(r.Prefix, s.IDs))
				f.Close()
				hidden, _, err := m.Logits(&f)
				if err != nil {
					t.Fatal(err)
				}
				x := hidden[h*(len(r.Prefix)+sampling.Reward.Index(s.IDs, sampling.Stop)):][:h]
				want := float64(head[3][0])
				for o := range h {
					sum := float64(head[1][o])
					for k := range h {
						sum += float64(head[0][o*h+k]) * float64(x[k])
					}
					want += float64(head[2][o]) * math.Tanh(sum)
				}
				for how, r := range map[string]float32{"at once": rewards[n], "while sampling": s.Reward} {
					if math.Abs(float64(r)-want) > tol*max(1, math.Abs(want)) {
						t.Errorf("%v, request %d, %s: %v, want %v", typ, i, how, r, want)
					}
				}
				n++
			}
		}
	}
}

// Such a head is not trained, written or left out unsaid, and its tensors are those.
func TestDeepHeadRefused(t *testing.T) {
	dir, _ := deepDir(t, nil)
	if _, err := model.Load(devicetest.Open(t, 0), dir, model.Options{Train: true}); err == nil || !strings.Contains(err.Error(), "read and not trained") {
		t.Errorf("training: %v", err)
	}
	m, err := model.Load(devicetest.Open(t, 0), dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	for name, save := range map[string]func(string) error{"causal": m.SaveCausalLM, "classifier": m.SaveSequenceClassification} {
		if err := save(t.TempDir()); err == nil || !strings.Contains(err.Error(), "read and not trained or written") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i, name := range model.DeepHead {
		for want, change := range map[string]func([]checkpoint.TensorData) []checkpoint.TensorData{
			fmt.Sprintf("want a tensor %q of shape", name): func(list []checkpoint.TensorData) []checkpoint.TensorData {
				list[i].Name = "dense.weight.other"
				return list
			},
			"of shape [": func(list []checkpoint.TensorData) []checkpoint.TensorData {
				list[i].Shape = append(list[i].Shape, 1)
				return list
			},
			`has no tensor "more"`: func(list []checkpoint.TensorData) []checkpoint.TensorData {
				more := list[3]
				more.Name = "more"
				return append(list, more)
			},
		} {
			dir, _ := deepDir(t, change)
			if i == 0 && strings.HasPrefix(want, "want a tensor") { // then nothing says that it has a hidden layer
				want = "want a tensor \"score.weight\""
			}
			if _, err := model.Load(devicetest.Open(t, 0), dir, model.Options{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", name, err, want)
			}
		}
	}
}
