//go:build !cuda

package kernels_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
	"criticrm/kernels/tile"
)

// limits are the scores of which results must not depend on company.
var limits = []kernels.Scores{{Scale: 0.3}, {Scale: 0.3, Window: 1}, {Scale: 0.3, Window: 37}, {Scale: 0.3, Window: 128, Cap: 2}, {Scale: 0.3, Window: 200}}

const aloneA, aloneG, aloneD = 2, 1, 20

func normals(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// upload makes a tensor of numbers, freed with the test.
func upload[T float32 | int32](t *testing.T, d *kernels.Device, typ kernels.DType, x []T, shape ...int) kernels.Tensor {
	y := d.Alloc(typ, shape...)
	t.Cleanup(func() { d.Free(y) })
	d.Upload(y, x)
	return y
}

// attend gives out (N, A·D) and lse (N, A) of a forest, row by row.
func attend(t *testing.T, d *kernels.Device, qkv []float32, end, pos []int32, by kernels.Scores) (rows [][]float32) {
	n := len(end)
	tiles := tile.Lists(nil, end, pos, by.Window)
	out, lse := d.Alloc(kernels.F32, n, aloneA, aloneD), d.Alloc(kernels.F32, n, aloneA)
	d.Attention(out, lse, upload(t, d, kernels.F32, qkv, n, aloneA+2*aloneG, aloneD),
		kernels.Sight{End: upload(t, d, kernels.I32, end, n), Pos: upload(t, d, kernels.I32, pos, n), Tiles: upload(t, d, kernels.I32, tiles, len(tiles))}, by)
	x, y := make([]float32, n*aloneA*aloneD), make([]float32, n*aloneA)
	d.Download(x, out)
	d.Download(y, lse)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		rows = append(rows, append(slices.Clone(x[i*aloneA*aloneD:][:aloneA*aloneD]), y[i*aloneA:][:aloneA]...))
	}
	return rows
}

// On the CPU the bits of a token are those of its branch alone, wherever windows begin on the tiles and chunks of the kernel.
func TestAttentionAlone(t *testing.T) {
	d := cpu(t, 2)()
	defer d.Close()
	f := new(spec.Forest)
	f.Leaf(77)
	f.PairTree(301, 90, 41, 2)
	end, pos := f.End(), f.Pos()
	const row = (aloneA + 2*aloneG) * aloneD
	qkv := normals(rand.New(rand.NewPCG(1, 2)), len(end)*row)
	for _, by := range limits {
		together := attend(t, d, qkv, end, pos, by)
		for _, q := range []int{0, 76, 100, 377, 400, 467, 490, 549, 600, len(end) - 1} {
			var branch []float32
			var ends, at []int32
			for k := range q + 1 {
				if int(end[k]) > q {
					branch, at = append(branch, qkv[k*row:][:row]...), append(at, int32(len(at)))
				}
			}
			for range at {
				ends = append(ends, int32(len(at)))
			}
			if alone := attend(t, d, branch, ends, at, by); !slices.Equal(alone[len(at)-1], together[q]) {
				t.Errorf("%+v: token %d has other bits alone", by, q)
			}
		}
	}
}

// A sequence decodes to the same bits beside others, whose windows begin elsewhere, and however its shared slots are cut.
func TestDecodeAlone(t *testing.T) {
	d := cpu(t, 2)()
	defer d.Close()
	const slots, shared = 700, 300 // shared ones first; own ones of sequence b from shared + 100·b on
	r := rand.New(rand.NewPCG(3, 4))
	kv := upload(t, d, kernels.F32, normals(r, slots*2*aloneG*aloneD), slots, 2*aloneG, aloneD)
	qkv, own := normals(r, 3*(aloneA+2*aloneG)*aloneD), []int32{1, 90, 33}
	decode := func(members []int32, cuts []int32, by kernels.Scores) [][]float32 {
		var query []float32
		var group, start, length []int32
		for _, b := range members {
			query = append(query, qkv[int(b)*len(qkv)/3:][:len(qkv)/3]...)
			group, start, length = append(group, 0), append(start, shared+100*b), append(length, own[b])
		}
		var from []int32
		for i, at := 0, int32(0); i < len(cuts); i++ {
			from, at = append(from, at), at+cuts[i]
		}
		n := len(members)
		ints := func(x []int32) kernels.Tensor { return upload(t, d, kernels.I32, x, len(x)) }
		out := d.Alloc(kernels.F32, n, aloneA, aloneD)
		d.AttentionDecode(out, upload(t, d, kernels.F32, query, n, aloneA+2*aloneG, aloneD), kv, kernels.DecodeContext{Group: ints(group),
			SegPtr: ints([]int32{0, int32(len(cuts))}), SegStart: ints(from), SegLen: ints(cuts), OwnStart: ints(start), OwnLen: ints(length)}, by)
		x := make([]float32, n*aloneA*aloneD)
		d.Download(x, out)
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		return slices.Collect(slices.Chunk(x, aloneA*aloneD))
	}
	for _, by := range limits {
		together := decode([]int32{0, 1, 2}, []int32{300}, by)
		for b := range int32(3) {
			for _, cuts := range [][]int32{{300}, {128, 172}, {1, 0, 250, 49}} {
				if alone := decode([]int32{b}, cuts, by); !slices.Equal(alone[0], together[b]) {
					t.Errorf("%+v: sequence %d has other bits alone with %s", by, b, fmt.Sprint("segments of ", cuts))
				}
			}
		}
	}
}
