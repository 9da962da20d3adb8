package collective

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"criticrm/kernels"
)

// A test with several ranks starts this very program again under mpirun, as the role that this variable names.
const role = "COLLECTIVE_TEST_ROLE"

// roles are what a rank does; an error ends it with the code 3 and its text.
var roles = map[string]func(g *Group, dev *kernels.Device) error{
	"sums": sums, "die": die, "stop": stop, "late": late, "fail": fail,
}

func TestMain(m *testing.M) {
	name := os.Getenv(role)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := play(name); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
}

// openDevice opens the device of a rank; ranks of GPUs have another one.
var openDevice = func(World) (*kernels.Device, error) { return kernels.OpenCPU(1) }

func play(name string) error {
	w, err := Surroundings(os.Getenv)
	if err != nil {
		return err
	}
	dev, err := openDevice(w)
	if err != nil {
		return err
	}
	defer dev.Close()
	facts := map[string]string{"seed": "1"}
	if name == "differ" && w.Rank == 2 {
		facts["seed"] = "2"
	}
	limits := Limits{Meet: time.Minute, Silence: time.Minute, Call: time.Minute}
	switch name {
	case "stop":
		limits.Silence = 3 * time.Second
	case "late":
		limits.Call = time.Second
	}
	g, err := Open(dev, w, facts, limits)
	if err != nil {
		return err
	}
	if err := roles[name](g, dev); err != nil {
		return errors.Join(err, ignore(g.Close()))
	}
	return g.Close()
}

func ignore(error) error { return nil }

// ranks runs a role in n processes.
func ranks(t *testing.T, n int, name string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd, done, err := Mpirun(ctx, n, os.Args[0])
	if errors.Is(err, ErrNoMpirun) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer done()
	cmd.Env = append(cmd.Env, role+"="+name)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// added is the sum of vectors in float32, in order or by halves.
func added(terms [][]float32, tree bool) []float32 {
	out := make([]float32, len(terms[0]))
	if tree && len(terms) > 1 {
		half := len(terms) / 2
		a, b := added(terms[:half], true), added(terms[half:], true)
		for i := range out {
			out[i] = a[i] + b[i]
		}
		return out
	}
	for _, t := range terms {
		for i, v := range t {
			out[i] += v
		}
	}
	return out
}

// most elements are summed in more than one bucket.
var most = bucket + 77

// sums compares the group's sums, gathers and broadcasts with what they must be, to the bit.
func sums(g *Group, dev *kernels.Device) error {
	for _, n := range []int{1, 63, 64, 65, 1000, most} {
		values := func(rank int) []float32 {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(math.Sin(float64(i*7+rank*13+1))) * float32(math.Pow(10, float64((i+rank)%9-4)))
			}
			return x
		}
		x := dev.Alloc(kernels.F32, n)
		dev.Upload(x, values(g.Rank()))
		tree := n%2 == 0 && g.Size()&(g.Size()-1) == 0
		if err := g.Sum("a sum", x, tree); err != nil {
			return err
		}
		terms := make([][]float32, g.Size())
		for r := range terms {
			terms[r] = values(r)
		}
		want := added(terms, tree)
		got := make([]float32, n)
		dev.Download(got, x)
		for i := range got {
			if got[i] != want[i] {
				return fmt.Errorf("n %d: sum %d is %v, want %v", n, i, got[i], want[i])
			}
		}
		dev.Upload(x, values(g.Rank()))
		if err := g.Broadcast("a broadcast", x, g.Size()-1); err != nil {
			return err
		}
		dev.Download(got, x)
		for i, v := range values(g.Size() - 1) {
			if got[i] != v {
				return fmt.Errorf("n %d: broadcast %d is %v, want %v", n, i, got[i], v)
			}
		}
		dev.Free(x)
	}
	all, err := g.Share("numbers", []float64{float64(g.Rank()), math.Pi})
	if err != nil {
		return err
	}
	for r, x := range all {
		if len(x) != 2 || x[0] != float64(r) || x[1] != math.Pi {
			return fmt.Errorf("numbers of rank %d are %v", r, x)
		}
	}
	if g.Sent() == 0 {
		return errors.New("nothing was sent")
	}
	fmt.Printf("rank %d of %d is content\n", g.Rank(), g.Size())
	return nil
}

// step is a call that all ranks make for ever.
func step(g *Group, dev *kernels.Device, at func(i int)) error {
	x := dev.AllocZero(kernels.F32, 1000)
	defer dev.Free(x)
	for i := range 1 << 20 {
		at(i)
		if err := g.Sum(fmt.Sprintf("the gradients of step %d", i), x, false); err != nil {
			return err
		}
	}
	return errors.New("nothing has failed")
}

