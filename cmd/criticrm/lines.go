package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"criticrm/record"
	"criticrm/safefile"
	"criticrm/strictjson"

	"github.com/spf13/cobra"
)

// maxLine bounds a line of an input file, in bytes.
const maxLine = 16 << 20

// readLines calls f for each line of a file, or of standard input for "-". Errors of f get file and line in front.
func readLines(cmd *cobra.Command, path string, f func(line []byte) error) error {
	var in io.Reader
	if path == "-" {
		in, path = cmd.InOrStdin(), "standard input"
	} else {
		file, err := safefile.Open(path)
		if err != nil {
			return inputError{err}
		}
		defer file.Close()
		in = file
	}
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 0, 1<<16), maxLine)
	n := 0
	for scan.Scan() {
		n++
		if err := f(bytes.TrimSuffix(scan.Bytes(), []byte("\r"))); err != nil {
			return &record.RowError{File: path, Line: n, At: -1, Msg: err.Error()}
		}
	}
	if err := scan.Err(); err != nil {
		return &record.RowError{File: path, Line: n + 1, At: -1, Msg: err.Error()}
	}
	if n == 0 {
		return &record.RowError{File: path, Msg: "no lines"}
	}
	return nil
}

// parseIDs reads token ids: an array, or an object with "ids". Ids must be in a vocabulary.
func parseIDs(line []byte, vocabulary int) (ids []int32, err error) {
	list := func(r *strictjson.Reader) error {
		return r.Array(func(i int) error {
			n, err := r.Number()
			if err != nil {
				return err
			}
			id, err := strconv.Atoi(string(n))
			if err != nil || id < 0 || id >= vocabulary {
				return fmt.Errorf("ids[%d]: %s is not in the vocabulary of %d tokens", i, n, vocabulary)
			}
			ids = append(ids, int32(id))
			return nil
		})
	}
	err = strictjson.Read(line, func(r *strictjson.Reader) error {
		if r.Kind() == "object" {
			return valueOf(r, "ids", list)
		}
		return list(r)
	})
	var syntax *strictjson.Error
	if errors.As(err, &syntax) {
		err = fmt.Errorf(`want an array of token ids, or {"ids": [...]}: %w`, err)
	}
	return ids, err
}

// valueOf reads one key of an object, whose others do not matter.
func valueOf(r *strictjson.Reader, name string, value func(*strictjson.Reader) error) error {
	found := false
	err := r.Object(func(key string) error {
		if key != name {
			return r.Skip()
		}
		found = true
		return value(r)
	})
	if err == nil && !found {
		err = fmt.Errorf("key %q is missing", name)
	}
	return err
}
