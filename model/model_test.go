package model_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

func tinyConfig() model.Config {
	return model.Config{VocabSize: 61, HiddenSize: 32, IntermediateSize: 48, NumHiddenLayers: 3, NumAttentionHeads: 4, NumKeyValueHeads: 2,
		MaxPositionEmbeddings: 256, InitializerRange: 0.15, TieWordEmbeddings: true, EOSTokenIDs: []int32{2}}
}

// newModel makes a random model whose reward head is random too, on a device with a number of threads.
func newModel(t testing.TB, c model.Config, o model.Options, threads int) *model.Model {
	t.Helper()
	m, err := model.New(devicetest.Open(t, threads), c, o, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if p := param(m, "score.weight"); p != nil {
		m.Dev.Upload(p.W, random(p.W.Len(), 0.3))
	}
	return m
}

func param(m *model.Model, name string) *model.Param {
	for _, p := range m.Params() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func random(n int, sd float64) []float32 {
	r := rand.New(rand.NewPCG(uint64(n), 5))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(sd * r.NormFloat64())
	}
	return x
}

func randomIDs(n, vocab int, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, 9))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(r.IntN(vocab))
	}
	return ids
}

// pairBatch is n preference pairs with k critiques on each side: shared as trees, or each leaf's whole branch as a row of its own.
func pairBatch(n, k int, shared bool) *model.Batch {
	b := &model.Batch{SidePtr: []int32{0}}
	seed := uint64(0)
	fresh := func(n int) []int32 { seed++; return randomIDs(n, 61, seed) }
	for p := range n {
		prompt := fresh(7 + p)
		if shared {
			b.Open(prompt)
		}
		for range 2 {
			response := fresh(5)
			last := int32(b.Len() + len(response) - 1)
			if shared {
				b.Open(response)
			}
			for j := range k {
				critique := fresh(3 + j)
				if !shared {
					b.Open(prompt)
					b.Open(response)
					last = int32(b.Len() - 1)
				}
				row := last
				b.Open(critique)
				for i, id := range critique {
					b.Row, b.Target = append(b.Row, row), append(b.Target, id)
					b.Weight = append(b.Weight, 0.5+float32(i))
					row = int32(b.Len() - len(critique) + i)
				}
				b.Leaf = append(b.Leaf, int32(b.Len()-1))
				b.Close()
				if !shared {
					b.Close()
					b.Close()
				}
			}
			b.SidePtr = append(b.SidePtr, int32(len(b.Leaf)))
			if shared {
				b.Close()
			}
		}
		if shared {
			b.Close()
		}
		b.Margin = append(b.Margin, 0.1*float32(p))
	}
	return b
}

var joint = model.LossOptions{Lambda: 0.6, Center: 0.01, TokenScale: 0.05, PairScale: 0.25}

