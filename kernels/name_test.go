package kernels_test

import (
	"strings"
	"testing"

	"criticrm/kernels"
)

func TestParseDevice(t *testing.T) {
	for name, want := range map[string]struct {
		kind    string
		ordinal int
	}{"auto": {"auto", 0}, "cpu": {"cpu", 0}, "cuda": {"cuda", 0}, "cuda:0": {"cuda", 0}, "cuda:15": {"cuda", 15}} {
		kind, ordinal, err := kernels.ParseDevice(name)
		if kind != want.kind || ordinal != want.ordinal || err != nil {
			t.Errorf("%s: %s %d %v", name, kind, ordinal, err)
		}
	}
	for _, name := range []string{"", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda:99999", "cuda0", "cpu:0", " cpu"} {
		if _, _, err := kernels.ParseDevice(name); err == nil || !strings.Contains(err.Error(), "want auto, cpu, cuda or cuda:N, got ") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
