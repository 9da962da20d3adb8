package spec

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// header reads kernels.h: the names in KERNEL_OPS, and the text of each args struct.
func header(t *testing.T) (ops []string, args map[string]string) {
	b, err := os.ReadFile("../../kernels.h")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(b), "#define KERNEL_OPS(X)")
	if !ok {
		t.Fatal("kernels.h has no KERNEL_OPS")
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range regexp.MustCompile(`X\((\w+)\)`).FindAllStringSubmatch(list, -1) {
		ops = append(ops, m[1])
	}
	args = map[string]string{}
	for _, m := range regexp.MustCompile(`(?s)typedef struct \{([^}]*)\} (\w+)_args;`).FindAllStringSubmatch(string(b), -1) {
		args[m[2]] = m[1]
	}
	args["rope_backward"] = args["rope"]
	return ops, args
}

// TestEveryOpHasCases fails for an op of kernels.h without cases, in each type that it has.
func TestEveryOpHasCases(t *testing.T) {
	ops, args := header(t)
	if len(ops) < 24 {
		t.Fatalf("only %d ops found in kernels.h: %v", len(ops), ops)
	}
	f32, bf16 := map[string]int{}, map[string]int{}
	known := map[string]bool{}
	for _, op := range ops {
		known[op] = true
	}
	for _, c := range Cases() {
		if !known[c.Op] {
			t.Fatalf("case %s is of an op that kernels.h has not", c.Name)
		}
		if c.BF16 {
			bf16[c.Op]++
		} else {
			f32[c.Op]++
		}
	}
	for _, op := range ops {
		if f32[op] == 0 || bf16[op] == 0 && strings.Contains(args[op], "dtype;") {
			t.Errorf("%s has %d float32 and %d bfloat16 cases", op, f32[op], bf16[op])
		}
	}
}

// TestHeader compares directions and shapes of the specification's arguments with the comments of kernels.h, field by field.
func TestHeader(t *testing.T) {
	_, args := header(t)
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
