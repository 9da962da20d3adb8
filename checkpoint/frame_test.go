package checkpoint

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// gaussian gives n normal values of the given deviation, varying by row of 1024 as the rows of trained matrices do.
func gaussian(n int, sigma float64, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	row := sigma
	for i := range x {
		if i%1024 == 0 {
			row = sigma * math.Exp(0.3*rng.NormFloat64())
		}
		x[i] = float32(row * rng.NormFloat64())
	}
	return x
}

// squares makes a second moment: mean squares, positive, over several decades.
func squares(x []float32) []float32 {
	v := make([]float32, len(x))
	for i := range x {
		v[i] = x[i] * x[i]
	}
	return v
}

// anew is memory of a decoder.
func anew(n int) []byte { return make([]byte, n) }

// frameCases are contents with all block kinds, at sizes around the block size.
func frameCases() map[string][]byte {
	rng := rand.New(rand.NewPCG(7, 7))
	noise := make([]byte, 3*blockMax+5)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	skew := make([]byte, 3*blockMax+5)
	for i := range skew {
		skew[i] = byte(120 + int(2*rng.NormFloat64()))
	}
	cases := map[string][]byte{
		"mixed": append(append(append([]byte{}, skew[:blockMax]...), make([]byte, blockMax+9)...), noise[:blockMax]...),
	}
	for _, n := range []int{0, 1, 2, 11, 12, 31, 32, 33, 63, 64, 65, 255, 1000, blockMax - 1, blockMax, blockMax + 1, 2 * blockMax, 3*blockMax + 5} {
		cases[fmt.Sprintf("noise%d", n)] = noise[:n]
		cases[fmt.Sprintf("skew%d", n)] = skew[:n]
		cases[fmt.Sprintf("same%d", n)] = bytes.Repeat([]byte{0x5a}, n)
	}
	return cases
}

func TestFrameDecodesEverywhere(t *testing.T) {
	bin, _ := exec.LookPath("zstd")
	if bin == "" {
		t.Log("no zstd program here: only the Go decoder is tried")
	}
	dir := t.TempDir()
	dec, err := zstd.NewReader(nil) // with its own defaults, not ours
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var files []string
	for name, raw := range frameCases() {
		frame := encodeFrame(nil, raw, []int{0, len(raw) / 3, len(raw) / 2})
		if got, err := dec.DecodeAll(frame, nil); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("%s: klauspost decoder: %v", name, err)
		}
		if got, err := decodeFrame(frame, int64(len(raw)), anew); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("%s: decodeFrame: %v", name, err)
		}
		path := filepath.Join(dir, name+".zst")
		if err := os.WriteFile(path, frame, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	if bin == "" {
		return
	}
	if out, err := exec.Command(bin, append([]string{"-d", "-q"}, files...)...).CombinedOutput(); err != nil {
		t.Fatalf("zstd -d: %v %s", err, out)
	}
	for name, raw := range frameCases() {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: zstd -d gave other bytes (%v)", name, err)
		}
	}
	t.Logf("%d frames, two decoders", len(files))
}

func TestFrameBlockKinds(t *testing.T) {
	zeros := make([]byte, 10*blockMax)
	if n := len(encodeFrame(nil, zeros, nil)); n != 14+10*4+4 {
		t.Errorf("zeros: %d bytes, want an RLE block of 4 for each 128 KiB", n)
	}
	if n := len(encodeFrame(nil, nil, nil)); n != 14+3+4 {
		t.Errorf("empty: %d bytes, want one empty last block", n)
	}
	noise := frameCases()[fmt.Sprintf("noise%d", 2*blockMax)]
	if n := len(encodeFrame(nil, noise, nil)); n != 14+2*3+4+len(noise) {
		t.Errorf("noise: %d bytes for %d, want raw blocks", n, len(noise))
	}
}

