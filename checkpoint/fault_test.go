package checkpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"

	"criticrm/checkpoint/vfs"
	"criticrm/checkpoint/vfs/vfstest"
)

// faults are the ways in which an operation fails.
func faults() []vfstest.Plan {
	var out []vfstest.Plan
	for _, e := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EROFS, syscall.EMFILE,
		syscall.EINTR, syscall.ESTALE} {
		out = append(out, vfstest.Plan{Err: e}, vfstest.Plan{Err: e, Forever: true})
	}
	return append(out, vfstest.Plan{Short: true}, vfstest.Plan{Short: true, Err: syscall.ENOSPC},
		vfstest.Plan{Err: syscall.EIO, When: vfstest.After})
}

// silent says whether an error at the operation may go unreported: reads of older checkpoints that only serve an
// estimate or a message. Every change, and every read of what was just saved, must be reported.
func silent(op vfstest.Op, p prior) bool {
	older := strings.HasPrefix(op.Name, ckptDir+"/step-") && !strings.Contains(op.Name, stepDir(p.step, 1))
	older = older || p.step == p.acked // the step is there: if it cannot be read, it is saved under another name
	switch op.Kind {
	case "open", "read", "seek", "close", "readdir", "lstat":
		return older
	}
	return false
}

// tryFault runs one save with one fault and then a healthy one.
func tryFault(save saver, p prior, plan vfstest.Plan, rng *rand.Rand) error {
	disk := p.disk.Crash(vfstest.KeepAll, rng)
	f := vfstest.NewFault(disk, plan)
	err := save(f, stateAt(p.step), p.keep)
	if len(f.Fired()) == 0 {
		return nil // a short write where nothing is written
	}
	op := f.Fired()[0]
	struck := op.Kind == "write" || !plan.Short // a short write does nothing to other operations
	switch {
	case err == nil && struck && !silent(op, p):
		return fmt.Errorf("%v: no error", op)
	case err != nil:
		if err := namesOp(err, f.Fired(), plan); err != nil {
			return err
		}
	}
	newest := p.acked
	if err == nil {
		newest = p.step
	}
	models := []vfstest.Model{vfstest.KeepNone, vfstest.KeepAll, vfstest.Model(2 + rng.IntN(4))}
	for _, model := range models { // a power cut now: what was acknowledged is there
		if err := survives(disk.Crash(model, rng), newest, int(min(newest, 2))); err != nil {
			return fmt.Errorf("%v, then a power cut, model %v: %w", op, model, err)
		}
	}
	// The disk works again: the same step can be saved, and is durable even if an fsync failed before.
	if err := rightSave(disk, stateAt(p.step), p.keep); err != nil {
		return fmt.Errorf("%v, next save: %w", op, err)
	}
	for _, model := range models[:2] {
		if err := survivesTwoFaults(disk.Crash(model, rng), p.step); err != nil {
			return fmt.Errorf("%v, saved again, model %v: %w", op, model, err)
		}
	}
	return nil
}

// survivesTwoFaults is survives for a disk on which even the undoing of a failed pruning failed: an old checkpoint that was
// being removed may be there in part, behind two whole ones.
func survivesTwoFaults(disk *vfstest.Sim, newest int64) error {
	entries, _, err := list(disk, ckptDir)
	if err != nil {
		return err
	}
	whole := 0
	for i, e := range entries {
		s, err := load(disk, e.Path)
		if err == nil {
			err = sameState(s, stateAt(e.Step))
		}
		if err != nil && whole < 2 {
			return err
		}
		if i == 0 && e.Step < newest {
			return fmt.Errorf("step %d was acknowledged and is lost: %v", newest, disk.Tree())
		}
		whole++
	}
	if whole < int(min(newest, 2)) {
		return fmt.Errorf("%d left: %v", whole, disk.Tree())
	}
	return nil
}

// namesOp wants the error itself, and the operation and the file of one of the faults (of the first, if there is one).
func namesOp(err error, fired []vfstest.Op, plan vfstest.Plan) error {
	text := err.Error()
	if plan.Short && plan.Err == nil {
		if !strings.Contains(text, "short write") {
			return fmt.Errorf("%v: %q does not speak of a short write", fired[0], text)
		}
	} else if !errors.Is(err, plan.Err) {
		return fmt.Errorf("%v: %q does not wrap %v", fired[0], text, plan.Err)
	}
	for _, op := range fired {
		kind := op.Kind
		if kind == "seek" {
			kind = "read"
		}
		if strings.Contains(text, kind) && strings.Contains(text, path.Base(op.Name)) {
			return nil
		}
	}
	return fmt.Errorf("%v: %q does not name operation and file", fired[0], text)
}

