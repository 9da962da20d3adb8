package spec

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func header(t *testing.T) *Header {
	b, err := os.ReadFile("../../kernels.h")
	if err != nil {
		t.Fatal(err)
	}
	h, err := ReadHeader(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestEveryOpHasCases fails for an op of kernels.h without cases, in each type that it has, or without some for the sanitizers.
func TestEveryOpHasCases(t *testing.T) {
	h := header(t)
	if len(h.Ops) < 24 {
		t.Fatalf("only %d ops found in kernels.h: %v", len(h.Ops), h.Ops)
	}
	type kind struct {
		op         string
		bf16, race bool
	}
	count := map[kind]int{}
	for _, c := range Cases() {
		if !slices.Contains(h.Ops, c.Op) {
			t.Fatalf("case %s is of an op that kernels.h has not", c.Name)
		}
		count[kind{c.Op, c.BF16, false}]++
		if c.Race {
			count[kind{c.Op, c.BF16, true}]++
		}
	}
	for _, op := range h.Ops {
		for _, race := range []bool{false, true} {
			f32, bf16 := count[kind{op, false, race}], count[kind{op, true, race}]
			if f32 == 0 || bf16 == 0 && strings.Contains(h.args[op], "dtype;") {
				t.Errorf("%s has %d float32 and %d bfloat16 cases, race: %v", op, f32, bf16, race)
			}
		}
	}
}

// TestHeader compares directions and shapes of the specification's arguments with the comments of kernels.h, field by field.
func TestHeader(t *testing.T) {
	args := header(t).args
	line := regexp.MustCompile(`\*?(\w+);\s*// (\S+)(?: or \S+)?\s+\(([^)]*)\)`)
	seen := map[string]bool{}
	for _, c := range Cases() {
		if seen[c.Op] {
			continue
		}
		seen[c.Op] = true
		fields := map[string]reflect.StructField{}
		v := reflect.TypeOf(c.Make()).Elem()
		for i := range v.NumField() {
			if tag, ok := v.Field(i).Tag.Lookup("arg"); ok && !strings.HasPrefix(tag, "aside") {
				fields[strings.ToLower(v.Field(i).Name)] = v.Field(i)
			}
		}
		found := 0
		for _, m := range line.FindAllStringSubmatch(args[c.Op], -1) {
			f, ok := fields[strings.ReplaceAll(m[1], "_", "")]
			if !ok {
				t.Errorf("%s: the specification has no %s", c.Op, m[1])
				continue
			}
			found++
			w := strings.Fields(f.Tag.Get("arg"))
			dir := strings.Replace(w[0], "acc", "out", 1)
			shape := strings.ReplaceAll(strings.ReplaceAll(m[3], " ", ""), "_", "")
			same := strings.EqualFold(shape, w[2]) || f.Name == "Scratch" // which has its size spelled out
			if dir != m[2] || !same {
				t.Errorf("%s.%s is %q in the specification, %s (%s) in kernels.h", c.Op, m[1], f.Tag.Get("arg"), m[2], m[3])
			}
		}
		if found < len(fields)-1 { // adamw's m and v share a line
			t.Errorf("%s: only %d of %d arguments found in kernels.h", c.Op, found, len(fields))
		}
	}
}

// TestPack compares the places of arguments with those that a C compiler gives them, for the struct with the most kinds of fields.
func TestPack(t *testing.T) {
	c := Case{Op: "adamw", BF16: true}
	args, at := header(t).Pack(c, &AdamW[float64]{LR: 1, MaxNorm: 2, SkipNorm: 2, Seed: 3, Step: 4, First: 5, N: 6})
	for name, want := range map[string]int{"W": 0, "Master": 8, "M": 16, "V": 24, "G": 32, "Norm": 40} {
		if at[name] != want {
			t.Errorf("%s is at byte %d, want %d", name, at[name], want)
		}
	}
	// lr at 48, max_norm at 76, skip_norm at 80, seed after a gap at 88, step at 96, first after a gap at 104, n at 112, dtype at 120, and a gap at the end
	want := make([]byte, 128)
	want[50], want[51], want[79], want[83], want[88], want[96], want[104], want[112], want[120] = 0x80, 0x3f, 0x40, 0x40, 3, 4, 5, 6, 1
	if !slices.Equal(args, want) {
		t.Errorf("packed as\n%v, want\n%v", args, want)
	}
}