func TestDecodeRefuses(t *testing.T) {
	raw := frameCases()["mixed"]
	good := encodeFrame(nil, raw, nil)
	noSum, _ := zstd.NewWriter(nil, zstd.WithEncoderCRC(false))
	wide, _ := zstd.NewWriter(nil, zstd.WithWindowSize(16<<20))
	big := make([]byte, 0, 20<<20)
	for len(big) < 20<<20 {
		big = append(big, raw...)
	}
	wideBig := wide.EncodeAll(big, nil)
	bomb := encodeFrame(nil, make([]byte, 1<<20), nil)
	for name, c := range map[string]struct {
		frame []byte
		raw   int
	}{
		"no checksum":   {noSum.EncodeAll(raw, nil), len(raw)},
		"window":        {wideBig, len(big)},
		"cut":           {good[:len(good)-1], len(raw)},
		"two frames":    {append(bytes.Clone(good), good...), len(raw)},
		"trailing":      {append(bytes.Clone(good), 0), len(raw)},
		"other size":    {good, len(raw) - 1},
		"skippable":     {[]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, 0},
		"empty":         {nil, 0},
		"garbage":       {[]byte("hello, this is no frame"), 5},
		"bomb declared": {bomb, 16},
	} {
		if _, err := decodeFrame(c.frame, int64(c.raw), anew); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// An RLE bomb whose header declares little must not be decoded beyond what it declares.
func TestDecodeBombInsideFrame(t *testing.T) {
	bomb := encodeFrame(nil, make([]byte, 64<<20), nil)
	for i := range 8 {
		bomb[6+i] = 0
	}
	bomb[6] = 100 // declares 100 bytes
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := decodeFrame(bomb, 100, anew)
	runtime.ReadMemStats(&after)
	if err == nil || after.TotalAlloc-before.TotalAlloc > 4<<20 {
		t.Errorf("error %v, %d bytes allocated", err, after.TotalAlloc-before.TotalAlloc)
	}
}

func TestPlanesRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, dtype := range []string{"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"} {
		for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 33, 1001} {
			src := make([]byte, n*int(dtypeSize(dtype)))
			for i := range src {
				src[i] = byte(rng.Uint32())
			}
			planes, back := make([]byte, len(src)), make([]byte, len(src))
			at := n / 3 // in two parts
			part := at * int(dtypeSize(dtype))
			splitPlanes(planes, src[part:], dtype, at)
			splitPlanes(planes, src[:part], dtype, 0)
			if plain := plainPlanes(src, dtype); !bytes.Equal(planes, plain) {
				t.Fatalf("%s × %d: planes\n%x, want\n%x", dtype, n, planes, plain)
			}
			joinPlanes(back, planes, dtype)
			if !bytes.Equal(src, back) {
				t.Fatalf("%s × %d: round trip differs", dtype, n)
			}
		}
	}
	// The top plane of BF16 and F32 is the exponent: 127 for values in [1, 2), whatever the sign.
	x := []float32{1, -1, 1.5, -1.75, 1.25}
	for dtype, b := range map[string][]byte{"BF16": BF16Bytes(x), "F32": F32Bytes(x)} {
		planes := make([]byte, len(b))
		splitPlanes(planes, b, dtype, 0)
		if !bytes.Equal(planes[:len(x)], bytes.Repeat([]byte{127}, len(x))) {
			t.Errorf("%s: top plane %v, want 127s", dtype, planes[:len(x)])
		}
	}
}

// plainPlanes is the definition: each element rotated if it is a float, its bytes in the planes from the top.
func plainPlanes(src []byte, dtype string) []byte {
	size := int(dtypeSize(dtype))
	dst := make([]byte, len(src))
	for i := range len(src) / size {
		var x uint64
		for k := size - 1; k >= 0; k-- {
			x = x<<8 | uint64(src[i*size+k])
		}
		if top := uint(8*size - 1); rotated(dtype) {
			x = x<<1 | x>>top
		}
		for k := range size {
			dst[k*(len(src)/size)+i] = byte(x >> (8 * (size - 1 - k)))
		}
	}
	return dst
}

func ratio(t TensorData) float64 {
	j := oneJob(t)
	return float64(len(t.Data)) / float64(len(j.encode(&buffers{}).stored))
}

func oneJob(ts ...TensorData) *job {
	s := &State{Tensors: ts}
	jobs, _, err := plan(s, maxFileRaw, "")
	if err != nil || len(jobs) != 1 || jobs[0].read(s, &buffers{}) != nil {
		panic("one job expected")
	}
	return &jobs[0]
}

// The trap this format avoids: the usual encoders store interleaved bf16 as it is and look like compression.
func TestWeightsAreReallyCompressed(t *testing.T) {
	x := gaussian(1<<20, 0.02, 1)
	data := BF16Bytes(x)
	obvious, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	plain := float64(len(data)) / float64(len(obvious.EncodeAll(data, nil)))
	ours := ratio(TensorData{TensorInfo{"w", "BF16", []int64{1 << 20}}, data})
	t.Logf("bf16 weights: plain zstd %.3f, split planes %.3f", plain, ours)
	if ours < 1.3 {
		t.Errorf("bf16 ratio %.3f, want ≥ 1.3", ours)
	}
	if plain > 1.05 {
		t.Errorf("plain zstd now compresses by %.3f: reconsider the planes", plain)
	}
	m := ratio(TensorData{TensorInfo{"m", "F32", []int64{1 << 20}}, F32Bytes(x)})
	if m < 1.15 {
		t.Errorf("f32 ratio %.3f, want ≥ 1.15", m)
	}
	zero := ratio(TensorData{TensorInfo{"z", "F32", []int64{1 << 20}}, make([]byte, 4<<20)})
	if zero < 20000 {
		t.Errorf("zeros ratio %.0f, want RLE blocks", zero)
	}
	// A master copy that is still exactly bf16 has two empty planes.
	widened := make([]float32, len(x))
	toF32(widened, "BF16", data)
	if r := ratio(TensorData{TensorInfo{"w32", "F32", []int64{1 << 20}}, F32Bytes(widened)}); r < 2.6 {
		t.Errorf("widened bf16 ratio %.3f, want ≥ 2.6", r)
	}
}

