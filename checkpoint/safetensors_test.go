package checkpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"criticrm/internal/golden"
)

// st builds a file from a header text and data.
func st(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func tensorJSON(name, dtype, shape string, begin, end int) string {
	return fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, dtype, shape, begin, end)
}

// badFiles are the inputs 1-25 and 34-37 of the list of bad inputs: content, and the exact text behind the file's name.
func badFiles() []struct {
	name string
	file []byte
	want string
} {
	a := func(s string) []byte { return st("{"+s+"}", 64) }
	huge := binary.LittleEndian.AppendUint64(nil, math.MaxUint64)
	past := append(binary.LittleEndian.AppendUint64(nil, 5000), make([]byte, 4088)...)
	many := []byte("{")
	for i := range maxTensors + 1 {
		many = fmt.Appendf(many, `%s"t%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, strings.Repeat(",", min(i, 1)), i)
	}
	return []struct {
		name string
		file []byte
		want string
	}{
		{"1 empty", nil, ": not a safetensors file: 0 bytes, need at least 8"},
		{"2 seven bytes", make([]byte, 7), ": not a safetensors file: 7 bytes, need at least 8"},
		{"3 length 2^64-1", append(huge, "{}"...), "@0: header length 18446744073709551615 is over the limit 100000000"},
		{"4 length past the file", past, "@0: header length 5000 runs past the end of the file (4096 bytes)"},
		{"5 length 0", st("", 8), "@8: header is empty, want a JSON object"},
		{"6 space", st(" {}", 0), "@8: header must start with '{', got ' '"},
		{"6 array", st("[]", 0), "@8: header must start with '{', got '['"},
		{"7 not UTF-8", st("{\"aaaaaaaa\xff\":1}", 0), "@18: header is not valid UTF-8"},
		{"8 cut", st(`{"a":{"dtype":"F32"`, 0), "@27: header JSON: unexpected end"},
		{"8 trailing", st(`{} x`, 0), "@11: header JSON: unexpected 'x'"},
		{"9 duplicate", a(tensorJSON("a.weight", "U8", "[64]", 0, 64) + "," + tensorJSON("a.weight", "U8", "[64]", 0, 64)),
			`: tensor "a.weight" appears twice in the header`},
		{"9 duplicate by escape", a(tensorJSON("a", "U8", "[64]", 0, 64) + `,"\u0061":{}`), `: tensor "a" appears twice in the header`},
		{"9 duplicate key inside", a(`"a":{"dtype":"U8","dtype":"F32"}`), `: tensor "a": key "dtype" appears twice`},
		{"10 duplicate metadata", a(`"__metadata__":{},"__metadata__":{}`), `: "__metadata__" appears twice in the header`},
		{"11 metadata number", a(`"__metadata__":{"x":1}`), `: __metadata__["x"]: got number, want string`},
		{"11 metadata array", a(`"__metadata__":[]`), `: __metadata__: got array, want object`},
		{"12 unknown dtype", a(tensorJSON("a", "F8_E9", "[64]", 0, 64)), `: tensor "a": dtype "F8_E9" is not known`},
		{"13 unsupported dtype", a(tensorJSON("a", "F8_E4M3", "[64]", 0, 64)),
			`: tensor "a": dtype F8_E4M3 is not supported by this build (supported: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL)`},
		{"14 negative offset", a(tensorJSON("a", "U8", "[8]", -8, 0)), `: tensor "a": data_offsets [-8,0]: want 0 ≤ begin ≤ end`},
		{"15 begin past end", a(tensorJSON("a", "U8", "[8]", 8, 0)), `: tensor "a": data_offsets [8,0]: want 0 ≤ begin ≤ end`},
		{"15 three offsets", a(`"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8,9]}`), `: tensor "a": data_offsets [0,8]: want 0 ≤ begin ≤ end`},
		{"16 end past data", st("{"+tensorJSON("a", "U8", "[4096]", 0, 4096)+"}", 2048),
			`: tensor "a": data_offsets end 4096 is past the data (2048 bytes)`},
		{"16 end near 2^63", st(`{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`, 8),
			`: tensor "a": data_offsets end 9223372036854775807 is past the data (8 bytes)`},
		{"17 overlap", st("{"+tensorJSON("b", "U8", "[128]", 128, 256)+","+tensorJSON("a", "U8", "[192]", 0, 192)+"}", 256),
			`: tensors "a" and "b" overlap at byte 128`},
		{"18 hole", st("{"+tensorJSON("a", "U8", "[128]", 0, 128)+","+tensorJSON("b", "U8", "[16]", 144, 160)+"}", 160),
			`: 16 bytes at 128 belong to no tensor`},
		{"19 trailing", st("{"+tensorJSON("a", "U8", "[42]", 0, 42)+"}", 64), `: 22 bytes after the last tensor belong to no tensor`},
		{"20 shape against bytes", a(tensorJSON("a", "F32", "[4,4]", 0, 60)),
			`: tensor "a": shape [4,4] of F32 needs 64 bytes, data_offsets give 60`},
		{"21 overflow", a(tensorJSON("a", "F32", "[4294967296,4294967296]", 0, 0)),
			`: tensor "a": shape [4294967296,4294967296] is too large`},
		{"21 overflow by the element", a(tensorJSON("a", "F64", "[2305843009213693952]", 0, 0)),
			`: tensor "a": shape [2305843009213693952] is too large`},
		{"22 negative dim", a(tensorJSON("a", "F32", "[4,-1]", 0, 64)), `: tensor "a": shape[1]: got -1, want an integer ≥ 0`},
		{"22 fraction", a(tensorJSON("a", "F32", "[4,2.5]", 0, 64)), `: tensor "a": shape[1]: got 2.5, want an integer ≥ 0`},
		{"23 nine dims", a(tensorJSON("a", "U8", "[1,1,1,1,1,1,1,1,64]", 0, 64)), `: tensor "a" has 9 dimensions, limit 8`},
		{"24 tensors", st(string(many)+"}", 0), `: 65537 tensors, limit 65536`},
		{"25 NUL", a(`"a\u0000b":{"dtype":"U8","shape":[64],"data_offsets":[0,64]}`), `: tensor name "a\x00b" has a control character`},
		{"25 newline", a(`"a\nb":{"dtype":"U8","shape":[64],"data_offsets":[0,64]}`), `: tensor name "a\nb" has a control character`},
		{"25 path", a(tensorJSON("../a", "U8", "[64]", 0, 64)), `: tensor name "../a" looks like a path`},
		{"25 long", a(tensorJSON(strings.Repeat("x", 513), "U8", "[64]", 0, 64)),
			`: tensor name "` + strings.Repeat("x", 80) + `"… has 513 bytes, limit 512`},
		{"missing key", a(`"a":{"dtype":"U8"}`), `: tensor "a": want the keys dtype, shape and data_offsets`},
		{"lone surrogate", a(`"\ud800":{}`), `@10: header JSON: invalid Unicode escape`},
		{"34 zip pickle", append([]byte("PK\x03\x04"), make([]byte, 100)...),
			": this is a PyTorch pickle file, which can run code when loaded; convert it to safetensors (load it where its origin is trusted, and save it with safetensors.torch.save_file)"},
		{"34 old pickle", []byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"),
			": this is a PyTorch pickle file, which can run code when loaded; convert it to safetensors (load it where its origin is trusted, and save it with safetensors.torch.save_file)"},
		{"35 GGUF", []byte("GGUF\x03\x00\x00\x00\x10\x00\x00\x00"), ": this is a GGUF file with another name: call it .gguf and give it as --model, or convert it ('criticrm convert')"},
		{"36 LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("0", 64) + "\nsize 123456789\n"),
			": this is a Git LFS pointer (134 bytes), not the weights; run 'git lfs pull'"},
		{"37 HTML", []byte("<!DOCTYPE html><html><body>Sign in</body></html>"),
			`@0: header length 5789751444030890300 is over the limit 100000000; the file starts with "<!DOCTYPE"`},
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	for _, c := range badFiles() {
		path := filepath.Join(dir, "bad.safetensors")
		if err := os.WriteFile(path, c.file, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := OpenSafetensors(path)
		if err == nil {
			f.Close()
			t.Errorf("%s: accepted", c.name)
			continue
		}
		if got := err.Error(); got != path+c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, path+c.want)
		} else if len(got)-len(path) > 500 {
			t.Errorf("%s: error of %d bytes", c.name, len(got))
		}
	}
	t.Logf("%d bad files", len(badFiles()))
}

func floats(name string, x ...float32) TensorData {
	return TensorData{TensorInfo{name, "F32", []int64{int64(len(x))}}, F32Bytes(x)}
}

func TestWriteAndReadAllDTypes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	raw := map[string][]byte{
		"F64": binary.LittleEndian.AppendUint64(nil, math.Float64bits(-2.5)), "F32": F32Bytes([]float32{-2.5}),
		"F16": {0x00, 0xc1}, "BF16": BF16Bytes([]float32{-2.5}),
		"I64": binary.LittleEndian.AppendUint64(nil, ^uint64(2)), "I32": {0xfd, 255, 255, 255}, "I16": {0xfd, 255}, "I8": {0xfd},
		"U8": {253}, "BOOL": {1},
	}
	var ts []TensorData
	for dtype, b := range raw {
		ts = append(ts, TensorData{TensorInfo{"t." + dtype, dtype, []int64{1}}, b})
	}
	ts = append(ts, TensorData{TensorInfo{"scalar", "F32", nil}, F32Bytes([]float32{7})},
		TensorData{TensorInfo{"none", "F32", []int64{3, 0}}, nil})
	if err := WriteSafetensors(path, ts, map[string]string{"made by": "a \"test\" <&>"}); err != nil {
		t.Fatal(err)
	}
	first, _ := os.ReadFile(path)
	for range 3 { // any order of the arguments gives the same bytes
		ts = append(ts[1:], ts[0])
		if err := WriteSafetensors(path, ts, map[string]string{"made by": "a \"test\" <&>"}); err != nil {
			t.Fatal(err)
		}
		if again, _ := os.ReadFile(path); !bytes.Equal(first, again) {
			t.Fatal("other bytes for another order")
		}
	}
	f, err := OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if m := f.Metadata(); m["format"] != "pt" || m["made by"] != "a \"test\" <&>" || len(m) != 2 {
		t.Errorf("metadata %v", m)
	}
	for _, dtype := range []string{"F64", "F32", "F16", "BF16"} {
		if x, err := f.ReadF32("t." + dtype); err != nil || len(x) != 1 || x[0] != -2.5 {
			t.Errorf("%s: %v %v, want -2.5", dtype, x, err)
		}
		if _, err := f.ReadInts("t." + dtype); err == nil {
			t.Errorf("%s read as integers", dtype)
		}
	}
	for dtype, want := range map[string]int64{"I64": -3, "I32": -3, "I16": -3, "I8": -3, "U8": 253, "BOOL": 1} {
		if x, err := f.ReadInts("t." + dtype); err != nil || len(x) != 1 || x[0] != want {
			t.Errorf("%s: %v %v, want %d", dtype, x, err, want)
		}
		if _, err := f.ReadF32("t." + dtype); err == nil {
			t.Errorf("%s read as floats", dtype)
		}
	}
	if info, ok := f.Info("scalar"); !ok || len(info.Shape) != 0 {
		t.Errorf("scalar: %v %v", info, ok)
	}
	if x, err := f.ReadF32("none"); err != nil || len(x) != 0 {
		t.Errorf("none: %v %v", x, err)
	}
	if _, err := f.ReadF32("absent"); err == nil || !strings.Contains(err.Error(), `tensor "absent" is missing`) {
		t.Errorf("absent: %v", err)
	}
}

func TestHalfIsExact(t *testing.T) {
	for h := range 1 << 16 {
		exp, frac, sign := h>>10&31, h&1023, 1-2*float64(h>>15)
		want := sign * math.Ldexp(float64(frac)/1024, -14)
		if exp > 0 {
			want = sign * math.Ldexp(1+float64(frac)/1024, exp-15)
		}
		if exp == 31 {
			want = sign * math.Inf(1)
			if frac != 0 {
				want = math.NaN()
			}
		}
		got := float64(halfToF32(uint16(h)))
		if math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("%04x: got %v, want %v", h, got, want)
		}
	}
}

func TestBF16Rounding(t *testing.T) {
	for x, want := range map[float32]uint16{
		1: 0x3f80, 1 + 1.0/256: 0x3f80, 1 + 3.0/256: 0x3f82, 1 + 1.1/256: 0x3f81, -1: 0xbf80, 0: 0, math.MaxFloat32: 0x7f80,
		float32(math.Inf(-1)): 0xff80, math.SmallestNonzeroFloat32: 0,
	} {
		if got := binary.LittleEndian.Uint16(BF16Bytes([]float32{x})); got != want {
			t.Errorf("%v: %04x, want %04x", x, got, want)
		}
	}
	if got := binary.LittleEndian.Uint16(BF16Bytes([]float32{math.Float32frombits(0x7f800001)})); got&0x7fff <= 0x7f80 {
		t.Errorf("NaN became %04x", got)
	}
}

func TestNonFinite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	x := make([]float32, 40)
	x[17], x[20], x[39] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))
	if err := WriteSafetensors(path, []TensorData{floats("a", x...)}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := path + `: tensor "a" has 3 non-finite values, first at index 17 (repair or re-export the model)`
	if _, err := f.ReadF32("a"); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	f.AllowNonFinite = true
	if got, err := f.ReadF32("a"); err != nil || !math.IsInf(float64(got[20]), 1) {
		t.Errorf("allowed: %v", err)
	}
}