func die(g *Group, dev *kernels.Device) error {
	return step(g, dev, func(i int) {
		if i == 20 && g.Rank() == 1 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
}

func stop(g *Group, dev *kernels.Device) error {
	return step(g, dev, func(i int) {
		if i == 20 && g.Rank() == 1 {
			_ = exec.Command("sh", "-c", fmt.Sprintf("sleep 8; kill -CONT %d", os.Getpid())).Start() // or mpirun waits for it
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		}
	})
}

func late(g *Group, dev *kernels.Device) error {
	return step(g, dev, func(i int) {
		if i == 20 && g.Rank() == 2 {
			time.Sleep(5 * time.Second)
		}
	})
}

func fail(g *Group, dev *kernels.Device) error {
	return step(g, dev, func(i int) {
		if i == 20 && g.Rank() == 2 {
			_ = g.Fail(errors.New("the disk is full"))
		}
	})
}

func TestSums(t *testing.T) {
	for _, n := range []int{2, 3, 4} {
		out, err := ranks(t, n, "sums")
		if err != nil || strings.Count(out, "is content") != n {
			t.Errorf("%d ranks: %v\n%s", n, err, out)
		}
	}
}

func TestFaults(t *testing.T) {
	for name, want := range map[string]string{
		"die":    "collective: rank 1 (HOST, process ",
		"stop":   "s: it is stopped, or its machine is gone; when last heard of, it ",
		"late":   "does not come to call 4",
		"fail":   "has failed: the disk is full",
		"differ": `rank 2 (HOST, process `,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := ranks(t, 3, name)
			host, _ := os.Hostname()
			if want = strings.ReplaceAll(want, "HOST", host); err == nil || !strings.Contains(out, want) {
				t.Errorf("%v\n%s\nlacks %q", err, out, want)
			}
			if name == "differ" && !strings.Contains(out, `seed is "2" there and "1" here`) {
				t.Errorf("%s", out)
			}
		})
	}
}

// All ranks may be in the same call, and the network is not.
func TestStuck(t *testing.T) {
	now := time.Now()
	c := newControl(0, Limits{Call: time.Second}, nil)
	c.at, c.since = place{Call: 5, What: "a sum", Inside: true}, now.Add(-3*time.Second)
	c.peers = []*peer{{message: message{Rank: 1}, at: place{Call: 5, What: "a sum", Inside: true, For: 3 * time.Second}}}
	if e := c.laggard(now); e == nil || !strings.Contains(e.Text, "all ranks wait in call 5 (a sum) since 3s") {
		t.Errorf("%v", e)
	}
	c.peers[0].at.For = time.Second
	if e := c.laggard(now); e != nil {
		t.Errorf("%v", e)
	}
}

func TestSurroundings(t *testing.T) {
	for _, x := range []struct {
		env  map[string]string
		want World
		err  string
	}{
		{nil, World{Size: 1}, ""},
		{map[string]string{"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, World{3, 8, 1, 0, "torchrun"}, ""},
		{map[string]string{"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}, World{3, 8, 1, 0, "srun"}, ""},
		{map[string]string{"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, World{1, 2, -1, 0, "mpirun"}, ""},
		{map[string]string{"RANK": "3"}, World{Size: 1}, ""}, // one of them alone says nothing
		{map[string]string{"RANK": "8", "WORLD_SIZE": "8"}, World{}, "rank 8 of 8"},
		{map[string]string{"RANK": "x", "WORLD_SIZE": "8"}, World{}, `RANK is "x": want a number`},
	} {
		got, err := Surroundings(func(k string) string { return x.env[k] })
		if got != x.want || (err == nil) != (x.err == "") || err != nil && !strings.Contains(err.Error(), x.err) {
			t.Errorf("%v: %+v, %v, want %+v, %q", x.env, got, err, x.want, x.err)
		}
	}
}

func TestPartsAreWhole(t *testing.T) {
	for _, n := range []int{0, 1, 64, 65, 1000, 1 << 20} {
		for size := 1; size < 10; size++ {
			at := 0
			for r := range size {
				lo, hi := Part(n, r, size)
				if lo != at || hi < lo || lo%aligned != 0 && lo != n {
					t.Errorf("%d of %d elements: rank %d has [%d, %d), the one before ended at %d", size, n, r, lo, hi, at)
				}
				at = hi
			}
			if at != n {
				t.Errorf("%d parts of %d end at %d", size, n, at)
			}
		}
	}
}
