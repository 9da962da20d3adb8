//go:build !cuda

package kernels_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"criticrm/kernels/kerneltest"
)

// A mutant is a mistake in the kernels: a text that the file has once, and what takes its place. The unit, if it is not the file itself, is
// compiled with it, and one of the specification's cases whose names begin so must give what is wanted: a message, or "wrong" where only values show it.
type mutant struct{ name, file, unit, cases, old, new, want string }

var mutants = []mutant{
	{"sum: no barrier", "cuda.cuh", "reward_head.cu", "reward_head/", "if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;\n    __syncthreads();\n    return warp_sum(", "if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;\n    return warp_sum(", "wrong"},
	{"sum: lanes left out", "cuda.cuh", "reward_head.cu", "reward_head/", "for (int m = 16; m > 0; m >>= 1) x += ", "for (int m = 8; m > 0; m >>= 1) x += ", "wrong"},
	{"sum: early return", "reward_head.cu", "", "reward_head/", "    float sum = 0;\n", "    if ((int)threadIdx.x * V >= H) return;\n    float sum = 0;\n", "thread .* has returned, and is waited for at __s"},
	{"sum: a mask without some lanes", "embed.cu", "", "embed_backward/", "__ballot_sync(whole_warp, ", "__ballot_sync(0x00ffffffu, ", "__ballot_sync .*: its lane .* is not in its mask 00ffffff"},
	{"last block: one too early", "cuda.cuh", "adamw.cu", "grad_norm/", "== total - 1;", "== total - 2;", "wrong"},
	{"last block: no barrier", "cuda.cuh", "adamw.cu", "grad_norm/", "    }\n    __syncthreads();\n    __threadfence();\n    return last;", "    }\n    return last;", "(wrong|has returned, and is waited for)"},
	{"words of rows that have none", "cuda.cuh", "swiglu.cu", "swiglu/.*_F129", "return n * sizeof(T) % 16 == 0 && ", "return n > 0 && ", "(wrong|is not aligned to 16 bytes)"},
	{"rows: one too many", "embed.cu", "", "embed/", "if (i >= (unsigned)a.n) return;", "if (i > (unsigned)a.n) return;", "error: block .*, thread .*: "},
	{"rows: remainder lost", "embed.cu", "", "gather/", "if (c + k * lanes < a.width) put(", "if (c + flight * lanes < a.width) put(", "wrong"},
	{"ranges: the list's end is passed", "embed.cu", "", "embed_backward/", "a.src[j + k < last ? j + k : j]", "a.src[j + k]", "error: block .*: "},
	{"ranges: no barrier", "embed.cu", "", "embed_backward/", "    __syncthreads();\n    if (warp > 0 || column >= a.H) return;", "    if (warp > 0 || column >= a.H) return;", "wrong"},
	{"rmsnorm: no barrier", "rmsnorm.cu", "", "rmsnorm/.*_H(129|1024|2048)", "part[threadIdx.x / 32] = x;\n    __syncthreads();\n", "part[threadIdx.x / 32] = x;\n", "wrong"},
	{"rmsnorm: one buffer for two sums", "rmsnorm.cu", "", "rmsnorm_backward/.*_(H2048|H1032|H16384)", "row_sum(dot, part[turn])", "row_sum(dot, part[0])", "wrong"},
	{"rmsnorm: waits for too few copies", "rmsnorm.cu", "", "rmsnorm_backward/", "ptx::cp_async_wait<1>();", "ptx::cp_async_wait<2>();", "forward/lazy\twrong"},
	{"rmsnorm: no wait at the end", "rmsnorm.cu", "", "rmsnorm_backward/", "    ptx::cp_async_wait<0>();\n    float *sum", "    float *sum", "returns with .* cp.async copies that it has not waited for"},
	{"rmsnorm: no commit", "rmsnorm.cu", "", "rmsnorm_backward/", "        ptx::cp_async_commit();\n", "", "forward/lazy\t(wrong|error: .* copies that it has not waited for)"},
	{"rmsnorm: a stage is overwritten too early", "rmsnorm.cu", "", "rmsnorm_backward/", "fetch(stages == 2 ? turn ^ 1 : 0,", "fetch(stages == 2 ? turn : 0,", "reverse/eager\twrong"},
	{"rmsnorm: copies beyond the row", "rmsnorm.cu", "", "rmsnorm_backward/", "const bool valid = n < N && c < H;", "const bool valid = n < N;", "(wrong|error: .* cp.async: bytes .* of an allocation)"},
	{"rmsnorm: stores beyond the row", "rmsnorm.cu", "", "rmsnorm_backward/", "if (n < N && first + k * step < H) store(a.dx", "if (n < N) store(a.dx", "(wrong|error: .* store16: bytes .* of an allocation)"},
	{"rmsnorm: what was given before, beyond the row", "rmsnorm.cu", "", "rmsnorm_backward/", "if (!IN_PLACE && n < N && first + k * step < H) store(a.out", "if (!IN_PLACE && n < N) store(a.out", "(wrong|error: .* store16: bytes .* of an allocation)"},
	{"rmsnorm: rows are added in no order", "rmsnorm.cu", "", "rmsnorm_backward/", "    for (int y = 0; y < (int)blockDim.y; y++) {\n        __syncthreads();\n", "    for (int y = 0; y < (int)blockDim.y; y++) {\n", "wrong"},
	{"slice norm: rows of a warp are summed together", "rmsnorm.cu", "", "slice_norm/bf16/.*_D(64|80|96|128)_keys", "for (int m = blockDim.x / 2; m > 0;", "for (int m = 16; m > 0;", "wrong"},
	{"slice norm: a row that is none leaves its warp", "rmsnorm.cu", "", "slice_norm/bf16/.*_D(64|80|96|128)_keys", "    const int H = n < a.N ? a.H : 0; ", "    if (n >= a.N) return;\n    const int H = a.H; ", "has returned, and is waited for"},
	{"slice norm: parts are not kept apart", "rmsnorm.cu", "", "slice_norm_backward/", "return n * gridDim.y + blockIdx.y;", "return n * gridDim.y;", "wrong"},
	{"slice norm: no step between rows", "rmsnorm.cu", "", "slice_norm_backward/.*_all", "return n * a.apart + (int64_t)blockIdx.y * a.H;", "return (n * gridDim.y + blockIdx.y) * a.H;", "wrong"},
	{"slice norm: words where rows are apart by none", "rmsnorm.cu", "", "slice_norm/f32/.*_odd_row", " && wide<T>(a.apart);  // NULL", ";  // NULL", "(wrong|is not aligned to 16 bytes)"},
	{"bias: columns that are none", "add_bias.cu", "", "add_bias/.*_O(129|528)", "    if (c >= O) return;\n    const", "    const", "(wrong|error)"},
	{"bias: rows that are none", "add_bias.cu", "", "add_bias/.*_O(64|129)", "            if (n + k * step < N) store(", "            store(", "(wrong|error)"},
	{"bias: rows of a block are added without a barrier", "add_bias.cu", "", "add_bias_backward/.*_O(64|129)", "= sum[i];\n    __syncthreads();\n", "= sum[i];\n", "wrong"},
	{"bias: the sum of a thread alone", "add_bias.cu", "", "add_bias_backward/.*_O(64|129)", "for (int y = 1; y < rows; y++)", "for (int y = 1; y < 1; y++)", "wrong"},
	{"partial sums: no barrier", "partials.cuh", "add_bias.cu", "add_bias_backward/.*/N(301|1100)", "= x;\n    __syncthreads();\n", "= x;\n", "wrong"},
	{"lora: the first columns of t", "lora.cu", "", "lora/.*N33", "column<T>(a->t, a->from), a->P, false, a->b", "column<T>(a->t, 0), a->P, false, a->b", "wrong"},
	{"lora: rows as far apart as the window is wide", "lora.cu", "", "lora_backward/.*N33", "(T *)a->dt + a->from, nullptr, a->P,", "(T *)a->dt + a->from, nullptr, a->R,", "wrong"},
	{"nf4: codes of a byte in another order", "nf4.cu", "", "matmul_nf4/.*N17", "(k % 2 ? 0 : 4)", "(k % 2 ? 4 : 0)", "wrong"},
	{"nf4: columns of y that are others'", "unpacked.cuh", "nf4.cu", "matmul_nf4/.*N17", "(T *)a->y + a->at + o", "(T *)a->y + o", "wrong"},
	{"blocks: another place of a row", "blocks.cu", "", "matmul_blocks/.*/Q4_K_N17", "row * R +", "row * (R - 1) +", "wrong"},
	{"blocks: the first numbers of a block", "blocks.cu", "", "matmul_blocks/.*/Q4_K_N17", "col % B::elements, x", "0, x", "wrong"},
	{"blocks: high bits of another group", "blocks.h", "blocks.cu", "matmul_blocks/.*/Q5_K_N17", "bit = at / 32", "bit = at / 64", "wrong"},
	{"blocks: a scale of another group", "blocks.h", "blocks.cu", "matmul_blocks/.*/Q6_K_N17", "192 + at / 16", "192 + at / 32", "wrong"},
	{"rope: heads that begin between words", "rope.cu", "", "rope/bf16/.*_D84_R32", " && wide<T>(a->D, a->qkv)", "", "(load16|store16|error)"},
	{"rope: heads that are none", "rope.cu", "", "rope/", "(head + u * step < heads ? head + u * step : head)", "(head + u * step)", "(wrong|error)"},
	{"swiglu: columns that are none", "swiglu.cu", "", "swiglu_backward/", "        if (first + k * step < a.width) {\n", "        {\n", "(wrong|error)"},
	{"geglu: another activation", "swiglu.cu", "", "geglu/", "{ forward<true>(s, a); }", "{ forward<false>(s, a); }", "wrong"},
	{"geglu: the slope of another", "swiglu.cu", "", "geglu_backward/", "return GELU ? x * (", "return !GELU ? x * (", "wrong"},
	{"scale: the rest is left out", "scale.cu", "", "scale/.*n(3|17|70001)", "(int)threadIdx.x >= rest) return;", "true) return;", "wrong"},
	{"scale: every block has the rest", "scale.cu", "", "scale/.*n70001", "if (blockIdx.x > 0 || (int)", "if ((int)", "wrong"},
	{"scale: words that are none", "scale.cu", "", "scale/.*n(1000|70001)", "            if (w + k * step < words) store(", "            store(", "(wrong|error)"},
	{"sample: no __syncwarp", "sample.cu", "", "sample/f32/.*_V(33|5003)", "else __syncwarp();", "", "wrong"},
	{"sample: no barrier after a counter is cleared", "sample.cu", "", "sample/f32/.*", "sh.gathered = 0;\n        __syncthreads();\n", "sh.gathered = 0;\n", "(wrong|error)"},
	{"logprobs: one array for two sums", "logprobs.cu", "", "logprobs/", "block_sum(nan, part[1])", "block_sum(nan, part[0])", "(wrong|error)"},
	{"sample: the last that comes instead of the first", "sample.cu", "", "sample/f32/.*_V(33|5003)", "atomicMin(&sh.first, (int)threadIdx.x);", "sh.first = threadIdx.x;", "wrong"},
	{"decode: no barrier after the scores", "attention_decode.cu", "", "attention_decode/f32/(eight|long|forty).*_D32", "p[r * TILE + k] = (limits.cap > 0 ? limits.soft(s) : s) * scale;\n            }\n        }\n        __syncthreads();\n", "p[r * TILE + k] = (limits.cap > 0 ? limits.soft(s) : s) * scale;\n            }\n        }\n", "wrong"},
	{"decode: no barrier before the next keys", "attention_decode.cu", "", "attention_decode/f32/(eight|long|forty|many)", "            o[i] = s;\n        }\n        __syncthreads();\n", "            o[i] = s;\n        }\n", "wrong"},
	{"decode: too little shared memory", "attention_decode.cu", "", "attention_decode/f32/(eight|long|forty).*_D32", "(2 * a.D + TILE + 3) + TILE) * 4;", "(2 * a.D + TILE + 3)) * 4;", "of .* bytes of shared memory"},
	{"decode: the next tile is not waited for", "attention_decode.cu", "", "attention_decode/bf16/many_tiles.*_D64", "ptx::cp_async_wait<STAGES - 1>();", "ptx::cp_async_wait<STAGES>();", "forward/lazy\twrong"},
	{"decode: no barrier after the wait", "attention_decode.cu", "", "attention_decode/bf16/many_tiles.*_D64", "ptx::cp_async_wait<STAGES - 1>();\n        __syncthreads();\n", "ptx::cp_async_wait<STAGES - 1>();\n", "wrong"},
	{"decode: a stage is overwritten too early", "attention_decode.cu", "", "attention_decode/bf16/many_tiles.*_D64", "        __syncthreads();\n        turn ^= 1;", "        turn ^= 1;", "wrong"},
	{"decode: keys beyond the last", "attention_decode.cu", "", "attention_decode/bf16/.*_D64", "        if (left < NT * 8) {\n", "        if (left < 0) {\n", "wrong"},
	{"decode: warps are joined without a barrier", "attention_decode.cu", "", "attention_decode/bf16/.*_D64", "* f};\n    }\n    __syncthreads();\n", "* f};\n    }\n", "wrong"},
	{"adamw: the other half of a word", "adamw.cu", "", "adamw/bf16/.*_by_chance_n1000", "half[0] | half[1] << 16", "half[1] | half[0] << 16", "wrong"},
	{"adamw: a spike is taken", "adamw.cu", "", "adamw/.*/spike_n1000", "norm[0] > a.skip_norm", "norm[0] > 2 * a.skip_norm", "wrong"},
	{"attention: rows are copied to another place than they are read from", "attention.cuh", "attention.cu", "attention/bf16/(causal193|gaps)", "tile + word<D>(row, threadIdx.x % words);", "tile + row * 2 * room<D> + threadIdx.x % words * 16;", "_D64\t.*\twrong"},
	{"attention: operands in another order", "attention.cuh", "attention.cu", "attention/bf16/(causal193|gaps)", "ptx::mma_bf16(s[m][n], a[m], y[0], y[1]);", "ptx::mma_bf16(s[m][n], a[m], y[1], y[0]);", "wrong"},
	{"attention: a matrix not transposed", "attention.cuh", "attention.cu", "attention/bf16/(causal193|gaps)", "ptx::ldmatrix_x4_trans(y, (b", "ptx::ldmatrix_x4(y, (b", "wrong"},
	{"attention: rows of ldmatrix misaligned", "attention.cuh", "attention.cu", "attention/bf16/(causal193|gaps)", "+ n * 16 * room<D>);", "+ n * 16 * room<D> + 8);", "ldmatrix: byte .* of shared memory is not aligned to 16 bytes"},
	{"attention: rows of ldmatrix outside", "attention.cuh", "attention.cu", "attention/bf16/(causal193|gaps)", "(b ^ n * 16) + offset);", "(b ^ n * 16) + offset * 2);", "(wrong|ldmatrix_trans: bytes .* of .* bytes of shared memory)"},
	{"attention: the tail is not zero", "attention.cuh", "attention.cu", "attention/bf16/(causal193|gaps)", "i * step < left);", "true);", "(wrong|cp.async: bytes .* of an allocation)"},
	{"attention: no __syncwarp before the store", "attention.cuh", "attention.cu", "attention/bf16/(causal193|gaps).*_D64", "    __syncwarp();\n#pragma unroll\n    for (int i = 0; i < M * words / 2; i++) {", "#pragma unroll\n    for (int i = 0; i < M * words / 2; i++) {", "wrong"},
	{"attention: the next tile is not waited for", "attention.cu", "", "attention/bf16/(causal193|gaps).*_D64", "        ptx::cp_async_wait<0>();\n        __syncthreads();\n        if (VALUES < 2) fetch", "        ptx::cp_async_wait<1>();\n        __syncthreads();\n        if (VALUES < 2) fetch", "forward/lazy\t(wrong|.* copies that it has not waited for)"},
	{"attention: values are not waited for", "attention.cu", "", "attention/bf16/(causal193|gaps).*_D128", "            ptx::cp_async_wait<VALUES>();\n            __syncthreads();\n", "            __syncthreads();\n", "forward/lazy\t(wrong|.* copies that it has not waited for)"},
	{"attention: no barrier after the wait", "attention.cu", "", "attention/bf16/(causal193|gaps).*_D64", "        ptx::cp_async_wait<0>();\n        __syncthreads();\n        if (VALUES < 2) fetch", "        ptx::cp_async_wait<0>();\n        if (VALUES < 2) fetch", "wrong"},
	{"attention: the stage stays", "attention.cu", "", "attention/bf16/(causal193|gaps)", "        if (VALUES > 0) stage ^= tile_bytes;\n", "", "wrong"},
	{"attention: too little shared memory", "attention.cu", "", "attention/bf16/causal193", "bytes<D, VALUES>, a);", "bytes<D, VALUES> - KEYS * room<D> * 2, a);", "cp.async: bytes .* of .* bytes of shared memory"},
	{"attention: a key tile is left out", "attention.cu", "", "attention/bf16/(causal193|gaps)", "for (; at < past; at = then) {", "for (; at < past - 1; at = then) {", "(wrong|error)"},
	{"attention: a window that is one too wide", "attention.cu", "", "attention/bf16/(causal400|gaps)_window", "at[m][r] - first >= a.limits.window", "at[m][r] - first > a.limits.window", "wrong"},
	{"attention: positions of other keys", "attention.cu", "", "attention/bf16/(causal400|gaps)_window", "__shfl_sync(whole_warp, place[n / 4], lane)", "__shfl_sync(whole_warp, place[0], lane)", "wrong"},
	{"attention: the cap comes after the mask", "attention.cu", "", "attention/bf16/gaps_cap", "if (see == SOME) mask<L>(s, a, q0 + warp * 16 * M + lane / 4, k0);", "if (see == SOME) mask<L>(s, a, q0 + warp * 16 * M + lane / 4, k0), soften(s, a.limits);", "wrong"},
	{"backward of keys: positions are not fetched", "attention_backward.cu", "", "attention_backward/bf16/(causal400|gaps)_window", "ptx::cp_async(beside + 8 * KEYS + threadIdx.x * 16, a.place + ahead", "ptx::cp_async(beside + 8 * KEYS + threadIdx.x * 16, a.place + k0", "wrong"},
	{"backward of keys: a window that is one too narrow", "attention_backward.cu", "", "attention_backward/bf16/(causal400|gaps)_window", "- place[m][e / 2] >= a.limits.window", "- place[m][e / 2] >= a.limits.window - 1", "wrong"},
	{"backward of keys: tiles of queries in another order than their heads", "attention_backward.cu", "", "attention_backward/bf16/gaps_window", "if (++at == tiles) at = 0, ahead_head++;", "if (++at == tiles) at = 0;", "(wrong|error)"},
	{"backward of queries: a window that is one too wide", "attention_backward.cu", "", "attention_backward/bf16/(causal400|gaps)_window", "(e % 2 ? to.y : to.x) >= a.limits.window", "(e % 2 ? to.y : to.x) > a.limits.window", "wrong"},
	{"backward: both warps of a row have the same columns", "attention_backward.cu", "", "attention_backward/bf16/causal193_A1_G1_D256", "return parts == 1 ? 0 : warp / 4 * N8;", "return 0;", "wrong"},
	{"backward of queries: no slope", "attention_backward.cu", "", "attention_backward/bf16/gaps_cap", "                soften(p, a.limits);\n                add_slopes(ds, p, a.limits);\n", "                soften(p, a.limits);\n", "wrong"},
	{"decode: all sequences have the window of the first", "attention_decode.cu", "", "attention_decode/bf16/eight_samples_window", "before[r] = unseen(a, who.first + min((first_row + 8 * r) / rep, who.n - 1), past);", "before[r] = unseen(a, who.first, past);", "wrong"},
	{"decode: own slots before the window", "attention_decode.cu", "", "attention_decode/bf16/long_window", "first = max(0, past - a.window);", "first = 0;", "wrong"},
	{"reward loss: no barrier", "reward_loss.cu", "", "reward_loss/.*/four_four", "    }\n    __syncthreads();\n    totals t = {};", "    }\n    totals t = {};", "wrong"},
	{"reward loss: every lane adds to a side of a list", "reward_loss.cu", "", "reward_loss/.*/seven_zip_listed", "if (lane == k % 32) add(k,", "add(k,", "wrong"},
	{"reward loss: a tied side counts as worse", "reward_loss.cu", "", "reward_loss/.*/tied_mean_listed", "const int from = a.worse[k] - a.first;", "const int from = k + 1;", "wrong"},
	{"reward loss: a pair with scores weighs twice", "reward_loss.cu", "", "reward_loss/.*/four_four_x3_mean_scores", "two ? weight / 2 : weight", "weight", "wrong"},
	{"critique loss: no barrier before the row is overwritten", "critique_loss.cu", "", "critique_loss/.*/R33", "        if (sizeof(T) < sizeof(float)) __syncthreads();\n", "", "bf16.*\twrong"},
	{"critique loss: one buffer for two sums", "critique_loss.cu", "", "critique_loss/.*/R33", "part + 32)", "part)", "wrong"},
	{"critique loss: the slope of the cap", "critique_loss.cu", "", "critique_loss/.*_capped", " * (1 - t * t);", ";", "wrong"},
	{"critique loss: the target is not capped", "critique_loss.cu", "", "critique_loss/.*_capped", "at = soft_cap<CAPPED>(row[hit], inside, cap);", "at = row[hit];", "wrong"},
	{"soft cap: no cap", "scale.cu", "", "soft_cap/", "a->cap > 0 ? soft_cap_of<true>(s, a) : ", "", "wrong"},
	{"matmul: no barrier before the next tile", "matmul.cu", "", "matmul/.*/N17_O33_I129", "bs[k][c + 16 * j];\n        __syncthreads();\n", "bs[k][c + 16 * j];\n", "wrong"},
	{"backward: no barrier after the wait", "attention_backward.cu", "", "attention_backward/bf16/(causal193|gaps).*_D64", "        ptx::cp_async_wait<0>();\n        __syncthreads();  // the stage is there, and nobody reads the other one any more\n        entry = next;\n        if (STAGES == 2 && left > 1)", "        ptx::cp_async_wait<0>();\n        entry = next;\n        if (STAGES == 2 && left > 1)", "wrong"},
	{"backward: no wait", "attention_backward.cu", "", "attention_backward/bf16/(causal193|gaps).*_D64", "        ptx::cp_async_wait<0>();\n        __syncthreads();  // the stage is there, and nobody reads the other one any more\n        entry = next;\n        if (STAGES == 2 && left > 1)", "        __syncthreads();\n        entry = next;\n        if (STAGES == 2 && left > 1)", "forward/lazy\t(wrong|.* copies that it has not waited for)"},
	{"backward: the stage in use is overwritten", "attention_backward.cu", "", "attention_backward/bf16/(causal193|gaps).*_D64", "fetch_next((left - 1) & 1);", "fetch_next(left & 1);", "reverse/eager\twrong"},
	{"backward of queries: the only stage is overwritten too early", "attention_backward.cu", "", "attention_backward/bf16/(causal|gaps).*_D128", "            __syncthreads();  // nobody reads the stage any more\n            fetch_tile(", "            fetch_tile(", "random/mixed\twrong"},
	{"backward of keys: the only stage is overwritten too early", "attention_backward.cu", "", "attention_backward/bf16/(causal|gaps).*_D128", "            __syncthreads();  // nobody reads the stage any more\n            fetch_next(", "            fetch_next(", "random/mixed\twrong"},
	{"backward: too little shared memory", "attention_backward.cu", "", "attention_backward/bf16/causal193", "threads<D>, L::size, p);", "threads<D>, L::size - 1024, p);", "of .* bytes of shared memory"},
	{"decode: slots are overwritten too early", "attention_decode.cu", "", "attention_decode/bf16/many_tiles.*_D64", "slot[turn][t] = at.slot(c, lo + 2 * TILE + t);", "slot[!turn][t] = at.slot(c, lo + 2 * TILE + t);", "(wrong|error)"},
	{"adamw_8bit: beyond the end", "adamw.cu", "", "adamw_8bit/.*/(codes_n(516|600|3000)|new)", "            if (at >= n) break;\n            codes_m[u] = load_codes", "            codes_m[u] = load_codes", "(load16|an access at)"},
	{"adamw_8bit: the scale of one lane", "adamw.cu", "", "adamw_8bit/.*/(codes_n(516|600|3000)|new)", "new_m = scale_of(warp_max(top_m))", "new_m = scale_of(top_m)", "wrong"},
	{"adamw_8bit: codes in another order", "adamw.cu", "", "adamw_8bit/.*/(codes_n(516|600|3000)|new)", "per_v, word[u][k]) << 8 * k;", "per_v, word[u][k]) << 8 * (V - 1 - k);", "wrong"},
	{"adamw_8bit: a lane waits for one that has left", "adamw.cu", "", "adamw_8bit/.*/(codes_n(516|600|3000)|new)", "b * moments < n; b += stride)", "b * moments + lane * V < n; b += stride)", "has returned, and is waited for"},
	{"adamw: beyond the end", "adamw.cu", "", "adamw/.*_n1000", "            if (i + u * threads >= n) break;\n            load<ONCE>", "            load<ONCE>", "(load16|an access at)"},
}

