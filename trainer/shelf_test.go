package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
)

// long are examples whose bytes fill a few blocks of a shelf.
func long(n int) (list Slice) {
	for i := range n {
		e := render.Example{ID: fmt.Sprint("example ", i), Margin: float32(i)}
		for j := range 1 + i*7919%9000 {
			e.Document.IDs = append(e.Document.IDs, int32(j*i))
		}
		list = append(list, e)
	}
	return list
}

// Examples come back as they were, whatever part of them is in memory, and in any order; their file has no name.
func TestShelf(t *testing.T) {
	list := long(300)
	for _, keep := range []int64{0, 1000, block, block + 1, 5 * block / 2, 1 << 30} {
		d := shelved(t, list, keep)
		s := d.examples
		if inMemory, all := s.at[d.Len()]-s.onDisk(), s.at[d.Len()]; inMemory > keep || all > keep && s.onDisk() == 0 || all < 3*block {
			t.Errorf("keep %d: %d bytes of %d in memory", keep, inMemory, all)
		}
		if names, err := os.ReadDir(s.dir); err != nil || len(names) > 0 {
			t.Errorf("keep %d: %v lies in the directory, %v", keep, names, err)
		}
		for k := range list {
			i := (k*101 + 17) % len(list)
			if e, err := d.Example(i); err != nil || !reflect.DeepEqual(e, list[i]) {
				t.Fatalf("keep %d: example %d: %v", keep, i, err)
			}
		}
	}
}

// What is not as it was written is an error that says so, and what to do: a byte, another example in an example's place, an end that is missing.
func TestShelfDamaged(t *testing.T) {
	list := long(20)
	d := shelved(t, list, 0)
	s := d.examples
	want := func(what string, i int, words string) {
		t.Helper()
		if _, err := d.Example(i); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("example %d of 20", i+1)) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var b [1]byte
	for _, at := range []int64{s.at[7], s.at[7] + 5, s.at[8] - 1} {
		s.file.ReadAt(b[:], at)
		b[0] ^= 4
		s.file.WriteAt(b[:], at)
		want("a byte", 7, "not as they were written")
		b[0] ^= 4
		s.file.WriteAt(b[:], at)
	}
	if _, err := d.Example(7); err != nil {
		t.Fatal(err)
	}
	s.at[3], s.at[4] = s.at[5], s.at[6]
	want("another example", 3, "begin again, with another disk")
	s.file.Truncate(s.at[19] + 2)
	want("the end", 19, "EOF")
}

// A disk without room, and a directory that takes no file, are errors that name the setting, the directory and what helps.
func TestShelfWithoutRoom(t *testing.T) {
	s := newShelf(10, t.TempDir())
	s.left = func() int64 { return math.MaxInt64 }
	err := s.add(make([]byte, 100))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "data_memory: the tokens") || !strings.Contains(err.Error(), s.dir) ||
		!strings.Contains(err.Error(), "make room, raise data_memory, or take an output_dir on another disk") {
		t.Error(err)
	}
	s = newShelf(10, filepath.Join(t.TempDir(), "gone"))
	if err := s.add(make([]byte, 100)); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "data_memory: the tokens") {
		t.Error(err)
	}
	if dir := t.TempDir(); nearestDir(filepath.Join(dir, "a", "b")) != dir || nearestDir(dir) != dir || nearestDir("") != os.TempDir() {
		t.Error("nearestDir")
	}
}

// A process that was killed between making its file and taking the name away has left an empty one: the next removes it.
func TestShelfRemovesStale(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, shelfName+"123"), "")
	write(t, filepath.Join(dir, "other"), "")
	s := newShelf(0, dir)
	if err := s.add([]byte("x")); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 || names[0].Name() != "other" {
		t.Errorf("%v, %v", names, err)
	}
}

