// Package bench measures what the program spends its time on, in Go's benchmark format:
//
//	go test -run '^$' -bench . ./bench
//
// Results that are claimed anywhere stand in RESULTS.md with command, shapes, device and date.
package bench

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/kernels/kerneltest"
	"criticrm/tokenizer"
)

// BenchmarkKernels measures every op at the shapes of models, with all threads.
func BenchmarkKernels(b *testing.B) {
	kerneltest.Bench(b, func() *kernels.Device {
		d, err := kernels.OpenCPU(0)
		if err != nil {
			b.Fatal(err)
		}
		return d
	})
}

// text is about n bytes of sentences, code and numbers by program.
func text(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("the critique says that answer is wrong because step three misreads a rule and so total comes out too large; reward model prefers longer text it's not what we've asked func return for range error value index")
	var b strings.Builder
	for b.Len() < n {
		switch r.IntN(12) {
		case 0:
			fmt.Fprintf(&b, " %d", r.IntN(100000))
		case 1:
			b.WriteString(".\n\n")
		case 2:
			b.WriteString(" x[i] += y[j]; // naïve 日本")
		default:
			b.WriteString(" " + words[r.IntN(len(words))])
		}
	}
	return b.String()
}

func BenchmarkTokenizer(b *testing.B) {
	for _, pattern := range []string{"llama3", "qwen2", "gpt2"} {
		t, err := tokenizer.Train(func(yield func(string) bool) { yield(text(1 << 18)) }, tokenizer.TrainConfig{VocabSize: 2000, Pattern: pattern})
		if err != nil {
			b.Fatal(err)
		}
		in := text(1 << 20)
		b.Run("encode/"+pattern, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			var ids []int32
			for b.Loop() {
				ids = t.AppendEncode(ids[:0], in)
			}
		})
		ids := t.Encode(in)
		b.Run("decode/"+pattern, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				t.Decode(ids)
			}
		})
	}
}

// BenchmarkCheckpoint saves and loads 32 MiB of state as a run has it: bf16 weights, f32 master and moments.
func BenchmarkCheckpoint(b *testing.B) {
	const n = 1 << 21
	r := rand.New(rand.NewPCG(3, 4))
	draw := func(sd float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(sd * r.NormFloat64())
		}
		return x
	}
	w := draw(.02)
	shape := []int64{n}
	state := &checkpoint.State{Step: 1, Meta: json.RawMessage(`{}`), Tensors: []checkpoint.TensorData{
		{TensorInfo: checkpoint.TensorInfo{Name: "w", DType: "BF16", Shape: shape}, Data: checkpoint.BF16Bytes(w)},
		{TensorInfo: checkpoint.TensorInfo{Name: "master", DType: "F32", Shape: shape}, Data: checkpoint.F32Bytes(w)},
		{TensorInfo: checkpoint.TensorInfo{Name: "m", DType: "F32", Shape: shape}, Data: checkpoint.F32Bytes(draw(1e-3))},
		{TensorInfo: checkpoint.TensorInfo{Name: "v", DType: "F32", Shape: shape}, Data: checkpoint.F32Bytes(draw(1e-6))},
	}}
	raw := 0
	for _, t := range state.Tensors {
		raw += len(t.Data)
	}
	var path string
	b.Run("save", func(b *testing.B) {
		b.SetBytes(int64(raw))
		for b.Loop() {
			b.StopTimer()
			dir := b.TempDir()
			b.StartTimer()
			var err error
			if path, err = checkpoint.Save(dir, state, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	dir := b.TempDir()
	path, err := checkpoint.Save(dir, state, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("load", func(b *testing.B) {
		b.SetBytes(int64(raw))
		for b.Loop() {
			if _, err := checkpoint.Load(path); err != nil {
				b.Fatal(err)
			}
		}
	})
}