// TestPlantedMistakes shows that the software GPU sees mistakes in the real kernels: each is compiled with one and run.
func TestPlantedMistakes(t *testing.T) {
	if testing.Short() {
		t.Skip("short: compiles kernels for a minute")
	}
	dir := t.TempDir()
	all, l := buildCases(t, dir, "-O0"), openLibrary(t) // they run for less time than g++ takes
	right := all.program(t, dir)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			said, r, s := hunt(t, l, m, all.with(t, m))
			if r == nil {
				t.Fatalf("not seen; want %s in\n%.3000s", m.want, said)
			}
			p := start(t, exec.Command(right))
			defer p.end()
			if line, _ := p.judge(r, s); !strings.HasSuffix(line, "\tok\n") {
				t.Errorf("the right kernels: %s", line)
			}
		})
	}
}

// hunt runs a mutant until it says what is wanted, and gives what it has said and the case and schedule where it did so.
func hunt(t *testing.T, l *library, m mutant, bin string) (said string, r *kerneltest.Record, s schedule) {
	wanted := regexp.MustCompile(m.want)
	p := start(t, exec.Command(bin))
	defer func() {
		_ = p.cmd.Process.Kill() // a mutant need not end
		p.end()
	}()
	for _, c := range l.named(t, m.cases) {
		for _, s := range schedules {
			line, alive := p.judge(l.record(c), s)
			if said += line; wanted.MatchString(line) {
				return said, l.record(c), s
			}
			if !alive {
				p = start(t, exec.Command(bin))
			}
		}
	}
	return said, nil, s
}

