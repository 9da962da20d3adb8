package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"criticrm/critic"
	"criticrm/measure"
	"criticrm/modeldir"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/render"
	"criticrm/stage"
	"criticrm/tokenizer"
)

func newPrompt() *cobra.Command {
	var (
		s     sampler
		row   int
		side  string
		try   int
		table bool
	)
	g := pipeline.DefaultGenerate()
	g.Critiques = 2
	cmd := &cobra.Command{
		Use:   "prompt",
		Short: "Show what the critic is asked about a row, and try it on some",
		Long: `prompt shows the conversation behind which the model writes a critique of a response, as text and as tokens, and which tokens
training learns: none of the question, all of a critique. A critique that the row has is shown behind it. With --try it lets the model
write critiques for some rows, spread over the file, and says how many end in a score, how many had to be asked for one (--ask_score),
how often they agree with the labels, and how long they take: so a prompt can be changed before hours are spent on it. Nothing is
written.`,
		Example: `  criticrm prompt --model llama --in pairs.jsonl --row 3 --side rejected
  criticrm prompt --model llama --in pairs.jsonl --prompts small --try 8 --tokens=false
  criticrm prompt --model llama --in pairs.jsonl --prompts my-prompts --examples shots.jsonl --try 8 --ask_score sample`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", s.model.Dir, "in", s.files.in); err != nil {
				return err
			}
			if row < 1 || try < 0 {
				return inputError{fmt.Errorf("--row and --try: got %d and %d, want at least 1 and 0", row, try)}
			}
			s.o = g.Options()
			s.o.MinParsed = 0 // the statistics tell
			return s.prompt(cmd, g.Remote, row, side, try, table)
		},
	}
	s.model.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&s.files.in, "in", "", inputHelp)
	f.IntVar(&row, "row", 1, "row that is shown, counted from 1")
	f.StringVar(&side, "side", "", "chosen, rejected or response (default: the row's first)")
	f.IntVar(&try, "try", 0, "rows that the model writes critiques for; 0: none")
	f.BoolVar(&table, "tokens", true, "also show the tokens, one a line")
	s.files.bindRows(cmd)
	bindTable(cmd, &g)
	for name, group := range map[string]string{"prompts": "Model", "examples": "Model", "ask_score": "Critiques"} { // what is tried
		inGroup(f, name, group, true)
	}
	return cmd
}

// prompt shows a row and tries some.
func (s *sampler) prompt(cmd *cobra.Command, elsewhere pipeline.Remote, row int, side string, try int, table bool) error {
	d, err := modeldir.Open(s.model.Dir, s.model.Given(s.o.MaxLength, s.o.Overlong))
	if err != nil {
		return begin(err)
	}
	if d.Chat == nil {
		return inputError{d.ChatErr}
	}
	r, err := render.Of(d)
	if err != nil {
		return begin(err)
	}
	s.files.reads = d.Prompts.Columns()
	records, found, err := stage.ReadFile(s.files.in, s.files.read())
	if err != nil {
		return begin(err)
	}
	sayFound(cmd.ErrOrStderr(), s.files.in, "", found)
	if row > len(records) {
		return inputError{fmt.Errorf("--row: got %d, %s has %d rows", row, s.files.in, len(records))}
	}
	shown := records[row-1]
	if err := showPrompt(cmd.OutOrStdout(), d.Tok, r, shown, side, table); err != nil {
		return s.files.named(err)
	}
	if try == 0 {
		return nil
	}
	closeModel, err := s.open(cmd, elsewhere, false)
	if err != nil {
		return err
	}
	defer closeModel()
	defer s.meter.Close()
	some := spread(records, try)
	start := time.Now()
	stats, err := critic.Generate(cmd.Context(), s.writer, some, s.o)
	if err != nil {
		return s.files.named(err)
	}
	s.meter.Close()
	return sayTried(cmd.OutOrStdout(), some, stats, s.o.Scale, time.Since(start))
}

// spread are n rows, or all if there are no more, as far apart as they can be.
func spread(records []*record.Record, n int) (some []*record.Record) {
	n = min(n, len(records))
	for i := range n {
		some = append(some, records[i*len(records)/n])
	}
	return some
}

