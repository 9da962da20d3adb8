package report

// metrics.jsonl: the losses of a run of training, and λ.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"criticrm/safefile"
	"criticrm/strictjson"
)

// training is what metrics.jsonl holds.
type training struct {
	file  string
	data  []setting // what the training's files gave
	curve map[string][]Point
	files []string // names of the held-out files, "" for one without; a picture has the first maxHeldOut
	steps int
	total int // updates that it will make; 0: not known
	notes []string
	best  string // by which evaluation its model was chosen; "": it is that of the last update

	categories map[string][]string // of held-out files, by name
	spreads    map[string][]spread // of their margins
}

// maxMetricsLine bounds a line, in bytes: the facts of the data may name many reasons.
const maxMetricsLine = 16 << 20

// plotted are the figures of metrics.jsonl that are drawn, by their key.
var plotted = []string{"critique_loss", "reward_loss", "lambda", "accuracy", "learning_rate", "grad_norm", "critique_perplexity"}

// heldOut are the figures of evaluations that are drawn: eval_accuracy, or with a name for each of several files eval_NAME_accuracy.
var heldOut = regexp.MustCompile(`^eval_(?:(.+)_)??(critique_loss|reward_loss|accuracy)$`)

// readTraining reads the file line by line. A last line that is cut off is noted: training writes it still, or was killed.
func readTraining(dir, name string) (*training, error) {
	f, err := safefile.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	defer f.Close()
	t := &training{file: name, curve: map[string][]Point{}, categories: map[string][]string{}, spreads: map[string][]spread{}}
	in := bufio.NewReaderSize(f, 1<<16)
	last := -1
	for number := 1; ; number++ {
		line, err := readLine(in)
		if err == io.EOF {
			break
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			t.notes = append(t.notes, fmt.Sprintf("%s: line %d is cut off and left out", name, number))
			break
		}
		if err == nil {
			last, err = t.add(line, last)
		}
		if err != nil {
			return nil, fmt.Errorf("report: %s:%d: %w", name, number, err)
		}
	}
	return t, nil
}

// factsFile is what a model says of itself, and maxFacts bounds it, in bytes.
const (
	factsFile = "critic_rm.json"
	maxFacts  = 8 << 20
)

// chosen reads by what the model of a training was chosen, once it is there.
func (t *training) chosen(model string) error {
	b, err := safefile.Read(filepath.Join(model, factsFile), maxFacts)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var facts struct {
		Best *struct {
			Metric     string
			Value      float64
			Update, Of int
		}
	}
	if err == nil {
		err = json.Unmarshal(b, &facts)
	}
	if err != nil {
		return fmt.Errorf("report: %s: %w", factsFile, err)
	}
	if best := facts.Best; best != nil {
		t.best = fmt.Sprintf("of update %d of %d: %s %.4g is the best", best.Update, best.Of, best.Metric, best.Value)
	}
	return nil
}

// readLine gives a line without its end; one without an end is io.ErrUnexpectedEOF.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxMetricsLine {
			return nil, fmt.Errorf("line is longer than %d bytes", maxMetricsLine)
		}
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case err == io.EOF && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// add takes one line behind the update last, and gives its own.
func (t *training) add(line []byte, last int) (int, error) {
	var members []strictjson.Member
	if err := strictjson.Read(line, func(r *strictjson.Reader) (err error) { members, err = r.Members(); return err }); err != nil {
		return 0, err
	}
	values := map[string]json.RawMessage{}
	for _, m := range members {
		values[m.Key] = json.RawMessage(m.Raw)
	}
	var step int
	if err := json.Unmarshal(values["step"], &step); err != nil || step < 0 {
		return 0, fmt.Errorf("want a step, a whole number from 0")
	}
	if step < last {
		return 0, fmt.Errorf("step %d behind step %d", step, last)
	}
	for _, m := range members {
		if step == 0 && (m.Key == "train" || m.Key == "eval" || strings.HasPrefix(m.Key, "eval_")) && m.Raw[0] == '{' {
			facts, err := jsonSettings(m.Key, values[m.Key])
			if err != nil {
				return 0, err
			}
			t.data = append(t.data, facts...)
		}
	}
	t.steps = max(t.steps, step)
	if step == 0 && values["max_steps"] != nil {
		if err := json.Unmarshal(values["max_steps"], &t.total); err != nil {
			return 0, fmt.Errorf("max_steps is no whole number")
		}
	}
	for _, m := range members {
		key, raw := m.Key, values[m.Key]
		if string(raw) == "null" || step == 0 && raw[0] == '{' && !spreadKey.MatchString(key) { // it was not finite; or the facts of a file
			continue
		}
		held := heldOut.FindStringSubmatch(key)
		other, err := t.addHeldOut(key, raw, step)
		if err != nil {
			return 0, err
		}
		if held == nil && !other && !slices.Contains(plotted, key) {
			continue
		}
		if held != nil && !slices.Contains(t.files, held[1]) {
			t.files = append(t.files, held[1])
		}
		var v float64
		if err := json.Unmarshal(raw, &v); err != nil {
			return 0, fmt.Errorf("%s is no number", key)
		}
		t.curve[key] = append(t.curve[key], Point{X: float64(step), Y: v})
	}
	return step, nil
}

// maxHeldOut is how many held-out files are drawn.
const maxHeldOut = 6

// maxCurve is how many points a curve over updates has at most.
const maxCurve = 400

// lossPlots are the two pictures of a training: losses, and what lies between 0 and 1.
func (t *training) lossPlots(title string) []*Plot {
	losses := &Plot{Title: "Losses" + title, X: "update", Y: "loss"}
	shares := &Plot{Title: "λ and accuracy in training" + title, X: "update", Y: "share", YRange: &[2]float64{0, 1}}
	t.draw(losses, "critique_loss", Series{Name: "critique loss", Color: 2, Line: true})
	t.draw(losses, "reward_loss", Series{Name: "reward loss", Color: 1, Line: true})
	t.draw(shares, "lambda", Series{Name: "λ (weight of the critique loss)", Color: 7, Line: true})
	t.draw(shares, "accuracy", Series{Name: "accuracy on the batch", Color: 0, Line: true})
	slices.Sort(t.files)
	for i, name := range t.files[:min(len(t.files), maxHeldOut)] {
		key, title := heldOutKey(name), "held out"
		if name != "" {
			title = name
		}
		dashed := func(name string, color int) Series {
			return Series{Name: name + ", " + title, Color: color + 3*i, Dots: true, Line: true, Dashed: true}
		}
		t.draw(losses, key+"critique_loss", dashed("critique loss", 2))
		t.draw(losses, key+"reward_loss", dashed("reward loss", 1))
		t.draw(shares, key+"accuracy", dashed("accuracy", 0))
	}
	if n := len(t.files) - maxHeldOut; n > 0 {
		losses.Note = strings.TrimPrefix(losses.Note+fmt.Sprintf(" %d more held-out files are not drawn.", n), " ")
	}
	return []*Plot{losses, shares}
}

// heldOutKey begins the keys of a held-out file's figures.
func heldOutKey(name string) string {
	if name == "" {
		return "eval_"
	}
	return "eval_" + name + "_"
}

// draw adds a curve to a plot, if there is one.
func (t *training) draw(p *Plot, key string, s Series) {
	var each int
	if s.Points, each = averaged(t.curve[key], maxCurve); len(s.Points) == 0 {
		return
	}
	if each > 1 {
		p.Note = fmt.Sprintf("A point is the mean of up to %d updates.", each)
	}
	p.Series = append(p.Series, s)
}
