package serve

// Bodies of requests: objects whose members are read by tables, as strictly as package strictjson reads anything.

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"

	"criticrm/internal/spell"
	"criticrm/strictjson"
)

// body is how the members of an object are read, by key. null counts as a member that is not there.
type body map[string]func(r *strictjson.Reader) error

// read reads an object. Other keys are an error if strict is set, else they are checked and left out, as routes of other servers do.
func (b body) read(raw []byte, strict bool) error {
	err := strictjson.Read(raw, func(r *strictjson.Reader) error {
		if kind := r.Kind(); kind != "object" && kind != "nothing" {
			return malformed("", "the body is %s, want a JSON object", article(kind))
		}
		return b.object(r, strict)
	})
	var bad *strictjson.Error
	if errors.As(err, &bad) {
		if len(raw) == 0 {
			return malformed("", "there is no body: want a JSON object")
		}
		return malformed(bad.Key, "the body is not JSON as it should be: %v", bad)
	}
	return err
}

func article(kind string) string {
	if kind == "array" {
		return "an array"
	}
	return "a " + kind
}

func (b body) object(r *strictjson.Reader, strict bool) error {
	return r.Object(func(key string) error {
		read, known := b[key]
		switch {
		case !known && strict:
			return &Error{Status: http.StatusBadRequest, Code: unknownField, Param: clip(key), Message: fmt.Sprintf("unknown field %q%s", clip(key), spell.Hint(key, slices.Sorted(maps.Keys(b))))}
		case !known || r.Kind() == "null":
			return r.Skip()
		}
		return at(key, read(r))
	})
}

// at says that an error is that of a field. What is not JSON at all is nobody's.
func at(field string, err error) error {
	var bad *strictjson.Error
	var told *Error
	switch {
	case errors.As(err, &told):
		inner := *told
		inner.Param = join(field, told.Param)
		return &inner
	case errors.As(err, &bad) && bad.Code == strictjson.Invalid:
		return malformed(field, "%v", bad)
	}
	return err
}

func join(field, rest string) string {
	switch {
	case rest == "":
		return field
	case rest[0] == '[':
		return field + rest
	}
	return field + "." + rest
}

// clip keeps what a message quotes short.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// into reads a member into a pointer, which stays nil where there is none.
func into[T any](p **T, read func(r *strictjson.Reader) (T, error)) func(r *strictjson.Reader) error {
	return func(r *strictjson.Reader) error {
		v, err := read(r)
		*p = &v
		return err
	}
}

// whole reads a whole number; one that no int64 holds is the nearest that does, which is out of any range.
func whole(r *strictjson.Reader) (int64, error) {
	n, err := r.Number()
	if err != nil {
		return 0, err
	}
	if v, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return v, nil
	}
	f, err := n.Float64()
	if err != nil || f != math.Trunc(f) {
		return 0, malformed("", "got %s, want a whole number", clip(string(n)))
	}
	return int64(min(max(f, math.MinInt64), math.MaxInt64/2)), nil
}

// real reads a number.
func real(r *strictjson.Reader) (float64, error) {
	n, err := r.Number()
	if err != nil {
		return 0, err
	}
	return n.Float64()
}

// seed reads a seed: any whole number of 64 bits, with or without a sign.
func seed(r *strictjson.Reader) (uint64, error) {
	n, err := r.Number()
	if err != nil {
		return 0, err
	}
	if v, err := strconv.ParseUint(string(n), 10, 64); err == nil {
		return v, nil
	}
	v, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil {
		return 0, malformed("", "got %s, want a whole number of 64 bits", clip(string(n)))
	}
	return uint64(v), nil
}

// list reads an array.
func list[T any](read func(r *strictjson.Reader) (T, error)) func(r *strictjson.Reader) ([]T, error) {
	return func(r *strictjson.Reader) (all []T, err error) {
		all = []T{}
		return all, r.Array(func(i int) error {
			v, err := read(r)
			all = append(all, v)
			return at(fmt.Sprintf("[%d]", i), err)
		})
	}
}

// oneOrMore reads a value, or an array of such; many says which.
func oneOrMore[T any](read func(r *strictjson.Reader) (T, error), many *bool) func(r *strictjson.Reader) ([]T, error) {
	return func(r *strictjson.Reader) ([]T, error) {
		if r.Kind() == "array" {
			*many = true
			return list(read)(r)
		}
		v, err := read(r)
		return []T{v}, err
	}
}

// within is the error of a number out of a range.
func within(param string, v, least, most int64) error {
	if v < least || v > most {
		return unfit(param, "got %d, want %d to %d", v, least, most)
	}
	return nil
}

// int32s reads token ids.
func int32s(r *strictjson.Reader) ([]int32, error) {
	return list(func(r *strictjson.Reader) (int32, error) {
		v, err := whole(r)
		if err == nil && (v < 0 || v > math.MaxInt32) {
			err = malformed("", "token id %d, want 0 or more", v)
		}
		return int32(v), err
	})(r)
}
