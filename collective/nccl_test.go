//go:build cuda

package collective

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"criticrm/cuda"
	"criticrm/kernels"
)

// onGPU has ranks open the GPU of their number.
const onGPU = "COLLECTIVE_TEST_GPU"

func init() {
	if os.Getenv(onGPU) != "" {
		openDevice = func(w World) (*kernels.Device, error) {
			if os.Getenv(role) == "same" {
				w.Local = 0
			}
			return cuda.Open(w.Local, cuda.Options{})
		}
	}
	if emulated {
		most = 1<<18 + 77 // of a GPU in software
	}
	roles["speed"], roles["beside"] = speed, beside
	for name, f := range mistakes {
		roles[name] = f
	}
}

// gpuRanks runs a role in n processes with a GPU each.
func gpuRanks(t *testing.T, n int, name string, env ...string) (string, error) {
	t.Helper()
	return gpuRanksBy(t, n, name, []string{os.Args[0]}, env...)
}

// gpuRanksBy has a command start them.
func gpuRanksBy(t *testing.T, n int, name string, command []string, env ...string) (string, error) {
	t.Helper()
	if !emulated {
		list, err := cuda.Devices()
		if err != nil || len(list) < n {
			t.Skipf("%d GPUs are needed, and there are %d (%v)", n, len(list), err)
		}
	}
	for _, e := range append(env, onGPU+"=1", role+"="+name, fmt.Sprint("EMU_DEVICES=", n)) {
		k, v, _ := strings.Cut(e, "=")
		t.Setenv(k, v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out strings.Builder
	err := LaunchLocal(ctx, n, command[0], command[1:], &out, &out)
	return out.String(), err
}

func TestNCCLSums(t *testing.T) {
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			out, err := gpuRanks(t, n, "sums")
			if err != nil || strings.Count(out, "is content") != n {
				t.Errorf("%d ranks: %v\n%s", n, err, out)
			}
		})
	}
}

