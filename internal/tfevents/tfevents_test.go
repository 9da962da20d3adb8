package tfevents

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/internal/tfevents/tfeventstest"
)

// The checksum is CRC-32C, of which 0xe3069283 is that of "123456789" (the check value of every table of CRCs), turned by 15 bits, plus a constant.
func TestMasked(t *testing.T) {
	const crc = 0xe3069283
	if got, want := masked([]byte("123456789")), uint32((crc>>15|crc<<17)&math.MaxUint32)+0xa282ead8; got != want {
		t.Errorf("masked %08x, want %08x", got, want)
	}
}

// TensorBoard itself reads the files, all values, and of a run that went on each step once.
func TestTensorBoardReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs")
	write := func(from, to int64, plus float64) {
		w, err := Create(dir, from)
		if err != nil {
			t.Fatal(err)
		}
		for step := from; step < to; step++ {
			if err := w.Scalars(step, []Value{{"train/loss", float64(step)/4 + plus}, {"eval/λ " + strings.Repeat("x", 200), -1e-30}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 300, 0)
	write(200, 400, 1000)
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	got := tfeventstest.Read(t, dir)
	loss := got["train/loss"]
	if len(got) != 2 || len(loss) != 400 || len(got["eval/λ "+strings.Repeat("x", 200)]) != 400 {
		t.Fatalf("%d tags, %d losses", len(got), len(loss))
	}
	for i, e := range loss {
		want := float64(i) / 4
		if i >= 200 {
			want += 1000
		}
		if e[0] != float64(i) || e[1] != want || e[2] < 1.7e9 {
			t.Errorf("entry %d: %v, want value %v", i, e, want)
		}
	}
}

func TestCreateFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(file, 0); err == nil || !strings.Contains(err.Error(), "tfevents: ") {
		t.Error(err)
	}
}
