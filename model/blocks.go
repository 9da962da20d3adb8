package model

// Projections in the blocks of a GGUF file ('criticrm convert --keep_quantized' makes such directories): those that are not trained are multiplied as they
// are stored, and the others unpacked when they are read.

import (
	"fmt"
	"maps"
	"slices"

	"criticrm/checkpoint"
	"criticrm/gguf"
	"criticrm/kernels"
)

// BlocksMethod is the quant_method of a quantization_config whose object "tensors" names the type of each projection's blocks. The tensor of the projection
// NAME (O, I) has the rows of the file: U8, (O, bytes of a row).
const BlocksMethod = "gguf"

// Blocks says whether the projections of the directory that the config was read from are stored in blocks.
func (c Config) Blocks() bool { return c.blockTypes != nil }

// readBlockTypes reads a quantization_config of this kind.
func (c *Config) readBlockTypes(f *fields, q *fields) {
	const key = "tensors"
	types := q.object(key)
	if types == nil {
		f.fail("quantization_config", "%s: missing: it names the type of each projection's blocks", key)
		return
	}
	c.blockTypes = map[string]kernels.BlockType{}
	for _, name := range slices.Sorted(maps.Keys(types.m)) {
		t, ok := kernels.BlockTypeOf(types.text(name))
		if !ok {
			f.fail("quantization_config", "%s: %.80q has the type %.40q: want one of %s", key, name, types.text(name), kernels.BlockTypeNames())
		}
		c.blockTypes[name] = t
	}
	if f.err == nil {
		f.err = types.err
	}
}

// storedBlocks is the tensor of a projection in the files.
func (c *Config) storedBlocks(name string, rows, cols int) (info checkpoint.TensorInfo, err error) {
	t, ok := c.blockTypes[name]
	if !ok {
		return info, fmt.Errorf("tensor %q has no type in quantization_config.tensors of %s", name, ConfigFile)
	}
	bytes, ok := t.Row(cols)
	if !ok {
		return info, fmt.Errorf("tensor %q has rows of %d: blocks of %s have %d", name, cols, t.Name, t.Elements)
	}
	return checkpoint.TensorInfo{Name: name, Shape: []int64{int64(rows), int64(bytes)}}, nil
}

// keepsBlocks says whether weights stay in blocks.
func (m *Model) keepsBlocks() bool { return m.blockTypes != nil && !m.opt.Unpack }

// inBlocks says whether a weight stays as it is stored.
func (m *Model) inBlocks(kind ParamKind, trained bool) bool {
	return m.keepsBlocks() && kind == Matrix && !trained
}

// passBlocks goes past a weight in blocks.
func (p *place) passBlocks(info checkpoint.TensorInfo) {
	p.packedBlocks += (int(info.Shape[0]*info.Shape[1]) + alignElems - 1) &^ (alignElems - 1)
}

// bindBlocks places the parts of a weight in blocks, and appends their parameters to the list.
func (m *Model) bindBlocks(w *weight, cols int, parts []part, to *place) {
	column := 0
	for _, p := range parts {
		info, _ := m.storedBlocks(p.name, p.rows, cols) // allocate has seen to it
		rows, bytes := int(info.Shape[0]), int(info.Shape[1])
		b := &kernels.Blocks{Type: m.blockTypes[p.name], Code: m.packedBlocks.Rows(to.packedBlocks, to.packedBlocks+rows*bytes).View(rows, bytes)}
		w.packed = append(w.packed, packed{blocks: b, at: column})
		m.params = append(m.params, &Param{Name: p.name, Shape: []int{p.rows, cols}, Kind: Matrix, Blocks: b, First: to.weight})
		column += p.rows
		to.passBlocks(info)
	}
}

// readBlocks puts a weight in blocks on the device: as it is or, where it is trained, as the numbers that it stands for.
func (m *Model) readBlocks(s source, p *Param) error {
	t := m.blockTypes[p.Name]
	if info, _ := s.main.Info(p.Name); info.DType != "U8" {
		return fmt.Errorf("model: tensor %q is of type %s, want U8: quantization_config has it in blocks of %s", p.Name, info.DType, t.Name)
	}
	b, err := s.main.ReadRaw(p.Name)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if at := t.Broken(b); at >= 0 {
		return fmt.Errorf("model: tensor %q: the scale of block %d is infinite or not a number: the file is damaged, or of a model that broke in training", p.Name, at)
	}
	if p.Blocks != nil {
		m.Dev.Upload(p.Blocks.Code.View(len(b)), b)
		return nil
	}
	x := make([]float32, p.Len())
	if err := gguf.Dequantize(x, b, gguf.Type(t.Number)); err != nil {
		return fmt.Errorf("model: tensor %q: %w", p.Name, err)
	}
	m.set(p, 0, x)
	return nil
}

// unpackBlocks downloads the numbers that a weight in blocks stands for.
func (m *Model) unpackBlocks(x []float32, p *Param) {
	b := make([]byte, p.Blocks.Code.Bytes())
	m.Dev.Download(b, p.Blocks.Code.View(len(b)))
	if err := gguf.Dequantize(x, b, gguf.Type(p.Blocks.Type.Number)); err != nil {
		panic(fmt.Sprintf("model: %s: %v", p.Name, err))
	}
}