func trainStep(t testing.TB, m *model.Model, b *model.Batch, o model.LossOptions) model.Losses {
	t.Helper()
	l, err := m.TrainStep(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func gradients(m *model.Model) map[string][]float32 {
	out := map[string][]float32{}
	for _, p := range m.Params() {
		if p.G.IsNil() {
			continue
		}
		out[p.Name] = download(m, p.G)
	}
	return out
}

// Activations that are computed again are the same bits, whatever the model did before.
func TestGradientCheckpointing(t *testing.T) {
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		kept := newModel(t, tinyConfig(), model.Options{DType: typ, Train: true, Head: true}, 0)
		again := newModel(t, tinyConfig(), model.Options{DType: typ, Train: true, Head: true, GradientCheckpointing: true}, 0)
		for i, pairs := range []int{3, 1, 1, 4} {
			b := pairBatch(pairs, 2, true)
			if i%2 == 0 { // more rows than tokens
				b.Row, b.Target, b.Weight = slices.Repeat(b.Row, 4), slices.Repeat(b.Target, 4), slices.Repeat(b.Weight, 4)
			}
			if x, y := trainStep(t, kept, b, joint), trainStep(t, again, b, joint); x != y {
				t.Fatalf("%v: losses %v, want %v", typ, y, x)
			}
			want := gradients(kept)
			for name, g := range gradients(again) {
				if !slices.Equal(g, want[name]) {
					t.Fatalf("%v: the gradient of %s differs", typ, name)
				}
			}
			_, x, err1 := kept.Evaluate(b)
			_, y, err2 := again.Evaluate(b)
			if err1 != nil || err2 != nil || !slices.Equal(x, y) {
				t.Fatalf("%v: rewards %v, want %v (%v, %v)", typ, y, x, err1, err2)
			}
		}
	}
}

// A tree with a shared prompt and shared responses is exact: values and gradients of the branches computed one by one.
func TestForestIsUnsharedRows(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Train: true, Head: true}, 0)
	tree, rows := pairBatch(3, 3, true), pairBatch(3, 3, false)
	if tree.Len() >= rows.Len() {
		t.Fatalf("the tree has %d tokens, the rows %d", tree.Len(), rows.Len())
	}
	const tol = 2e-5 // of the largest value: float32 sums in another order
	lp1, r1, err := m.Evaluate(tree)
	if err != nil {
		t.Fatal(err)
	}
	lp2, r2, err := m.Evaluate(rows)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "log-probabilities", lp1, lp2, tol)
	near(t, "rewards", r1, r2, tol)
	l1 := trainStep(t, m, tree, joint)
	g1 := gradients(m)
	m.ZeroGrad()
	l2 := trainStep(t, m, rows, joint)
	near(t, "losses", []float32{l1.Joint, l1.Critique, l1.Reward, l1.Margin}, []float32{l2.Joint, l2.Critique, l2.Reward, l2.Margin}, tol)
	for name, g := range gradients(m) {
		near(t, name, g1[name], g, tol)
	}
}

// Sequences packed into one stream score as they do alone.
func TestPackedIsAlone(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Head: true}, 0)
	var packed model.Batch
	var alone []float32
	for i, n := range []int{5, 48, 17, 1} {
		ids := randomIDs(n, 61, uint64(i))
		packed.Open(ids)
		packed.Close()
		packed.Leaf = append(packed.Leaf, int32(packed.Len()-1))
		var b model.Batch
		b.Open(ids)
		b.Close()
		b.Leaf = []int32{int32(n - 1)}
		_, r, err := m.Evaluate(&b)
		if err != nil {
			t.Fatal(err)
		}
		alone = append(alone, r...)
	}
	_, together, err := m.Evaluate(&packed)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "rewards", together, alone, 1e-5)
}

// The joint gradient is a finite difference of the joint loss, in every tensor of the model along a random direction.
func TestGradientIsSlope(t *testing.T) {
	for _, tied := range []bool{true, false} {
		c := tinyConfig()
		c.TieWordEmbeddings = tied
		m := newModel(t, c, model.Options{Train: true, Head: true}, 0)
		b := pairBatch(2, 2, true)
		trainStep(t, m, b, joint)
		grads := gradients(m)
		for _, p := range m.Params() {
			w, g := download(m, p.W), grads[p.Name]
			norm := 0.0
			for _, x := range g {
				norm += float64(x) * float64(x)
			}
			if norm == 0 {
				t.Errorf("%s: no gradient", p.Name)
				continue
			}
			// along the gradient itself, scaled so that the loss moves by about 2·10⁻²
			h, loss := 1e-2/norm, [2]float64{}
			for side, sign := range []float64{-1, 1} {
				moved := slices.Clone(w)
				for i := range moved {
					moved[i] += float32(sign * h * float64(g[i]))
				}
				m.Dev.Upload(p.W, moved)
				loss[side] = float64(trainStep(t, m, b, joint).Joint)
			}
			m.Dev.Upload(p.W, w)
			slope := (loss[1] - loss[0]) / (2 * h)
			if r := slope / norm; r < 0.97 || r > 1.03 {
				t.Errorf("tied %v: %s: slope of the loss is %.4f of the gradient's", tied, p.Name, r)
			}
		}
	}
}

