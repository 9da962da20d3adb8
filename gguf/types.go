package gguf

import (
	"fmt"
	"slices"
	"strings"
)

// Type is how a tensor's elements are stored, with ggml's numbers. Quantised types store rows in blocks.
type Type uint32

// The types that can be read. F32, F16, BF16 and Q8_0 can be written, too.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q5_0 Type = 6
	Q5_1 Type = 7
	Q8_0 Type = 8
	Q2_K Type = 10
	Q3_K Type = 11
	Q4_K Type = 12
	Q5_K Type = 13
	Q6_K Type = 14
	BF16 Type = 30

	IQ4_NL Type = 20
	IQ4_XS Type = 23
	MXFP4  Type = 39
)

// kind says of a type how many elements a block has and in how many bytes, and reads one.
type kind struct {
	name  string
	block int64
	bytes int64
	read  func(y []float32, b []byte) // any number of whole blocks; nil: the type is known by its name only
}

var kinds = map[Type]kind{
	F32: {"F32", 1, 4, readF32}, F16: {"F16", 1, 2, readF16}, BF16: {"BF16", 1, 2, readBF16},

	Q4_0: {"Q4_0", 32, 18, blocks(32, 18, readQ4_0)},
	Q4_1: {"Q4_1", 32, 20, blocks(32, 20, readQ4_1)},
	Q5_0: {"Q5_0", 32, 22, blocks(32, 22, readQ5_0)},
	Q5_1: {"Q5_1", 32, 24, blocks(32, 24, readQ5_1)},
	Q8_0: {"Q8_0", 32, 34, blocks(32, 34, readQ8_0)},
	Q2_K: {"Q2_K", 256, 84, blocks(256, 84, readQ2_K)},
	Q3_K: {"Q3_K", 256, 110, blocks(256, 110, readQ3_K)},
	Q4_K: {"Q4_K", 256, 144, blocks(256, 144, readQ4_K)},
	Q5_K: {"Q5_K", 256, 176, blocks(256, 176, readQ5_K)},
	Q6_K: {"Q6_K", 256, 210, blocks(256, 210, readQ6_K)},

	IQ4_NL: {"IQ4_NL", 32, 18, blocks(32, 18, readIQ4_NL)},
	IQ4_XS: {"IQ4_XS", 256, 136, blocks(256, 136, readIQ4_XS)},
	MXFP4:  {"MXFP4", 32, 17, blocks(32, 17, readMXFP4)},

	9: {name: "Q8_1"}, 15: {name: "Q8_K"}, 16: {name: "IQ2_XXS"}, 17: {name: "IQ2_XS"}, 18: {name: "IQ3_XXS"}, 19: {name: "IQ1_S"},
	21: {name: "IQ3_S"}, 22: {name: "IQ2_S"}, 24: {name: "I8"}, 25: {name: "I16"}, 26: {name: "I32"}, 27: {name: "I64"}, 28: {name: "F64"},
	29: {name: "IQ1_M"}, 34: {name: "TQ1_0"}, 35: {name: "TQ2_0"}, 40: {name: "NVFP4"}, 41: {name: "Q1_0"},
}

func (t Type) String() string {
	if k, ok := kinds[t]; ok {
		return k.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// readable lists the types that can be read.
func readable() string {
	var types []Type
	for t, k := range kinds {
		if k.read != nil {
			types = append(types, t)
		}
	}
	slices.Sort(types)
	var names []string
	for _, t := range types {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// Block gives how many elements a block of the type has, and in how many bytes; 0 of a type that is known by its name only.
func (t Type) Block() (elements, bytes int) { return int(kinds[t].block), int(kinds[t].bytes) }

// size gives the bytes of n elements of a row; ok is false where they are not whole blocks.
func (t Type) size(n int64) (bytes int64, ok bool) {
	k := kinds[t]
	if k.block == 0 || n%k.block != 0 {
		return 0, false
	}
	return n / k.block * k.bytes, true
}
