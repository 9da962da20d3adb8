package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// quants is made by testdata/make.py with ggml's Python package.
const quants = "testdata/quants.gguf"

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func read(t *testing.T, f *File, name string) []float32 {
	t.Helper()
	x, err := f.ReadF32(name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Every type is read to the bit as the Python package reads it.
func TestDequantize(t *testing.T) {
	f := open(t, quants)
	n := 0
	for _, x := range f.Tensors() {
		name, ok := strings.CutPrefix(x.Name, "want.")
		if !ok {
			continue
		}
		n++
		got, want := read(t, f, name), read(t, f, x.Name)
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Errorf("%s: element %d is %v, want %v", name, i, got[i], want[i])
				break
			}
		}
	}
	if n != 16 {
		t.Errorf("%d tensors were compared, want 16", n)
	}
}

// The types that are written have the bytes that the Python package writes.
func TestQuantize(t *testing.T) {
	f := open(t, quants)
	x := read(t, f, "numbers")
	for _, kind := range []Type{F16, BF16, Q8_0} {
		got, err := Quantize(x, kind)
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.ReadRaw("of." + kind.String())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v: other bytes than the Python package's", kind)
		}
	}
	for _, kind := range []Type{F16, Q8_0} {
		huge := make([]float32, 32)
		huge[3] = 1e9
		if _, err := Quantize(huge, kind); err == nil || !strings.Contains(err.Error(), "beyond") {
			t.Errorf("%v of 1e9: got %v", kind, err)
		}
	}
	if _, err := Quantize(x, Q4_K); err == nil {
		t.Error("Q4_K was written")
	}
}

// Every half survives being widened and rounded, and what lies between two goes to the nearer, or to the even one.
func TestHalf(t *testing.T) {
	value := func(h uint16) float32 {
		var b [2]byte
		binary.LittleEndian.PutUint16(b[:], h)
		return half(b[:])
	}
	for h := range uint16(31 << 10) {
		if got, ok := toHalf(value(h)); !ok || got != h {
			t.Fatalf("%#x became %#x, %v", h, got, ok)
		}
		if h+1 == 31<<10 {
			break
		}
		middle := (value(h) + value(h+1)) / 2 // exact
		for _, x := range []struct {
			v    float32
			want uint16
		}{{middle, h + h&1}, {math.Nextafter32(middle, 0), h}, {math.Nextafter32(middle, 1e9), h + 1}, {-middle, 1<<15 | (h + h&1)}} {
			if got, ok := toHalf(x.v); !ok || got != x.want {
				t.Fatalf("%v became %#x, want %#x", x.v, got, x.want)
			}
		}
	}
	if _, ok := toHalf(65520); ok {
		t.Error("65520 has a half")
	}
}

// Metadata of every type is read.
func TestMeta(t *testing.T) {
	f := open(t, quants)
	want := Meta{{"general.architecture", "llama"}, {"values.uint8", uint8(8)}, {"values.uint16", uint16(16)}, {"values.uint32", uint32(32)}, {"values.int8", int8(-8)},
		{"values.int16", int16(-16)}, {"values.int32", int32(-32)}, {"values.uint64", uint64(1 << 40)}, {"values.int64", int64(-1 << 40)}, {"values.float32", float32(0.5)},
		{"values.float64", 0.1}, {"values.bool", true}, {"values.string", "ä"}, {"values.strings", []string{"a", "", "Ġb"}}, {"values.integers", []int32{1, -2, 3}},
		{"values.numbers", []float32{0.5, -1.5}}, {"values.switches", []bool{true, false}}}
	if d := cmp.Diff(want, f.Meta); d != "" {
		t.Error(d)
	}
	m := &Fields{Meta: f.Meta}
	if n := m.Whole("values.uint64", -1, 0, 1<<50); n != 1<<40 || m.Err != nil {
		t.Error(n, m.Err)
	}
	for key, read := range map[string]func(*Fields){
		`"values.string": got ä, want a whole number in 0..9`: func(m *Fields) { m.Whole("values.string", -1, 0, 9) },
		`"values.uint8": got 8, want a whole number in 0..7`:  func(m *Fields) { m.Whole("values.uint8", -1, 0, 7) },
		`"nothing": missing`:                                      func(m *Fields) { m.Number("nothing", 0, true) },
		`"values.integers": differs between layers`:               func(m *Fields) { m.Uniform("values.integers") },
		`"values.bool": got bool, want a string`:                  func(m *Fields) { m.Text("values.bool") },
		`"values.strings": got []string, want an array of int`:    func(m *Fields) { m.Integers("values.strings") },
		`"values.integers": got [1 -2 3], want whole numbers in `: func(m *Fields) { m.WholeOf("values.integers", 1, -1, 0, 9) },
	} {
		m := &Fields{Meta: f.Meta}
		if read(m); m.Err == nil || !strings.Contains(m.Err.Error(), key) {
			t.Errorf("got %v, want %s", m.Err, key)
		}
	}
}