// TestNCCLBeside: what a device is given while transfers are in flight runs beside them, and several are in flight at once.
func TestNCCLBeside(t *testing.T) {
	out, err := gpuRanks(t, 2, "beside")
	if err != nil || strings.Count(out, "is content") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

func beside(g *Group, dev *kernels.Device) error {
	const n, late = 1000, 2 * time.Second
	var sums []kernels.Tensor
	var calls []*Pending
	other := dev.Alloc(kernels.F32, n)
	if g.rank == 1 {
		time.Sleep(late)
	}
	cuts := []int{0, 500, n}
	for i := range 3 {
		x, own := dev.Alloc(kernels.F32, n), dev.AllocZero(kernels.F32, 500)
		host := make([]float32, n)
		for j := range host {
			host[j] = float32(1 + i + g.rank)
		}
		dev.Upload(x, host)
		p, err := g.BeginReduce("a sum", own, x, cuts, false, nil)
		if err != nil {
			return err
		}
		sums, calls = append(sums, own), append(calls, p)
		start := time.Now()
		dev.Upload(other, host)
		got := make([]float32, n)
		dev.Download(got, other)
		if took := time.Since(start); g.rank == 0 && i == 0 && (took > late/2 || got[n-1] != host[n-1]) {
			return fmt.Errorf("what runs beside a transfer took %v", took)
		}
	}
	for i, p := range calls {
		if err := p.Wait(); err != nil {
			return err
		}
		got := make([]float32, 500)
		dev.Download(got, sums[i])
		for _, v := range got {
			if v != float32(3+2*i) {
				return fmt.Errorf("sum %d is %v", i, v)
			}
		}
	}
	fmt.Printf("rank %d of %d is content\n", g.Rank(), g.Size())
	return nil
}

// TestNCCLUnderMpirun: without MASTER_ADDR Open MPI tells ranks with GPUs where to meet.
func TestNCCLUnderMpirun(t *testing.T) {
	if list, _ := cuda.Devices(); !emulated && len(list) < 2 {
		t.Skip("2 GPUs are needed")
	}
	t.Setenv(onGPU, "1")
	t.Setenv("EMU_DEVICES", "2")
	out, err := ranks(t, 2, "sums")
	if err != nil || strings.Count(out, "is content") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNCCLUnderSrun: in a job of Slurm the ranks meet on its first host. The variables are made up.
func TestNCCLUnderSrun(t *testing.T) {
	script := `export SLURM_PROCID=$RANK SLURM_NTASKS=$WORLD_SIZE SLURM_LOCALID=$LOCAL_RANK SLURM_JOB_NODELIST=localhost,other SLURM_JOB_ID=$PPID
unset RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT CRITICRM_TOKEN
exec "$0"`
	out, err := gpuRanksBy(t, 2, "sums", []string{"/bin/sh", "-c", script, os.Args[0]})
	if err != nil || strings.Count(out, "is content") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNCCLSpeed says how fast GPUs add up: the bytes that each sends and the time are a lower bound of what is between them.
func TestNCCLSpeed(t *testing.T) {
	if emulated {
		t.Skip("the software GPU has no speed")
	}
	list, _ := cuda.Devices()
	n := max(2, len(list))
	out, err := gpuRanks(t, n, "speed")
	if err != nil || !strings.Contains(out, " GB/s") {
		t.Errorf("%d ranks: %v\n%s", n, err, out)
	}
	t.Log(out)
}

func speed(g *Group, dev *kernels.Device) error {
	x := dev.AllocZero(kernels.F32, 64<<20)
	defer dev.Free(x)
	var start time.Time
	var sent int64
	const warm, timed = 2, 10
	for i := range warm + timed {
		if i == warm {
			if err := g.Barrier("the start"); err != nil {
				return err
			}
			start, sent = time.Now(), g.Sent()
		}
		if err := g.Sum("a sum", x, false); err != nil {
			return err
		}
	}
	if err := dev.Sync(); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	if g.Rank() == 0 {
		fmt.Printf("%d ranks: sums of 64 Mi float32, %.2f ms each; each rank sends %.1f GB/s\n", g.Size(), 1e3*took/timed, float64(g.Sent()-sent)/took/1e9)
	}
	return nil
}

func TestNCCLFaults(t *testing.T) {
	host, _ := os.Hostname()
	for name, want := range map[string]string{
		"die":    "collective: rank 1 (HOST, process ",
		"stop":   "s: it is stopped, or its machine is gone; when last heard of, it ",
		"late":   "does not come to call ",
		"fail":   "has failed: the disk is full",
		"differ": `seed is "2" there and "1" here`,
	} {
		t.Run(name, func(t *testing.T) {
			n := 3
			if name == "die" || name == "stop" {
				n = 2
			}
			out, err := gpuRanks(t, n, name)
			if want := strings.ReplaceAll(want, "HOST", host); err == nil || !strings.Contains(out, want) {
				t.Errorf("%v\n%s\nlacks %q", err, out, want)
			}
		})
	}
}

// mistakes are programs that are wrong. What is said of them is what the library, or its stand-in, or the control finds.
var mistakes = map[string]func(g *Group, dev *kernels.Device) error{
	"count": func(g *Group, dev *kernels.Device) error {
		return raw(g, dev, func(p unsafe.Pointer) (done, error) {
			n := 64
			if g.rank == 1 {
				n = 32
			}
			return g.move.broadcast(p, n, 0)
		})
	},
	"order": func(g *Group, dev *kernels.Device) error {
		return raw(g, dev, func(p unsafe.Pointer) (done, error) {
			if g.rank == 1 {
				return g.move.broadcast(p, 64, 0)
			}
			return g.move.gather(p, parts(128, g.size, 1))
		})
	},
	"absent": func(g *Group, dev *kernels.Device) error {
		return raw(g, dev, func(p unsafe.Pointer) (done, error) {
			if g.rank == 1 {
				time.Sleep(4 * time.Second)
				return nil, errors.New("too late")
			}
			return g.move.broadcast(p, 64, 1)
		})
	},
	"freed": func(g *Group, dev *kernels.Device) error {
		x := dev.AllocZero(kernels.F32, 64)
		d, err := g.move.broadcast(unsafe.Add(x.Pointer(), 1<<30), 64, 0)
		if err == nil {
			err = await(d)
		}
		return g.broken("a broadcast", err)
	},
	"same": func(*Group, *kernels.Device) error { return errors.New("two ranks have one GPU") },
	"twice": func(g *Group, dev *kernels.Device) error {
		g.move.end(false)
		_, err := g.move.broadcast(nil, 64, 0)
		return err
	},
	// Another order of sums that are alike: no library can tell.
	"swapped": func(g *Group, dev *kernels.Device) error {
		x := dev.AllocZero(kernels.F32, 1000)
		names := []string{"the gradients of a", "the gradients of b"}
		if g.rank == 1 {
			slices.Reverse(names)
		}
		for _, what := range names {
			if err := g.Sum(what, x, false); err != nil {
				return err
			}
		}
		_, err := g.Share("figures", []float64{1})
		return err
	},
}

func await(d done) error {
	for {
		if ok, err := d(); ok || err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// raw makes a transfer without a call's care.
func raw(g *Group, dev *kernels.Device, begin func(unsafe.Pointer) (done, error)) error {
	x := dev.AllocZero(kernels.F32, 256)
	defer dev.Free(x)
	d, err := begin(x.Pointer())
	if err == nil {
		err = await(d)
	}
	if err == nil {
		_, err = g.Share("the end of the test", nil)
	}
	if err == nil {
		return errors.New("nothing has failed")
	}
	return g.broken("a mistake", err)
}

// TestNCCLMistakes: what would hang on GPUs, or be undefined there, is named by the stand-in.
func TestNCCLMistakes(t *testing.T) {
	if !emulated {
		t.Skip("these are undefined with the library itself")
	}
	for name, want := range map[string]string{
		"count":   "rank 0 has ncclBroadcast of 64 bytes from rank 0 in group 1 where rank 1 has ncclBroadcast of 32 bytes from rank 0 in group 1",
		"order":   "rank 0 has ncclAllGather of 64 bytes in group 1 where rank 1 has ncclBroadcast of 64 bytes from rank 0 in group 1",
		"absent":  "rank 1 does not come to ncclBroadcast of 64 bytes from rank 1 in group 1, where rank 0 waits since 2 seconds",
		"freed":   "NCCL does not broadcast: invalid argument: ncclBroadcast: 0x",
		"twice":   "the group has ended",
		"same":    "use the same device, 0",
		"swapped": "makes call 2 (the gradients of b)",
	} {
		t.Run(name, func(t *testing.T) {
			out, err := gpuRanks(t, 2, name, "EMU_NCCL_SECONDS=2")
			if name == "swapped" && strings.Contains(out, "has made other calls before call") { // where the heartbeat was not in time
				return
			}
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("%v\n%s\nlacks %q", err, out, want)
			}
		})
	}
}

// TestNCCLAlone: the library and its calls with one rank, which is what a machine with one GPU can show.
func TestNCCLAlone(t *testing.T) {
	lib, err := openNCCL(os.Getenv)
	if err != nil {
		t.Skip(err)
	}
	dev, err := cuda.Open(0, cuda.Options{})
	if err != nil {
		t.Skip(err)
	}
	defer dev.Close()
	id, err := lib.newID()
	if err != nil {
		t.Fatal(err)
	}
	g := &Group{size: 1, dev: dev, control: newControl(0, DefaultLimits(), nil)}
	if g.move, err = lib.engine(g, id); err != nil {
		t.Fatal(err)
	}
	const n = 1 << 20
	host := make([]float32, n)
	for i := range host {
		host[i] = float32(i)
	}
	x, y := dev.Alloc(kernels.F32, n), dev.AllocZero(kernels.F32, n)
	dev.Upload(x, host)
	all := parts(n, 1, 4)
	exchanged, err := g.move.exchange(y.Pointer(), all, x.Pointer(), all)
	if err != nil {
		t.Fatal(err)
	}
	gathered, err := g.move.gather(y.Pointer(), all)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := g.move.broadcast(y.Pointer(), 4*n, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []done{exchanged, gathered, sent} { // all are in flight
		if err := await(d); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]float32, n)
	dev.Download(got, y)
	if !slices.Equal(got, host) {
		t.Error("NCCL does not move what it was given")
	}
	dev.Free(x)
	dev.Free(y)
	g.move.end(false)
	t.Logf("NCCL %s", lib)
}
