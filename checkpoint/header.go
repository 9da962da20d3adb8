package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"criticrm/strictjson"
)

// header is the checked content of a safetensors header.
type header struct {
	tensors []span // by their place in the file
	byName  map[string]int
	meta    map[string]string
	data    int64 // where the tensors' bytes begin in the file
}

// span is a tensor with its place in the data section.
type span struct {
	TensorInfo
	begin, end int64
}

// headerSize reads the length of the header from the first bytes of a file of the given size, and refuses what is no
// safetensors file by what it starts with.
func headerSize(head []byte, size int64) (int64, error) {
	if len(head) < 8 {
		return 0, fmt.Errorf(": not a safetensors file: %d bytes, need at least 8", len(head))
	}
	n := binary.LittleEndian.Uint64(head)
	fits := n <= maxHeader && n <= uint64(size-8)
	if fits && n > 0 && head[8] == '{' {
		return int64(n), nil
	}
	if err := foreign(head, size); err != nil {
		return 0, err
	}
	switch {
	case n > maxHeader:
		return 0, fmt.Errorf("@0: header length %d is over the limit %d%s", n, maxHeader, textStart(head))
	case !fits:
		return 0, fmt.Errorf("@0: header length %d runs past the end of the file (%d bytes)", n, size)
	case n == 0:
		return 0, errors.New("@8: header is empty, want a JSON object")
	}
	return 0, fmt.Errorf("@8: header must start with '{', got %q", head[8])
}

// foreign knows the files that people take for safetensors. It is asked only after the safetensors checks failed, since
// a good file may begin with the bytes of a pickle: 80 02 is also a header of 640 bytes.
func foreign(head []byte, size int64) error {
	has := func(s string) bool { return bytes.HasPrefix(head, []byte(s)) }
	switch {
	case has("PK\x03\x04"), head[0] == 0x80 && head[1] >= 2 && head[1] <= 5:
		return errors.New(": this is a PyTorch pickle file, which can run code when loaded; convert it to safetensors " +
			"(load it where its origin is trusted, and save it with safetensors.torch.save_file)")
	case has("GGUF"):
		return errors.New(": this is a GGUF file with another name: call it .gguf and give it as --model, or convert it ('criticrm convert')")
	case has("version https://git-lfs"):
		return fmt.Errorf(": this is a Git LFS pointer (%d bytes), not the weights; run 'git lfs pull'", size)
	}
	return nil
}

// textStart shows the first word of a file that is text, an error page of a web server most of the time.
func textStart(head []byte) string {
	for _, c := range head[:8] {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return ""
		}
	}
	word := string(head)
	if i := strings.IndexFunc(word, func(c rune) bool { return c <= ' ' || c > '~' }); i > 0 {
		word = word[:i]
	}
	return "; the file starts with " + strconv.Quote(word[:min(len(word), 20)])
}

// parseHeader checks the JSON of a header against the bytes that follow it. Errors begin with ": " or "@byte: ", to be
// put behind the file's name.
func parseHeader(text []byte, dataBytes int64) (*header, error) {
	h := &header{byName: map[string]int{}, meta: map[string]string{}, data: 8 + int64(len(text))}
	err := strictjson.Read(text, func(r *strictjson.Reader) error {
		return r.Object(func(key string) error {
			if key == "__metadata__" {
				return h.metadata(r)
			}
			return h.tensor(r, key)
		})
	})
	if err != nil {
		return nil, headerError(err)
	}
	for i := range h.tensors {
		if err := h.tensors[i].check(dataBytes); err != nil {
			return nil, fmt.Errorf(": %w", err)
		}
	}
	if err := h.tile(dataBytes); err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	for i := range h.tensors {
		h.byName[h.tensors[i].Name] = i
	}
	return h, nil
}

// headerError puts the place of a JSON error in the file before it.
func headerError(err error) error {
	var je *strictjson.Error
	switch {
	case !errors.As(err, &je):
		return fmt.Errorf(": %w", err)
	case je.Code == strictjson.Duplicate && je.Key == "__metadata__":
		return errors.New(": \"__metadata__\" appears twice in the header")
	case je.Code == strictjson.Duplicate:
		return fmt.Errorf(": tensor %s appears twice in the header", quote(je.Key))
	case je.Code == strictjson.Encoding:
		return fmt.Errorf("@%d: header is not valid UTF-8", 8+je.At)
	}
	return fmt.Errorf("@%d: header JSON: %s", 8+je.At, syntaxText(je))
}

// syntaxText words an error without its place.
func syntaxText(e *strictjson.Error) string {
	if e.Code == strictjson.Truncated {
		return "unexpected end" // whatever was to follow
	}
	return e.Msg
}

func (h *header) metadata(r *strictjson.Reader) error {
	if k := r.Kind(); k != "object" && k != "nothing" {
		return fmt.Errorf("__metadata__: got %s, want object", k)
	}
	big := 0
	err := r.Object(func(key string) error {
		if k := r.Kind(); k != "string" && k != "nothing" {
			return fmt.Errorf("__metadata__[%s]: got %s, want string", quote(key), k)
		}
		value, err := r.String()
		if err != nil {
			return err
		}
		if len(h.meta) == maxMetaCount {
			return fmt.Errorf("__metadata__ has more than %d entries", maxMetaCount)
		}
		if n := max(len(value), len(key)); n > maxMetaValue {
			if big++; n > maxMetaBig || big > 1 {
				return fmt.Errorf("__metadata__[%s] has %d bytes, limit %d", quote(key), n, maxMetaValue)
			}
		}
		h.meta[key] = value
		return nil
	})
	return unDup(err, "__metadata__ key %s appears twice")
}