// Case 38: a file that shrinks after it was opened is an error and not a signal.
func TestFileShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := WriteSafetensors(path, []TensorData{floats("a", make([]float32, 2048)...)}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, _ := os.Stat(path)
	if err := os.Truncate(path, size.Size()-4096); err != nil {
		t.Fatal(err)
	}
	want := path + ": file changed while reading (expected 4096 more bytes)"
	if _, err := f.ReadF32("a"); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestWriteRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	for name, c := range map[string]struct {
		ts   []TensorData
		meta map[string]string
	}{
		"twice":    {ts: []TensorData{floats("a", 1), floats("a", 2)}},
		"length":   {ts: []TensorData{{TensorInfo{"a", "F32", []int64{2}}, make([]byte, 4)}}},
		"dtype":    {ts: []TensorData{{TensorInfo{"a", "F31", []int64{1}}, make([]byte, 4)}}},
		"name":     {ts: []TensorData{floats("a\nb", 1)}},
		"encoding": {ts: []TensorData{floats("a\xff", 1)}},
		"metadata": {meta: map[string]string{"a": "\xff"}},
		"reserved": {ts: []TensorData{floats("__metadata__", 1)}},
	} {
		if err := WriteSafetensors(path, c.ts, c.meta); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestModelDirs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "model")
	ts := []TensorData{floats("b", 1, 2, 3), floats("a", 4, 5), floats("c", 6)}
	check := func(files int) {
		t.Helper()
		d, err := OpenModelDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, want := range ts {
			if got, err := d.ReadRaw(want.Name); err != nil || !bytes.Equal(got, want.Data) {
				t.Errorf("%s: %v %v", want.Name, got, err)
			}
		}
		if left, _ := os.ReadDir(dir); len(left) != files {
			t.Errorf("files: %v, want %d", left, files)
		}
		extra, err := d.Expect([]TensorInfo{ts[0].TensorInfo, ts[1].TensorInfo}, "config.json: 24 layers")
		if err != nil || len(extra) != 1 || extra[0] != "c" {
			t.Errorf("extra %v %v", extra, err)
		}
		_, err = d.Expect([]TensorInfo{{"x", "F32", []int64{3}}}, "config.json: 24 layers")
		if err == nil || !strings.HasSuffix(err.Error(), `: tensor "x" is missing (config.json: 24 layers)`) {
			t.Errorf("missing: %v", err)
		}
		_, err = d.Expect([]TensorInfo{{"a", "F32", []int64{3}}}, "config.json: 24 layers")
		if err == nil || !strings.HasSuffix(err.Error(), `: tensor "a": shape [2], config.json implies [3]`) {
			t.Errorf("shape: %v", err)
		}
	}
	for _, c := range []struct {
		limit int64
		files int
	}{{0, 1}, {12, 3}, {1, 4}, {1 << 30, 1}, {12, 3}} { // each over the one before
		if err := WriteModelDir(dir, ts, c.limit); err != nil {
			t.Fatal(err)
		}
		check(c.files)
	}
}

