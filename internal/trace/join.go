package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// RankPath is where a rank of several records.
func RankPath(path string, rank int) string { return fmt.Sprintf("%s.rank%d", path, rank) }

// Join puts the files of n ranks into one and removes them. A rank that was ended in the middle of a line loses it; missing are the ranks that
// have left no file here, as those of other machines have not.
func Join(path string, n int) (missing []int, err error) {
	out, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	w := bufio.NewWriter(out)
	_, err = w.WriteString("[")
	between := "\n"
	for rank := range n {
		if err != nil {
			break
		}
		between, err = add(w, RankPath(path, rank), between)
		if errors.Is(err, fs.ErrNotExist) {
			missing, err = append(missing, rank), nil
		}
	}
	if err == nil {
		_, err = w.WriteString(tail)
	}
	if err == nil {
		err = w.Flush()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return missing, fmt.Errorf("trace: %w", err)
	}
	for rank := range n {
		err = os.Remove(RankPath(path, rank))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return missing, fmt.Errorf("trace: %w", err)
		}
	}
	return missing, nil
}

// add copies the events of a file, a line each.
func add(w *bufio.Writer, path, between string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return between, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := bytes.TrimSuffix(lines.Bytes(), []byte(","))
		if len(line) < 2 || line[0] != '{' || !json.Valid(line) {
			continue
		}
		if _, err := w.WriteString(between); err != nil {
			return between, err
		}
		if _, err := w.Write(line); err != nil {
			return between, err
		}
		between = ",\n"
	}
	return between, lines.Err()
}
