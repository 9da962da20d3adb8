package cuda

import "testing"

// The faults: errors that the list of lost devices did not have, such as CONTAINED and EXTERNAL_DEVICE, and those of newer drivers.
func TestLost(t *testing.T) {
	for _, code := range []int{214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 911, 916, 999, 730, 1234} {
		if !lost(code) {
			t.Errorf("after error %d the device can be used", code)
		}
	}
	for _, code := range []int{1, 2, 3, 100, 101, 201, 209, 400, 600, 701, 712, 801, 912} {
		if lost(code) {
			t.Errorf("after error %d the device is lost", code)
		}
	}
}