func TestBadIndexes(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(WriteSafetensors(filepath.Join(dir, "s.safetensors"), []TensorData{floats("a", 1)}, nil))
	must(WriteSafetensors(filepath.Join(t.TempDir(), "outside.safetensors"), []TensorData{floats("a", 1)}, nil))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "link.safetensors")))
	must(os.Symlink("/dev/zero", filepath.Join(dir, "zero.safetensors")))
	must(syscall.Mkfifo(filepath.Join(dir, "fifo.safetensors"), 0o644))
	must(os.Mkdir(filepath.Join(dir, "dir.safetensors"), 0o755))
	index := filepath.Join(dir, IndexFile)
	one := func(shard string) string { return fmt.Sprintf(`{"metadata":{},"weight_map":{"a":%q}}`, shard) }
	start := time.Now()
	for _, c := range [][2]string{
		{one("../../x.safetensors"), index + `: shard name "../../x.safetensors" must be a plain file name`},
		{one("/etc/passwd"), index + `: shard name "/etc/passwd" must be a plain file name`},
		{one("gone.safetensors"), index + `: shard "gone.safetensors" is missing`},
		{one("link.safetensors"), filepath.Join(dir, "link.safetensors") + ": not a regular file inside the model directory"},
		{one("zero.safetensors"), filepath.Join(dir, "zero.safetensors") + ": not a regular file inside the model directory"},
		{one("fifo.safetensors"), filepath.Join(dir, "fifo.safetensors") + ": not a regular file inside the model directory"},
		{one("dir.safetensors"), filepath.Join(dir, "dir.safetensors") + ": not a regular file inside the model directory"},
		{`{"weight_map":{"z":"s.safetensors"}}`, index + `: tensor "z" is not in shard "s.safetensors"`},
		{`{"weight_map":{"a":"s.safetensors","a":"s.safetensors"}}`, index + `@35: key "a" appears twice`},
		{`{"weight_map":{"a":1}}`, index + `: weight_map["a"]: got number, want string`},
		{`{"weight_map":{}}`, index + `: weight_map is empty`},
		{`{}`, index + `: key "weight_map" is missing`},
		{`[]`, index + `: got array, want object`},
		{`{"weight_map":`, index + `@14: unexpected end`},
		{`{"x":` + strings.Repeat("[", 40), index + `@36: nested deeper than 32`},
	} {
		must(os.WriteFile(index, []byte(c[0]), 0o644))
		if d, err := OpenModelDir(dir); err == nil {
			d.Close()
			t.Errorf("%s: accepted", c[0])
		} else if err.Error() != c[1] {
			t.Errorf("%s:\n got %s\nwant %s", c[0], err, c[1])
		}
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("took %v: something was waited for", d)
	}
	must(os.Remove(index))
	if _, err := OpenModelDir(dir); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Errorf("no weights: %v", err)
	}
	must(os.WriteFile(filepath.Join(dir, "pytorch_model.bin"), nil, 0o644))
	if _, err := OpenModelDir(dir); err == nil || !strings.Contains(err.Error(), "pickle") {
		t.Errorf("pickle: %v", err)
	}
}