// unDup words a key that appears twice inside an inner object; the outer ones are tensors.
func unDup(err error, format string) error {
	var je *strictjson.Error
	if errors.As(err, &je) && je.Code == strictjson.Duplicate {
		return fmt.Errorf(format, quote(je.Key))
	}
	return err
}

func (h *header) tensor(r *strictjson.Reader, name string) error {
	if len(h.tensors) == maxTensors {
		return fmt.Errorf("%d tensors, limit %d", maxTensors+1, maxTensors)
	}
	if err := checkName(name); err != nil {
		return err
	}
	t, q := span{}, quote(name)
	t.Name = name
	if k := r.Kind(); k != "object" && k != "nothing" {
		return fmt.Errorf("tensor %s: got %s, want object", q, k)
	}
	found := 0
	err := r.Object(func(key string) (err error) {
		found++
		switch key {
		case "dtype":
			if k := r.Kind(); k != "string" && k != "nothing" {
				return fmt.Errorf("tensor %s: dtype: got %s, want string", q, k)
			}
			if t.DType, err = r.String(); err != nil {
				return err
			}
			if err := checkDType(t.DType); err != nil {
				return fmt.Errorf("tensor %s: %w", q, err)
			}
			return nil
		case "shape":
			t.Shape, err = shape(r, q)
			return err
		case "data_offsets":
			return t.offsets(r, q)
		}
		return fmt.Errorf("tensor %s: key %s is not known", q, quote(key))
	})
	if err = unDup(err, "tensor "+q+": key %s appears twice"); err != nil {
		return err
	}
	if found != 3 {
		return fmt.Errorf("tensor %s: want the keys dtype, shape and data_offsets", q)
	}
	h.tensors = append(h.tensors, t)
	return nil
}

func shape(r *strictjson.Reader, q string) ([]int64, error) {
	if k := r.Kind(); k != "array" && k != "nothing" {
		return nil, fmt.Errorf("tensor %s: shape: got %s, want array", q, k)
	}
	dims, n := []int64{}, 0
	err := r.Array(func(i int) error {
		n++
		lit, err := literal(r, fmt.Sprintf("tensor %s: shape[%d]", q, i))
		if err != nil {
			return err
		}
		d, ok := integer(lit)
		if !ok || d < 0 {
			return fmt.Errorf("tensor %s: shape[%d]: got %s, want an integer ≥ 0", q, i, clip(lit))
		}
		if n <= maxDims {
			dims = append(dims, d)
		}
		return nil
	})
	if err == nil && n > maxDims {
		err = fmt.Errorf("tensor %s has %d dimensions, limit %d", q, n, maxDims)
	}
	return dims, err
}

func (t *span) offsets(r *strictjson.Reader, q string) error {
	if k := r.Kind(); k != "array" && k != "nothing" {
		return fmt.Errorf("tensor %s: data_offsets: got %s, want array", q, k)
	}
	var lits []string
	ok := true
	err := r.Array(func(i int) error {
		lit, err := literal(r, fmt.Sprintf("tensor %s: data_offsets[%d]", q, i))
		if err != nil || i > 1 {
			ok = false
			return err
		}
		lits = append(lits, clip(lit))
		n, isInt := integer(lit)
		ok = ok && isInt && n >= 0
		if i == 0 {
			t.begin = n
		} else {
			t.end = n
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !ok || len(lits) != 2 || t.begin > t.end {
		return fmt.Errorf("tensor %s: data_offsets [%s]: want 0 ≤ begin ≤ end", q, strings.Join(lits, ","))
	}
	return nil
}

func literal(r *strictjson.Reader, where string) (string, error) {
	if k := r.Kind(); k != "number" && k != "nothing" {
		return "", fmt.Errorf("%s: got %s, want an integer ≥ 0", where, k)
	}
	lit, err := r.Number()
	return string(lit), err
}

// integer takes a written number for an int64, if it is one.
func integer(lit string) (int64, bool) {
	n, err := strconv.ParseInt(lit, 10, 64)
	return n, err == nil && lit != "-0" && n > math.MinInt64
}

func clip(s string) string {
	if len(s) > 24 {
		return s[:24] + "…"
	}
	return s
}

// check compares a tensor's shape with its place, and its place with the file.
func (t *span) check(dataBytes int64) error {
	want, err := t.Bytes()
	if err != nil {
		return fmt.Errorf("tensor %s: %w", quote(t.Name), err)
	}
	if t.end > dataBytes {
		return fmt.Errorf("tensor %s: data_offsets end %d is past the data (%d bytes)", quote(t.Name), t.end, dataBytes)
	}
	if got := t.end - t.begin; got != want {
		return fmt.Errorf("tensor %s: shape %s of %s needs %d bytes, data_offsets give %d",
			quote(t.Name), shapeText(t.Shape), t.DType, want, got)
	}
	return nil
}

// tile makes sure that the tensors cover the data without overlap or rest, so that the file can be nothing else besides.
func (h *header) tile(dataBytes int64) error {
	ts := h.tensors
	sort.SliceStable(ts, func(i, j int) bool {
		if ts[i].begin != ts[j].begin {
			return ts[i].begin < ts[j].begin
		}
		return ts[i].end < ts[j].end
	})
	at := int64(0)
	for i := range ts {
		if ts[i].begin < at {
			return fmt.Errorf("tensors %s and %s overlap at byte %d", quote(ts[i-1].Name), quote(ts[i].Name), ts[i].begin)
		}
		if ts[i].begin > at {
			return fmt.Errorf("%d bytes at %d belong to no tensor", ts[i].begin-at, at)
		}
		at = ts[i].end
	}
	if at < dataBytes {
		return fmt.Errorf("%d bytes after the last tensor belong to no tensor", dataBytes-at)
	}
	return nil
}
