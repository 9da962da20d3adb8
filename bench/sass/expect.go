package main

import (
	"fmt"
	"regexp"
)

// expectation is what must be seen in the kernels whose whole name matches.
type expectation struct {
	Name   string  // regular expression
	Tensor bool    // multiplies on the tensor cores, fed by ldmatrix
	Issue  float64 // instructions of a warp for each product in the loops over tiles, at most
	Async  bool    // copies to shared memory in the background
	Wide   bool    // moves its data in 16-byte words; in the loops that do there are at most
	Narrow int     // so many smaller loads (row numbers, statistics of a row), and as many smaller stores
	Divide bool    // may divide 64-bit numbers all the same
	Shared int     // bytes of dynamic shared memory that a launch asks for, at most
	Blocks int     // must fit on a multiprocessor together
	Large  bool    // GPUs with 99 KiB of shared memory for a block run another kernel
	Quiet  bool    // no line in the short table
}

// expectations have a line for every kernel; the first that matches counts.
var expectations = []expectation{
	{Name: `adamw\.adamw_kernel<(float|bf16),(true|false),4>`, Wide: true, Narrow: 2, Blocks: 3}, // bf16 weights are half the size: 8 bytes
	{Name: `adamw\.adamw_kernel<(float|bf16),(true|false),1>`, Quiet: true, Blocks: 6},
	{Name: `adamw\.adamw_8bit_kernel<(float|bf16),(true|false),4>`, Wide: true, Narrow: 8, Blocks: 3}, // codes, a scale, 8 bytes of bf16 weights
	{Name: `adamw\.adamw_8bit_kernel<(float|bf16),(true|false),1>`, Quiet: true, Blocks: 3},
	{Name: `adamw\.grad_norm_kernel<4>`, Wide: true, Blocks: 8},
	{Name: `adamw\.grad_norm_kernel<1>`, Quiet: true, Blocks: 8},
	{Name: `(add_bias|rmsnorm)\.add_partials_kernel`, Blocks: 4},
	{Name: `add_bias\.\w+<(float,4|bf16,8)>`, Wide: true, Blocks: 3},
	{Name: `add_bias\.\w+<\w+,1>`, Quiet: true, Blocks: 4},
	// the last argument is 1 where scores have windows or caps
	{Name: `attention\.attention_kernel<128,1,0>`, Tensor: true, Issue: 3.2, Async: true, Shared: 80 << 10, Blocks: 2},
	{Name: `attention\.attention_kernel<(80|96|128),1,[01]>`, Tensor: true, Async: true, Shared: 80 << 10, Blocks: 2},
	{Name: `attention\.attention_kernel<64,2,0>`, Tensor: true, Issue: 4.6, Async: true, Shared: 48 << 10, Blocks: 3},
	{Name: `attention\.attention_kernel<64,2,1>`, Tensor: true, Async: true, Shared: 48 << 10, Blocks: 2},
	{Name: `attention\.attention_kernel<256,0,[01]>`, Tensor: true, Async: true, Shared: 96 << 10, Blocks: 1},
	{Name: `attention\.attention_plain_kernel<\w+,(true|false)>`, Quiet: true, Shared: 16 << 10, Blocks: 4},
	{Name: `attention_backward\.attention_backward_kernel<128,2,0>`, Tensor: true, Issue: 2.8, Async: true, Shared: 129<<10 + 512 + 16, Blocks: 1, Large: true},
	{Name: `attention_backward\.attention_backward_kernel<128,1,0>`, Tensor: true, Issue: 3.1, Async: true, Shared: 96<<10 + 768 + 16, Blocks: 1},
	{Name: `attention_backward\.attention_backward_kernel<64,2,0>`, Tensor: true, Issue: 3.1, Async: true, Shared: 65<<10 + 512 + 16, Blocks: 2},
	{Name: `attention_backward\.attention_backward_kernel<(80|96|128),2,[01]>`, Tensor: true, Async: true, Shared: 129<<10 + 512 + 16, Blocks: 1, Large: true},
	{Name: `attention_backward\.attention_backward_kernel<(80|96|128),1,[01]>`, Tensor: true, Async: true, Shared: 96<<10 + 768 + 16, Blocks: 1},
	{Name: `attention_backward\.attention_backward_kernel<256,1,[01]>`, Tensor: true, Async: true, Shared: 128<<10 + 768 + 16, Blocks: 1, Large: true},
	{Name: `attention_backward\.attention_backward_kernel<64,2,1>`, Tensor: true, Async: true, Shared: 65<<10 + 512 + 16, Blocks: 2},
	{Name: `attention_backward\.attention_backward_prepare_kernel<\d+>`, Wide: true, Narrow: 29, Blocks: 6}, // also makes the lists of parts
	{Name: `attention_backward\.attention_backward_sum_kernel<\d+>`, Wide: true, Blocks: 5},
	{Name: `attention_backward\.attention_backward_plain_\w+<\w+>`, Quiet: true, Blocks: 8},
	{Name: `attention_decode\.cascade_kernel<64,true,0>`, Tensor: true, Issue: 7.5, Async: true, Shared: 32 << 10, Blocks: 3},
	{Name: `attention_decode\.cascade_kernel<64,false,0>`, Tensor: true, Issue: 17, Async: true, Shared: 32 << 10, Blocks: 4},
	{Name: `attention_decode\.cascade_kernel<128,true,0>`, Tensor: true, Issue: 5.5, Async: true, Shared: 64 << 10, Blocks: 2},
	{Name: `attention_decode\.cascade_kernel<128,false,0>`, Tensor: true, Issue: 13, Async: true, Shared: 64 << 10, Blocks: 2},
	{Name: `attention_decode\.cascade_kernel<64,(true|false),1>`, Tensor: true, Async: true, Shared: 32 << 10, Blocks: 3},
	{Name: `attention_decode\.cascade_kernel<(80|96|128),(true|false),[01]>`, Tensor: true, Async: true, Shared: 64 << 10, Blocks: 2},
	{Name: `attention_decode\.cascade_kernel<256,true,[01]>`, Tensor: true, Async: true, Shared: 96 << 10, Blocks: 1},
	{Name: `attention_decode\.cascade_kernel<256,false,[01]>`, Tensor: true, Async: true, Shared: 72 << 10, Blocks: 2},
	{Name: `attention_decode\.decode_kernel<(float,4|bf16,8)>`, Wide: true, Blocks: 4},
	{Name: `attention_decode\.decode_kernel<\w+,1>`, Quiet: true, Blocks: 4},
	{Name: `attention_decode\.merge_kernel<\w+>`, Blocks: 12},
	{Name: `blocks\.unpack_blocks_kernel<.*>`, Blocks: 4}, // it reads eight numbers' bits and their scale, byte by byte, and writes words
	{Name: `critique_loss\.critique_loss_kernel<(float,4|bf16,8),(true|false)>`, Wide: true, Blocks: 3},
	{Name: `critique_loss\.critique_loss_kernel<\w+,1,(true|false)>`, Quiet: true, Blocks: 3},
	{Name: `critique_loss\.critique_loss_sum_kernel`, Quiet: true, Blocks: 1}, // a single block
	{Name: `embed\.copy_rows_kernel<uint4>`, Wide: true, Blocks: 6},
	{Name: `embed\.copy_rows_kernel<unsigned (int|short)>`, Quiet: true, Blocks: 6},
	{Name: `embed\.embed_backward_kernel<(float,4|bf16,8)>`, Wide: true, Narrow: 12, Blocks: 4}, // beside four words: four positions; at the end of a range its id
	{Name: `embed\.embed_backward_kernel<\w+,1>`, Quiet: true, Blocks: 8},
	{Name: `embed\.embed_backward_join_kernel<[48]>`, Wide: true, Blocks: 6},
	{Name: `embed\.embed_backward_join_kernel<1>`, Quiet: true, Blocks: 8},
	{Name: `embed\.gather_backward_kernel<(float,4|bf16,8)>`, Wide: true, Narrow: 3, Blocks: 3},
	{Name: `embed\.gather_backward_kernel<\w+,1>`, Quiet: true, Blocks: 5},
	{Name: `logprobs\.logprobs_kernel<4>`, Wide: true, Blocks: 4},
	{Name: `logprobs\.logprobs_kernel<1>`, Quiet: true, Blocks: 4},
	{Name: `matmul\.matmul_plain_kernel<.*>`, Quiet: true, Blocks: 3},                             // where cuBLASLt has no algorithm
	{Name: `nf4\.unpack_nf4_kernel<.*>`, Blocks: 4},                                               // it reads eight codes, a maximum, its number and its scale, and writes words
	{Name: `reward_loss\.reward_loss_kernel<(float,4|bf16,8)>`, Wide: true, Narrow: 7, Blocks: 1}, // gradients of rewards beside the words; few blocks run
	{Name: `reward_loss\.reward_loss_kernel<\w+,1>`, Quiet: true, Blocks: 1},
	{Name: `reward_head\.reward_head_kernel<(float,4|bf16,8)>`, Wide: true, Blocks: 8},
	{Name: `reward_head\.reward_head_kernel<\w+,1>`, Quiet: true, Blocks: 8},
	{Name: `rmsnorm\.rmsnorm_kernel<\w+,[14],(true|false)>`, Wide: true, Narrow: 1, Blocks: 1}, // the blocks of rows of 4096 numbers are a quarter of the largest
	{Name: `rmsnorm\.rmsnorm_backward_kernel<\w+,[14],(true|false)>`, Wide: true, Narrow: 2, Async: true, Shared: 96 << 10, Blocks: 1},
	{Name: `rmsnorm\.rmsnorm_(backward_)?long_(columns_)?kernel<\w+>`, Quiet: true, Blocks: 2},
	{Name: `rope\.rope_kernel<(float,4|bf16,8)>`, Wide: true, Blocks: 2},
	{Name: `rope\.rope_kernel<\w+,1>`, Quiet: true, Blocks: 2},
	{Name: `sample\.sample_kernel<4>`, Wide: true, Blocks: 1},
	{Name: `sample\.sample_kernel<1>`, Quiet: true, Blocks: 1},
	{Name: `scale\.scale_kernel<(float,4|bf16,8)>`, Wide: true, Narrow: 1, Blocks: 4}, // what is left of a word
	{Name: `scale\.scale_kernel<\w+,1>`, Quiet: true, Blocks: 5},
	{Name: `scale\.soft_cap_kernel<4,(true|false)>`, Wide: true, Narrow: 1, Blocks: 4},
	{Name: `scale\.soft_cap_kernel<1,(true|false)>`, Quiet: true, Blocks: 4},
	{Name: `swiglu\.swiglu_kernel<(float,4|bf16,8),(true|false)>`, Wide: true, Blocks: 5},
	{Name: `swiglu\.swiglu_backward_kernel<(float,4|bf16,8),(true|false)>`, Wide: true, Blocks: 4},
	{Name: `swiglu\.\w+<\w+,1,(true|false)>`, Quiet: true, Blocks: 6},
}

