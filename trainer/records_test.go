package trainer

import "testing"

// shelved are records of examples, of which so many bytes stay in memory.
func shelved(t *testing.T, examples Slice, keep int64) *Records {
	t.Helper()
	d := &Records{examples: newShelf(keep, t.TempDir())}
	for i := range examples {
		b, err := examples[i].AppendBinary(nil)
		if err == nil {
			err = d.examples.add(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := d.examples.seal(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// Held-out examples that are trained on are counted, those with the label turned round apart: each as often as it is there, and whichever
// of the two files is the smaller one.
func TestOverlap(t *testing.T) {
	all := pairs(20)
	eval := append(Slice{}, all[3:6]...)
	eval[1].Chosen, eval[1].Rejected = eval[1].Rejected, eval[1].Chosen
	eval = append(eval, eval[0], eval[0])
	for _, train := range []Slice{all[:5], all[:4], append(append(Slice{}, all[:5]...), all[8:]...), append(append(Slice{}, all[:5]...), all[:5]...)} {
		wantSwapped := 1
		if len(train) == 4 {
			wantSwapped = 0
		}
		same, swapped, err := overlap(shelved(t, train, 1<<20), shelved(t, eval, 0))
		if err != nil || same != 3 || swapped != wantSwapped {
			t.Errorf("%d to train on: %d as they are and %d swapped, want 3 and %d (%v)", len(train), same, swapped, wantSwapped, err)
		}
	}
}
