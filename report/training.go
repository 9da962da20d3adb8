package report

// metrics.jsonl: the losses of a run of training, and λ.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"criticrm/safefile"
	"criticrm/strictjson"
)

// training is what metrics.jsonl holds.
type training struct {
	file  string
	data  []setting // what the training's files gave
	curve map[string][]Point
	steps int
	notes []string
}

// maxMetricsLine bounds a line, in bytes: the facts of the data may name many reasons.
const maxMetricsLine = 16 << 20

// plotted are the figures of metrics.jsonl that are drawn, by their key.
var plotted = []string{"critique_loss", "reward_loss", "lambda", "accuracy", "learning_rate", "grad_norm", "eval_critique_loss", "eval_reward_loss", "eval_accuracy"}

// readTraining reads the file line by line. A last line that is cut off is noted: training writes it still, or was killed.
func readTraining(dir, name string) (*training, error) {
	f, err := safefile.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	defer f.Close()
	t := &training{file: name, curve: map[string][]Point{}}
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
	for _, use := range []string{"train", "eval"} {
		if raw, ok := values[use]; ok && step == 0 {
			facts, err := jsonSettings(use, raw)
			if err != nil {
				return 0, err
			}
			t.data = append(t.data, facts...)
		}
	}
	t.steps = max(t.steps, step)
	for _, key := range plotted {
		raw, ok := values[key]
		if !ok || string(raw) == "null" { // null: it was not finite
			continue
		}
		var v float64
		if err := json.Unmarshal(raw, &v); err != nil {
			return 0, fmt.Errorf("%s is no number", key)
		}
		t.curve[key] = append(t.curve[key], Point{X: float64(step), Y: v})
	}
	return step, nil
}

// maxCurve is how many points a curve over updates has at most.
const maxCurve = 400

// lossPlots are the two pictures of a training: losses, and what lies between 0 and 1.
func (t *training) lossPlots(title string) []*Plot {
	losses := &Plot{Title: "Losses" + title, X: "update", Y: "loss"}
	shares := &Plot{Title: "λ and accuracy in training" + title, X: "update", Y: "share", YRange: &[2]float64{0, 1}}
	t.draw(losses, "critique_loss", Series{Name: "critique loss", Color: 2, Line: true})
	t.draw(losses, "reward_loss", Series{Name: "reward loss", Color: 1, Line: true})
	t.draw(losses, "eval_critique_loss", Series{Name: "critique loss, held out", Color: 2, Dots: true, Line: true, Dashed: true})
	t.draw(losses, "eval_reward_loss", Series{Name: "reward loss, held out", Color: 1, Dots: true, Line: true, Dashed: true})
	t.draw(shares, "lambda", Series{Name: "λ (weight of the critique loss)", Color: 7, Line: true})
	t.draw(shares, "accuracy", Series{Name: "accuracy on the batch", Color: 0, Line: true})
	t.draw(shares, "eval_accuracy", Series{Name: "accuracy, held out", Color: 0, Dots: true, Line: true, Dashed: true})
	return []*Plot{losses, shares}
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
