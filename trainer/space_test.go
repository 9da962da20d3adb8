package trainer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"criticrm/checkpoint"
)

// What a run is said to write is what it writes.
func TestSpaceOf(t *testing.T) {
	c := testConfig(t.TempDir())
	c.OutputDir = filepath.Join(c.OutputDir, "run")
	c.MaxSteps, c.SaveSteps = 9, 4
	m := tiny(t, c, 1)
	space := SpaceOf(m, c, NewPlan(c, 8))
	r, err := Train(context.Background(), m, pairs(8), c)
	if err != nil {
		t.Fatal(err)
	}
	list, err := checkpoint.List(filepath.Join(c.OutputDir, "checkpoints"))
	if err != nil || len(list) != space.Kept {
		t.Errorf("%d checkpoints, want %d (%v)", len(list), space.Kept, err)
	}
	manifest, err := checkpoint.ReadManifest(r.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if _, raw := manifest.Sizes(); uint64(raw) != space.Checkpoint {
		t.Errorf("a checkpoint of %d bytes, want %d", raw, space.Checkpoint)
	}
	var model int64
	for _, name := range []string{"model.safetensors", "reward_head.safetensors"} {
		info, err := os.Stat(filepath.Join(r.ModelDir, name))
		if err != nil {
			t.Fatal(err)
		}
		model += info.Size()
	}
	if header := model - int64(space.Model); header < 0 || header > 8<<10 {
		t.Errorf("a model of %d bytes, want %d and headers", model, space.Model)
	}
	if space.Copy != space.Checkpoint || space.Copy != uint64(copyBytes(m)) || space.Files < 64<<20 || space.Files != checkpoint.SaveMemory() {
		t.Errorf("a copy of %d bytes and %d for files, of a state of %d", space.Copy, space.Files, copyBytes(m))
	}
	for async, want := range map[string]uint64{AsyncAuto: space.Checkpoint, AsyncYes: space.Checkpoint, AsyncNo: 0} {
		if c.AsyncSave = async; SpaceOf(m, c, NewPlan(c, 8)).Copy != want {
			t.Errorf("async_save %s: a copy of %d bytes, want %d", async, SpaceOf(m, c, NewPlan(c, 8)).Copy, want)
		}
	}
	for limit, want := range map[int]int{0: 3, 1: 2, 2: 3, 5: 3} {
		if c.SaveTotalLimit = limit; SpaceOf(m, c, NewPlan(c, 8)).Kept != want {
			t.Errorf("save_total_limit %d: %d, want %d", limit, SpaceOf(m, c, NewPlan(c, 8)).Kept, want)
		}
	}
}

// A full disk is an error before the first step, one that will be full a warning.
func TestSpaceFits(t *testing.T) {
	s := Space{Checkpoint: 30 << 20, Model: 10 << 20, Kept: 3}
	for _, x := range []struct {
		free          uint64
		warning, want string
	}{
		{40<<20 - 1, "", "up to 40 MiB, and the disk of d has 39 MiB left"},
		{40 << 20, "3 checkpoints and the model take up to 100 MiB", ""},
		{100 << 20, "", ""},
	} {
		warning, err := s.Fits("d", x.free)
		if x.want != "" && (!errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), x.want)) || x.want == "" && err != nil ||
			!strings.Contains(warning, x.warning) || (warning == "") != (x.warning == "") {
			t.Errorf("%d: %q, %v", x.free, warning, err)
		}
	}
	// A run that will keep more checkpoints than any disk holds says so when it begins.
	c := testConfig(filepath.Join(t.TempDir(), "run"))
	c.MaxSteps, c.SaveSteps = 1<<40, 1
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var log bytes.Buffer
	for range 2 { // the second time it is no new run
		_, err := Train(ctx, tiny(t, c, 1), pairs(8), c, WithReport(Report{Log: &log}))
		if !errors.Is(err, ErrInterrupted) || strings.Count(log.String(), "warning: 1099511627776 checkpoints and the model") != 1 {
			t.Errorf("%v\n%s", err, &log)
		}
		c.Resume = "latest"
	}
}