// Weights that were trained compress as those of the formula do.
func TestTrainedWeightsCompress(t *testing.T) {
	for _, dir := range []string{"../demo/base", "../demo/mistaken"} {
		d, err := OpenModelDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		raw, stored := 0, 0
		for _, info := range d.Tensors() {
			x, err := d.ReadF32(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			b := BF16Bytes(x)
			raw, stored = raw+len(b), stored+int(float64(len(b))/ratio(TensorData{TensorInfo{info.Name, "BF16", info.Shape}, b}))
		}
		r := float64(raw) / float64(stored)
		t.Logf("%s: bfloat16, ratio %.3f", dir, r)
		if r < 1.45 {
			t.Errorf("%s: ratio %.3f", dir, r)
		}
	}
}

func benchTensors(n int) map[string]TensorData {
	w, m := gaussian(n, 0.02, 1), gaussian(n, 1e-4, 2)
	info := func(name, dtype string) TensorInfo { return TensorInfo{name, dtype, []int64{int64(n)}} }
	return map[string]TensorData{
		"bf16-weights": {info("w", "BF16"), BF16Bytes(w)},
		"f32-adam-m":   {info("m", "F32"), F32Bytes(m)},
		"f32-adam-v":   {info("v", "F32"), F32Bytes(squares(m))},
		"f32-zero":     {info("z", "F32"), make([]byte, 4*n)},
	}
}

// perCPU reports bytes by the second, and by the second of the processor's time, which a busy machine changes less.
func perCPU(b *testing.B, bytes int) {
	b.SetBytes(int64(bytes))
	cpu := func() float64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	before := cpu()
	b.Cleanup(func() { b.ReportMetric(float64(b.N)*float64(bytes)/1e6/(cpu()-before), "MB/cpu-s") })
}

// BenchmarkEncode is one core: planes, Huffman, both hashes.
func BenchmarkEncode(b *testing.B) {
	for name, t := range benchTensors(4 << 20) {
		b.Run(name, func(b *testing.B) {
			perCPU(b, len(t.Data))
			var f file
			free := &buffers{}
			for b.Loop() {
				j := oneJob(t)
				f = j.encode(free)
				free.put(f.stored)
			}
			b.ReportMetric(float64(len(t.Data))/float64(len(f.stored)), "ratio")
		})
	}
}

// BenchmarkFrame is one core without hashes: what the codec itself costs.
func BenchmarkFrame(b *testing.B) {
	for name, t := range benchTensors(4 << 20) {
		b.Run(name, func(b *testing.B) {
			perCPU(b, len(t.Data))
			raw, dst := make([]byte, len(t.Data)), []byte(nil)
			for b.Loop() {
				splitPlanes(raw, t.Data, t.DType, 0)
				dst = encodeFrame(dst[:0], raw, planeCuts(nil, 0, len(raw), t.DType))
			}
			b.ReportMetric(float64(len(t.Data))/float64(len(dst)), "ratio")
		})
	}
}

// BenchmarkDecode is one core of a load: hash, decoder, planes.
func BenchmarkDecode(b *testing.B) {
	for name, t := range benchTensors(4 << 20) {
		b.Run(name, func(b *testing.B) {
			f := oneJob(t).encode(&buffers{})
			perCPU(b, len(t.Data))
			out, raw := make([]byte, len(t.Data)), make([]byte, len(t.Data))
			for b.Loop() {
				raw, err := f.info.decode(f.stored, func(int) []byte { return raw })
				if err != nil {
					b.Fatal(err)
				}
				joinPlanes(out, raw, t.DType)
			}
		})
	}
}

// BenchmarkSave is the whole protocol on a real disk, for a bf16 model with f32 moments.
func BenchmarkSave(b *testing.B) {
	ts := benchTensors(4 << 20)
	s := &State{Tensors: []TensorData{ts["bf16-weights"], ts["f32-adam-m"], ts["f32-adam-v"]}}
	total := 0
	for _, t := range s.Tensors {
		total += len(t.Data)
	}
	store, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	b.SetBytes(int64(total))
	path := ""
	for b.Loop() {
		s.Step++
		if path, err = store.Save(s, 2); err != nil {
			b.Fatal(err)
		}
	}
	m, err := ReadManifest(path)
	if err != nil {
		b.Fatal(err)
	}
	stored, raw := m.Sizes()
	b.ReportMetric(float64(raw)/float64(stored), "ratio")
}
