package checkpoint

// Values of many tensors, piece by piece: a model is loaded without a second copy of it.

// EachF32 gives the values of tensors as ReadF32 does, in the order of names, in pieces of a few megabytes: use gets the index of the
// first value in its tensor and memory that is only its own until it returns. It is called on this goroutine; reading and conversion run
// ahead of it on all cores. NaN and infinities are an error behind the last piece of their tensor.
func (d *ModelDir) EachF32(names []string, use func(name string, at int, x []float32) error) error {
	type piece struct {
		f          *SafetensorsFile
		t          *span
		begin, end int64 // bytes of the file's data
	}
	var pieces []piece
	for _, name := range names {
		f, err := d.file(name)
		if err != nil {
			return err
		}
		t, err := f.span(name)
		if err != nil {
			return err
		}
		for at := t.begin; at < t.end; at += readChunk {
			pieces = append(pieces, piece{f, t, at, min(at+readChunk, t.end)})
		}
	}
	type memory struct {
		raw []byte
		x   []float32
		err error
	}
	free := make(chan *memory, workers()+1) // as many as inOrder has under way, and the one in use
	work := func(i int) *memory {
		p := pieces[i]
		var b *memory
		select {
		case b = <-free:
		default:
			b = &memory{raw: make([]byte, readChunk)}
		}
		n := (p.end - p.begin) / dtypeSize(p.t.DType)
		if int64(cap(b.x)) < n {
			b.x = make([]float32, n)
		}
		b.x = b.x[:n]
		b.err = p.f.convert(b.x, b.raw[:p.end-p.begin], p.t, p.begin)
		return b
	}
	var bad nonFinites
	return inOrder(len(pieces), nil, work, func(i int, b *memory) error {
		if b.err != nil {
			return b.err
		}
		p := pieces[i]
		at := int((p.begin - p.t.begin) / dtypeSize(p.t.DType))
		if at == 0 {
			bad = nonFinites{}
		}
		bad.add(at, b.x)
		if p.end == p.t.end {
			if err := p.f.refuse(p.t, bad); err != nil {
				return err
			}
		}
		err := use(p.t.Name, at, b.x)
		select {
		case free <- b:
		default:
		}
		return err
	})
}
