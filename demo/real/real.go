// Package real is the second demo: the whole method on a real instruct model and on what it answers.
//
// SmolLM2-135M-Instruct is asked for one sentence with, or without, a given word, which it does about half of the time. Two of its answers to
// a prompt, one that does what was asked and one that does not, are a pair; a program can tell which is which, so labels are true. A model of
// this size cannot write critiques that end in a score, so it has a cold start first: critiques by program of other answers. From there on
// everything is the method as `criticrm run` does it, on topics that the cold start has not seen.
package real

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/modeldir"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/report"
	"criticrm/safefile"
	"criticrm/tokenizer"
	"criticrm/trainer"
)

//go:embed recipe.yaml prompts/*.txt
var files embed.FS

// Options of a run.
type Options struct {
	Model   string // directory of the instruct model
	Dir     string // for all that is made
	Full    bool   // all topics, more answers
	Seed    uint64
	Threads int
	Log     io.Writer
}

// Run makes what is not done yet of the second demo.
func Run(ctx context.Context, dev *kernels.Device, o Options) (*pipeline.Results, error) {
	r := &runner{Options: o, dev: dev}
	for _, step := range []func(context.Context) error{r.layOut, r.same, r.answer, r.coldStart} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
	}
	return r.method(ctx)
}

type runner struct {
	Options
	dev     *kernels.Device
	prompts *critic.Prompts
}

// Sizes: topics of the cold start, to train on and to measure on, wishes of each topic, and answers to each prompt.
func (r *runner) splits() (cold, train, held split) {
	all := topics()
	cold = split{name: "cold", topics: all[:24], each: 8, answers: 2}
	train = split{name: "train", topics: all[24:48], each: 6, answers: 3}
	held = split{name: "held", topics: all[66:], each: 6, answers: 3}
	if r.Full {
		cold.answers = 6
		train.topics, train.each, train.answers = all[24:66], 8, 4
		held.each, held.answers = 8, 4
	}
	return cold, train, held
}

func (r *runner) path(name ...string) string {
	return filepath.Join(append([]string{r.Dir}, name...)...)
}

func (r *runner) say(format string, a ...any) { fmt.Fprintf(r.Log, format+"\n", a...) }

// layOut puts the recipe and the prompts into the directory, from which the run reads them.
func (r *runner) layOut(context.Context) error {
	if r.Log == nil {
		r.Log = io.Discard
	}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(r.path(name), 0o777)
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		return checkpoint.WriteFileAtomic(r.path(name), text)
	})
	if err == nil {
		r.prompts, err = critic.LoadPrompts(r.path("prompts"), "")
	}
	return err
}

// settingsFile says what the rest of the directory was made with.
const settingsFile = "settings.json"

// settings are what the answers depend on.
type settings struct {
	Model string `json:"model"` // its label
	Full  bool   `json:"full"`
	Seed  uint64 `json:"seed"`
}

// same refuses a directory that was made with other settings: what is there would be taken for theirs.
func (r *runner) same(context.Context) error {
	d, err := modeldir.Open(r.Model, modeldir.Given{})
	if err != nil {
		return err
	}
	now := settings{Full: r.Full, Seed: r.Seed}
	if now.Model, err = d.Label(); err != nil {
		return err
	}
	text, err := safefile.Read(r.path(settingsFile), 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		if text, err = json.MarshalIndent(now, "", "  "); err != nil {
			return err
		}
		return checkpoint.WriteFileAtomic(r.path(settingsFile), append(text, '\n'))
	}
	if err != nil {
		return err
	}
	var was settings
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("%s: %w", r.path(settingsFile), err)
	}
	if was != now {
		return fmt.Errorf("%s was made with %+v, now it is %+v: give another --output_dir", r.Dir, was, now)
	}
	return nil
}

// Files of the data.
const (
	coldFile  = "cold.jsonl"
	trainFile = "pairs.jsonl"
	heldFile  = "held-out.jsonl"
)

