package main

// Commands over files of rows: what is in them, another layout, two parts, a page.

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"criticrm/checkpoint"
	"criticrm/corpus"
	"criticrm/internal/progress"
	"criticrm/internal/spell"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/render"
	"criticrm/report"
	"criticrm/tokenizer"
)

func newData() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Check, convert, split and describe files of rows",
		Long: `data works on files of rows before anything is trained on them:
  check     what they hold and what is wrong with them, what they share with each other and with public benchmarks
  convert   a file in another layout
  split     a file in two, by prompt
  stats     a page with lengths, length bias and defects`,
		Example: `  criticrm data check pairs.jsonl --against held-out.jsonl
  criticrm data split --in pairs.jsonl --train_out train.jsonl --eval_out eval.jsonl`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return inputError{fmt.Errorf("unknown command %q%s (see 'criticrm data --help')", args[0], spell.Hint(args[0], names))}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, sub := range []*cobra.Command{newDataCheck(), newDataConvert(), newDataSplit(), newDataStats()} {
		sub.Flags().SortFlags = false
		cmd.AddCommand(sub)
	}
	return cmd
}

// looking are the flags of commands that look at whole files.
type looking struct {
	model     string
	against   []string
	maxLength int
	layout    record.Layout
	o         corpus.Options
}

func (l *looking) bind(cmd *cobra.Command) {
	l.o = corpus.Options{Draws: 1000, Level: 0.95, Seed: 1}
	f := cmd.Flags()
	f.StringVar(&l.model, "model", "", "model directory, GGUF file or tokenizer.json: tokens are counted, too")
	f.StringArrayVar(&l.against, "against", nil, "a file whose prompts should not be in the others, a benchmark's or held-out pairs; may be given again")
	namesRows(f, "against")
	f.IntVar(&l.maxLength, "max_length", 0, "tokens of the longest conversation, beyond which records are counted (default: the model's context)")
	f.IntVar(&l.o.Draws, "draws", l.o.Draws, "bootstrap draws behind the interval of the length bias; 0: no interval")
	f.Float64Var(&l.o.Level, "level", l.o.Level, "of that interval")
	f.Uint64Var(&l.o.Seed, "seed", l.o.Seed, "of the bootstrap and of the hash functions that near duplicates are found by")
	bindTable(cmd, &l.layout)
}

// check looks at files.
func (l *looking) check(cmd *cobra.Command, files []string) (*corpus.Report, error) {
	if l.o.Draws < 0 || !(l.o.Level > 0 && l.o.Level < 1) {
		return nil, inputError{fmt.Errorf("--draws, --level: got %d and %v, want 0 or more, and a level between 0 and 1", l.o.Draws, l.o.Level)}
	}
	files = slices.Clone(files)
	for i := range files {
		if err := asRows(cmd, &files[i]); err != nil {
			return nil, err
		}
	}
	l.o.Read.Stdin, l.o.Read.Layout, l.o.MaxLength = cmd.InOrStdin(), l.layout, l.maxLength
	if l.model != "" {
		if err := l.tokens(cmd); err != nil {
			return nil, err
		}
	}
	if l.maxLength != 0 && l.o.Tokens.Whole == nil {
		return nil, inputError{fmt.Errorf("--max_length is in tokens of a whole conversation, which only a model directory with a chat template counts: give one with --model")}
	}
	meter := progress.New(cmd.ErrOrStderr())
	defer meter.Close()
	l.o.Progress, l.o.StateDir, l.o.Resumed = readingOf(meter, "check"), stateDir(), tellResumed(cmd, "check")
	r, err := corpus.Check(cmd.Context(), files, l.against, l.o)
	return r, begin(err)
}

// tokens counts with the tokenizer and, of a model directory, with the chat template and the limit of the model.
func (l *looking) tokens(cmd *cobra.Command) error {
	if filepath.Base(l.model) == tokenizer.File {
		l.o.Tokens.Name = stamp(l.model)
		tok, err := tokenizer.Load(l.model)
		if err != nil {
			return begin(err)
		}
		l.o.Tokens.Text = func(text string) int { return len(tok.Encode(text)) }
		fmt.Fprintln(cmd.ErrOrStderr(), "a tokenizer alone renders no conversations: a model directory does")
		return nil
	}
	if err := asLightDir(cmd, &l.model); err != nil {
		return err
	}
	l.o.Tokens.Name = stamp(l.model)
	d, err := modeldir.Open(l.model, modeldir.Given{})
	if err != nil {
		return begin(err)
	}
	r, err := render.Of(d)
	if err != nil {
		return begin(err)
	}
	l.o.MaxLength = cmp.Or(l.maxLength, d.MaxLength, r.Context)
	l.o.Tokens.Text = func(text string) int { return len(r.Text(text)) }
	if d.Chat == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "conversations are not rendered: %v\n", d.ChatErr)
		return nil
	}
	l.o.Tokens.Whole = r.Longest
	return nil
}