func find(list []expectation, name string) *expectation {
	for i := range list {
		if regexp.MustCompile(`^(?:` + list[i].Name + `)$`).MatchString(name) {
			return &list[i]
		}
	}
	return nil
}

// check gives a sentence for everything that is not as expected.
func check(list []kernel, expected []expectation) []string {
	var bad []string
	used := map[*expectation]bool{}
	for _, k := range list {
		fail := func(format string, a ...any) {
			bad = append(bad, fmt.Sprintf("%s, sm_%s: ", k.Name, k.Arch)+fmt.Sprintf(format, a...))
		}
		if k.Stack > 0 || k.Count.Local > 0 {
			fail("%d bytes of local memory, %d instructions that use it", k.Stack, k.Count.Local)
		}
		if k.Threads == 0 {
			fail("no __launch_bounds__")
		}
		e := find(expected, k.Name)
		if e == nil {
			fail("has no line in bench/sass/expect.go")
			continue
		}
		used[e] = true
		if c := k.Count; e.Tensor && (c.HMMA == 0 || c.LDSM == 0) {
			fail("%d HMMA and %d LDSM: want both", c.HMMA, c.LDSM)
		} else if !e.Tensor && c.HMMA > 0 {
			fail("%d HMMA: want none", c.HMMA)
		}
		if c := k.Count; e.Issue > 0 && (c.Looped == 0 || c.each() > e.Issue) {
			fail("%d instructions for %d HMMA of its loops, want at most %.3g for each", c.Issued, c.Looped, e.Issue)
		}
		if (k.Count.LDGSTS > 0) != e.Async {
			fail("%d LDGSTS, asynchronous copies expected: %v", k.Count.LDGSTS, e.Async)
		}
		if c := k.Count; e.Wide && (c.Load16 == 0 || c.Load > e.Narrow || c.Store > e.Narrow) {
			fail("%d loads and %d stores of 16 bytes; %d and %d of less, want at most %d", c.Load16, c.Store16, c.Load, c.Store, e.Narrow)
		}
		if k.Divisions > 0 && e.Wide && !e.Divide {
			fail("divides 64-bit numbers")
		}
		if n := k.Shared + e.Shared; n > 99<<10 && !e.Large {
			fail("%d bytes of shared memory, GeForce has %d for a block", n, 99<<10)
		}
		if n := blocks(k, e.Shared); n < e.Blocks {
			fail("%d blocks of %d threads with %d registers and %d bytes of shared memory fit on a multiprocessor, want %d", n, k.Threads, k.Registers,
				k.Shared+e.Shared, e.Blocks)
		}
	}
	for i := range expected {
		if !used[&expected[i]] {
			bad = append(bad, "no kernel has a name like "+expected[i].Name)
		}
	}
	return bad
}
