package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"criticrm/record"
	"criticrm/safefile"

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
func parseIDs(line []byte, vocabulary int) ([]int32, error) {
	var ids []int32
	err := json.Unmarshal(line, &ids)
	if t := bytes.TrimSpace(line); len(t) > 0 && t[0] == '{' {
		var o struct {
			IDs *[]int32 `json:"ids"`
		}
		if err = json.Unmarshal(line, &o); err == nil {
			if o.IDs == nil {
				return nil, fmt.Errorf(`key "ids" is missing`)
			}
			ids = *o.IDs
		}
	}
	if err != nil {
		return nil, fmt.Errorf(`want an array of token ids, or {"ids": [...]}: %w`, err)
	}
	for i, id := range ids {
		if id < 0 || int(id) >= vocabulary {
			return nil, fmt.Errorf("ids[%d]: %d is not in the vocabulary of %d tokens", i, id, vocabulary)
		}
	}
	return ids, nil
}