func TestEveryErrorIsReported(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	tried := 0
	for i, p := range priors(t) {
		full, _ := crashAt(rightSave, p.disk.Crash(vfstest.KeepAll, rng), p, vfstest.Plan{})
		for k := range full.Ops() {
			for n, plan := range faults() {
				// Every fault on the disk with pruning, some of them on the others.
				if i != 3 && (k+n)%29 != 0 {
					continue
				}
				plan.At = k + 1
				tried++
				if err := tryFault(rightSave, p, plan, rng); err != nil {
					t.Errorf("%s, %+v: %v", p.name, plan, err)
					break
				}
			}
		}
	}
	t.Logf("%d faults", tried)
	if tried < 2000 {
		t.Errorf("only %d faults: a loop was skipped", tried)
	}
}

// A retried fsync and an ignored close error must be found by the same trial.
func TestWrongReactionsAreFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for name, save := range map[string]saver{
		"fsync retried": through(wrongFS{retryFsync: true}),
		"close ignored": through(wrongFS{ignoreClose: true}),
	} {
		p := priors(t)[1]
		full, _ := crashAt(rightSave, p.disk.Crash(vfstest.KeepAll, rng), p, vfstest.Plan{})
		found := ""
		for k := range full.Ops() {
			if err := tryFault(save, p, vfstest.Plan{At: k + 1, Err: syscall.EIO}, rng); err != nil {
				found = err.Error()
				break
			}
		}
		if found == "" {
			t.Errorf("%s: not found", name)
			continue
		}
		t.Logf("%s: %s", name, found)
	}
}

// A flipped bit on the way back from the disk is found by the read-back, and that checkpoint is not acknowledged.
func TestReadBackFindsFlips(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	p := priors(t)[1]
	full, _ := crashAt(rightSave, p.disk.Crash(vfstest.KeepAll, rng), p, vfstest.Plan{})
	flips := 0
	for _, op := range full.Ops() {
		if path.Base(op.Name) == ".tmp-"+latestName {
			break // acknowledged; what is read now serves the pruning
		}
		if op.Kind != "read" || !strings.Contains(op.Name, stepDir(p.step, 1)) {
			continue
		}
		disk := p.disk.Crash(vfstest.KeepAll, rng)
		f := vfstest.NewFault(disk, vfstest.Plan{At: op.N, Flip: true})
		err := rightSave(f, stateAt(p.step), p.keep)
		if err == nil {
			t.Errorf("%v: flipped and acknowledged", op)
		}
		flips++
		if e, lerr := latest(disk, ckptDir, ckptDir); lerr != nil || e.Step != p.acked {
			t.Errorf("%v: newest is %v, %v", op, e.Step, lerr)
		}
	}
	if flips < 3 {
		t.Errorf("%d flips", flips)
	}
}

func TestDiskFull(t *testing.T) {
	disk := vfstest.NewSim()
	for step := range int64(2) {
		if err := rightSave(disk, stateAt(step+1), 2); err != nil {
			t.Fatal(err)
		}
	}
	free, _ := disk.Free(".")
	disk.SetCapacity(1)
	used, _ := disk.Free(".")
	if used != 0 || free == 0 {
		t.Fatal("capacity has no effect")
	}
	total := int64(0)
	for _, line := range disk.Tree() {
		var n int64
		if _, err := fmt.Sscanf(line[strings.LastIndex(line, " ")+1:], "%d", &n); err == nil {
			total += n
		}
	}
	for _, room := range []int64{0, 500, 1500, 70 << 10} {
		disk.SetCapacity(total + room)
		err := rightSave(disk, stateAt(3), 2)
		if room < 70<<10 {
			if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "saving step 3 failed: write ") ||
				!strings.HasSuffix(err.Error(), "KiB); newest good checkpoint: step 2") {
				t.Errorf("room for %d bytes: %v", room, err)
			}
			if e, err := latest(disk, ckptDir, ckptDir); err != nil || e.Step != 2 {
				t.Errorf("newest is %d, %v", e.Step, err)
			}
		} else if err != nil {
			t.Errorf("after space was freed: %v", err)
		}
	}
}

// liar says that there is room when there is none: what a full disk looks like when others write to it too.
type liar struct{ vfs.FS }

func (liar) Free(string) (uint64, error) { return 1 << 40, nil }

func TestDiskFillsWhileSaving(t *testing.T) {
	for room := int64(0); room < 4000; room += 97 {
		disk := vfstest.NewSim()
		if err := rightSave(disk, stateAt(1), 2); err != nil {
			t.Fatal(err)
		}
		disk.SetCapacity(1 << 30)
		free, _ := disk.Free(".")
		disk.SetCapacity(1<<30 - int64(free) + room)
		err := rightSave(liar{disk}, stateAt(2), 2)
		want := int64(1)
		if err == nil {
			want = 2
		} else if !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), "is saved, but") {
			t.Errorf("room %d: %v", room, err)
		} else if strings.Contains(err.Error(), "is saved, but") {
			want = 2
		}
		e, lerr := latest(disk, ckptDir, ckptDir)
		if lerr != nil || e.Step != want {
			t.Errorf("room %d: newest %d %v after %v", room, e.Step, lerr, err)
		}
		if strings.Contains(strings.Join(disk.Tree(), "\n"), tmpPrefix) {
			t.Errorf("room %d: the failed save still takes space: %v", room, disk.Tree())
		}
	}
}
