package main

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"text/tabwriter"

	"criticrm/gguf"
)

// showGGUF tells what a GGUF file holds: its metadata, long values cut, and its tensors.
func showGGUF(w io.Writer, path string) error {
	f, err := gguf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintf(w, "GGUF file %s: version %d\n", path, f.Version)
	for _, p := range f.Meta {
		fmt.Fprintf(w, "%s: %s\n", p.Key, shownValue(p.Value))
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	var elements, bytes int64
	tensors := f.Tensors()
	for _, x := range tensors {
		elements += x.Elements()
		bytes += x.Bytes()
		fmt.Fprintf(t, "%s\t%v\t%v\n", x.Name, x.Type, x.Shape)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d tensors, %d parameters, %d bytes; 'criticrm convert' makes a model directory of it, and every --model takes it\n", len(tensors), elements, bytes)
	return err
}

// shownValue is a value of metadata as a line.
func shownValue(v gguf.Value) string {
	if s, ok := v.(string); ok {
		return cutLine(strconv.Quote(s))
	}
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice {
		return fmt.Sprintf("%d of them: %s", list.Len(), cutLine(strconv.Quote(fmt.Sprint(list.Slice(0, min(list.Len(), 8)).Interface()))))
	}
	return fmt.Sprint(v)
}

// cutLine keeps what a line has room for.
func cutLine(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
