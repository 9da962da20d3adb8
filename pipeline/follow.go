package pipeline

// Rows that trainings are measured on while they last: the validation split, or the files of train.eval_file. A model is chosen by them, so they are
// none of those that results are told of.

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/corpus"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
	"criticrm/stage"
	"criticrm/trainer"
)

// HeldOut is a file of train.eval_file in held.json.
type HeldOut struct {
	Of    string         `json:"of,omitempty"` // its name in train.eval_file; "": it has none
	File  File           `json:"file"`
	Train corpus.Overlap `json:"train"` // the rows that are trained on, and it
	Eval  corpus.Overlap `json:"eval"`  // it, and the rows that results are told of
}

// followed is what trainings are measured on.
type followed struct {
	name string // in train.eval_file
	file string // of its rows, without an ending
	path string // as it was given; "": the validation split
	sum  string // sha256 of what was given
}

// training is one of a run's trainings, by its section.
type training struct {
	section string
	*trainer.Config
}

// trainings are those that a run makes.
func (c *Config) trainings() (list []training) {
	list = append(list, training{"train", &c.Train})
	for _, x := range []training{{BT, &c.BT}, {Cloud, &c.Cloud}} {
		if c.wants(x.section) {
			list = append(list, x)
		}
	}
	return list
}

// asks says whether the settings of a training ask for held-out rows.
func asks(t *trainer.Config) bool {
	return t.EvalStrategy != trainer.EvalNever && (t.NeedsEval() != "" || t.EvalSteps > 0 || t.EvalStrategy != "")
}

// measures says whether a training is measured while it lasts.
func (c *Config) measures(t *trainer.Config) bool {
	if c.Train.EvalFile != "" {
		return t.EvalStrategy != trainer.EvalNever
	}
	return c.ValidShare > 0 && asks(t)
}

// measuresAny says whether some training is, and fromFiles, whether on files of train.eval_file.
func (c *Config) measuresAny() bool {
	return slices.ContainsFunc(c.trainings(), func(t training) bool { return c.measures(t.Config) })
}

func (c *Config) fromFiles() bool { return c.Train.EvalFile != "" && c.measuresAny() }

// follows says whether a round writes critiques for the rows that trainings are measured on.
func (c *Config) follows(k int) bool {
	return c.measures(&c.Train) || k == 1 && c.wants(Cloud) && c.measures(&c.Cloud)
}

// validateFollowed refuses a training that has nothing to be measured on.
func (c *Config) validateFollowed() error {
	for _, t := range c.trainings() {
		if s := t.NeedsEval(); s != "" && !c.measures(t.Config) {
			return fmt.Errorf("%s.%s: needs held-out rows while training: give valid_share or train.eval_file, and no eval_strategy no", t.section, s)
		}
	}
	return nil
}

// openFollowed finds what trainings are measured on.
func (r *run) openFollowed() error {
	if !r.measuresAny() {
		return nil
	}
	if !r.fromFiles() {
		r.followed = []followed{{file: strings.TrimSuffix(validSplit, ".jsonl")}}
		return nil
	}
	files, err := r.Train.EvalFiles()
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	for _, f := range files {
		x := followed{name: f.Name, file: cmp.Or(f.Name, "eval"), path: f.Path}
		if err := r.apart(f.Path); err != nil {
			return err
		}
		if x.sum, _, err = record.Sum(f.Path); err != nil {
			return fmt.Errorf("train.eval_file: %w", err)
		}
		r.followed = append(r.followed, x)
	}
	return nil
}

// givenSums identify the files of train.eval_file.
func (r *run) givenSums() map[string]string {
	sums := map[string]string{}
	for _, f := range r.followed {
		sums[f.file] = f.sum
	}
	return sums
}