// driver reads the cases.
const driver = "testdata/cases_gpu.cc"

// casesBuild is the driver, the software GPU and all kernels, compiled.
type casesBuild struct {
	flags   []string
	header  string            // precompiled, which is a third of the work
	objects map[string]string // by source
}

// buildCases compiles them. Missing ops stay weak.
func buildCases(t *testing.T, dir string, flags ...string) *casesBuild {
	b := &casesBuild{flags: flags, header: filepath.Join(dir, "gpu.h")}
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
	sources = append(sources, driver)
	b.objects = compileAll(t, dir, sources, b.compile)
	return b
}

// compile makes the object of a source, or precompiles the header.
func (b *casesBuild) compile(source, object string) error {
	flags, warn := b.flags, []string{"-w"}
	switch {
	case source == driver:
		warn = []string{"-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-Wno-unknown-pragmas"}
	case source != "gpu_emu.cc":
	case slices.Contains(flags, "-fsanitize=thread,bounds"): // the software GPU tells the sanitizer what to see
		flags = []string{"-O1", "-g1", "-DEMU_TSAN"}
	default:
		flags = []string{"-O1"}
	}
	args := append(warn, "-std=gnu++17", "-fno-strict-aliasing", "-I.", "-o", object)
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

func (b *casesBuild) program(t *testing.T, dir string) string {
	return b.link(t, dir, driver, b.objects[driver])
}

// with compiles a mutant and links it with the other units.
func (b *casesBuild) with(t *testing.T, m mutant) (program string) {
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
func (b *casesBuild) link(t *testing.T, dir, source, object string) (program string) {
	objects := []string{object}
	for _, s := range slices.Sorted(maps.Keys(b.objects)) {
		if s != source {
			objects = append(objects, b.objects[s])
		}
	}
	return link(t, filepath.Join(dir, "cases"), objects, b.flags...)
}
