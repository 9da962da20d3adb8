package model

// Weights that a directory has in 4 bits already: what transformers saves of a model that bitsandbytes quantised. They are kept as they are.

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"criticrm/checkpoint"
	"criticrm/kernels"
)

// Tensors beside NAME.weight, which has two elements a byte.
const (
	absmaxEnd    = ".absmax"                        // U8, one a block
	nestedEnd    = ".nested_absmax"                 // F32, one for 256 of them
	nestedMapEnd = ".nested_quant_map"              // F32, what the bytes of absmax stand for
	valuesEnd    = ".quant_map"                     // F32, what four bits stand for
	stateEnd     = ".quant_state.bitsandbytes__nf4" // U8, JSON
)

// Quantised says whether the projections of the directory that the config was read from are stored in 4 bits. Such a model opens as with
// Options.NF4, and trains with an adapter only.
func (c Config) Quantised() bool { return c.quantised }

// readQuantised takes what bitsandbytes makes with double quantisation, and nothing else.
func (c *Config) readQuantised(f *fields) {
	const key = "quantization_config"
	q := f.object(key)
	if q == nil {
		return
	}
	method, four := q.text("quant_method"), q.flag("load_in_4bit")
	switch {
	case q.err != nil:
		f.err = q.err
	case method == BlocksMethod:
		c.readBlockTypes(f, q)
		return
	case method != "bitsandbytes" || !four:
		f.fail(key, "quantised weights are not supported, but for bitsandbytes' of 4 bits and blocks of GGUF files; use the float32 or bfloat16 model")
	case q.text("bnb_4bit_quant_type") != "nf4" || !q.flag("bnb_4bit_use_double_quant"):
		f.fail(key, "of bitsandbytes' weights those of bnb_4bit_quant_type nf4 with bnb_4bit_use_double_quant are supported; use the float32 or bfloat16 model")
	case q.has("bnb_4bit_quant_storage") && q.text("bnb_4bit_quant_storage") != "uint8":
		f.fail(key, "bnb_4bit_quant_storage: got %q, want uint8; use the float32 or bfloat16 model", q.text("bnb_4bit_quant_storage"))
	}
	if f.err == nil {
		f.err = q.err
	}
	c.quantised = f.err == nil
}

// storedNF4 lists the tensors of a weight of 4 bits in the files.
func (s source) storedNF4(name string, rows, cols int) (want []checkpoint.TensorInfo, err error) {
	blocks := rows * cols / kernels.NF4Block
	if !s.main.Has(name + stateEnd) {
		return nil, fmt.Errorf("tensor %q is not of 4 bits (there is no %s), though quantization_config has it so: models that leave projections out (llm_int8_skip_modules) are not supported", name, name+stateEnd)
	}
	state, _ := s.main.Info(name + stateEnd)
	for _, x := range []struct {
		end   string
		shape []int64
	}{
		{"", []int64{int64(rows * cols / 2), 1}}, {absmaxEnd, []int64{int64(blocks)}}, {nestedEnd, []int64{int64((blocks + kernels.NF4Scales - 1) / kernels.NF4Scales)}},
		{nestedMapEnd, []int64{256}}, {valuesEnd, []int64{16}}, {stateEnd, state.Shape},
	} {
		want = append(want, checkpoint.TensorInfo{Name: name + x.end, Shape: x.shape})
	}
	return want, nil
}

// readStored puts a weight of 4 bits on the device as it is.
func (m *Model) readStored(s source, p *Param) error {
	q, err := s.quantised(p)
	if err != nil {
		return fmt.Errorf("model: tensor %q: %w", p.Name, err)
	}
	if m.storedMap == nil {
		m.storedMap = q.values
		m.Dev.Upload(m.packedMap, q.values)
	}
	if !slices.Equal(m.storedMap, q.values) {
		return fmt.Errorf("model: tensor %q: its maxima stand for other numbers (%s) than those of other tensors", p.Name, nestedMapEnd)
	}
	m.Dev.Upload(p.NF4.Code.View(len(q.code)), q.code)
	m.Dev.Upload(p.NF4.Absmax.View(len(q.absmax)), q.absmax)
	m.Dev.Upload(p.NF4.Scale, q.scale)
	p.NF4.Offset = q.offset
	return nil
}

// stored is a weight as it is in the files, with what its bytes of absmax stand for.
type stored struct {
	quantised
	values []float32
}

func (s source) quantised(p *Param) (q stored, err error) {
	bytes := func(end string) []byte {
		if t, _ := s.main.Info(p.Name + end); err == nil && t.DType != "U8" {
			err = fmt.Errorf("%s is of type %s, want U8", p.Name+end, t.DType)
		}
		b, readErr := s.main.ReadRaw(p.Name + end)
		err = errors.Join(err, readErr)
		return b
	}
	floats := func(end string) []float32 {
		x, readErr := s.main.ReadF32(p.Name + end)
		err = errors.Join(err, readErr)
		return x
	}
	q.code, q.absmax, q.scale, q.values = bytes(""), bytes(absmaxEnd), floats(nestedEnd), floats(nestedMapEnd)
	values, state := floats(valuesEnd), bytes(stateEnd)
	if err != nil {
		return q, err
	}
	var is struct {
		Type        string  `json:"quant_type"`
		Block       int     `json:"blocksize"`
		Shape       []int   `json:"shape"`
		NestedBlock int     `json:"nested_blocksize"`
		NestedType  string  `json:"nested_dtype"`
		Offset      float64 `json:"nested_offset"`
	}
	if err := json.Unmarshal(state, &is); err != nil {
		return q, fmt.Errorf("%s: %w", stateEnd, err)
	}
	if q.offset = float32(is.Offset); is.Type != "nf4" || is.Block != kernels.NF4Block || is.NestedBlock != kernels.NF4Scales || is.NestedType != "float32" || !slices.Equal(is.Shape, p.Shape) ||
		math.IsInf(float64(q.offset), 0) {
		return q, fmt.Errorf("%s says %.200s, want nf4 in blocks of %d, whose maxima are quantised in blocks of %d in float32, and the shape %v", stateEnd, state, kernels.NF4Block, kernels.NF4Scales, p.Shape)
	}
	if four := kernels.NF4Values(); !slices.Equal(values, four[:]) {
		return q, fmt.Errorf("%s is not what NF4's bits stand for", valuesEnd)
	}
	return q, nil
}