// What is written is read back: metadata, places, shapes and content.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	meta := Meta{{"a", uint32(1)}, {"b", "text"}, {"c", []string{"x", ""}}, {"d", float32(2)}, {"e", true}, {"f", []int32{-1}}, {"g", []float32{3}}, {"h", uint64(1 << 40)}, {"i", []bool{true}}}
	x := []float32{1, 2, 3, 4, 5, 6}
	tensors := []Tensor{{Name: "one", Type: F32, Shape: []int64{2, 3}}, {Name: "two", Type: BF16, Shape: []int64{6}}}
	content := func(name string) ([]byte, error) {
		if name == "one" {
			return Quantize(x, F32)
		}
		return Quantize(x, BF16)
	}
	if err := Write(path, meta, tensors, content); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	if d := cmp.Diff(meta, f.Meta); d != "" {
		t.Error(d)
	}
	for _, w := range tensors {
		got, ok := f.Tensor(w.Name)
		if !ok || got.Type != w.Type || !cmp.Equal(got.Shape, w.Shape) || !cmp.Equal(read(t, f, w.Name), x) {
			t.Errorf("%s: got %+v", w.Name, got)
		}
	}
	if !Is(path) || Is(filepath.Dir(path)) || Is("gguf.go") {
		t.Error("Is is wrong")
	}
	// A failure leaves the old file.
	was, _ := os.ReadFile(path)
	if err := Write(path, meta, tensors, func(string) ([]byte, error) { return nil, errors.New("lost") }); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Error(err)
	}
	if is, _ := os.ReadFile(path); !bytes.Equal(was, is) {
		t.Error("the old file is gone")
	}
	for want, bad := range map[string][]Tensor{
		"cannot be stored as Q8_0": {{Name: "a", Type: Q8_0, Shape: []int64{3}}},
		`"a" appears twice`:        {{Name: "a", Shape: []int64{1}}, {Name: "a", Shape: []int64{1}}},
	} {
		if err := Write(path, nil, bad, content); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// build puts a header together.
type build struct{ b []byte }

func (b build) u32(n ...uint32) build {
	for _, n := range n {
		b.b = binary.LittleEndian.AppendUint32(b.b, n)
	}
	return b
}

func (b build) u64(n ...uint64) build {
	for _, n := range n {
		b.b = binary.LittleEndian.AppendUint64(b.b, n)
	}
	return b
}

func (b build) text(s string) build { b.b = appendText(b.b, s); return b }

func (b build) tensor(name string, kind Type, offset uint64, dims ...uint64) build {
	return b.text(name).u32(uint32(len(dims))).u64(dims...).u32(uint32(kind)).u64(offset)
}

// file ends the header and puts n bytes behind it.
func (b build) file(n int) []byte {
	return append(append(b.b, make([]byte, padding(int64(len(b.b))))...), make([]byte, n)...)
}

func start(tensors, pairs uint64) build {
	return build{[]byte(magic)}.u32(3).u64(tensors, pairs)
}

// What is wrong is said, with the place and the name.
func TestBad(t *testing.T) {
	many := uint64(1) << 40
	key := func(kind uint32) build { return start(0, 1).text("k").u32(kind) }
	for want, b := range map[string][]byte{
		`not a GGUF file: it begins with ""`:                 {},
		`not a GGUF file: it begins with "PK\x03\x04"`:       []byte("PK\x03\x04 and so on"),
		"Git LFS pointer":                                    []byte("version https://git-lfs"),
		"GGML format, which came before GGUF":                []byte("tjgg\x01\x00\x00\x00"),
		"byte 4: the file is cut off: 4 bytes are needed":    []byte(magic + "\x03"),
		"version 1 of GGUF":                                  build{[]byte(magic)}.u32(1).u32(0, 0).b,
		"big-endian":                                         build{[]byte(magic)}.u32(3<<24).u64(0, 0).b,
		"version 9 of GGUF is not known":                     build{[]byte(magic)}.u32(9).u64(0, 0).b,
		"byte 8: 1099511627776 tensors, limit":               start(many, 0).b,
		"byte 16: 1099511627776 metadata keys, limit":        start(0, many).b,
		"byte 16: 9 metadata keys do not fit into the":       start(0, 9).b,
		`metadata "k": type 77 is not known`:                 key(77).u64(0).b,
		`a switch of 2, want 0 or 1`:                         append(key(typeBool).b, 2),
		`arrays of arrays are not supported`:                 key(typeArray).u32(typeArray).u64(1).u64(0, 0).b,
		`1099511627776 elements of "k", limit`:               key(typeArray).u32(typeString).u64(many).b,
		`100 elements of "k" do not fit into the 4 bytes`:    key(typeArray).u32(typeUint32).u64(100).u32(0).b,
		`1099511627776 bytes of metadata "k", limit`:         key(typeString).u64(many).b,
		`1000 bytes of metadata "k" do not fit`:              key(typeString).u64(1000).b,
		`metadata "k" appears twice`:                         start(0, 2).text("k").u32(typeUint32).u32(1).text("k").u32(typeUint32).u32(1).b,
		`key "\xff" is not a name`:                           start(0, 1).text("\xff").u32(typeUint32).u32(1).b,
		`metadata "general.alignment": got 24`:               start(0, 1).text(alignmentKey).u32(typeUint32).u32(24).file(0),
		`tensor "a" has 9 dimensions, want 1 to 4`:           start(1, 0).tensor("a", F32, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1).file(4),
		`tensor "a": a dimension of 0`:                       start(1, 0).tensor("a", F32, 0, 0).file(4),
		`tensor "a": a dimension of 1099511627776`:           start(1, 0).tensor("a", F32, 0, many, many).file(4),
		`tensor "a" has type 99, which is not known`:         start(1, 0).tensor("a", 99, 0, 1).file(4),
		`tensor "a" is stored as IQ2_XS, which is not supp`:  start(1, 0).tensor("a", 17, 0, 256).file(999),
		`tensor "a": rows of 33 elements are not whole bloc`: start(1, 0).tensor("a", Q8_0, 0, 33).file(999),
		`tensor "a": 8 bytes at 0 of the data run past the`:  start(1, 0).tensor("a", F32, 0, 2).file(4),
		`run past the end of the file, which has 4`:          start(1, 0).tensor("a", F32, 1<<63, 1).file(4),
		`tensor "a": offset 4 is not a multiple of the alig`: start(1, 0).tensor("a", F32, 4, 1).file(99),
		`tensors "a" and "b" overlap at byte 32 of the data`: start(2, 0).tensor("a", F32, 0, 16).tensor("b", F32, 32, 1).file(99),
		`tensor "a" appears twice`:                           start(2, 0).tensor("a", F32, 0, 1).tensor("a", F32, 32, 1).file(99),
	} {
		path := filepath.Join(t.TempDir(), "bad.gguf")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "gguf: "+path+": ") {
			t.Errorf("%v does not name the file", err)
		}
	}
}

