package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"criticrm/kernels"
	"criticrm/model"
	"criticrm/tokenizer"
	"criticrm/trainer"
)

// Task is what the method is tried on: pairs whose labels are true by construction, and a base model that criticises their replies with
// systematic faults. The shipped base has the first task's; the others learn theirs on top of it.
type Task struct {
	Name, Title string
	MaxTokens   int                                         // that a critique may have; none has as many
	Pairs       func(seed uint64, n int, want Split) []Pair // pair i is a function of the seed and i

	folder string  // of the embedded weights
	stages []stage // from the shipped base to this task's
	probe  prober
}

// stage is a part of a base model's training.
type stage struct {
	name         string
	steps, batch int // updates, documents of each
	rate         float64
	warmup       int
	stable       float64 // share of the updates before the rate falls
	document     func(t *tokenizer.Tokenizer, seed uint64, i int) document
}

// Tasks are all tasks.
func Tasks() []*Task {
	return []*Task{
		{Name: "misread", Title: "a critic that misreads less than half of the time", MaxTokens: 60, Pairs: Pairs, folder: Base, probe: probe,
			stages: []stage{{"lessons", 450, 96, 1.5e-3, 30, .3, lessonOf(baseFaults)}}},
		{Name: "mistaken", Title: "a critic that misreads most of the time", MaxTokens: 60, Pairs: Pairs, folder: "mistaken", probe: probe,
			stages: []stage{{"lessons", 450, 96, 1.5e-3, 30, .3, lessonOf(mistakenFaults)}}},
		{Name: "work", Title: "replies that show their work, critiques that check some of it", MaxTokens: 90, Pairs: WorkPairs, probe: workProbe,
			stages: []stage{{"drills", 380, 64, 2e-3, 30, .8, workDrill}, {"lessons", 420, 64, 2e-3, 30, .3, workLesson}}},
	}
}

// TaskOf is the task of a name.
func TaskOf(name string) (*Task, error) {
	var names []string
	for _, t := range Tasks() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return nil, fmt.Errorf("demo: there is no task %q: want one of %s", name, strings.Join(names, ", "))
}

// Embedded says whether the program has the task's base model of seed 0; the others are made when they are asked for, in minutes.
func (t *Task) Embedded(seed uint64) bool { return t.folder != "" && seed == 0 }

// WriteBase leaves the task's base model of a seed in a directory: the embedded one, or the shipped base trained further on documents of that seed, which
// takes two to five minutes of a core. The same seed gives the same bytes on the same type of machine, whatever the number of threads and of
// interruptions: the same call goes on with what is in dir.
func (t *Task) WriteBase(ctx context.Context, dev *kernels.Device, dir string, seed uint64, report func(line string)) error {
	if !t.Embedded(seed) {
		return t.MakeBase(ctx, dev, dir, seed, report)
	}
	if err := Extract(Base, dir); err != nil {
		return err
	}
	if t.folder != Base {
		return Extract(t.folder, dir)
	}
	return nil
}

// MakeBase is WriteBase without the embedded models: what has made them. The first of them, the shipped one, is made from nothing.
func (t *Task) MakeBase(ctx context.Context, dev *kernels.Device, dir string, seed uint64, report func(line string)) error {
	if t.folder == Base && seed == 0 {
		o := DefaultBaseOptions()
		o.Report = report
		return MakeBase(ctx, dev, dir, o)
	}
	if err := Extract(Base, dir); err != nil {
		return err
	}
	return t.train(ctx, dev, dir, seed, report)
}

// train trains the model of a directory through the task's stages. The directory has the old or the new one.
func (t *Task) train(ctx context.Context, dev *kernels.Device, dir string, seed uint64, report func(line string)) error {
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	m, err := model.Load(dev, dir, model.Options{DType: kernels.F32, Train: true})
	if err != nil {
		return err
	}
	defer m.Close()
	draw := 1000 + seed // not what the shipped base has read
	for _, s := range t.stages {
		b := baseStage{s.name, s.config(seed), func(i int) document { return s.document(tok, draw, i) }}
		o := BaseOptions{Seed: draw, Documents: s.batch, Report: report, making: filepath.Join(dir, making)}
		if err := runBaseStage(ctx, m, tok, b, o, t.probe); err != nil {
			return err
		}
	}
	made := filepath.Join(dir, making, "model")
	if err := m.SaveCausalLM(made); err != nil {
		return err
	}
	const weights = "model.safetensors"
	if err := os.Rename(filepath.Join(made, weights), filepath.Join(dir, weights)); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return os.RemoveAll(filepath.Join(dir, making))
}

// config is the training of a stage.
func (s stage) config(seed uint64) trainer.Config {
	c := baseTraining(seed)
	c.BatchSize, c.MaxSteps, c.LearningRate, c.WarmupSteps, c.StableFraction = s.batch, s.steps, s.rate, s.warmup, s.stable
	return c
}
