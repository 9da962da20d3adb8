package pipeline

// The model card of a run's model: what training has written, with the whole run behind it.

import (
	"fmt"
	"math"
	"strings"

	"criticrm/hub"
	"criticrm/modeldir"
	"criticrm/record"
)

// card writes the card of the best round's model, unless a person has written one.
func (r *run) card(res *Results) error {
	dir := r.path(round(res.Best, "train/model"))
	facts, _, err := modeldir.ReadFacts(dir)
	if err != nil {
		return err
	}
	card := modeldir.Card{Facts: facts, Name: hub.Title(r.Dir) + ", Critic-RM", Base: r.Dir, Results: res.markdown()}
	for i, use := range [...]string{"the run: train", "the run: held out"} {
		input := [...]string{r.TrainFile, r.EvalFile}[i]
		rows := [...]int{res.TrainPairs + res.ValidPairs, res.EvalPairs}[i]
		card.Facts.Data = append(card.Facts.Data, modeldir.Data{Use: use, Name: record.Title(input), SHA256: r.sums[i], Rows: rows, Used: rows})
		files, _ := record.Files(input) // one that is gone by now costs the card the data set's name, not the run its results
		for _, file := range files {
			card.From = append(card.From, file.Path)
		}
	}
	def := Default()
	own, defaults := r.Config.Sections(), def.Sections()
	for i, s := range own {
		if s.Name != BT && s.Name != Cloud {
			card.Settings = append(card.Settings, s.Differing(defaults[i].Into)...)
		}
	}
	return card.Write(dir, dir)
}

// markdown is the table of the methods.
func (res *Results) markdown() string {
	var b strings.Builder
	if line := res.notOfficial(); line != "" {
		fmt.Fprintf(&b, "%s\n\n", line)
	}
	for _, c := range res.Chosen {
		if k, _ := split(c.Dir + "/"); k == res.Best {
			fmt.Fprintf(&b, "The model is that %v.\n\n", c.Best)
		}
	}
	if res.Benchmark != "" {
		for i, row := range res.officialTable(math.MaxInt) {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(row)))
			}
		}
		return b.String()
	}
	fmt.Fprintf(&b, "Preference accuracy on %d held-out pairs of %d prompts, in percent, with %.3g %% intervals by bootstrap over the prompts; "+
		"m is how many critiques of a response are averaged.\n\n| method | pairs | m | accuracy | ties | n |\n|---|---|---|---|---|---|\n", res.EvalPairs, res.EvalPrompts, 100*res.Level)
	for _, row := range res.shown() {
		name, pairs, m := row.cells(len(res.Rounds) > 1)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d |\n", name, pairs, m, percent(row.Mean, row.Interval), row.Ties, row.N)
	}
	return b.String()
}

// cells are the row's name, the pairs that it was trained on and its critiques as a table has them.
func (row Row) cells(rounds bool) (name, pairs, m string) {
	name, pairs, m = row.Method, "-", "-"
	if row.Pairs > 0 {
		pairs = fmt.Sprint(row.Pairs)
	}
	if row.M > 0 {
		m = fmt.Sprint(row.M)
	}
	if row.Round > 0 && rounds {
		name = fmt.Sprintf("%s, round %d", name, row.Round)
	}
	return name, pairs, m
}
