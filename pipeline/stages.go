package pipeline

// The stages of a run, each over files, each to be interrupted at any moment.

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"criticrm/corpus"
	"criticrm/critic"
	"criticrm/internal/progress"
	"criticrm/measure"
	"criticrm/record"
	"criticrm/render"
	"criticrm/stage"
	"criticrm/trainer"
)

// Ask completes options of generate or score with what is known of who writes: prompts, scale, name, and limits, of a critique's
// tokens too, where the options have none; and with the chunk that keeps it busy.
func (w *Writer) Ask(o *critic.GenerateOptions) (err error) {
	o.Prompts, o.Scale, o.Reading = w.Prompts, w.Scale, within(w.Reading, o.MaxLength, o.Overlong)
	o.Sampling.MaxTokens = cmp.Or(o.Sampling.MaxTokens, w.maxToken)
	if d := w.Dir; d != nil && o.AskScore == critic.AskOff && d.Facts.AskScore != "" && d.Facts.AskScore != o.AskScore && o.Warn != nil {
		o.Warn(fmt.Sprintf("%s: ask_score: off in place of %s, which it was trained with: critiques may end without a score, and rewards are read behind them", d.Path, d.Facts.AskScore))
	}
	if o.AskScore, err = w.ask(o.AskScore); err != nil {
		return err
	}
	if o.Chunk == 0 {
		o.Chunk = w.Chunk(o.Critiques)
	}
	if err := o.Validate(); err != nil {
		return err
	}
	o.Model, err = w.Label()
	return err
}

// within is how a model's directory says that records are made to fit, but for what was given.
func within(o critic.Reading, maxLength int, overlong string) critic.Reading {
	o.MaxLength, o.Overlong = cmp.Or(maxLength, o.MaxLength), cmp.Or(overlong, o.Overlong)
	return o
}

// rows runs a stage of rows.
func (r *run) rows(ctx context.Context, s *stage.Stage, samples int) error {
	r.meter.Samples(samples)
	s.Progress = func(p stage.Progress) { r.meter.Records(p.Stage, p.Done, p.Total, p.Resumed) }
	s.Read.MaxBad, s.Read.Layout = r.MaxBad, r.layout(s.In)
	if r.duty != nil {
		return s.Serve(ctx, r.duty)
	}
	_, err := s.Run(ctx)
	r.meter.Close()
	return err
}

// layout is what is said of the rows of a file: nothing of those that the run has written.
func (r *run) layout(file string) (l record.Layout) {
	if file == r.TrainFile || file == r.EvalFile || slices.ContainsFunc(r.followed, func(f followed) bool { return f.path == file }) {
		l = r.Layout
	}
	return l
}

// inspect is inspect by the run's prompts and limits, where the options have none.
func (r *run) inspect(ctx context.Context, renderer *render.Renderer, path string, o critic.GenerateOptions, keep func(*record.Record) error) (*File, error) {
	reads := r.base.Prompts.Columns()
	if r.Eval.Category != "" {
		reads = append(reads, r.Eval.Category)
	}
	o.Prompts, o.Scale, o.AskScore = r.base.Prompts, r.base.Scale, cmp.Or(o.AskScore, r.base.AskScore())
	o.Sampling.MaxTokens = cmp.Or(o.Sampling.MaxTokens, r.base.MaxTokens)
	o.Reading = within(critic.Reading{Limits: renderer, MaxLength: r.base.MaxLength, Overlong: r.base.Overlong}, o.MaxLength, o.Overlong)
	return inspect(ctx, path, renderer, o, record.ReadOptions{MaxBad: r.MaxBad, Reads: reads, Layout: r.layout(path)}, keep)
}