// showPrompt shows what is asked about one side of a row, with the row's own first critique of it.
func showPrompt(w io.Writer, tok *tokenizer.Tokenizer, r *render.Renderer, rec *record.Record, name string, table bool) error {
	sides := rec.Sides()
	k := 0
	if name != "" {
		k = slices.IndexFunc(sides, func(s record.Side) bool { return s.String() == name })
	}
	if len(sides) == 0 || k < 0 {
		return rec.Fault("it has no side %q to show: it has %v", name, sides)
	}
	var z *record.Critique
	if list := *rec.SideCritiques(sides[k]); len(list) > 0 {
		z = &list[0]
	}
	s, err := r.Show(rec, sides[k], z)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "record %q, %s: %d tokens are read, prompts %s, scores from %d to %d\n\n%s\n", rec.ID, sides[k], len(s.Prompt), r.Prompts.Hash(), r.Scale.Min, r.Scale.Max, tok.Decode(s.Prompt))
	if z != nil {
		fmt.Fprintf(w, "\nits first critique, %d tokens\n\n%s\n", len(s.Critique.IDs), tok.Decode(s.Critique.IDs))
	}
	if !table {
		return nil
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "token\tid\ttext\tloss\t")
	line := func(i int, id int32, loss float32, note string) {
		if tok.IsSpecial(id) {
			note = "special" + note
		}
		fmt.Fprintf(tw, "%d\t%d\t%q\t%g\t%s\n", i, id, tok.Token(id), loss, note)
	}
	for i, id := range s.Prompt {
		line(i, id, 0, "")
	}
	for i, id := range s.Critique.IDs {
		note := ""
		if i == s.Critique.Read {
			note = ", the reward is read here"
		}
		line(len(s.Prompt)+i, id, s.LossOf(i), note)
	}
	return tw.Flush()
}

// sayTried tells what came of critiques for some rows.
func sayTried(w io.Writer, records []*record.Record, stats *critic.CritiqueStats, scale critic.Scale, took time.Duration) error {
	agrees, err := agreement(records, scale)
	if err != nil {
		return begin(err)
	}
	var lengths []int
	var first *record.Critique
	for _, r := range records {
		for _, side := range r.Sides() {
			for _, c := range *r.SideCritiques(side) {
				if c.Origin == record.OriginGiven {
					continue
				}
				if lengths = append(lengths, len(c.Tokens)); first == nil {
					first = &c
				}
			}
		}
	}
	fmt.Fprintf(w, "\ntried on %v\n", stats)
	if len(lengths) == 0 {
		return nil
	}
	slices.Sort(lengths)
	n := float64(stats.Critiques)
	fmt.Fprintf(w, "scores: %.1f %% written, %.1f %% asked for, %.1f %% missing\n", 100*float64(stats.Parsed-stats.Asked)/n, 100*float64(stats.Asked)/n, 100*float64(stats.Critiques-stats.Parsed)/n)
	fmt.Fprint(w, agrees)
	if stats.Tokens > 0 { // servers may not say
		fmt.Fprintf(w, "length: %d tokens in the middle, %d to %d; %.1f tokens/s\n", lengths[len(lengths)/2], lengths[0], lengths[len(lengths)-1], float64(stats.Tokens)/took.Seconds())
	}
	_, err = fmt.Fprintf(w, "the first: %q\n", first.Text)
	return err
}

// agreement tells how often critiques agree with the labels; "" where there are none.
func agreement(records []*record.Record, scale critic.Scale) (string, error) {
	if !slices.ContainsFunc(records, func(r *record.Record) bool { return r.Paired() || r.Correct != nil }) {
		return "", nil
	}
	o := measure.DefaultEvalOptions()
	o.Scale = scale
	report, err := measure.Evaluate(records, o)
	if err != nil {
		return "", err
	}
	switch q := report.Quality; {
	case q.AgreementPairs > 0:
		return fmt.Sprintf("agreement with the labels: %.1f %% of the pairs of critiques, over %d pairs (50 %% is chance)\n", 100*q.Agreement, q.AgreementPairs), nil
	case q.Response != nil:
		return fmt.Sprintf("agreement with the labels: %.1f %% of the critiques of %d responses\n", 100*q.Response.Accuracy, q.Response.N), nil
	}
	return "", nil
}
