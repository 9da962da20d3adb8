package tfevents

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
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
			if err := w.Scalars(step, []Value{{Tag: "train/loss", Value: float64(step)/4 + plus}, {Tag: "eval/λ " + strings.Repeat("x", 200), Value: -1e-30}}); err != nil {
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

// TensorBoard reads histograms.
func TestTensorBoardReadsHistograms(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := &Histogram{Min: -1, Max: 3, Sum: 4.5, Squares: 11, Limits: []float64{0, 1, 2, 3}, Counts: []float64{1, 0, 3, 300}}
	if err := errors.Join(w.Scalars(7, []Value{{Tag: "eval/margin_histogram", Histogram: h}, {Tag: "eval/loss", Value: 2}}), w.Close()); err != nil {
		t.Fatal(err)
	}
	got := tfeventstest.ReadHistograms(t, dir)["eval/margin_histogram"]
	if want := (tfeventstest.Histogram{Step: 7, Min: -1, Max: 3, Num: 304, Sum: 4.5, Squares: 11, Limits: h.Limits, Counts: h.Counts}); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("%+v, want %+v", got, want)
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
