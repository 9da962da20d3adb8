package device_test

import (
	"strings"
	"testing"

	"criticrm/cuda"
	"criticrm/device"
)

func TestCheck(t *testing.T) {
	for _, name := range []string{"auto", "cpu", "cuda", "cuda:0", "cuda:15"} {
		if err := device.Check(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda:99999", "cuda0", "cpu:0", " cpu"} {
		err := device.Check(name)
		if err == nil || !strings.Contains(err.Error(), "want auto, cpu, cuda or cuda:N") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestOpenCPU(t *testing.T) {
	names := []string{"cpu"}
	if !cuda.Built {
		names = append(names, "auto")
	}
	for _, name := range names {
		var log strings.Builder
		d, err := device.Open(name, 1, &log)
		if err != nil {
			t.Fatal(err)
		}
		if d.Name() != "cpu" || log.Len() > 0 {
			t.Errorf("%s opens %s and says %q", name, d.Name(), log.String())
		}
		d.Close()
	}
	if _, err := device.Open("cpu", -1, nil); err == nil {
		t.Error("-1 threads are accepted")
	}
	if _, err := device.Open("tpu", 1, nil); err == nil {
		t.Error("tpu is accepted")
	}
}

func TestOpenWithoutCUDA(t *testing.T) {
	if cuda.Built {
		t.Skip("this program is built with CUDA")
	}
	_, err := device.Open("cuda:1", 0, nil)
	if err == nil || !strings.Contains(err.Error(), "make cuda") || !strings.Contains(err.Error(), "--device cpu") {
		t.Errorf("without CUDA: %v", err)
	}
}