// look reads both files, says what is in them, and gives the rows to train on to keep, if it is not nil.
func (r *run) look(ctx context.Context, keep func(*record.Record)) (d Data, err error) {
	renderer, err := render.Of(r.base)
	if err != nil {
		return d, err
	}
	var trained, held *File
	var bad []error
	var listed string // with the bad rows of both; a dry run writes nothing
	if r.dir != "" {
		listed = record.BadPath(r.path(DataFile))
	}
	for i, x := range []struct {
		path string
		o    critic.GenerateOptions
		keep func(*record.Record) error
	}{{r.TrainFile, r.Generate.Options(), keeping(keep)}, {r.EvalFile, r.Eval.Options(), r.categorised}} {
		f, err := r.inspect(ctx, renderer, x.path, x.o, x.keep)
		if f != nil {
			defer f.Close()
		}
		if err == nil && f.SHA256 != r.sums[i] {
			err = fmt.Errorf("%s changed while it was read", f.Name)
		}
		if err != nil {
			return d, err
		}
		for _, line := range f.lines(listed) {
			r.say("%s", line)
		}
		bad = append(bad, f.Found.Bad...)
		trained, held = held, f
	}
	if listed != "" {
		if err := stage.SetAside(listed, bad); err != nil {
			return d, err
		}
	}
	for _, line := range trained.Found.Warnings() {
		r.say("%s: %s", trained.Name, line)
	}
	both, err := corpus.Overlaps(trained.File, held.File)
	if err != nil {
		return d, err
	}
	if both.Rows > 0 {
		r.say("warning: %d of %d held-out pairs have a prompt that is also trained on: what is measured on them says little", both.Rows, held.Rows)
	}
	if both.Swapped > 0 {
		r.say("warning: %d held-out pairs are trained on the other way round, chosen and rejected swapped: the labels of one of the files are wrong there", both.Swapped)
	}
	if o := r.Refine.Options(); o.Chooses() && o.TopK > r.Generate.Critiques && trained.Critiques == 0 {
		r.say("refine keeps %d critiques of a response, and generate writes %d: whatever the filter leaves is kept", o.TopK, r.Generate.Critiques)
	}
	return Data{Train: *trained, Eval: *held, Overlap: both}, nil
}

// categorised is an error for a row without the category that results are split by, before hours are spent on it.
func (r *run) categorised(rec *record.Record) error {
	if r.Eval.Category == "" {
		return nil
	}
	return record.InFile(rec.SetCategory(r.Eval.Category), r.EvalFile)
}

// keeping gives rows to keep, if it is not nil.
func keeping(keep func(*record.Record)) func(*record.Record) error {
	return func(rec *record.Record) error {
		if keep != nil {
			keep(rec)
		}
		return nil
	}
}

// check looks at the files and holds out the validation split.
func (r *run) check(ctx context.Context) (string, error) {
	var rows []*record.Record
	var keep func(*record.Record)
	if r.ValidShare > 0 {
		keep = func(rec *record.Record) { rows = append(rows, rec) }
	}
	d, err := r.look(ctx, keep)
	if err != nil {
		return "", err
	}
	trained, held := &d.Train, &d.Eval
	if r.ValidShare > 0 {
		if d.Valid, err = trained.split(rows, r.ValidShare, r.Seed, r.dir); err != nil {
			return "", err
		}
	}
	if err := writeJSON(r.path(DataFile), d); err != nil {
		return "", err
	}
	says, left, valid := fmt.Sprintf("%d pairs to train on, %d held out", trained.Rows, held.Rows), trained.Rows, 0
	if d.Valid != nil {
		left, valid = d.Valid.Left, d.Valid.Rows
		says = fmt.Sprintf("%d pairs to train on, %d to choose by, %d held out", d.Valid.Left, d.Valid.Rows, held.Rows)
	}
	followed := 0.0
	if r.measuresAny() && !r.fromFiles() { // else they are not known yet
		followed = float64(valid)
	}
	return says, r.room(float64(left), float64(valid), float64(held.Rows), followed)
}

// trainFile is what is trained on: train_file, or what the validation split has left of it.
func (r *run) trainFile() string {
	if r.ValidShare > 0 {
		return r.path(trainSplit)
	}
	return r.TrainFile
}

// critic is the model that writes the critiques of a round.
func (r *run) critic(k int) string {
	if k == 1 {
		return r.Dir
	}
	return r.in(k-1, "train/model")
}

// writerOf is who writes critiques and judgements: servers, if the stage's settings name them, else a model. done is to be called behind it.
func (r *run) writerOf(ctx context.Context, elsewhere Remote, model string, score bool) (w *Writer, done func(), err error) {
	if !elsewhere.Elsewhere() {
		e, err := r.engineOf(model, score)
		if err != nil {
			return nil, nil, err
		}
		return Local(e), func() {}, nil
	}
	w, end, err := elsewhere.Open(ctx, &r.Model, r.base, r.given(), func(line string) { r.say("%s", line) })
	if err != nil {
		return nil, nil, err
	}
	w.Progress(r.meter.Wrote)
	return w, func() {
		if line := end(); line != "" {
			r.say("%s", line)
		}
	}, nil
}

