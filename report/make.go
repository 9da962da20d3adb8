package report

// The report of one run, from its parts.

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Make reports on a run, a directory of training or a scored file.
func Make(in string, o Options) (*Report, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r, err := open(in, o)
	if err != nil {
		return nil, err
	}
	if o.Refresh > 0 && r.kind != "training" {
		return nil, fmt.Errorf("report: %s is no training, which alone has a page that loads itself again", in)
	}
	p := &page{Title: "criticrm: " + r.name, Sub: r.summary(), Lead: r.lead(), Missing: r.missing, Refresh: o.Refresh}
	sections := []func() (*section, error){r.lossSection, r.filterSection, r.dataSection, r.recipeSection}
	if r.main() != nil {
		sections = slices.Concat([]func() (*section, error){r.accuracySection, sections[0], r.calibrationSection, r.lengthSection, r.wrongSection}, sections[1:])
	}
	for _, f := range sections {
		s, err := f()
		if err != nil {
			return nil, err
		}
		if s != nil {
			p.Sections = append(p.Sections, s)
		}
	}
	html, err := p.html()
	return &Report{HTML: html, Lead: p.Lead, Missing: p.Missing}, err
}

func (o Options) validate() error {
	if o.Wrong < 0 || o.Critiques < 0 || o.Characters < 1 {
		return fmt.Errorf("report: got %d pairs, %d critiques and %d characters to show, want 0 or more, and at least one character", o.Wrong, o.Critiques, o.Characters)
	}
	if o.Refresh < 0 {
		return fmt.Errorf("report: got a refresh of %d seconds, want 0 or more", o.Refresh)
	}
	return nil
}

// summary says what the report is made of.
func (r *run) summary() string {
	var has []string
	for _, p := range r.parts {
		switch {
		case p.training != nil && p.eval != nil:
			has = append(has, fmt.Sprintf("%s (%d updates, %d held-out pairs)", p.title, p.training.steps, len(p.eval.pairs)))
		case p.training != nil:
			has = append(has, fmt.Sprintf("%s (%d updates)", p.title, p.training.steps))
		case p.eval != nil:
			has = append(has, fmt.Sprintf("%s (%d held-out pairs)", p.title, len(p.eval.pairs)))
		}
	}
	return strings.Join(has, "; ")
}

// lead is the result in a sentence.
func (r *run) lead() []string {
	main := r.main()
	if r.o.Refresh > 0 {
		return r.running()
	}
	if main == nil {
		return nil
	}
	if b := main.eval.bench; b != nil {
		if line := leadOf(b); line != "" {
			return []string{line}
		}
		return nil
	}
	best := main.eval.best()
	if best == nil {
		return nil
	}
	c := percent(best.Mean, best.Interval)
	return []string{sentence(fmt.Sprintf("%s prefers what people preferred in %s %% %s of %d held-out pairs.", main.named(best), c.Text, c.Small, best.N))}
}

// running says how far a training is, and when that was.
func (r *run) running() []string {
	t := r.parts[0].training
	of := ""
	if t.total > 0 {
		of = fmt.Sprintf(" of %d", t.total)
	}
	return []string{fmt.Sprintf("The training runs: update %d%s at %s. This page loads itself again.", t.steps, of, time.Now().Format("15:04:05, 2 January"))}
}

// sentence begins with a capital: titles of parts do not.
func sentence(line string) string { return strings.ToUpper(line[:1]) + line[1:] }

func (r *run) accuracySection() (*section, error) {
	main := r.main()
	s := &section{Title: "Preference accuracy"}
	if b := main.eval.bench; b != nil {
		s.Title = "Scores"
		for _, p := range r.parts {
			if p.eval == nil || p.eval.bench == nil {
				continue
			}
			t := officialTable(p.eval.bench)
			if len(r.parts) > 1 {
				t.Caption = sentence(p.title) + ": " + t.Caption
			}
			if err := show(&s.Parts, t); err != nil {
				return nil, err
			}
		}
		return s, show(&s.Parts, partsTable(b))
	}
	if labels := main.eval.report.Labels; labels != nil {
		s.Words = append(s.Words, fmt.Sprintf("Rewards of %d labelled responses, %d of them right: AUC %.3f, %.1f %% on the right side of 0.", labels.N, labels.Right, labels.AUC, 100*labels.Accuracy))
	}
	if len(main.eval.pairs) == 0 {
		return s, nil
	}
	return s, show(&s.Parts, r.accuracyTable(), curvePlot(r.curves()), r.differenceTable(), r.roundsTable())
}

// lossSection shows every training, baselines behind a click.
func (r *run) lossSection() (*section, error) {
	s := &section{Title: "Training", HiddenTitle: "the other trainings"}
	for i, p := range r.parts {
		if p.training == nil {
			continue
		}
		to, title := &s.Parts, ""
		if i > 0 {
			to, title = &s.Hidden, ": "+p.title
		}
		plots := p.training.lossPlots(title)
		list := []shower{plots[0], plots[1]}
		for _, plot := range p.training.heldOutPlots(title) {
			list = append(list, plot)
		}
		if err := show(to, append(list, p.training.lastTable(title))...); err != nil {
			return nil, err
		}
		if best := p.training.best; best != "" {
			s.Words = append(s.Words, sentence(fmt.Sprintf("%s, %s.", p.title, best)))
		}
		for _, n := range p.training.notes {
			s.Words = append(s.Words, n)
		}
	}
	if len(s.Parts)+len(s.Hidden) == 0 {
		return nil, nil
	}
	return s, nil
}