// hold looks at the files of train.eval_file, and keeps their rows.
func (r *run) hold(ctx context.Context) (string, error) {
	renderer, err := render.Of(r.base)
	if err != nil {
		return "", err
	}
	var beside [2]*File // what is trained on, and what results are told of
	for i, path := range []string{r.trainFile(), r.EvalFile} {
		if beside[i], err = r.inspect(ctx, renderer, path, r.Eval.Options(), keeping(nil)); err != nil {
			return "", err
		}
		defer beside[i].Close()
	}
	var list []HeldOut
	rows := 0
	for _, f := range r.followed {
		h, err := r.holdFile(ctx, renderer, f, beside)
		if err != nil {
			return "", err
		}
		list, rows = append(list, h), rows+h.File.Rows
	}
	if err := writeJSON(r.path(HeldFile), list); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d pairs to measure trainings on", rows), r.room(float64(beside[0].Rows), 0, float64(beside[1].Rows), float64(rows))
}

func (r *run) holdFile(ctx context.Context, renderer *render.Renderer, from followed, beside [2]*File) (h HeldOut, err error) {
	var rows []*record.Record
	f, err := r.inspect(ctx, renderer, from.path, r.Generate.Options(), keeping(func(rec *record.Record) { rows = append(rows, rec) }))
	if err != nil {
		return h, err
	}
	defer f.Close()
	if f.SHA256 != from.sum {
		return h, fmt.Errorf("%s changed while it was read", f.Name)
	}
	out := r.path(filepath.Join(held, from.file+".jsonl"))
	for _, line := range f.lines(record.BadPath(out)) {
		r.say("%s", line)
	}
	h = HeldOut{Of: from.name, File: *f}
	if h.Train, err = corpus.Overlaps(beside[0].File, f.File); err != nil {
		return h, err
	}
	if h.Eval, err = corpus.Overlaps(f.File, beside[1].File); err != nil {
		return h, err
	}
	if n := h.Train.Rows; n > 0 {
		r.say("warning: %d of %d pairs of %s have a prompt that is also trained on: what is measured on them says little", n, f.Rows, f.Name)
	}
	var b bytes.Buffer
	if err = stage.SetAside(record.BadPath(out), f.Found.Bad); err == nil {
		err = record.WriteRecords(&b, rows)
	}
	if err == nil {
		err = checkpoint.WriteFileAtomic(out, b.Bytes())
	}
	return h, err
}

// chosenBy refuses trainings whose model would be chosen by a figure that is not measured, or by the rows that results are told of.
func (r *run) chosenBy() error {
	var data Data
	var files []HeldOut
	err := readJSON(r.path(DataFile), &data)
	if err == nil && r.fromFiles() {
		err = readJSON(r.path(HeldFile), &files)
	} else if err == nil {
		files = []HeldOut{{File: data.Train}}
	}
	if err != nil {
		return err
	}
	for _, t := range r.trainings() {
		if t.Picks() == "" || !r.measures(t.Config) {
			continue
		}
		var names []string
		var by *HeldOut
		for i := range files {
			of := slices.DeleteFunc(sorted(files[i].File.Categories), func(name string) bool { return name == "all" }) // of rows that have none
			figures := t.Figures(files[i].Of, of)
			if names = append(names, figures...); slices.Contains(figures, t.Followed()) {
				by = &files[i]
			}
		}
		switch {
		case by == nil:
			return fmt.Errorf("%s.metric_for_best_model: %s is not measured; there are %s", t.section, t.Followed(), strings.Join(names, ", "))
		case by.Eval.Rows > 0 && by.Eval.Rows == data.Eval.Rows:
			return fmt.Errorf("%s.%s: %s has the prompts of all held-out pairs: results would be told of the rows that the model is chosen by; give train.eval_file other rows, or leave it out for a validation split of the training pairs",
				t.section, t.Picks(), by.File.Name)
		case by.Eval.Rows > 0:
			r.say("warning: %d of %d held-out pairs have a prompt of %s, by which the model of %s is chosen: the results are better for it than they should be", by.Eval.Rows, data.Eval.Rows, by.File.Name, t.section)
		}
	}
	return nil
}