// write lets a model write critiques for a file's rows, and score them if it is asked to.
func (r *run) write(ctx context.Context, elsewhere Remote, model, in, out string, o critic.GenerateOptions, score bool) (*critic.CritiqueStats, error) {
	w, done, err := r.writerOf(ctx, elsewhere, model, score)
	if err != nil {
		return nil, err
	}
	defer done()
	o.Warn = func(line string) { r.say("%s", line) }
	if err := w.Ask(&o); err != nil {
		return nil, err
	}
	make := critic.GenerateStage
	if score {
		make = critic.ScoreStage
	}
	s, stats, err := make(in, out, w, o)
	if err != nil {
		return nil, err
	}
	if !elsewhere.Elsewhere() {
		r.share(s)
	}
	if err := r.rows(ctx, s, 2*o.Critiques); err != nil {
		return nil, err
	}
	for _, line := range stats.Lines() {
		r.say("%s", line)
	}
	return stats, nil
}

func (r *run) generate(ctx context.Context, k int) (string, error) {
	stats, err := r.write(ctx, r.Generate.Remote, r.critic(k), r.trainFile(), r.in(k, "1-critiques.jsonl"), r.Generate.Options(), false)
	return fmt.Sprint(stats), err
}

func (r *run) filter(ctx context.Context, k int) (string, error) {
	s, stats, err := critic.FilterStage(r.in(k, "1-critiques.jsonl"), r.in(k, "2-filtered.jsonl"), r.Filter.Options())
	if err == nil {
		s.Restart = true // it takes a moment, and may have been stopped with other settings
		err = r.rows(ctx, s, 0)
	}
	return fmt.Sprint(stats), err
}

func (r *run) refine(ctx context.Context, k int) (string, error) {
	o := r.Refine.Options()
	var g critic.Generator
	if o.NeedsGenerator() {
		w, done, err := r.writerOf(ctx, r.Refine.Remote, r.critic(k), false)
		if err != nil {
			return "", err
		}
		defer done()
		g = w
		if err := r.Refine.Ask(w, &o); err != nil {
			return "", err
		}
	}
	s, stats, err := critic.RefineStage(r.in(k, "2-filtered.jsonl"), r.in(k, "3-refined.jsonl"), g, o)
	if err == nil {
		if g != nil && !r.Refine.Elsewhere() {
			r.share(s)
		}
		err = r.rows(ctx, s, 0)
	}
	if err == nil {
		if line := o.Idle(stats); line != "" {
			r.say("%s", line)
		}
	}
	return fmt.Sprint(stats), err
}

// learn trains a fresh copy of the base model on a file, measured on others.
func (r *run) learn(ctx context.Context, c trainer.Config, file, measured, dir string) (string, error) {
	if r.duty != nil { // it was done before rows are shared
		return "", nil
	}
	r.closeEngine()
	c.TrainFile, c.EvalFile, c.OutputDir, c.Resume, c.Layout = file, measured, dir, "auto", r.layout(file)
	if !r.measures(&c) {
		c.EvalFile = ""
	}
	res, err := trainer.Run(ctx, r.dev, c, trainer.Report{Log: r.Log, Terminal: progress.IsTerminal(r.Log), Page: r.Page})
	if err != nil {
		return "", err
	}
	says := fmt.Sprintf("%d updates", res.Steps)
	if res.Last.Step > 0 {
		says += fmt.Sprintf(", loss %.4g, accuracy %.3g in the last", res.Last.Loss, res.Last.Accuracy)
	}
	switch {
	case res.Best != nil:
		says += fmt.Sprintf("; the model is that %v", res.Best)
	case c.LoadBest:
		says += "; the model is that of the last update: no evaluation counted"
	}
	return says, nil
}

func (r *run) train(ctx context.Context, k int) (string, error) {
	return r.learn(ctx, r.Train, r.in(k, "3-refined.jsonl"), r.evalFile(r.in(k, follow)), r.in(k, "train"))
}

func (r *run) eval(ctx context.Context, k int) (string, error) {
	return r.score(ctx, r.in(k, "train/model"), r.EvalFile, r.in(k, "eval"))
}

func (r *run) validate(ctx context.Context, k int) (string, error) {
	return r.score(ctx, r.in(k, "train/model"), r.path(validSplit), r.in(k, "valid"))
}

// score measures a model that reads rewards behind critiques: to becomes to.jsonl and to.json.
func (r *run) score(ctx context.Context, model, in, to string) (string, error) {
	if _, err := r.write(ctx, Remote{}, model, in, to+".jsonl", r.Eval.Options(), true); err != nil {
		return "", err
	}
	return r.measure(to)
}

// judge measures the base model by the scores of its critiques.
func (r *run) judge(ctx context.Context) (string, error) {
	o := r.Eval.Options()
	o.MinParsed = r.Generate.MinParsed
	if _, err := r.write(ctx, Remote{}, r.Dir, r.EvalFile, r.path("base/eval.jsonl"), o, false); err != nil {
		return "", err
	}
	return r.measure(r.path("base/eval"))
}