// A file that is cut short anywhere is refused, or, once it is open, an error.
func TestTruncated(t *testing.T) {
	b, err := os.ReadFile(quants)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "short.gguf")
	for n := 0; n < len(b); n += 1 + n/50 {
		if err := os.WriteFile(path, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(path); err == nil {
			f.Close()
			t.Errorf("%d of %d bytes were taken for a file", n, len(b))
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadF32("Q6_K"); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("got %v", err)
	}
}

// A block whose scale is not finite is an error, and no weight.
func TestNotFinite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	err := Write(path, nil, []Tensor{{Name: "a", Type: Q8_0, Shape: []int64{64}}}, func(string) ([]byte, error) {
		b := make([]byte, 68)
		binary.LittleEndian.PutUint16(b[34:], 0x7e00)
		return b, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path).ReadF32("a"); err == nil || !strings.Contains(err.Error(), `tensor "a": element 32 is NaN`) {
		t.Errorf("got %v", err)
	}
}

// Files of version 2, which differs in nothing that is read, and of another alignment.
func TestVersions(t *testing.T) {
	b := start(1, 1).text(alignmentKey).u32(typeUint32).u32(8).tensor("a", F32, 8, 1).b
	b[4] = 2
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3f)
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	if x := read(t, f, "a"); f.Version != 2 || len(x) != 1 || x[0] != 1 {
		t.Errorf("version %d: %v", f.Version, x)
	}
}

// Whatever bytes come, Open gives a file that can be read, or an error; and every tensor of it has its elements.
func FuzzOpen(f *testing.F) {
	b, err := os.ReadFile(quants)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(start(1, 1).text("k").u32(typeArray).u32(typeString).u64(1).text("v").tensor("a", F32, 0, 1).file(4))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := &File{}
		if err := g.readHeader(bytes.NewReader(b), int64(len(b))); err != nil {
			return
		}
		for _, x := range g.tensors {
			raw := b[g.data+x.offset : g.data+x.offset+x.bytes]
			if err := Dequantize(make([]float32, x.Elements()), raw, x.Type); err != nil {
				t.Fatal(err)
			}
		}
	})
}
