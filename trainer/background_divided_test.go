package trainer

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"criticrm/checkpoint"
)

// writingRank says what TestWritingRank does as a rank of TestBackgroundDivided.
const writingRank = "CRITICRM_TEST_WRITING_RANK"

// Checkpoints that ranks write together while training goes on have the bytes of those that training waits for. One of which a part is not written is none, is told, and
// training goes on; and a run goes on from them.
func TestBackgroundDivided(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	for stage := 1; stage <= 3; stage++ {
		all := map[string]map[string]string{}
		for _, async := range []string{AsyncNo, AsyncYes} {
			out := twoRanks(t, "TestWritingRank", fmt.Sprintf("%s=%d %s", writingRank, stage, async), rankDir+"="+dir)
			if strings.Count(out, "in the background: "+map[string]string{AsyncNo: "false", AsyncYes: "true"}[async]) != 2 {
				t.Errorf("stage %d, %s:\n%s", stage, async, out)
			}
			all[async] = filesUnder(t, filepath.Join(dir, "checkpoints"))
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		sameCheckpoints(t, fmt.Sprint("stage ", stage), all[AsyncNo], all[AsyncYes])
	}
	out := twoRanks(t, "TestWritingRank", writingRank+"=2 lost", rankDir+"="+dir)
	// Rank 0 may be named before it: it may not have opened its own file yet.
	if !strings.Contains(out, "rank 1: ") || !strings.Contains(out, "training goes on, the newest good checkpoint is none") {
		t.Error(out)
	}
	entries, err := checkpoint.List(filepath.Join(dir, "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.Complete() || e.Step == 4 {
			t.Errorf("%+v", e)
		}
	}
	if len(entries) != 4 {
		t.Errorf("%+v", entries)
	}
	want := filesUnder(t, filepath.Join(dir, "model"))
	for _, e := range entries[:2] { // the newest first
		if err := os.RemoveAll(e.Path); err != nil {
			t.Fatal(err)
		}
	}
	twoRanks(t, "TestWritingRank", writingRank+"=2 yes", rankDir+"="+dir)
	if got := filesUnder(t, filepath.Join(dir, "model")); got["model.safetensors"] != want["model.safetensors"] {
		t.Error("the model of a run that went on is another one")
	}
}

// TestWritingRank is a rank of TestBackgroundDivided. Alone it does nothing.
func TestWritingRank(t *testing.T) {
	number, async, _ := strings.Cut(os.Getenv(writingRank), " ")
	stage, err := strconv.Atoi(number)
	if err != nil {
		t.Skip("for TestBackgroundDivided only")
	}
	dev, g := asOneRank(t)
	c := asyncConfig(os.Getenv(rankDir), async)
	c.ZeroStage, c.Resume, c.MaxSteps = stage, "auto", 20
	copies := 0
	beforeCopy = func() { copies++; time.Sleep(20 * time.Millisecond) }
	if async == "lost" {
		c.AsyncSave = AsyncYes
		lost := false
		beforeCopy = func() {
			if g.Rank() == 0 || lost {
				return
			}
			lost = true
			parts, err := filepath.Glob(filepath.Join(c.OutputDir, checkpointsDir, ".tmp-*"))
			if err != nil || len(parts) != 1 {
				t.Errorf("%v, %v", parts, err)
				return
			}
			if err := os.Rename(parts[0], filepath.Join(c.OutputDir, "gone")); err != nil {
				t.Error(err)
			}
		}
	}
	m := dividedModel(t, dev, c, g)
	defer m.Close()
	if _, err := Train(t.Context(), m, pairs(24), c, WithGroup(g), WithReport(Report{Log: os.Stdout})); err != nil {
		t.Fatal(err)
	}
	fmt.Println("in the background:", copies > 0)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}