func newDataCheck() *cobra.Command {
	var l looking
	var asJSON, strict bool
	cmd := &cobra.Command{
		Use:   "check FILE…",
		Short: "Say what files of rows hold and what is wrong with them",
		Long: `check reads files of rows and says: layout, records, rows that are bad or set aside by reason, lengths (with --model in tokens, too), duplicates and
contradictions, which side is longer or was shown first, prompts that nearly repeat each other inside a file and between files, and prompts of public benchmarks.

Benchmarks are known by hashes of their prompts: a match is of equal text up to case, white space and the like. What is not among them is named, and
--against FILE looks for the prompts of any file, near duplicates included.

With --strict the exit code is 3 if something is wrong: bad rows, duplicates, contradictions, records over --max_length, prompts of a benchmark or of
a file that is given with --against.

The same command goes on where it was interrupted: what it knows of rows lies in the folder for temporary files (TMPDIR) until it is done.`,
		Example: `  criticrm data check pairs.jsonl
  criticrm data check pairs.jsonl --model llama --max_length 2048
  criticrm data check train.jsonl --against held-out.jsonl --against reward-bench-2.jsonl --strict
  criticrm data check pairs.jsonl --json > facts.json`,
		Args: atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := l.check(cmd, args)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetEscapeHTML(false)
				e.SetIndent("", "  ")
				err = e.Encode(r)
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.Join(r.Lines(), "\n"))
			}
			if n := r.Wrong(); err == nil && strict && n > 0 {
				return &record.RowError{File: strings.Join(args, ", "), At: -1, Msg: fmt.Sprintf("%d findings are wrong, the first: %s", n, r.Findings[0].Text)}
			}
			return err
		},
	}
	l.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "everything as one JSON object")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit code 3 if something is wrong")
	return cmd
}

func newDataStats() *cobra.Command {
	var l looking
	var in, html string
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Make an HTML page of what files of rows hold",
		Long: `stats makes one HTML file that needs no network: lengths as plots, in tokens too with --model, how often the longer response is the chosen one by
category, duplicates, bad rows by reason, and prompts that other files or benchmarks have. It is what 'criticrm data check' finds. The same files
give the same bytes.`,
		Example: `  criticrm data stats --in pairs.jsonl --html pairs.html
  criticrm data stats --in pairs.jsonl --html pairs.html --model llama`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", in, "html", html); err != nil {
				return err
			}
			if err := refuseOutput("html", html, append(l.against, in)...); err != nil {
				return err
			}
			r, err := l.check(cmd, []string{in})
			if err != nil {
				return err
			}
			made, err := report.Corpus(r)
			if err != nil {
				return err
			}
			if err := checkpoint.WriteFileAtomic(html, made.HTML); err != nil {
				return err
			}
			for _, line := range made.Lead {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d KB\n", html, (len(made.HTML)+1023)/1024)
			return nil
		},
	}
	cmd.Flags().StringVar(&in, "in", "", "file of rows, or - for standard input")
	cmd.Flags().StringVar(&html, "html", "", "the page")
	l.bind(cmd)
	return cmd
}

