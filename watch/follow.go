package watch

// Reading metrics.jsonl while it grows.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"criticrm/checkpoint"
	"criticrm/safefile"
)

const (
	metricsFile = "metrics.jsonl"
	stateFile   = "trainer_state.json"
)

// maxLine bounds a line, in bytes: the facts of the data may name many reasons.
const maxLine = 16 << 20

// Training is what a directory of training has told so far.
type Training struct {
	Dir string // that holds metrics.jsonl

	total, step int     // updates; total 0: not known
	last        line    // of the last update
	train       []line  // the last updates, at most recent of them
	evalTime    float64 // seconds of the evaluations among them
	curves      map[string]*curve
	names       []string // of held-out files, "" for one without
	damaged     int      // lines that are none

	file   os.FileInfo // that was read
	offset int64       // behind the last whole line
}

// recent is over how many updates speed is averaged.
const recent = 50

// line is a line's numbers.
type line map[string]float64

// ErrNothing says that a directory holds no training, or none yet.
var ErrNothing = errors.New("no metrics.jsonl of a training")

// Open finds the training in a directory: its own, or of a run the one that wrote last.
func Open(dir string) (*Training, error) {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("watch: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("watch: %s: want the output_dir of a training, or the directory of a run", dir)
	}
	newest, at := "", time.Time{}
	for _, pattern := range []string{"", "round-*/train", "bt/train", "cloud/train"} {
		list, err := filepath.Glob(filepath.Join(escape(dir), pattern, metricsFile))
		if err != nil {
			return nil, fmt.Errorf("watch: %w", err)
		}
		for _, path := range list {
			if info, err := os.Stat(path); err == nil && !info.ModTime().Before(at) {
				newest, at = filepath.Dir(path), info.ModTime()
			}
		}
	}
	if newest == "" {
		return nil, fmt.Errorf("watch: %s: %w", dir, ErrNothing)
	}
	return &Training{Dir: newest}, nil
}

// escape makes a path a pattern that means it alone.
func escape(path string) string {
	return regexp.MustCompile(`[*?\[\\]`).ReplaceAllString(path, `\$0`)
}

