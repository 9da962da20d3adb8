// Command readme puts the tables of a run of `criticrm demo`, best of --full, into pages, between the lines <!-- demo:NAME --> and <!-- end -->, so
// that no figure there is typed by hand. Each table stands in one of the pages. It also writes the run's report:
//
//	go run ./demo/readme runs/demo/results.json build/report.html README.md docs/results.md docs/ablations.md docs/critiques.md
//
// RESULTS may be several files, separated by commas: rows that the first does not have are the next one's, marked where they are means of fewer seeds.
//
// NAME is main and differences (of all tasks, the rows that stand above the fold, a column for each), validation (recipes by their mean over the tasks' validation splits), run (its seeds and
// program), or TASK:all, TASK:ablations, TASK:differences, TASK:critiques and TASK:choices. What the pages do not ask for is left out; what they ask for and the run does not have is an error.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"criticrm/checkpoint"
	"criticrm/demo/experiment"
	"criticrm/report"
)

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: readme RESULTS.json REPORT.html PAGE.md …"))
	}
	var r *experiment.Results
	for _, path := range strings.Split(os.Args[1], ",") {
		next, err := read(path)
		check(err)
		if r == nil {
			r = next
		} else {
			check(r.Join(next))
		}
	}
	html, err := r.HTML()
	check(err)
	check(checkpoint.WriteFileAtomic(os.Args[2], html))
	for _, path := range os.Args[3:] {
		text, err := os.ReadFile(path)
		check(err)
		page, err := fill(r, string(text))
		if err != nil {
			fail(fmt.Errorf("%s: %w", path, err))
		}
		check(checkpoint.WriteFileAtomic(path, []byte(page)))
		if from := source(path, page); from != "" {
			check(keep(r, from))
		}
	}
}