func newDataConvert() *cobra.Command {
	files := fileFlags{}
	to := "criticrm"
	var forms []string
	for _, f := range corpus.Forms() {
		forms = append(forms, fmt.Sprintf("  %-14s %s", f.Name, f.Help))
	}
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Write a file of rows in another layout",
		Long: `convert reads rows in any layout that is read and writes them in one form:
` + strings.Join(forms, "\n") + `

What a form has no place for is counted, and rows that it cannot hold at all are left out, counted and listed in OUT.bad.jsonl, with the bad rows that
--max_bad lets pass. The output is compressed if its name ends in .zst or .gz, and is there when it is whole. - is standard input or output.

The same command goes on where it was interrupted: what is written lies in OUT.part until then. A pipe cannot be read again: of standard input, and to
standard output, it begins again.`,
		Example: `  criticrm data convert --in pairs.jsonl --out pairs.trl.jsonl --to trl
  criticrm data convert --in harmless.jsonl.gz --out pairs.jsonl.zst --max_bad 100
  zcat rows.gz | criticrm data convert --in - --out - --columns chosen=good,rejected=bad`,
		Args:        noArgs,
		Annotations: map[string]string{"form": "to"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", files.in, "out", files.out); err != nil {
				return err
			}
			form, err := corpus.FormOf(to)
			if err != nil {
				return inputError{fmt.Errorf("--to: %w", err)}
			}
			meter := progress.New(cmd.ErrOrStderr())
			defer meter.Close()
			o := files.goingOn(cmd, meter, "convert")
			c, err := corpus.Convert(cmd.Context(), files.in, files.out, cmd.OutOrStdout(), form, o)
			meter.Close()
			if c == nil || cmd.Context().Err() != nil {
				return begin(err)
			}
			w := cmd.ErrOrStderr()
			sayFound(w, files.in, c.List, c.Found)
			for _, line := range c.Lines(form) {
				fmt.Fprintln(w, line)
			}
			if err == nil && files.out != "-" {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d rows as %s\n", files.out, c.Rows, form.Name)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&files.in, "in", "", "file of rows, or - for standard input")
	f.StringVar(&files.out, "out", "", "the new file, or - for standard output")
	f.StringVar(&to, "to", to, "form of the output")
	files.bindRestart(cmd)
	files.bindRows(cmd)
	return cmd
}

func newDataSplit() *cobra.Command {
	files := fileFlags{}
	s := corpus.SplitOptions{Share: 0.1, Seed: 1, Near: true}
	var train, eval string
	cmd := &cobra.Command{
		Use:   "split",
		Short: "Cut a file of rows in two, by prompt",
		Long: `split holds out a share of the rows. All rows with one prompt are on one side, and so are prompts that nearly repeat each other (--near=false: equal
ones only), so that nothing that is measured on one part has been trained on in the other. The same file and seed give the same parts, whatever
the order of the rows. Both files are there when both are whole; the same command goes on where it was interrupted.`,
		Example: `  criticrm data split --in pairs.jsonl --train_out train.jsonl --eval_out eval.jsonl
  criticrm data split --in pairs.jsonl --share 0.05 --by_category --train_out train.jsonl.zst --eval_out eval.jsonl`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "in", files.in, "train_out", train, "eval_out", eval); err != nil {
				return err
			}
			meter := progress.New(cmd.ErrOrStderr())
			defer meter.Close()
			o := files.goingOn(cmd, meter, "split")
			out, err := corpus.Split(cmd.Context(), files.in, train, eval, s, o)
			meter.Close()
			if err != nil {
				return begin(err)
			}
			sayFound(cmd.ErrOrStderr(), files.in, out.List, out.Found)
			for _, line := range out.Lines(train, eval) {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&files.in, "in", "", "file of rows")
	f.StringVar(&train, "train_out", "", "the part to train on")
	f.StringVar(&eval, "eval_out", "", "the part that is held out")
	f.Float64Var(&s.Share, "share", s.Share, "of the rows, that is held out")
	f.BoolVar(&s.Near, "near", s.Near, "prompts that nearly repeat each other are on one side")
	f.BoolVar(&s.ByCategory, "by_category", false, "the share of each category")
	f.Uint64Var(&s.Seed, "seed", s.Seed, "of the choice")
	files.bindRestart(cmd)
	files.bindRows(cmd)
	return cmd
}

// goingOn are the options of a command that goes on where it was interrupted.
func (o *fileFlags) goingOn(cmd *cobra.Command, meter *progress.Meter, stage string) corpus.Options {
	return corpus.Options{Read: o.read(), Restart: o.restart, Progress: readingOf(meter, stage), Resumed: tellResumed(cmd, stage)}
}

func tellResumed(cmd *cobra.Command, stage string) func(rows int) {
	return func(rows int) { fmt.Fprintf(cmd.ErrOrStderr(), "%s: going on after %d rows\n", stage, rows) }
}

// stateDir is the user's folder among temporary files in which commands without an output keep how far they are; "": there is none that is safe.
func stateDir() string {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("criticrm-%d", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return ""
	}
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return ""
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Getuid() {
		return ""
	}
	return dir
}

// stamp tells the files of a model from those of another one.
func stamp(path string) string {
	files, _ := filepath.Glob(filepath.Join(path, "*"))
	text := path
	for _, file := range append(files, path) {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			text += fmt.Sprintf(" %s %d %d", filepath.Base(file), info.Size(), info.ModTime().UnixNano())
		}
	}
	return text
}

// readingOf shows how far a file is read.
func readingOf(meter *progress.Meter, stage string) func(corpus.Position) {
	return func(at corpus.Position) { meter.Read(stage, at.Rows, at.Read, at.Of) }
}

// atLeastOne wants files as arguments.
func atLeastOne(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return inputError{fmt.Errorf("want a FILE or several (see '%s --help')", cmd.CommandPath())}
	}
	return nil
}
