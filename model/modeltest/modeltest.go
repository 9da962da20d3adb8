// Package modeltest makes batches for tests and benchmarks.
package modeltest

import "criticrm/model"

// Trees is a batch of pairs, each a tree of a prompt, two responses and k critiques on each, of so many tokens. The n tokens from place at of
// the batch on are ids(at, n). Every token of a critique is learned, and its last one read.
func Trees(pairs, prompt, response, critique, k int, ids func(at, n int) []int32) *model.Batch {
	b := &model.Batch{SidePtr: []int32{0}}
	for range pairs {
		b.Open(ids(b.Len(), prompt))
		for range 2 {
			b.Open(ids(b.Len(), response))
			last := int32(b.Len() - 1)
			for range k {
				row, c := last, ids(b.Len(), critique)
				b.Open(c)
				for i, id := range c {
					b.Row, b.Target, b.Weight = append(b.Row, row), append(b.Target, id), append(b.Weight, 1)
					row = int32(b.Len() - len(c) + i)
				}
				b.Leaf = append(b.Leaf, int32(b.Len()-1))
				b.Close()
			}
			b.SidePtr = append(b.SidePtr, int32(len(b.Leaf)))
			b.Close()
		}
		b.Close()
	}
	return b
}
