// Command readme puts the tables of a run of `criticrm demo --full` into pages, between the lines <!-- demo:NAME --> and <!-- end -->, so
// that no figure there is typed by hand. Each table stands in one of the pages. It also writes the run's report:
//
//	go run ./demo/readme runs/demo/results.json build/report.html README.md docs/results.md
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/demo/experiment"
)

// mainRows are the rows that stand above the fold, in this order.
var mainRows = []struct {
	method   string
	m, pairs int
}{
	{"scalar RM", 0, 600}, {"scalar RM", 0, 6000}, {"LLM judge (base)", 8, 0}, {"CLoud-style", 1, 600}, {"CLoud-style", 4, 600}, {"CLoud-style", 8, 600},
	{"Critic-RM", 1, 600}, {"Critic-RM", 4, 600}, {"Critic-RM", 8, 600}, {"Critic-RM, 10 % of the pairs", 8, 60}, {"Critic-RM, filter only (random K)", 8, 600},
	{"Critic-RM, rank by meta-judge", 8, 600}, {"Critic-RM, summarize", 8, 600}, {"Critic-RM, second round", 8, 600},
}

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: readme RESULTS.json REPORT.html PAGE.md …"))
	}
	b, err := os.ReadFile(os.Args[1])
	check(err)
	var r experiment.Results
	check(json.Unmarshal(b, &r))
	if !r.Full {
		fail(fmt.Errorf("%s: not of demo --full", os.Args[1]))
	}
	html, err := r.HTML()
	check(err)
	check(checkpoint.WriteFileAtomic(os.Args[2], html))
	pages := map[string]string{}
	for _, path := range os.Args[3:] {
		text, err := os.ReadFile(path)
		check(err)
		pages[path] = string(text)
	}
	for name, part := range map[string]func(*experiment.Results) (string, error){"main": mainTable, "all": allTable, "differences": differences} {
		body, err := part(&r)
		check(err)
		check(replace(pages, name, body))
	}
	for path, text := range pages {
		check(checkpoint.WriteFileAtomic(path, []byte(text)))
	}
}

func mainTable(r *experiment.Results) (string, error) {
	var rows []*experiment.Row
	for _, want := range mainRows {
		i := slices.IndexFunc(r.Rows, func(x *experiment.Row) bool { return x.Method == want.method && x.M == want.m && x.Pairs == want.pairs })
		if i < 0 {
			return "", fmt.Errorf("the run has no row %v", want)
		}
		rows = append(rows, r.Rows[i])
	}
	return table(rows), nil
}

func allTable(r *experiment.Results) (string, error) { return table(r.Rows), nil }

func table(rows []*experiment.Row) string {
	var b strings.Builder
	b.WriteString("| method | pairs | accuracy, % [95 %] | sd | Chat | Chat Hard | Safety | Reasoning |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		name, pairs, value := r.Method, "–", fmt.Sprintf("%.1f", r.Overall.Value)
		if r.M > 0 {
			name += fmt.Sprintf(", m = %d", r.M)
		}
		if r.Pairs > 0 {
			pairs = fmt.Sprint(r.Pairs)
		}
		if r.Method == "Critic-RM" {
			name, value = "**"+name+"**", "**"+value+"**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s [%.1f, %.1f] | %.1f |", name, pairs, value, r.Overall.Low, r.Overall.High, r.SD)
		for _, c := range []string{"Chat", "Chat Hard", "Safety", "Reasoning"} {
			fmt.Fprintf(&b, " %.1f |", r.Categories[c].Value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func differences(r *experiment.Results) (string, error) {
	var b strings.Builder
	for _, d := range r.Differences {
		fmt.Fprintf(&b, "- %s − %s: %+.1f [%+.1f, %+.1f]\n", d.A, d.B, d.Diff.Value, d.Diff.Low, d.Diff.High)
	}
	return b.String(), nil
}

// replace puts a body between its marks, which stand in one of the pages.
func replace(pages map[string]string, name, body string) error {
	begin, end, found := "<!-- demo:"+name+" -->\n", "<!-- end -->", 0
	for path, page := range pages {
		before, rest, ok := strings.Cut(page, begin)
		_, after, closed := strings.Cut(rest, end)
		if ok && closed {
			pages[path] = before + begin + "\n" + body + "\n" + end + after
			found++
		}
	}
	if found != 1 {
		return fmt.Errorf("%d pages have %s … %s, want one", found, strings.TrimSpace(begin), end)
	}
	return nil
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
