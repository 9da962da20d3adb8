package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What bench/gpu.sh prints at its end, from logs with made-up figures: medians, what failed, the straight line through two depths, and
// the goals. Lines that a time limit cut off are passed over.
func TestCompare(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.txt": `== bench.test -test.bench ^BenchmarkStep$ -models Q05 -optim adamw_8bit -recompute
BenchmarkStep/Q05-16           	      11	  50000000 ns/op	       100.0 pairs/s
== bench.test
BenchmarkLarge/copy-16         	      11	   1000000 ns/op	      2000 GB/s
BenchmarkLarge/copy-16         	      11	   1000000 ns/op	      2000 GB/s
BenchmarkLarge/matmul/8192     	      11	   1500000 ns/op	       750 TFLOP/s
BenchmarkLarge/matmul/L8_qkv   	      11	    100000 ns/op	       700 TFLOP/s
BenchmarkLarge/swiglu/L8_TREE16	      11	     50000 ns/op	      2125 GB/s
BenchmarkLarge/swiglu/L8_TREE16	      11	     90000 ns/op	      1000 GB/s
BenchmarkLarge/swiglu/L8_TREE16	      11	     40000 ns/op	      3000 GB/s
BenchmarkLarge/attention/L8_VAR16	      11	    200000 ns/op	       300 TFLOP/s
BenchmarkLarge/attention/L8_TREE16	      11	    100000 ns/op	       300 TFLOP/s
BenchmarkLarge/critique_loss/L8	      11	  21000000 ns/op	         1.200 GiB	       600 TFLOP/s
BenchmarkStep/L8_6layers-16    	      11	 100000000 ns/op	        30.0 GiB	        40.00 %MFU	        10.00 pairs/s
BenchmarkStep/L8_14layers-16   	      11	 200000000 ns/op	        60.0 GiB	        45.00 %MFU	         5.000 pairs/s
BenchmarkLarge/rope/L8_TREE16	      1`,
		"peers.txt": `{"torch": "2.0", "device": "none"}
{"name": "copy", "peer": "copy_", "us": 800.0, "MiB": 0.0}
{"name": "matmul/8192", "peer": "linear", "us": 1500.0}
{"name": "matmul/L8_qkv", "peer": "linear", "us": 98.0}
{"name": "attention/L8_VAR16", "peer": "SDPA flash", "us": 170.0}
{"name": "attention/L8_TREE16", "peer": "FlexAttention", "us": 310.0}
{"name": "attention/L8_TREE16", "peer": "SDPA cuDNN", "error": "RuntimeError: none"}
{"name": "step/Q05", "peer": "rows, 5 pairs", "us": 90000.0, "pairs/s": 55.6}
{"name": "step/Q05", "peer": "rows, 1 pairs", "us": 120000.0, "pairs/s": 41.7}
{"name": "step/L8_6layers", "peer": "rows, 1 pairs", "us": 220000.0, "pairs/s": 4.5}
{"name": "step/L8_14layers", "peer": "rows, 1 pairs", "us": 420000.0, "pairs/s": 2.4}
{"name": "step/L8_14layers", "peer": "tree, 1 p`,
		"summary.txt": "- kernels: ok, 3 s\n- conformance: FAILED: op rope exit 1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("python3", "peers/compare.py", dir)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1") // it reads shapes.py
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	at := 0
	for _, want := range []string{ // in this order
		"swiglu/L8_TREE16                      50.0 µs 2125 GB/s",
		"step/L8, 32 layers EXTRAPOLATED   425000.0 µs 2.353 pairs/s 47.65 %MFU | rows, 1 pairs 2.05×",
		"- kernels: ok",
		"- conformance: FAILED: op rope exit 1",
		"- peer failed: attention/L8_TREE16, SDPA cuDNN: RuntimeError: none",
		"copy 2500 GB/s, product of 8192³ 750 TFLOP/s",
		"GOAL reached 2 of 2: matrix products, times as fast as PyTorch's, ≥ 0.97: matmul/L8_qkv 0.98",
		"attention/L8_VAR16 0.40, critique_loss/L8 0.80, matmul/L8_qkv 0.93",
		"GOAL reached 1 of 1: memory-bound kernels, share of the copy's bandwidth, ≥ 0.85: swiglu/L8_TREE16 0.85",
		"GOAL MISSED  0 of 1: attention forward, times as fast as SDPA's flash, ≥ 0.9: attention/L8_VAR16 0.85",
		"GOAL reached 1 of 1: forest attention",
		"GOAL MISSED  0 of 1: linear cross-entropy, Llama-3.1-8B, ms, ≤ 20: critique_loss/L8 21",
		"GOAL reached 1 of 1: linear cross-entropy, Llama-3.1-8B, GiB",
		"GOAL MISSED  3 of 4: a step, times as fast as PyTorch's best row by row, ≥ 2: step/Q05, adamw_8bit, recompute 1.8, step/L8, 32 layers EXTRAPOLATED 2.05",
	} {
		i := strings.Index(string(out[at:]), want)
		if i < 0 {
			t.Fatalf("no %q after byte %d of\n%s", want, at, out)
		}
		at += i
	}
	table, err := os.ReadFile(filepath.Join(dir, "table.md"))
	if err != nil || !strings.Contains(string(table), "| step/L8, 32 layers EXTRAPOLATED | 425000.0 |") {
		t.Errorf("%v\n%s", err, table)
	}
}