// read reads results, compressed or not.
func read(path string) (*experiment.Results, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err == nil {
			b, err = io.ReadAll(z)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	var r experiment.Results
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}

// keep leaves results for the next one who wants to see them.
func keep(r *experiment.Results, path string) error {
	b, err := r.JSON()
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err = z.Write(b); err == nil {
		err = z.Close()
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(path, packed.Bytes())
}

var from = regexp.MustCompile(`<!-- demo:from (\S+\.json\.gz) -->`)

// source is the file of the results that a page is made from; "": it does not say.
func source(path, page string) string {
	m := from.FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return filepath.Join(filepath.Dir(path), filepath.FromSlash(m[1]))
}

var marked = regexp.MustCompile(`(?s)(<!-- demo:([^ ]+) -->\n).*?(<!-- end -->)`)

// fill puts each part between its marks.
func fill(r *experiment.Results, page string) (string, error) {
	var failed error
	page = marked.ReplaceAllStringFunc(page, func(was string) string {
		m := marked.FindStringSubmatch(was)
		body, err := part(r, m[2])
		if err != nil && failed == nil {
			failed = err
		}
		return m[1] + "\n" + body + "\n" + m[3]
	})
	return page, failed
}

func part(r *experiment.Results, name string) (string, error) {
	switch name {
	case "main":
		return mainTable(r), nil
	case "run":
		return seeds(r) + "\nProgram: " + r.Version + ".\n", nil
	case "differences":
		return mainDifferences(r), nil
	case "validation":
		return validation(r)
	}
	task, what, _ := strings.Cut(name, ":")
	for _, t := range r.Tasks {
		if t.Name != task {
			continue
		}
		switch what {
		case "all":
			return table(t, func(row *experiment.Row) bool { return row.Ablation == "" }), nil
		case "ablations":
			if !slices.ContainsFunc(t.Rows, func(row *experiment.Row) bool { return row.Ablation != "" }) {
				return "", fmt.Errorf("demo:%s: the run has no ablations", name)
			}
			return table(t, func(row *experiment.Row) bool { return row.Ablation != "" || row.Headline() }) + "\n" + differences(t, isAblation), nil
		case "differences":
			return differences(t, func(d experiment.Difference) bool { return !isAblation(d) }), nil
		case "critiques":
			tables := t.CritiqueTables()
			if len(tables) == 0 {
				return "", fmt.Errorf("demo:%s: the run says nothing of critiques", name)
			}
			var b strings.Builder
			for i, table := range tables {
				if i > 0 {
					b.WriteByte('\n')
				}
				markdown(&b, table)
			}
			return b.String(), nil
		case "choices":
			if len(t.Notes) == 0 {
				return "Nothing was looked for in this run: the settings are the recipe's.\n", nil
			}
			return "- " + strings.Join(t.Notes, "\n- ") + "\n", nil
		}
		return "", fmt.Errorf("demo:%s: want all, ablations, differences, critiques or choices of a task", name)
	}
	return "", fmt.Errorf("demo:%s: the run has no task %s", name, task)
}

// mainTable has the short rows of all tasks, a column for each task.
func mainTable(r *experiment.Results) string {
	head, line := "| method | pairs |", "|---|---|"
	for _, t := range r.Tasks {
		head += fmt.Sprintf(" %s (T) |", t.Name)
		line += "---|"
	}
	var b strings.Builder
	b.WriteString(seeds(r) + "\n\n" + head + "\n" + line + "\n")
	for _, row := range r.Tasks[0].Rows {
		if !row.Short() {
			continue
		}
		bold := ""
		if row.Headline() {
			bold = "**"
		}
		fmt.Fprintf(&b, "| %s%s%s%s | %s |", bold, row.Name(), place(row), bold, row.PairsText())
		for _, t := range r.Tasks {
			b.WriteString(" " + cell(t, row) + " |")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// seeds says which seeds the main rows are means of.
func seeds(r *experiment.Results) string {
	var parts []string
	some := false // rows are of fewer seeds
	for _, t := range r.Tasks {
		var list []string
		for _, row := range t.Rows {
			some = some || fewer(t, len(row.Seeds)) != ""
			if row.Headline() {
				for _, s := range row.Seeds {
					list = append(list, fmt.Sprint(s.Seed))
				}
			}
		}
		parts = append(parts, t.Name+" "+strings.Join(list, ", "))
	}
	line := "Seeds: " + strings.Join(parts, "; ") + "."
	switch {
	case !r.Full:
		line += " The controls and ablations of `--full` are not among them."
	case !r.Complete:
		line += " Not all of `--full` is there."
	}
	if some {
		line += " † marks rows of fewer seeds."
	}
	return line
}

// place tells a row that is not at the chosen temperature from the one that is.
func place(row *experiment.Row) string {
	switch {
	case row.AtChosen():
		return ""
	case row.M() == "1" && row.Temperature() == "0":
		return ", greedy"
	}
	return fmt.Sprintf(", T = %s, m = %s", row.Temperature(), row.M())
}

// cell is a row's figure at another task.
func cell(t *experiment.Task, like *experiment.Row) string {
	for _, row := range t.Rows {
		if row.Method == like.Method && row.Ablation == like.Ablation && row.Reading == like.Reading && same(row, like) {
			s := fmt.Sprintf("%.1f [%.1f, %.1f]", row.Overall.Value, row.Overall.Low, row.Overall.High)
			if row.Temperature() != "–" && row.AtChosen() {
				s += fmt.Sprintf(" (%s)", row.Temperature())
			}
			return s + fewer(t, len(row.Seeds))
		}
	}
	return "–"
}

// fewer marks what is a mean of fewer seeds than the task's main rows are.
func fewer(t *experiment.Task, seeds int) string {
	if seeds < t.SeedCount() {
		return " †"
	}
	return ""
}

// same says whether two rows of a method are read in the same way: both at the chosen temperature, or both at one temperature with one m.
func same(row, like *experiment.Row) bool {
	if like.AtChosen() {
		return row.AtChosen()
	}
	return row.Temperature() == like.Temperature() && row.M() == like.M()
}

// markdown writes a table of the report.
func markdown(b *strings.Builder, t *report.Table) {
	fmt.Fprintf(b, "| %s |\n%s|\n", strings.Join(t.Head, " | "), strings.Repeat("|---", len(t.Head)))
	for _, row := range t.Rows {
		for _, c := range row.Cells {
			b.WriteString("| " + strings.TrimRight(c.Text+" "+c.Small, " ") + " ")
		}
		b.WriteString("|\n")
	}
}

// validation has the recipes by the mean over the tasks of the accuracy on the validation splits, and how far they are ahead of the product's defaults.
func validation(r *experiment.Results) (string, error) {
	if len(r.Validation) == 0 {
		return "", errors.New("demo:validation: the run has no recipes that all tasks have measured")
	}
	var b strings.Builder
	b.WriteString("| recipe |")
	for _, t := range r.Tasks {
		b.WriteString(" " + t.Name + " |")
	}
	b.WriteString(" mean | seeds | − defaults | over the seeds |\n" + strings.Repeat("|---", len(r.Tasks)+5) + "|\n")
	for _, x := range r.Validation {
		fmt.Fprintf(&b, "| %s |", x.Name)
		for _, v := range x.Tasks {
			fmt.Fprintf(&b, " %.1f |", v)
		}
		var each []string
		for _, v := range x.Seeds {
			each = append(each, fmt.Sprintf("%.1f", v))
		}
		ahead, over := "–", "–"
		if x.Ahead != nil {
			ahead = fmt.Sprintf("%+.1f [%+.1f, %+.1f]", x.Ahead.Value, x.Ahead.Low, x.Ahead.High)
		}
		if x.OverSeeds != nil {
			over = fmt.Sprintf("[%+.1f, %+.1f]", x.OverSeeds.Low, x.OverSeeds.High)
		}
		fmt.Fprintf(&b, " %.1f | %s | %s | %s |\n", x.Mean, strings.Join(each, " "), ahead, over)
	}
	return b.String(), nil
}

func table(t *experiment.Task, want func(*experiment.Row) bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| method | pairs | T | m | accuracy, %% [95 %%] | seeds | valid. | %s |\n|---|---|---|---|---|---|---|%s\n",
		strings.Join(t.Categories, " | "), strings.Repeat("---|", len(t.Categories)))
	for _, r := range t.Rows {
		if !want(r) {
			continue
		}
		name, value := r.Name(), fmt.Sprintf("%.1f", r.Overall.Value)
		if r.Headline() {
			name, value = "**"+name+"**", "**"+value+"**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s [%.1f, %.1f] | %s | %.1f |", name, r.PairsText(), r.Temperature(), r.M(), value, r.Overall.Low, r.Overall.High,
			r.SeedsText(), r.Valid)
		for _, c := range t.Categories {
			fmt.Fprintf(&b, " %.1f |", r.Categories[c].Value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// mainDifferences are those of the main table's rows, a column for each task.
func mainDifferences(r *experiment.Results) string {
	head, line := "| points |", "|---|"
	for _, t := range r.Tasks {
		head += fmt.Sprintf(" %s |", t.Name)
		line += "---|"
	}
	var b strings.Builder
	b.WriteString(head + "\n" + line + "\n")
	some := ""
	for _, d := range r.Tasks[0].Differences {
		if isAblation(d) {
			continue
		}
		fmt.Fprintf(&b, "| %s |", d.What)
		for _, t := range r.Tasks {
			i := slices.IndexFunc(t.Differences, func(x experiment.Difference) bool { return x.What == d.What })
			if i < 0 {
				b.WriteString(" – |")
				continue
			}
			mark := unsure(t.Differences[i])
			some += mark
			fmt.Fprintf(&b, " %s%s%s |", points(t.Differences[i]), mark, fewer(t, len(t.Differences[i].Seeds)))
		}
		b.WriteByte('\n')
	}
	if some != "" {
		b.WriteString("\n° Zero is in the interval over the seeds, though not in that over the prompts: another training may turn it round.\n")
	}
	return b.String()
}

// unsure marks a difference that other prompts would confirm, as far as the intervals tell, and other trainings might not.
func unsure(d experiment.Difference) string {
	beyond := func(i experiment.Interval) bool { return i.Low > 0 || i.High < 0 }
	if d.OverSeeds != nil && beyond(d.Diff) && !beyond(*d.OverSeeds) {
		return " °"
	}
	return ""
}

// isAblation says whether a difference belongs to the rows of the ablations.
func isAblation(d experiment.Difference) bool { return d.Ablation }

func points(d experiment.Difference) string {
	return fmt.Sprintf("%+.1f [%+.1f, %+.1f]", d.Diff.Value, d.Diff.Low, d.Diff.High)
}

func differences(t *experiment.Task, want func(experiment.Difference) bool) string {
	var b strings.Builder
	b.WriteString("| difference | read | points [95 %] | over the seeds |\n|---|---|---|---|\n")
	for _, d := range t.Differences {
		if !want(d) {
			continue
		}
		over := "–"
		if d.OverSeeds != nil {
			over = fmt.Sprintf("[%+.1f, %+.1f]", d.OverSeeds.Low, d.OverSeeds.High)
		}
		fmt.Fprintf(&b, "| %s | %s | %s%s | %s |\n", d.What, settings(d), points(d), fewer(t, len(d.Seeds)), over)
	}
	return b.String()
}

// settings are temperatures and m of both sides.
func settings(d experiment.Difference) string {
	var list []string
	for _, name := range []string{d.A, d.B} {
		at := "–"
		if i := strings.LastIndex(name, " (T = "); i >= 0 {
			at = strings.TrimSuffix(name[i+2:], ")")
		}
		list = append(list, at)
	}
	return strings.Join(list, "; ")
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "readme:", err)
	os.Exit(1)
}