// TestGoldenModels: what the Python library wrote, in one file or several.
func TestGoldenModels(t *testing.T) {
	golden.Each(t, func(t *testing.T, set golden.Set) {
		for _, name := range slices.Concat(set.Causal, set.Reward) {
			t.Run(name, func(t *testing.T) {
				d, err := OpenModelDir(set.Dir(name))
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				if !d.Has("model.embed_tokens.weight") || d.Metadata()["format"] != "pt" {
					t.Errorf("tensors %v, metadata %v", d.Names(), d.Metadata())
				}
				for _, info := range d.Tensors() {
					if x, err := d.ReadF32(info.Name); err != nil || len(x) == 0 {
						t.Errorf("%s: %d values, %v", info.Name, len(x), err)
					}
				}
			})
		}
	})
}

// FuzzHeader: what is accepted tiles the file, and is written back with the same tensors.
func FuzzHeader(f *testing.F) {
	for _, c := range badFiles() {
		if len(c.file) < 4096 {
			f.Add(c.file)
		}
	}
	parts, _ := safetensorsParts([]TensorData{floats("a", 1, 2), floats("b")}, nil)
	f.Add(bytes.Join(parts, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := headerSize(b[:min(len(b), 64)], int64(len(b)))
		if err != nil {
			return
		}
		h, err := parseHeader(b[8:8+n], int64(len(b))-8-n)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		at := int64(0)
		var ts []TensorData
		for _, s := range h.tensors {
			if s.begin != at {
				t.Fatalf("hole at %d", at)
			}
			at = s.end
			ts = append(ts, TensorData{s.TensorInfo, b[h.data+s.begin : h.data+s.end]})
		}
		if at != int64(len(b))-8-n {
			t.Fatal("rest behind the tensors")
		}
		if _, err := safetensorsParts(ts, h.meta); err != nil && !strings.Contains(err.Error(), "limit") {
			t.Fatalf("read but not written: %v", err)
		}
	})
}

