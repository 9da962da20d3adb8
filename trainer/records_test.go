package trainer

import "testing"

// Held-out examples that are trained on are counted, those with the label turned round apart.
func TestOverlap(t *testing.T) {
	all := pairs(6)
	eval := append(Slice{}, all[3:]...)
	eval[1].Chosen, eval[1].Rejected = eval[1].Rejected, eval[1].Chosen
	if same, swapped := overlap(&Records{examples: all[:5]}, &Records{examples: eval}); same != 1 || swapped != 1 {
		t.Errorf("%d as they are and %d swapped, want 1 and 1", same, swapped)
	}
}
