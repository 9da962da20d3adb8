//go:build !cuda

package kernels_test

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A mutant is a mistake in the kernels: a text that the file has once, and what takes its place. The unit, if it is not the file itself, is
// compiled with it, and its cases in testdata/ops.cc must say what is wanted: a message, or "wrong" where only values show it.
type mutant struct{ name, file, unit, cases, old, new, want string }

var mutants = []mutant{
	{"sum: no barrier", "cuda.cuh", "reward_head.cu", "reward_head", "if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;\n    __syncthreads();\n    return warp_sum(", "if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;\n    return warp_sum(", "wrong"},
	{"sum: lanes left out", "cuda.cuh", "reward_head.cu", "reward_head", "for (int m = 16; m > 0; m >>= 1) x += ", "for (int m = 8; m > 0; m >>= 1) x += ", "wrong"},
	{"sum: early return", "reward_head.cu", "", "reward_head", "    float sum = 0;\n", "    if ((int)threadIdx.x * V >= H) return;\n    float sum = 0;\n", "thread .* has returned, and is waited for at __s"},
	{"sum: a mask without some lanes", "embed.cu", "", "embed_backward", "__ballot_sync(whole_warp, ", "__ballot_sync(0x00ffffffu, ", "__ballot_sync .*: its lane .* is not in its mask 00ffffff"},
	{"last block: one too early", "cuda.cuh", "adamw.cu", "grad_norm", "== total - 1;", "== total - 2;", "wrong"},
	{"last block: no barrier", "cuda.cuh", "adamw.cu", "grad_norm", "    }\n    __syncthreads();\n    __threadfence();\n    return last;", "    }\n    return last;", "(wrong|has returned, and is waited for)"},
	{"words of rows that have none", "cuda.cuh", "swiglu.cu", "swiglu/H1001", "return n * sizeof(T) % 16 == 0 && ", "return n > 0 && ", "(wrong|is not aligned to 16 bytes)"},
	{"rows: one too many", "embed.cu", "", "embed/", "if (i >= (unsigned)a.n) return;", "if (i > (unsigned)a.n) return;", "error: block .*, thread .*: "},
	{"rows: remainder lost", "embed.cu", "", "gather/", "if (c + k * lanes < a.width) put(", "if (c + flight * lanes < a.width) put(", "wrong"},
	{"ranges: the list's end is passed", "embed.cu", "", "embed_backward", "a.src[j + k < last ? j + k : j]", "a.src[j + k]", "error: block .*: "},
	{"ranges: no barrier", "embed.cu", "", "embed_backward", "    __syncthreads();\n    if (warp > 0 || column >= a.H) return;", "    if (warp > 0 || column >= a.H) return;", "wrong"},
	{"rmsnorm: no barrier", "rmsnorm.cu", "", "rmsnorm/", "part[threadIdx.x / 32] = x;\n    __syncthreads();\n", "part[threadIdx.x / 32] = x;\n", "wrong"},
	{"rmsnorm: one buffer for two sums", "rmsnorm.cu", "", "rmsnorm_backward/H2048", "row_sum(dot, part[turn])", "row_sum(dot, part[0])", "wrong"},
	{"rmsnorm: waits for too few copies", "rmsnorm.cu", "", "rmsnorm_backward", "ptx::cp_async_wait<1>();", "ptx::cp_async_wait<2>();", "forward/lazy\twrong"},
	{"rmsnorm: no wait at the end", "rmsnorm.cu", "", "rmsnorm_backward", "    ptx::cp_async_wait<0>();\n    float *sum", "    float *sum", "returns with .* cp.async copies that it has not waited for"},
	{"rmsnorm: no commit", "rmsnorm.cu", "", "rmsnorm_backward", "        ptx::cp_async_commit();\n", "", "forward/lazy\t(wrong|error: .* copies that it has not waited for)"},
	{"rmsnorm: a stage is overwritten too early", "rmsnorm.cu", "", "rmsnorm_backward", "fetch(stages == 2 ? turn ^ 1 : 0,", "fetch(stages == 2 ? turn : 0,", "reverse/eager\twrong"},
	{"rmsnorm: copies beyond the row", "rmsnorm.cu", "", "rmsnorm_backward", "const bool valid = n < N && c < H;", "const bool valid = n < N;", "(wrong|error: .* cp.async: bytes .* of an allocation)"},
	{"rmsnorm: stores beyond the row", "rmsnorm.cu", "", "rmsnorm_backward", "if (n < N && first + k * step < H) store(dx", "if (n < N) store(dx", "(wrong|error: .* store16: bytes .* of an allocation)"},
	{"rmsnorm: what was given before, beyond the row", "rmsnorm.cu", "", "rmsnorm_backward", "if (n < N && first + k * step < H) store(out + n", "if (n < N) store(out + n", "(wrong|error: .* store16: bytes .* of an allocation)"},
	{"rmsnorm: rows are added in no order", "rmsnorm.cu", "", "rmsnorm_backward", "    for (int y = 0; y < (int)blockDim.y; y++) {\n        __syncthreads();\n", "    for (int y = 0; y < (int)blockDim.y; y++) {\n", "wrong"},
	{"rope: heads that are none", "rope.cu", "", "rope/", "(head + u * step < heads ? head + u * step : head)", "(head + u * step)", "(wrong|error)"},
	{"swiglu: columns that are none", "swiglu.cu", "", "swiglu_backward", "        if (first + k * step < a.width) {\n", "        {\n", "(wrong|error)"},
	{"sample: no __syncwarp", "sample.cu", "", "sample", "else __syncwarp();", "", "wrong"},
	{"sample: no barrier after a counter is cleared", "sample.cu", "", "sample/k7", "sh.gathered = 0;\n        __syncthreads();\n", "sh.gathered = 0;\n", "(wrong|error)"},
	{"sample: the last that comes instead of the first", "sample.cu", "", "sample", "atomicMin(&sh.first, (int)threadIdx.x);", "sh.first = threadIdx.x;", "wrong"},
	{"decode: no barrier after the scores", "attention_decode.cu", "", "attention_decode/D16", "p[r * TILE + k] = s * scale;\n            }\n        }\n        __syncthreads();\n", "p[r * TILE + k] = s * scale;\n            }\n        }\n", "wrong"},
	{"decode: no barrier before the next keys", "attention_decode.cu", "", "f32/attention_decode/many", "            o[i] = s;\n        }\n        __syncthreads();\n", "            o[i] = s;\n        }\n", "wrong"},
	{"decode: too little shared memory", "attention_decode.cu", "", "attention_decode/D16", "(2 * a.D + TILE + 3) + TILE) * 4;", "(2 * a.D + TILE + 3)) * 4;", "of .* bytes of shared memory"},
	{"decode: the next tile is not waited for", "attention_decode.cu", "", "bf16/attention_decode/tiles", "ptx::cp_async_wait<1>();", "ptx::cp_async_wait<2>();", "forward/lazy\twrong"},
	{"decode: no barrier after the wait", "attention_decode.cu", "", "bf16/attention_decode/tiles", "ptx::cp_async_wait<1>();\n        __syncthreads();\n", "ptx::cp_async_wait<1>();\n", "wrong"},
	{"decode: a stage is overwritten too early", "attention_decode.cu", "", "bf16/attention_decode/tiles", "        __syncthreads();\n        stage ^= stage_bytes;", "        stage ^= stage_bytes;", "wrong"},
	{"decode: keys beyond the last", "attention_decode.cu", "", "bf16/attention_decode/D64", "        if (left < NT * 8) {\n", "        if (left < 0) {\n", "wrong"},
	{"decode: warps are joined without a barrier", "attention_decode.cu", "", "bf16/attention_decode/D64", "* f};\n    }\n    __syncthreads();\n", "* f};\n    }\n", "wrong"},
	{"adamw: the other half of a word", "adamw.cu", "", "adamw_by_chance", "half[0] | half[1] << 16", "half[1] | half[0] << 16", "bf16/adamw_by_chance.*\twrong"},
	{"attention: rows are copied to another place than they are read from", "attention.cuh", "attention.cu", "bf16/attention/", "tile + word<D>(row, threadIdx.x % words);", "tile + row * 2 * D + threadIdx.x % words * 16;", "bf16/attention/D64\t.*\twrong"},
	{"attention: operands in another order", "attention.cuh", "attention.cu", "bf16/attention/", "ptx::mma_bf16(s[m][n], a[m], y[0], y[1]);", "ptx::mma_bf16(s[m][n], a[m], y[1], y[0]);", "wrong"},
	{"attention: a matrix not transposed", "attention.cuh", "attention.cu", "bf16/attention/", "ptx::ldmatrix_x4_trans(y, (b", "ptx::ldmatrix_x4(y, (b", "wrong"},
	{"attention: rows of ldmatrix misaligned", "attention.cuh", "attention.cu", "bf16/attention/", "+ n * 16 * D);", "+ n * 16 * D + 8);", "ldmatrix: byte .* of shared memory is not aligned to 16 bytes"},
	{"attention: rows of ldmatrix outside", "attention.cuh", "attention.cu", "bf16/attention/", "(b ^ n * 16) + offset);", "(b ^ n * 16) + offset * 2);", "(wrong|ldmatrix_trans: bytes .* of .* bytes of shared memory)"},
	{"attention: the tail is not zero", "attention.cuh", "attention.cu", "bf16/attention/", "i * step < left);", "true);", "(wrong|cp.async: bytes .* of an allocation)"},
	{"attention: no __syncwarp before the store", "attention.cuh", "attention.cu", "bf16/attention/D64", "    __syncwarp();\n#pragma unroll\n    for (int i = 0; i < M * words / 2; i++) {", "#pragma unroll\n    for (int i = 0; i < M * words / 2; i++) {", "wrong"},
	{"attention: the next tile is not waited for", "attention.cu", "", "bf16/attention/D64", "        ptx::cp_async_wait<0>();\n        __syncthreads();\n        if (VALUES == 1) fetch", "        ptx::cp_async_wait<1>();\n        __syncthreads();\n        if (VALUES == 1) fetch", "forward/lazy\t(wrong|.* copies that it has not waited for)"},
	{"attention: values are not waited for", "attention.cu", "", "bf16/attention/D128", "            ptx::cp_async_wait<1>();\n            __syncthreads();\n", "            __syncthreads();\n", "forward/lazy\t(wrong|.* copies that it has not waited for)"},
	{"attention: no barrier after the wait", "attention.cu", "", "bf16/attention/D64", "        ptx::cp_async_wait<0>();\n        __syncthreads();\n        if (VALUES == 1) fetch", "        ptx::cp_async_wait<0>();\n        if (VALUES == 1) fetch", "wrong"},
	{"attention: the stage stays", "attention.cu", "", "bf16/attention/", "        stage ^= tile_bytes;\n", "", "wrong"},
	{"attention: too little shared memory", "attention.cu", "", "attention/", "(QUERIES + (2 + VALUES) * KEYS) * D * 2", "(QUERIES + (1 + VALUES) * KEYS) * D * 2", "cp.async: bytes .* of .* bytes of shared memory"},
	{"attention: a key tile is left out", "attention.cu", "", "bf16/attention/", "for (; at < past; at++) {", "for (; at < past - 1; at++) {", "(wrong|error)"},
	{"reward loss: no barrier", "reward_loss.cu", "", "reward_loss", "    }\n    __syncthreads();\n    totals t = {};", "    }\n    totals t = {};", "wrong"},
	{"critique loss: no barrier before the row is overwritten", "critique_loss.cu", "", "critique_loss", "        if (sizeof(T) < sizeof(float)) __syncthreads();\n", "", "bf16/critique_loss\t.*\twrong"},
	{"critique loss: one buffer for two sums", "critique_loss.cu", "", "critique_loss", "part + 32)", "part)", "wrong"},
	{"matmul: no barrier before the next tile", "matmul.cu", "", "matmul/odd", "bs[k][c + 16 * j];\n        __syncthreads();\n", "bs[k][c + 16 * j];\n", "wrong"},
	{"backward: no barrier after the wait", "attention_backward.cu", "", "bf16/attention_backward/D64", "        ptx::cp_async_wait<0>();\n        __syncthreads();  // the stage is there, and nobody reads the other one any more\n        if (STAGES == 2 && left > 1)", "        ptx::cp_async_wait<0>();\n        if (STAGES == 2 && left > 1)", "wrong"},
	{"backward: no wait", "attention_backward.cu", "", "bf16/attention_backward/D64", "        ptx::cp_async_wait<0>();\n        __syncthreads();  // the stage is there, and nobody reads the other one any more\n        if (STAGES == 2 && left > 1)", "        __syncthreads();\n        if (STAGES == 2 && left > 1)", "forward/lazy\t(wrong|.* copies that it has not waited for)"},
	{"backward: the stage in use is overwritten", "attention_backward.cu", "", "bf16/attention_backward/D64", "fetch_next((left - 1) & 1);", "fetch_next(left & 1);", "reverse/eager\twrong"},
	{"backward of queries: the only stage is overwritten too early", "attention_backward.cu", "", "attention_backward/D128", "            __syncthreads();  // nobody reads the stage any more\n            fetch_tile(", "            fetch_tile(", "random/mixed\twrong"},
	{"backward of keys: the only stage is overwritten too early", "attention_backward.cu", "", "attention_backward/D128", "            __syncthreads();  // nobody reads the stage any more\n            fetch_next(", "            fetch_next(", "random/mixed\twrong"},
	{"backward: too little shared memory", "attention_backward.cu", "", "attention_backward/D64", "threads<D>, L::size, p);", "threads<D>, L::size - 1024, p);", "of .* bytes of shared memory"},
	{"decode: slots are overwritten too early", "attention_decode.cu", "", "bf16/attention_decode/tiles", "slot[stage > 0][t] = at.slot(c, lo + 2 * TILE + t);", "slot[stage == 0][t] = at.slot(c, lo + 2 * TILE + t);", "(wrong|error)"},
	{"adamw_8bit: beyond the end", "adamw.cu", "", "adamw_8bit", "            if (at >= n) break;\n            codes_m[u] = load_codes", "            codes_m[u] = load_codes", "(load16|an access at)"},
	{"adamw_8bit: the scale of one lane", "adamw.cu", "", "adamw_8bit", "new_m = scale_of(warp_max(top_m))", "new_m = scale_of(top_m)", "wrong"},
	{"adamw_8bit: codes in another order", "adamw.cu", "", "adamw_8bit", "per_v, word[u][k]) << 8 * k;", "per_v, word[u][k]) << 8 * (V - 1 - k);", "wrong"},
	{"adamw_8bit: a lane waits for one that has left", "adamw.cu", "", "adamw_8bit", "b * moments < n; b += stride)", "b * moments + lane * V < n; b += stride)", "has returned, and is waited for"},
	{"adamw: beyond the end", "adamw.cu", "", "adamw", "            if (i + u * threads >= n) break;\n            load<ONCE>", "            load<ONCE>", "(load16|an access at)"},
}