// opened is what LoadRecords needs for a recipe.
func opened(t *testing.T, c Config) *render.Renderer {
	t.Helper()
	dir, err := modeldir.Open(c.Model, c.given())
	if err != nil {
		t.Fatal(err)
	}
	r, err := render.Of(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The examples and the hash are those of rendering row after row, on any number of threads and wherever the examples lie.
func TestLoadRecordsIsRendering(t *testing.T) {
	c := fileConfig(t)
	write(t, c.TrainFile, records(300))
	r := opened(t, c)
	rows, err := record.ReadFile(c.TrainFile, record.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := sha256.Sum256([]byte(records(300)))
	h := sha256.New()
	h.Write([]byte(hex.EncodeToString(file[:])))
	var want Slice
	for _, rec := range rows {
		e, _, err := r.Pair(rec, c.Render(256))
		if err != nil {
			t.Fatal(err)
		}
		e.Digest(h)
		want = append(want, e)
	}
	for _, threads := range []int{1, 2, 8} {
		for _, memory := range []int{0, 1} {
			c.Threads, c.DataMemory = threads, memory
			d, err := LoadRecords(context.Background(), c.TrainFile, r, c, 256, Report{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if onDisk := strings.Contains(d.String(), "of tokens lie on the disk of"); onDisk != (memory == 0) {
				t.Errorf("%d MiB: %v", memory, d)
			}
			if sum, _ := d.Hash(); sum != hex.EncodeToString(h.Sum(nil)) || d.Len() != len(want) {
				t.Errorf("%d threads, %d MiB: %d examples with the hash %s", threads, memory, d.Len(), sum)
			}
			for i := range want {
				if e, err := d.Example(i); err != nil || !reflect.DeepEqual(e, want[i]) {
					t.Fatalf("%d threads, %d MiB: example %d: %v", threads, memory, i, err)
				}
			}
		}
	}
}

// The first bad row of a file is the error on any number of threads; under max_bad the same rows are set aside.
func TestLoadRecordsFirstFault(t *testing.T) {
	c := fileConfig(t)
	c.Method = BT
	r := opened(t, c)
	text := strings.SplitAfter(records(200), "\n")
	text[120] = "{\n"                                                                               // not JSON
	text[60] = `{"prompt": "p", "response": "no pair"}` + "\n"                                      // another schema
	text[40] = `{"prompt": "p", "chosen": "` + strings.Repeat("four ", 300) + `", "rejected": "r"}` // too long: only rendering knows
	text[40] += "\n"
	write(t, c.TrainFile, strings.Join(text, ""))
	for _, bad := range []struct {
		max  int
		line string
	}{{0, "train.jsonl:41:"}, {1, "train.jsonl:61:"}, {2, "train.jsonl:121@1:"}, {3, ""}} {
		for _, threads := range []int{1, 3, 8} {
			c.Threads, c.MaxBad = threads, bad.max
			d, err := LoadRecords(context.Background(), c.TrainFile, r, c, 256, Report{})
			switch {
			case bad.line != "" && (err == nil || !strings.Contains(err.Error(), bad.line)):
				t.Errorf("max_bad %d, %d threads: %v, want line %s", bad.max, threads, err, bad.line)
			case bad.line == "" && (err != nil || d.BadRows != 3 || d.Len() != 197):
				t.Errorf("max_bad %d, %d threads: %v, %v", bad.max, threads, d, err)
			}
			d.Close()
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := LoadRecords(ctx, c.TrainFile, r, c, 256, Report{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A run whose examples lie on the disk is, byte for byte, one that has them in memory, also where it is stopped and goes on the other way.
func TestRunFromDisk(t *testing.T) {
	dev, straight := devicetest.Open(t, 2), fileConfig(t)
	write(t, straight.TrainFile, records(30))
	if _, err := Run(context.Background(), dev, straight, Report{}); err != nil {
		t.Fatal(err)
	}
	for name, memory := range map[string][]int{"disk": {0}, "disk, then memory": {0, 1024}, "memory, then disk twice": {1024, 0, 0}} {
		c := straight
		c.OutputDir, c.Resume = filepath.Join(t.TempDir(), "a", "run"), "auto"
		for i, mib := range memory {
			c.DataMemory = mib
			ctx, cancel := context.WithCancel(context.Background())
			_, err := Run(ctx, dev, c, Report{OnStep: func(m Metrics) {
				if m.Step == 5*(i+1) && i < len(memory)-1 {
					cancel()
				}
			}})
			if last := i == len(memory)-1; last && err != nil || !last && !errors.Is(err, ErrInterrupted) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		sameOutcome(t, straight.OutputDir, c.OutputDir)
		noTokens(t, c.OutputDir)
	}
}

// noTokens wants no file of a shelf in a run's directory nor beside it.
func noTokens(t *testing.T, dir string) {
	t.Helper()
	for _, at := range []string{dir, filepath.Dir(dir)} {
		list, err := os.ReadDir(at)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if strings.HasPrefix(e.Name(), shelfName) {
				t.Errorf("%s lies in %s", e.Name(), at)
			}
		}
	}
}

// Memory does not grow with the file, but for 8 bytes an example.
func TestLoadRecordsMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("200,000 rows")
	}
	c := fileConfig(t)
	c.Method, c.DataMemory = LM, 1
	r := opened(t, c)
	const rows = 200_000
	f, err := os.Create(c.TrainFile)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		fmt.Fprintf(f, `{"id": "row %d", "text": "the answer is %d, and then it is the answer to %d"}`+"\n", i, i, i*i)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	d, err := LoadRecords(context.Background(), c.TrainFile, r, c, 256, Report{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	took := heap() - before
	if most := int64(1<<20 + 2*8*rows + 2<<20); d.Len() != rows || d.examples.onDisk() < 5<<20 || took > most {
		t.Errorf("%v: %d bytes of memory, want at most %d", d, took, most)
	}
	runtime.KeepAlive(d)
}