// scalar trains and measures the Bradley–Terry model, which reads its rewards without critiques.
func (r *run) scalar(ctx context.Context) (string, error) {
	if _, err := r.learn(ctx, r.BT, r.trainFile(), r.plainFile(), r.path("bt/train")); err != nil {
		return "", err
	}
	e, err := r.engineOf(r.path("bt/train/model"), true)
	if err != nil {
		return "", err
	}
	o := critic.PlainOptions{Chunk: r.Eval.Chunk, Reading: within(e.Reading(), r.Eval.MaxLength, r.Eval.Overlong)}
	if o.Model, err = e.Label(); err != nil {
		return "", err
	}
	s, stats, err := critic.ScorePlainStage(r.EvalFile, r.path("bt/eval.jsonl"), e, o)
	if err != nil {
		return "", err
	}
	r.share(s)
	if err := r.rows(ctx, s, 2); err != nil {
		return "", err
	}
	for _, line := range stats.Lines() {
		r.say("%s", line)
	}
	return r.measure(r.path("bt/eval"))
}

// cloud trains and measures on the critiques of the first round, all of them in spite of the labels.
func (r *run) cloud(ctx context.Context) (string, error) {
	if _, err := r.learn(ctx, r.Cloud, r.in(1, "1-critiques.jsonl"), r.evalFile(r.in(1, follow)), r.path("cloud/train")); err != nil {
		return "", err
	}
	return r.score(ctx, r.path("cloud/train/model"), r.EvalFile, r.path("cloud/eval"))
}

// measured is a scored file with its figures.
type measured struct {
	report  *measure.Report
	records []*record.Record
	bench   *measure.BenchmarkReport // nil: the rows are of no benchmark
}

// readOptions are for rows that a run has written itself: they grow from stage to stage.
var readOptions = record.ReadOptions{MaxLine: 1 << 30}

// readMeasured measures a scored file. The figures are a function of the file and the settings of eval.
func (r *run) readMeasured(path string) (*measured, error) {
	records, _, err := stage.ReadFile(path, readOptions) // what the file holds beside its records was told when the input was checked
	if err != nil {
		return nil, err
	}
	o, err := r.Eval.Measure()
	if err != nil {
		return nil, err
	}
	o.Scale = r.base.Scale
	if r.Eval.Category != "" {
		for _, rec := range records {
			if err := rec.SetCategory(r.Eval.Category); err != nil {
				return nil, record.InFile(err, path)
			}
		}
	}
	m := &measured{records: records}
	if m.report, err = measure.Evaluate(records, o); err != nil || m.report.Benchmark == "" {
		return m, err
	}
	bench, err := measure.BenchmarkOf(records)
	if err == nil {
		m.bench, err = measure.EvaluateBenchmark(bench, records, o)
	}
	return m, err
}

// measure writes the figures of a scored file.
func (r *run) measure(to string) (string, error) {
	m, err := r.readMeasured(to + ".jsonl")
	if err != nil {
		return "", err
	}
	if err := writeJSON(to+".json", m.report); err != nil {
		return "", err
	}
	best := m.best()
	if m.bench != nil {
		for _, x := range m.bench.Methods {
			if strings.HasPrefix(best.Name, x.Name) && len(x.Scores) > 0 {
				return fmt.Sprintf("%s: %s by the rule of %s: %s", x.Name, x.Scores[0].Name, m.bench.Title, x.Scores[0].String()), nil
			}
		}
		return fmt.Sprintf("%d rows of %s, which no method has scored", m.bench.Rows, m.bench.Title), nil
	}
	return fmt.Sprintf("%s: accuracy %.1f [%.1f, %.1f] on %d pairs", best.Name, 100*best.Mean, 100*best.Interval.Low, 100*best.Interval.High, best.N), nil
}

// best is the method of a file that it was made for: its rewards, else its judge with the most critiques.
func (m *measured) best() *measure.Method {
	if reward, ok := m.report.Method("reward"); ok {
		return reward
	}
	best := &m.report.Methods[0]
	for i := range m.report.Methods {
		if m.report.Methods[i].Samples > best.Samples {
			best = &m.report.Methods[i]
		}
	}
	return best
}

// validAccuracy is what a round is chosen by.
func (r *run) validAccuracy(k int) (float64, error) {
	m, err := r.readMeasured(r.in(k, "valid.jsonl"))
	if err != nil {
		return 0, err
	}
	return m.best().Mean, nil
}