func TestThreadsChangeNothing(t *testing.T) {
	for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
		var losses []model.Losses
		var grads []map[string][]float32
		for _, threads := range []int{1, 2} {
			m := newModel(t, tinyConfig(), model.Options{DType: typ, Train: true, Head: true}, threads)
			losses = append(losses, trainStep(t, m, pairBatch(8, 4, true), joint))
			grads = append(grads, gradients(m))
		}
		if losses[0] != losses[1] {
			t.Errorf("%v: losses %+v with one thread, %+v with two", typ, losses[0], losses[1])
		}
		for name, g := range grads[0] {
			if !slices.Equal(g, grads[1][name]) {
				t.Errorf("%v: %s: gradients differ between one and two threads", typ, name)
			}
		}
	}
}

func TestGradientsAddUp(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Train: true, Head: true}, 0)
	b := pairBatch(2, 2, true)
	trainStep(t, m, b, joint)
	once := gradients(m)
	trainStep(t, m, b, joint)
	for name, g := range gradients(m) {
		for i := range g {
			g[i] /= 2
		}
		near(t, name, g, once[name], 1e-6)
	}
	m.ZeroGrad()
	var norm [2]float32
	m.Dev.Download(norm[:], m.GradNorm())
	if norm != [2]float32{} {
		t.Errorf("norm %v after ZeroGrad", norm)
	}
}

// Lambda weighs the gradients, and one without its part is without it to the bit.
func TestLambda(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Train: true, Head: true}, 0)
	both := pairBatch(2, 2, true)
	run := func(b *model.Batch, lambda float32) (model.Losses, map[string][]float32) {
		m.ZeroGrad()
		o := joint
		o.Lambda = lambda
		l := trainStep(t, m, b, o)
		return l, gradients(m)
	}
	half, gBoth := run(both, 0.25)
	critique, gCritique := run(both, 1)
	reward, gReward := run(both, 0)
	if half.Critique != critique.Critique || half.Reward != reward.Reward {
		t.Errorf("reported losses depend on lambda: %+v %+v %+v", half, critique, reward)
	}
	near(t, "joint", []float32{half.Joint}, []float32{0.25*half.Critique + 0.75*half.Reward}, 1e-6)
	for name, g := range gBoth {
		sum := make([]float32, len(g))
		for i := range sum {
			sum[i] = 0.25*gCritique[name][i] + 0.75*gReward[name][i]
		}
		near(t, name, g, sum, 1e-5)
	}
	rowsOnly := *both
	rowsOnly.Leaf, rowsOnly.SidePtr, rowsOnly.Margin = nil, nil, nil
	l, g := run(&rowsOnly, 1)
	near(t, "critique loss without leaves", []float32{l.Critique, l.Joint}, []float32{critique.Critique, critique.Joint}, 1e-6)
	near(t, "embedding gradient without leaves", g["model.embed_tokens.weight"], gCritique["model.embed_tokens.weight"], 1e-5)
	leavesOnly := *both
	leavesOnly.Row, leavesOnly.Target, leavesOnly.Weight = nil, nil, nil
	l, g = run(&leavesOnly, 0)
	near(t, "reward loss without rows", []float32{l.Reward, l.Joint}, []float32{reward.Reward, reward.Joint}, 1e-6)
	near(t, "embedding gradient without rows", g["model.embed_tokens.weight"], gReward["model.embed_tokens.weight"], 1e-5)
}

func TestForestShape(t *testing.T) {
	var f model.Forest
	f.Open([]int32{1, 2}) // 0 1
	f.Open([]int32{3})    // 2
	f.Open([]int32{4, 5}) // 3 4
	f.Close()
	f.Open([]int32{6}) // 5
	f.Close()
	f.Close()
	f.Open(nil)
	f.Open([]int32{7}) // 6
	f.Close()
	f.Close()
	f.Close()
	f.Open([]int32{8}) // 7
	f.Close()
	for name, x := range map[string][2][]int32{
		"ids": {f.IDs, {1, 2, 3, 4, 5, 6, 7, 8}},
		"pos": {f.Pos, {0, 1, 2, 3, 4, 3, 2, 0}},
		"end": {f.End, {7, 7, 6, 5, 5, 6, 7, 8}},
	} {
		if !slices.Equal(x[0], x[1]) {
			t.Errorf("%s %v, want %v", name, x[0], x[1])
		}
	}
}