// followedRows are the rows that trainings are measured on, for an estimate.
func (r *run) followedRows(ctx context.Context, valid float64) (rows float64, err error) {
	switch {
	case !r.measuresAny():
		return 0, nil
	case !r.fromFiles():
		return valid, nil
	}
	renderer, err := render.Of(r.base)
	if err != nil {
		return 0, err
	}
	for _, from := range r.followed {
		f, err := r.inspect(ctx, renderer, from.path, r.Generate.Options(), keeping(nil))
		if err != nil {
			return 0, err
		}
		rows += float64(f.Rows)
		if err := f.Close(); err != nil {
			return 0, err
		}
	}
	return rows, nil
}

// followRounds is how many rounds write critiques for them.
func (c *Config) followRounds() (n float64) {
	for k := range c.Rounds {
		if c.follows(k + 1) {
			n++
		}
	}
	return n
}

// follow lets the critic of a round write critiques for the rows that trainings are measured on, as generate does for those that are trained on. The labels
// select none of them: a model has no labels where it is used.
func (r *run) follow(ctx context.Context, k int) (string, error) {
	var says []string
	for _, f := range r.followed {
		stats, err := r.followFile(ctx, k, f)
		if err != nil {
			return "", err
		}
		says = append(says, strings.TrimPrefix(f.name+": ", ": ")+stats)
	}
	return strings.Join(says, "; "), nil
}

func (r *run) followFile(ctx context.Context, k int, f followed) (string, error) {
	in := r.path(validSplit)
	if r.fromFiles() {
		in = r.path(filepath.Join(held, f.file+".jsonl"))
	}
	r.doing = round(k, follow) + "/" + f.file // helpers have one file in hand
	stats, err := r.write(ctx, r.Generate.Remote, r.critic(k), in, r.in(k, filepath.Join(follow, f.file+".jsonl")), r.Generate.Options(), false)
	return fmt.Sprint(stats), err
}

// helpFollow does the rows of one file.
func (r *run) helpFollow(ctx context.Context, k int, file string) (string, error) {
	i := slices.IndexFunc(r.followed, func(f followed) bool { return f.file == file })
	if i < 0 {
		return "", fmt.Errorf("stage %s has no file %s", round(k, follow), file)
	}
	return r.followFile(ctx, k, r.followed[i])
}

// evalFile is eval_file of a training that is measured on the rows in a directory.
func (r *run) evalFile(dir string) string {
	var list []string
	for _, f := range r.followed {
		path := filepath.Join(dir, f.file+".jsonl")
		if f.name != "" {
			path = f.name + "=" + path
		}
		list = append(list, path)
	}
	return strings.Join(list, ",")
}

// plainFile is eval_file of a training without critiques, in the form of what it is trained on.
func (r *run) plainFile() string {
	switch {
	case !r.fromFiles():
		return r.evalFile(r.dir)
	case r.ValidShare > 0:
		return r.evalFile(r.path(held))
	}
	return r.Train.EvalFile
}

// trained are the settings that a training's model depends on, and what it is measured on.
func (r *run) trained(t *trainer.Config) map[string]any {
	s := map[string]any{}
	for name, text := range values(*t, notTrain()) {
		s[name] = text
	}
	if !r.measures(t) {
		return s
	}
	if s["eval_file"] = "the validation split"; r.fromFiles() {
		s["eval_file"] = r.givenSums()
	}
	if t.Picks() != "" {
		for _, f := range trainer.Fields() {
			if slices.Contains([]string{"load_best_model_at_end", "metric_for_best_model", "greater_is_better", "early_stopping_patience", "early_stopping_threshold", "eval_strategy", "eval_steps"}, f.Name) {
				s[f.Name] = f.Text(*t)
			}
		}
	}
	return s
}

// Chosen is the evaluation that one of a run's trainings has chosen its model by.
type Chosen struct {
	Dir string `json:"dir"` // of the run
	modeldir.Best
}

// chosen are those of the best round and its rivals.
func (res *Results) chosen() (lines []string) {
	for _, c := range res.Chosen {
		if k, _ := split(c.Dir + "/"); k == 0 || k == res.Best {
			lines = append(lines, fmt.Sprintf("%s: the model is that %v", c.Dir, c.Best))
		}
	}
	return lines
}
