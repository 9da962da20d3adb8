package kerneltest

import (
	"testing"

	"criticrm/gguf"
	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
)

// testBlocks reads weights in blocks back as products with the identity: they are to the bit what the file's numbers are, rounded once to bfloat16.
func testBlocks(t *testing.T, d *kernels.Device) {
	const i = 512
	for _, b := range kernels.BlockTypes {
		kind := gguf.Type(b.Number)
		if elements, bytes := kind.Block(); kind.String() != b.Name || elements != b.Elements || bytes != b.Bytes {
			t.Errorf("%v: %s here has blocks of %d in %d bytes, and of %d in %d in a file", kind, b.Name, b.Elements, b.Bytes, elements, bytes)
			continue
		}
		code, o := spec.BlocksOf(kind, 24*i/b.Elements), 24
		want := make([]float32, o*i)
		if err := gguf.Dequantize(want, code, kind); err != nil {
			t.Fatal(err)
		}
		one := make([]float32, i*i)
		for k := range i {
			one[k*i+k] = 1
		}
		for _, typ := range []kernels.DType{kernels.F32, kernels.BF16} {
			row, _ := b.Row(i)
			w := kernels.Blocks{Type: b, Code: d.Alloc(kernels.U8, o, row)}
			x, y, dense := d.Alloc(typ, i, i), d.Alloc(typ, i, o), d.Alloc(typ, o, i)
			d.Upload(w.Code, code)
			d.Upload(x, one)
			d.Upload(dense, want)
			d.MatmulBlocks(y, x, w, 0)
			got, rounded := make([]float32, i*o), make([]float32, o*i)
			d.Download(got, y)
			d.Download(rounded, dense)
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			for k, v := range rounded {
				if is := got[k%i*o+k/i]; is != v {
					t.Errorf("%v, %v: element %d is %v, want %v", kind, typ, k, is, v)
					break
				}
			}
			for _, x := range []kernels.Tensor{w.Code, x, y, dense} {
				d.Free(x)
			}
		}
		code[3*b.Bytes+b.Scales[0]+1] |= 0x7c
		if at := b.Broken(code); at != 3 {
			t.Errorf("%v: an infinite scale in block 3 is found in block %d", kind, at)
		}
	}
}
