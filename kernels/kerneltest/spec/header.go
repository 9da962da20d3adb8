package spec

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
)

// Header is the text of kernels.h as tests read it: the ops, and the fields of their args structs.
type Header struct {
	Ops  []string
	args map[string]string // the text between the braces
}

// ReadHeader finds the ops in the text of kernels.h.
func ReadHeader(text string) (*Header, error) {
	_, list, ok := strings.Cut(text, "#define KERNEL_OPS(X)")
	if !ok {
		return nil, fmt.Errorf("kernels.h has no KERNEL_OPS")
	}
	list, _, _ = strings.Cut(list, "\n\n")
	h := &Header{args: map[string]string{}}
	for _, m := range regexp.MustCompile(`X\((\w+)\)`).FindAllStringSubmatch(list, -1) {
		h.Ops = append(h.Ops, m[1])
	}
	for _, m := range regexp.MustCompile(`(?s)typedef struct \{([^}]*)\} (\w+)_args;`).FindAllStringSubmatch(text, -1) {
		h.args[m[2]] = m[1]
	}
	for _, m := range regexp.MustCompile(`typedef (\w+)_args (\w+)_args;`).FindAllStringSubmatch(text, -1) {
		h.args[m[2]] = h.args[m[1]]
	}
	for _, op := range h.Ops {
		if h.args[op] == "" {
			return nil, fmt.Errorf("kernels.h has no %s_args", op)
		}
	}
	return h, nil
}

// cSizes are the sizes of the types that args structs have beside pointers.
var cSizes = map[string]int{"float": 4, "int32_t": 4, "uint32_t": 4, "int64_t": 8, "uint64_t": 8, "kdtype": 4, "kpairing": 4, "kblock": 4}

var (
	cComment     = regexp.MustCompile(`//[^\n]*`)
	cDeclaration = regexp.MustCompile(`^(?:const )?(\w+)\s*(.*)$`)
)

// Pack lays the arguments of an op out as its args struct in C. Pointers are left 0; at says where each is, by the name of its argument.
// Fields are found by name, so that their order is the header's alone.
func (h *Header) Pack(c Case, op Op) (args []byte, at map[string]int) {
	at = map[string]int{}
	align := func(n int) {
		for len(args)%n != 0 {
			args = append(args, 0)
		}
	}
	v := reflect.ValueOf(op).Elem()
	largest := 1
	for declaration := range strings.SplitSeq(cComment.ReplaceAllString(h.args[c.Op], ""), ";") {
		m := cDeclaration.FindStringSubmatch(strings.TrimSpace(declaration))
		if m == nil {
			continue // after the last
		}
		for name := range strings.SplitSeq(m[2], ",") {
			name, pointer := strings.CutPrefix(strings.TrimSpace(name), "*")
			size := cSizes[m[1]]
			if pointer {
				size = 8
			}
			if size == 0 {
				panic(fmt.Sprintf("spec: the type of %s_args.%s is not known: %s", c.Op, name, m[1]))
			}
			largest = max(largest, size)
			align(size)
			if pointer {
				at[fieldOf(v, c.Op, name).Name] = len(args)
				args = append(args, make([]byte, 8)...)
			} else {
				args = appendC(args, m[1], scalar(v, c, name))
			}
		}
	}
	align(largest)
	return args, at
}

// fieldOf is the field of a specification's struct that kernels.h calls so: a_b is AB.
func fieldOf(v reflect.Value, op, name string) reflect.StructField {
	want := strings.ReplaceAll(name, "_", "")
	for i := range v.NumField() {
		if f := v.Type().Field(i); strings.EqualFold(f.Name, want) {
			return f
		}
	}
	panic(fmt.Sprintf("spec: %s has no %s, which kernels.h has", op, name))
}

func scalar(v reflect.Value, c Case, name string) reflect.Value {
	if name == "dtype" { // K_F32 or K_BF16
		bf16 := 0
		if c.BF16 {
			bf16 = 1
		}
		return reflect.ValueOf(bf16)
	}
	return v.FieldByIndex(fieldOf(v, c.Op, name).Index)
}

// appendC adds a number as C has it.
func appendC(to []byte, ctype string, x reflect.Value) []byte {
	var bits uint64
	switch {
	case ctype == "float":
		bits = uint64(math.Float32bits(float32(x.Float())))
	case x.Kind() == reflect.Bool:
		if x.Bool() {
			bits = 1
		}
	case x.CanInt():
		bits = uint64(x.Int())
	default:
		bits = x.Uint()
	}
	if cSizes[ctype] == 4 {
		return binary.LittleEndian.AppendUint32(to, uint32(bits))
	}
	return binary.LittleEndian.AppendUint64(to, bits)
}
