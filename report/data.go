package report

// The filter's reasons, the data, and the recipe.

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"

	"criticrm/critic"
	"criticrm/record"
)

// filterSection counts what the filter and the refinement have kept in each round; nil if nothing was decided.
func (r *run) filterSection() (*section, error) {
	s := &section{Title: "What the filter kept"}
	for _, p := range r.parts {
		var stages []*fileFacts
		var names []string
		for _, f := range p.files {
			if f.decided {
				stages = append(stages, f)
				names = append(names, stageNames[path.Base(f.name)])
			}
		}
		if len(p.files) > 0 && p.files[0].critiques.Critiques > 0 {
			s.Words = append(s.Words, critiquesLine(p, p.files[0].critiques))
		}
		if len(stages) == 0 {
			continue
		}
		of := ""
		if p.title != "trained model" {
			of = ", " + p.title
		}
		records := dropTable("records"+of, names, stages, func(d *critic.DropStats) (int, int, map[string]int) { return d.Records, d.Kept, d.Reasons })
		critiques := dropTable("critiques"+of, names, stages, func(d *critic.DropStats) (int, int, map[string]int) {
			return d.Critiques, d.KeptCritiques, d.CritiqueReasons
		})
		if err := show(&s.Parts, records, critiques); err != nil {
			return nil, err
		}
	}
	if len(s.Parts)+len(s.Words) == 0 {
		return nil, nil
	}
	return s, nil
}

// stageNames are what makes the files of a round.
var stageNames = map[string]string{critiquesFile: "generate", filteredFile: "filter", refinedFile: "refine"}

func critiquesLine(p *part, c *critic.CritiqueStats) string {
	line := fmt.Sprintf("%d critiques of %d responses were written", c.Critiques, c.Responses)
	if p.title != "trained model" {
		line += " for " + p.title
	}
	line += fmt.Sprintf(": %.1f %% with a score, on average %.2f; %d cut by the token limit", 100*float64(c.Parsed)/float64(c.Critiques), c.MeanScore, c.Truncated)
	if len(c.Unparsed) > 0 {
		line += "; without a score: " + record.Counts(c.Unparsed)
	}
	return line + "."
}

// dropTable has a line a reason and a column a stage.
func dropTable(caption string, names []string, files []*fileFacts, of func(*critic.DropStats) (all, kept int, reasons map[string]int)) *Table {
	t := &Table{Caption: caption, Head: append([]string{""}, names...)}
	kept, all := words("kept"), words("all")
	reasons := map[string]bool{}
	for _, f := range files {
		n, k, why := of(f.drops)
		all.Cells = append(all.Cells, Cell{Text: fmt.Sprint(n)})
		kept.Cells = append(kept.Cells, Cell{fmt.Sprint(k), fmt.Sprintf("%.1f %%", 100*float64(k)/float64(max(n, 1)))})
		for reason := range why {
			reasons[reason] = true
		}
	}
	kept.Strong = true
	t.Rows = append(t.Rows, all)
	for i, reason := range slices.Sorted(maps.Keys(reasons)) {
		if i == maxShown {
			t.Note = fmt.Sprintf("The first %d of %d reasons.", maxShown, len(reasons))
			break
		}
		line := words(shorten(reason, 200))
		for _, f := range files {
			_, _, why := of(f.drops)
			line.Cells = append(line.Cells, Cell{Text: fmt.Sprint(why[reason])})
		}
		t.Rows = append(t.Rows, line)
	}
	t.Rows = append(t.Rows, kept)
	return t
}

// dataSection describes the files.
func (r *run) dataSection() (*section, error) {
	s := &section{Title: "The data"}
	t := &Table{Head: []string{"file", "records", "pairs", "prompts", "characters of chosen", "of rejected", "bytes", "sha256"}}
	for _, p := range r.parts {
		files := p.files
		if p.eval != nil {
			files = append(slices.Clone(files), p.eval.file)
		}
		for _, f := range files {
			t.Rows = append(t.Rows, words(f.name, strconv.Itoa(f.records), strconv.Itoa(f.pairs), strconv.Itoa(len(f.prompts)), f.chosen.mean(), f.rejected.mean(),
				strconv.FormatInt(f.bytes, 10), f.sha256[:12]+"…"))
			for _, n := range f.notes {
				s.Words = append(s.Words, f.name+": "+n)
			}
		}
	}
	s.Words = append(s.Words, r.issues()...)
	if err := show(&s.Parts, t); err != nil {
		return nil, err
	}
	var hidden []shower
	if len(r.data) > 0 {
		hidden = append(hidden, settingsTable(dataFile, r.data))
	}
	for _, p := range r.parts {
		if p.training != nil && len(p.training.data) > 0 {
			hidden = append(hidden, settingsTable("what training has read: "+p.training.file, p.training.data))
		}
	}
	s.HiddenTitle = "more facts"
	if err := show(&s.Hidden, hidden...); err != nil {
		return nil, err
	}
	if len(s.Parts)+len(s.Hidden)+len(s.Words) == 0 {
		return nil, nil
	}
	return s, nil
}

// issues says what the files have twice, and which prompts are in both of training and evaluation.
func (r *run) issues() (out []string) {
	var train, eval *fileFacts
	if len(r.parts) > 0 && len(r.parts[0].files) > 0 {
		train = r.parts[0].files[0]
	}
	if main := r.main(); main != nil {
		eval = main.eval.file
	}
	for _, f := range []*fileFacts{train, eval} {
		if f != nil && len(f.issues) > 0 {
			out = append(out, fmt.Sprintf("%s: %s.", f.name, record.Counts(f.issues)))
		}
	}
	if train != nil && eval != nil {
		out = append(out, fmt.Sprintf("%d of %d held-out prompts are also among those trained on.", train.shared(eval), len(eval.prompts)))
	}
	return out
}

// recipeSection shows the recipe as it was resolved.
func (r *run) recipeSection() (*section, error) {
	if len(r.recipe) == 0 {
		return nil, nil
	}
	s := &section{Title: "The recipe", HiddenTitle: r.from}
	return s, show(&s.Hidden, settingsTable("", r.recipe))
}
