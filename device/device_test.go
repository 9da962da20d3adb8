package device_test

import (
	"io"
	"strings"
	"testing"

	"criticrm/cuda"
	"criticrm/device"
)

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
		if d.String() != "cpu" || log.Len() > 0 {
			t.Errorf("%s opens %v and says %q", name, d, log.String())
		}
		d.Close()
	}
	if _, err := device.Open("cpu", -1, io.Discard); err == nil {
		t.Error("-1 threads are accepted")
	}
	if _, err := device.Open("tpu", 1, io.Discard); err == nil || !strings.Contains(err.Error(), `device: want auto, cpu, cuda or cuda:N, got "tpu"`) {
		t.Errorf("tpu: %v", err)
	}
}

func TestOpenWithoutCUDA(t *testing.T) {
	if cuda.Built {
		t.Skip("this program is built with CUDA")
	}
	_, err := device.Open("cuda:1", 0, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "make cuda") || !strings.Contains(err.Error(), "--device cpu") {
		t.Errorf("without CUDA: %v", err)
	}
}