// Read reads what is new, and says whether anything is. A file that was cut back, by a run that goes on, is read from its beginning.
func (t *Training) Read() (changed bool, err error) {
	f, err := safefile.Open(filepath.Join(t.Dir, metricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it is being replaced
	}
	if err != nil {
		return false, fmt.Errorf("watch: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("watch: %w", err)
	}
	if t.file == nil || !os.SameFile(t.file, info) || info.Size() < t.offset {
		*t = Training{Dir: t.Dir, curves: map[string]*curve{}}
		changed = true
	}
	t.file = info
	if info.Size() == t.offset {
		return changed, nil
	}
	if _, err := f.Seek(t.offset, io.SeekStart); err != nil {
		return changed, fmt.Errorf("watch: %w", err)
	}
	in := bufio.NewReaderSize(f, 1<<16)
	for {
		text, err := readLine(in)
		if err == io.EOF {
			return changed, nil
		}
		if err != nil {
			return changed, fmt.Errorf("watch: %s: %w", filepath.Join(t.Dir, metricsFile), err)
		}
		t.offset += int64(len(text))
		t.add(text)
		changed = true
	}
}

// readLine gives a whole line, with its end; one without an end is for the next time.
func readLine(in *bufio.Reader) (text []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if text = append(text, part...); len(text) > maxLine {
			return nil, fmt.Errorf("line is longer than %d bytes", maxLine)
		}
		if err == nil || err != bufio.ErrBufferFull {
			return text, err
		}
	}
}

// add takes a line.
func (t *Training) add(text []byte) {
	var all map[string]any
	if json.Unmarshal(text, &all) != nil {
		t.damaged++
		return
	}
	x := line{}
	for name, v := range all {
		if v, ok := v.(float64); ok {
			x[name] = v
		}
	}
	step := int(x["step"])
	if total := x["max_steps"]; total > 0 {
		t.total = int(total)
		return
	}
	_, train := x["loss"]
	for _, name := range slices.Sorted(maps.Keys(x)) {
		if file, figure, ok := heldOut(name); ok && !slices.Contains(t.names, file) && figure == "loss" {
			t.names = append(t.names, file)
		}
		if t.curves[name] == nil {
			t.curves[name] = &curve{}
		}
		t.curves[name].add(step, x[name])
		if strings.HasPrefix(name, "eval_") && strings.HasSuffix(name, "runtime") {
			t.evalTime += x[name]
		}
	}
	if !train {
		return
	}
	t.step, t.last = step, x
	if t.train = append(t.train, x); len(t.train) > recent {
		t.train = t.train[1:]
		t.evalTime *= 1 - 1./recent // it goes with the updates that go
	}
}

// heldOut parts the name of a held-out figure, eval_accuracy or eval_NAME_accuracy.
func heldOut(name string) (file, figure string, ok bool) {
	rest, ok := strings.CutPrefix(name, "eval_")
	if !ok {
		return "", "", false
	}
	for _, figure := range []string{"critique_loss", "reward_loss", "loss", "accuracy"} {
		if rest == figure {
			return "", figure, true
		}
		if file, ok := strings.CutSuffix(rest, "_"+figure); ok {
			return file, figure, true
		}
	}
	return "", "", false
}

// perUpdate is the time of an update, with its share of evaluations; 0: not known.
func (t *Training) perUpdate() time.Duration {
	seconds, n := t.evalTime, 0
	for i := 1; i < len(t.train); i++ {
		if speed := t.train[i]["tokens_per_second"]; speed > 0 {
			seconds += (t.train[i]["num_tokens"] - t.train[i-1]["num_tokens"]) / speed
			n++
		}
	}
	if n == 0 || math.IsInf(seconds, 0) || math.IsNaN(seconds) {
		return 0
	}
	return time.Duration(seconds / float64(n) * float64(time.Second))
}

// Ended says whether the training is over, and how: its model is there, or its process is not.
func (t *Training) Ended() (over bool, how string) {
	if b, err := safefile.Read(filepath.Join(t.Dir, "model", stateFile), 1<<30); err == nil {
		var state struct {
			Step int `json:"global_step"`
		}
		if json.Unmarshal(b, &state) == nil && state.Step == t.step && t.step > 0 {
			return true, "the model is in " + shown(filepath.Join(t.Dir, "model"))
		}
	}
	alive, known := checkpoint.Holder(filepath.Join(t.Dir, "checkpoints"))
	if info, err := os.Stat(filepath.Join(t.Dir, "model")); err == nil && known && !alive && t.file != nil && !info.ModTime().Before(t.file.ModTime()) {
		return true, "the model is in " + shown(filepath.Join(t.Dir, "model")) // of a program that has left no state
	}
	if known && !alive {
		return true, fmt.Sprintf("it was stopped at update %d: the same command with resume: latest goes on", t.step)
	}
	return false, ""
}

// curve is a figure over the updates, as at most 2·maxPoints means of equally many values.
type curve struct {
	points []float64
	each   int // values in a point
	sum    float64
	n      int // values in sum

	last   float64
	best   [2]float64 // the smallest and the largest value
	bestAt [2]int     // and the updates at which they were first there
	values int
}

const maxPoints = 1024

func (c *curve) add(step int, v float64) {
	for k, better := range []bool{v < c.best[0], v > c.best[1]} {
		if c.values == 0 || better {
			c.best[k], c.bestAt[k] = v, step
		}
	}
	c.values++
	c.last = v
	c.each = max(c.each, 1)
	c.sum += v
	if c.n++; c.n < c.each {
		return
	}
	c.points, c.sum, c.n = append(c.points, c.sum/float64(c.n)), 0, 0
	if len(c.points) < 2*maxPoints {
		return
	}
	for i := range maxPoints {
		c.points[i] = (c.points[2*i] + c.points[2*i+1]) / 2
	}
	c.points, c.each = c.points[:maxPoints], 2*c.each
}