// answer has the model answer, and writes the data. What is there from an earlier run stays.
func (r *runner) answer(ctx context.Context) error {
	cold, train, held := r.splits()
	var e *engine.Engine
	defer func() {
		if e != nil {
			e.Close()
		}
	}()
	for _, x := range []struct {
		split
		file string
		rows func([]answered) ([]any, string, error)
	}{
		{cold, coldFile, r.coldRows},
		{train, trainFile, func(list []answered) ([]any, string, error) { return pairRows(list, "train") }},
		{held, heldFile, func(list []answered) ([]any, string, error) { return pairRows(list, "held") }},
	} {
		if _, err := os.Stat(r.path(x.file)); err == nil {
			r.say("answers: %s is there", x.file)
			continue
		}
		if e == nil {
			var err error
			if e, err = engine.Open(r.dev, r.Model, engine.Options{}); err != nil {
				return err
			}
		}
		began := time.Now()
		list, unfinished, err := answer(ctx, e, x.split, r.Seed)
		if err != nil {
			return err
		}
		rows, says, err := x.rows(list)
		if err != nil {
			return err
		}
		if err := writeRows(r.Dir, x.file, rows); err != nil {
			return err
		}
		r.say("answers: %s in %v: %s; %d more answers were longer than %d tokens, or empty, and are left out", x.file, time.Since(began).Round(time.Second), says, unfinished, answerTokens)
	}
	return nil
}

func pairRows(list []answered, name string) ([]any, string, error) {
	rows, with := pairs(list, name)
	if len(rows) < 10 {
		return nil, "", fmt.Errorf("only %d of %d prompts have an answer that does what was asked and one that does not: is this an instruct model?", len(rows), len(list))
	}
	return rows, fmt.Sprintf("%d pairs from %d prompts, %d of them with a word, %d without", len(rows), len(list), with, len(rows)-with), nil
}

func (r *runner) coldRows(list []answered) ([]any, string, error) {
	scale := critic.DefaultScale()
	rows := coldStart(list, func(prompt, answer string) []tokenizer.Message {
		return r.prompts.Ask(&record.Record{Prompt: record.Prompt{Text: prompt}, Response: &answer}, record.Single, scale)
	}, r.Seed)
	return rows, fmt.Sprintf("critiques by program of %d answers to %d prompts, half of them good", len(rows), len(list)), nil
}

// coldStart trains the instruct model on critiques by program.
func (r *runner) coldStart(ctx context.Context) error {
	c := trainer.Default()
	c.Method, c.Model, c.TrainFile, c.OutputDir = trainer.SFT, r.Model, r.path(coldFile), r.path("cold")
	c.BatchSize, c.Accumulation, c.Epochs = 8, 1, 1
	c.LearningRate, c.Scheduler, c.WarmupRatio, c.Seed = 2e-4, "linear", .1, r.Seed
	c.SaveSteps, c.SaveTotalLimit, c.LoggingSteps, c.Resume = 0, 1, 5, "auto"
	if _, err := os.Stat(r.coldModel()); err == nil {
		r.say("cold start: %s is there", r.coldModel())
		return nil
	}
	if err := c.Validate(); err != nil {
		return err
	}
	_, err := trainer.Run(ctx, r.dev, c, trainer.Report{Log: r.Log})
	return err
}

func (r *runner) coldModel() string { return r.path("cold", "model") }

// method is the rest: what criticrm run does.
func (r *runner) method(ctx context.Context) (*pipeline.Results, error) {
	c := pipeline.Default()
	set, err := c.Load(r.path("recipe.yaml"))
	if err != nil {
		return nil, err
	}
	c.Dir, c.Prompts, c.TrainFile, c.EvalFile, c.OutputDir = r.coldModel(), r.path("prompts"), r.path(trainFile), r.path(heldFile), r.path("run")
	c.Seed, c.Threads = r.Seed, r.Threads
	if err := c.Resolve(set); err != nil {
		return nil, err
	}
	results, err := pipeline.Run(ctx, r.dev, c, pipeline.Options{Log: r.Log})
	if err != nil {
		return nil, err
	}
	made, err := report.Make(c.OutputDir, report.DefaultOptions())
	if err != nil {
		return nil, err
	}
	return results, checkpoint.WriteFileAtomic(r.path("run", "report.html"), made.HTML)
}