// TestPlantedMistakes shows that the software GPU sees mistakes in the real kernels: each is compiled with one and run.
func TestPlantedMistakes(t *testing.T) {
	if testing.Short() {
		t.Skip("short: compiles kernels for a minute")
	}
	dir := t.TempDir()
	all := buildOps(t, dir, "-O0") // they run for less time than g++ takes
	ops := all.program(t, dir)
	want := filepath.Join(dir, "want")
	if out, err := exec.Command(ops, "write", want).CombinedOutput(); err != nil {
		t.Fatalf("the right kernels: %v\n%s", err, out)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if out, seen := runUntil(t, m.want, all.with(t, m), "compare", want, m.cases); !seen {
				t.Errorf("not seen; want %s in\n%.3000s", m.want, out)
			}
		})
	}
}

// runUntil runs a program until it says what is wanted in a line, or to its end.
func runUntil(t *testing.T, want string, program string, arg ...string) (said string, seen bool) {
	cmd := exec.Command(program, arg...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wanted := regexp.MustCompile(want)
	for lines := bufio.NewScanner(out); !seen && lines.Scan(); {
		said += lines.Text() + "\n"
		seen = wanted.MatchString(lines.Text())
	}
	_ = cmd.Process.Kill() // if it has not ended
	_ = cmd.Wait()         // mutants fail
	return said, seen
}

// opsBuild is testdata/ops.cc, the software GPU and all kernels, compiled.
type opsBuild struct {
	flags   []string
	header  string            // precompiled, which is a third of the work
	objects map[string]string // by source
}

// buildOps compiles them. Missing ops stay weak.
func buildOps(t *testing.T, dir string, flags ...string) *opsBuild {
	b := &opsBuild{flags, filepath.Join(dir, "gpu.h"), map[string]string{}}
	if err := os.WriteFile(b.header, []byte("#include \"emu/emu.h\"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := b.compile(b.header, b.header+".gch"); err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*_emu.cc")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no kernels: %v", err)
	}
	sources = append(sources, "testdata/ops.cc")
	errs := make([]error, len(sources))
	var all sync.WaitGroup
	free := make(chan bool, runtime.GOMAXPROCS(0))
	for i, source := range sources {
		object := filepath.Join(dir, filepath.Base(source)+".o")
		b.objects[source] = object
		all.Go(func() {
			free <- true
			errs[i] = b.compile(source, object)
			<-free
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return b
}

// compile makes the object of a source, or precompiles the header.
func (b *opsBuild) compile(source, object string) error {
	flags, warn := b.flags, []string{"-w"}
	switch {
	case filepath.Base(source) == "ops.cc": // an argument that is not given any more, or is of another type, must show
		warn = []string{"-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-Wno-unknown-pragmas"}
	case source != "gpu_emu.cc":
	case slices.Contains(flags, "-fsanitize=thread,bounds"): // the software GPU tells the sanitizer what to see
		flags = []string{"-O1", "-g", "-DEMU_TSAN"}
	default:
		flags = []string{"-O1"}
	}
	args := append(warn, "-g1", "-std=gnu++17", "-fno-strict-aliasing", "-I.", "-o", object)
	if source == b.header {
		args = append(args, "-x", "c++-header", source)
	} else {
		args = append(args, "-c", "-include", b.header, "-x", "c++", source)
	}
	if out, err := exec.Command("g++", append(args, flags...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %v\n%s", source, err, out)
	}
	return nil
}

func (b *opsBuild) program(t *testing.T, dir string) string {
	return b.link(t, dir, "testdata/ops.cc", b.objects["testdata/ops.cc"])
}

// with compiles a mutant and links it with the other units.
func (b *opsBuild) with(t *testing.T, m mutant) (program string) {
	dir := t.TempDir()
	unit := m.unit
	if unit == "" {
		unit = m.file
	}
	for _, file := range []string{unit, m.file} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if file == m.file {
			if n := strings.Count(string(text), m.old); n != 1 {
				t.Fatalf("%s has the text %d times: %s", file, n, m.old)
			}
			text = []byte(strings.Replace(string(text), m.old, m.new, 1))
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	object := filepath.Join(dir, unit+".o")
	if err := b.compile(filepath.Join(dir, unit), object); err != nil {
		t.Fatal(err)
	}
	return b.link(t, dir, strings.TrimSuffix(unit, ".cu")+"_emu.cc", object)
}

// link makes the program, with another object in place of that of a source. It comes first: of an inline function that several objects
// have, the linker takes the first.
func (b *opsBuild) link(t *testing.T, dir, source, object string) (program string) {
	program = filepath.Join(dir, "ops")
	args := append([]string{"-o", program, object}, b.flags...)
	for _, s := range slices.Sorted(maps.Keys(b.objects)) {
		if s != source {
			args = append(args, b.objects[s])
		}
	}
	if out, err := exec.Command("g++", append(args, "-lpthread", "-ldl")...).CombinedOutput(); err != nil {
		t.Fatalf("link: %v\n%s", err, out)
	}
	return program
}