// A snapshot in a Hugging Face cache holds links into the blobs beside it; those are followed, links further out are not.
func TestOpenModelDirInCache(t *testing.T) {
	cache := t.TempDir()
	snapshot := filepath.Join(cache, "models--org--name", "snapshots", "0123abcd")
	blobs := filepath.Join(cache, "models--org--name", "blobs")
	for _, d := range []string{snapshot, blobs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tensors := []TensorData{{TensorInfo{"a", "F32", []int64{2}}, F32Bytes([]float32{1, 2})}}
	if err := WriteSafetensors(filepath.Join(blobs, "feed"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(snapshot, "model.safetensors")
	if err := os.Symlink("../../blobs/feed", link); err != nil {
		t.Fatal(err)
	}
	d, err := OpenModelDir(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	outside := filepath.Join(cache, "secret")
	if err := os.Rename(filepath.Join(blobs, "feed"), outside); err != nil {
		t.Fatal(err)
	}
	os.Remove(link)
	if err := os.Symlink("../../../secret", link); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenModelDir(snapshot); err == nil {
		t.Fatal("a link out of the model's cache folder is followed")
	}
	shared := filepath.Join(cache, "blobs", "fe")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	os.Rename(outside, filepath.Join(shared, "feed"))
	os.Symlink("../../blobs/fe/feed", filepath.Join(blobs, "feed"))
	os.Remove(link)
	os.Symlink("../../blobs/feed", link)
	if _, err := OpenModelDir(snapshot); err == nil {
		t.Fatal("a folder without huggingface_hub's mark is taken for its blobs")
	}
	os.WriteFile(filepath.Join(cache, "blobs", sharedMarker), []byte("1\n"), 0o644)
	if d, err = OpenModelDir(snapshot); err != nil {
		t.Fatal(err)
	}
	d.Close()
}