// ranked makes one list of a batch's sides.
func ranked(b *model.Batch) {
	n := len(b.SidePtr) - 1
	b.List, b.Worse, b.Margin = []int32{0, int32(n)}, make([]int32, n), nil
	for s := range b.Worse {
		b.Worse[s] = int32(s + 1)
	}
}

func TestBatchErrors(t *testing.T) {
	m := newModel(t, tinyConfig(), model.Options{Train: true, Head: true}, 0)
	for want, spoil := range map[string]func(*model.Batch){
		"token 3: id 61":         func(b *model.Batch) { b.IDs[3] = 61 },
		"token 3: position 256":  func(b *model.Batch) { b.Pos[3] = 256 },
		"token 3: end 3":         func(b *model.Batch) { b.End[3] = 3 },
		"subtrees must nest":     func(b *model.Batch) { b.End[8]++ },
		"Close is missing":       func(b *model.Batch) { b.Open([]int32{1}) },
		"the forest is empty":    func(b *model.Batch) { *b = model.Batch{} },
		"row 0: position -1":     func(b *model.Batch) { b.Row[0] = -1 },
		"row 1: target 70":       func(b *model.Batch) { b.Target[1] = 70 },
		"targets and":            func(b *model.Batch) { b.Weight = b.Weight[1:] },
		"is not finite":          func(b *model.Batch) { b.Weight[0] /= 0 },
		"leaf 1: position 9999":  func(b *model.Batch) { b.Leaf[1] = 9999 },
		"want 2P+1 numbers":      func(b *model.Batch) { b.SidePtr = b.SidePtr[:4] },
		"want rising":            func(b *model.Batch) { b.SidePtr[1], b.SidePtr[2] = b.SidePtr[2], b.SidePtr[1] },
		"margins for":            func(b *model.Batch) { b.Margin = b.Margin[:1] },
		"1 scores for":           func(b *model.Batch) { b.Score = []float32{1} },
		"side 1: score NaN":      func(b *model.Batch) { b.Score = make([]float32, len(b.SidePtr)-1); b.Score[1] /= b.Score[0] },
		"lists 0..1 and 2 ranks": func(b *model.Batch) { b.List, b.Worse = []int32{0, 1}, []int32{1, 2} },
		"list 1: 2 after 3":      func(b *model.Batch) { ranked(b); b.List = []int32{0, 3, 2, 4} },
		"worse ones begin at 9":  func(b *model.Batch) { ranked(b); b.Worse[1] = 9 },
		"compared crosswise":     func(b *model.Batch) { ranked(b) },
		"margins, but no pairs":  func(b *model.Batch) { b.SidePtr = nil },
		"nothing to learn from":  func(b *model.Batch) { *b = model.Batch{Forest: b.Forest} },
		"3 ids, 2 positions":     func(b *model.Batch) { b.Forest = model.Forest{IDs: []int32{1, 2, 3}, Pos: []int32{0, 1}} },
	} {
		b := pairBatch(2, 2, true)
		spoil(b)
		if _, err := m.TrainStep(b, joint); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
	frozen := newModel(t, tinyConfig(), model.Options{}, 0)
	if _, err := frozen.TrainStep(pairBatch(1, 1, true), joint); err == nil || !strings.Contains(err.Error(), "Options.Train") {
		t.Errorf("training a frozen model: %v", err)
	}
	if _, _, err := frozen.Evaluate(pairBatch(1, 1, true)); err == nil || !strings.Contains(err.Error(), "no reward head") {
		t.Errorf("reward without a head: %v", err)
	}
}
