package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"criticrm/checkpoint"
	"criticrm/collective"
	"criticrm/kernels"
	"criticrm/model"
)

// asRank names the stage at which TestDividedRank is a rank of TestVolume.
const asRank = "CRITICRM_TEST_RANK_STAGE"

// rankDir is its output_dir.
const rankDir = "CRITICRM_TEST_RANK_DIR"

// TestVolume: what ranks send each other is, to the byte, what ZeRO's stages are said to send (Rajbhandari et al. 2020, §7, with the passes of our
// accumulation): with P parameters of 4 bytes and W ranks, all together (W-1)·4 bytes for
//
//	0: 2·P an update      1: 2·P      2: P a micro-batch, and P      3: P a micro-batch, what lies outside the layers, and each layer as often as it was not in a slot
func TestVolume(t *testing.T) {
	for _, ranks := range []int{2, 3} {
		for stage := range 4 {
			dir := filepath.Join(t.TempDir(), "run")
			out, err := asRanks(t, ranks, "TestDividedRank", asRank+"="+strconv.Itoa(stage), rankDir+"="+dir)
			if err != nil || strings.Count(string(out), "sent as was said") != ranks {
				t.Errorf("stage %d, %d ranks: %v\n%s", stage, ranks, err, out)
				continue
			}
			sameAsModel(t, dir)
		}
	}
}

// sameAsModel wants the checkpoint of a run to be what its final model is, whoever has written which part.
func sameAsModel(t *testing.T, dir string) {
	t.Helper()
	path, _, err := checkpoint.Latest(filepath.Join(dir, "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	state, err := checkpoint.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := checkpoint.OpenModelDir(filepath.Join(dir, "model"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	n := 0
	for _, x := range state.Tensors {
		name, ok := strings.CutPrefix(x.Name, "weight/")
		if !ok || name == "score.weight" { // that is in a file of its own
			continue
		}
		is, err := d.ReadF32(name)
		if err != nil {
			t.Fatal(err)
		}
		if n++; !bytes.Equal(checkpoint.F32Bytes(is), x.Data) {
			t.Errorf("%s: %s is another one in the model", dir, name)
		}
	}
	if n < 30 {
		t.Errorf("%s: %d weights", dir, n)
	}
}

// dividedModel is one that the processes of a group divide. Sizes are multiples of 64, so that there are no gaps between parameters.
func dividedModel(t *testing.T, dev *kernels.Device, c Config, g *collective.Group) *model.Model {
	t.Helper()
	o := c.options()
	if g != nil {
		o.Sharding = model.Sharding{Stage: c.ZeroStage, Ranks: g.Size(), Group: g, Bucket: 5000}
	}
	m, err := model.New(dev, model.Config{VocabSize: 64, HiddenSize: 64, IntermediateSize: 64, NumHiddenLayers: 4, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		MaxPositionEmbeddings: 64, InitializerRange: 0.1, EOSTokenIDs: []int32{tinyEnd}}, o, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDividedRank is a rank of TestVolume. Alone it does nothing.
func TestDividedRank(t *testing.T) {
	stage, err := strconv.Atoi(os.Getenv(asRank))
	if err != nil {
		t.Skip("for TestVolume only")
	}
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	w, err := collective.Surroundings(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	g, err := collective.Open(dev, w, nil, collective.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig("")
	c.OutputDir = os.Getenv(rankDir)
	c.ZeroStage, c.BatchTokens, c.MaxSteps, c.BatchSize, c.Accumulation = stage, 60, 3, 12, 1
	m := dividedModel(t, dev, c, g)
	defer m.Close()
	before := sentByAll(t, g)
	res, err := Train(t.Context(), m, pairs(24), c, WithGroup(g))
	if err != nil {
		t.Fatal(err)
	}
	sent := sentByAll(t, g) - before
	if res.MicroBatches%(res.Steps*g.Size()) != 0 || res.MicroBatches < 2*res.Steps*g.Size() {
		t.Fatalf("%d micro-batches of %d ranks in %d updates: the test wants several, and the same number at each rank", res.MicroBatches, g.Size(), res.Steps)
	}
	rounds, all, layer := res.MicroBatches/res.Steps/g.Size(), 0, 0
	for _, p := range m.Params() {
		all += p.Len()
		if strings.HasPrefix(p.Name, "model.layers.0.") {
			layer += p.Len()
		}
	}
	update := map[int]int{
		0: 2 * all,
		1: 2 * all,
		2: rounds*all + all,
		3: rounds*all + (all - 4*layer) + layer*(6+4*(rounds-1)), // all four and back two; then two and back two
	}[stage]
	want := res.Steps * (g.Size() - 1) * 4 * update
	if stage == 3 { // for the final model, and to compare it with what is in memory
		want += 2 * 4 * layer * (g.Size() - 1) * 4
	}
	if stage > 0 {
		want += res.Steps * (g.Size() - 1) * 8 * g.Size() // norms
	} else {
		want += 4 * all * (g.Size() - 1) // the first weights, by rank 0
	}
	if sent != want {
		t.Fatalf("stage %d, %d rounds: %d bytes sent in %d updates, want %d", stage, rounds, sent, res.Steps, want)
	}
	fmt.Println("sent as was said")
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}

// twoRanks runs a test of this program as two ranks, and gives what they say.
func twoRanks(t *testing.T, test string, env ...string) string {
	t.Helper()
	out, err := asRanks(t, 2, test, env...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", env, err, out)
	}
	return out
}

// asRanks runs a test of this program as some ranks.
func asRanks(t *testing.T, ranks int, test string, env ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd, done, err := collective.Mpirun(ctx, ranks, os.Args[0], "-test.run=^"+test+"$", "-test.v")
	if errors.Is(err, collective.ErrNoMpirun) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer done()
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// asOneRank opens the device and the group of a process that twoRanks has started.
func asOneRank(t *testing.T) (*kernels.Device, *collective.Group) {
	t.Helper()
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	w, err := collective.Surroundings(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	g, err := collective.Open(dev, w, nil, collective.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return dev, g
}

func sentByAll(t *testing.T, g *collective.Group) (n int) {
	t.Helper()
	all, err := g.Share("what was sent", []float64{float64(g.Sent())})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		n += int(x[0])
	}
	return n
}
