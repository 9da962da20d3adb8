package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"criticrm/checkpoint"
	"criticrm/record"
	"criticrm/report"
)

func newReport() *cobra.Command {
	o := report.DefaultOptions()
	var in, out string
	var compare bool
	var seed uint64
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Make an HTML report of a run, or compare runs",
		Long: `report makes one HTML file that needs no network and is readable on a phone: the table with intervals, accuracy against the number of
critiques, losses and λ, calibration, reward and length, where the model is wrong with the critiques to read, what the filter kept, the
data and the recipe. --in is the directory of 'criticrm run', the output_dir of 'criticrm train', or a file that score or eval has left.
Every figure is measured again from the records; what is missing is said, there and on standard error. The same files give the same bytes.
--compare sets runs side by side: differences are paired over the pairs that both have measured.`,
		Example: `  criticrm report --in run
  criticrm report --in scored.jsonl --wrong 50 --out report.html
  criticrm report --compare run1 run2 --out compare.html`,
		Args: func(cmd *cobra.Command, args []string) error {
			if !compare {
				return noArgs(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("eval_seed") {
				o.Seed = &seed
			}
			made, err := makeReport(cmd, compare, in, args, o)
			if err != nil {
				return err
			}
			if out == "" {
				out = reportPath(compare, in)
			}
			if err := refuseOutput("out", out, append(args, in)...); err != nil {
				return err
			}
			for _, line := range made.Missing {
				fmt.Fprintln(cmd.ErrOrStderr(), line)
			}
			if err := checkpoint.WriteFileAtomic(out, made.HTML); err != nil {
				return err
			}
			for _, line := range made.Lead {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d KB\n", out, (len(made.HTML)+1023)/1024)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&in, "in", "", "directory of a run or a training, or a scored file")
	f.StringVar(&out, "out", "", "the HTML file (default: report.html in the run, or beside the scored file; compare.html)")
	f.BoolVar(&compare, "compare", false, "compare the runs that follow: --compare run1 run2")
	f.IntVar(&o.Wrong, "wrong", o.Wrong, "pairs on which the model is wrong that are shown, the worst first")
	f.IntVar(&o.Critiques, "critiques", o.Critiques, "critiques of a response that are shown")
	f.IntVar(&o.Characters, "characters", o.Characters, "characters of a text that are shown")
	f.StringVar(&o.Category, "category", "", "field of the records that results are split by (default: as the run's recipe says, else category, else subset)")
	f.IntVar(&o.Draws, "draws", 0, "bootstrap draws (default: as the run's recipe says, else 2000)")
	f.Float64Var(&o.Level, "level", 0, "of the intervals (default: as the run's recipe says, else 0.95)")
	f.Uint64Var(&seed, "eval_seed", 0, "seed of the bootstrap (default: as the run's recipe says, else 1)")
	f.IntSliceVar(&o.Curve, "curve", nil, "numbers of critiques to average (default: as the run's recipe says, else powers of two)")
	return cmd
}

// pageRefresh is after how many seconds the page of a training that is running loads itself again.
const pageRefresh = 30

// writeReport makes report.html of a run, or of a training, which may be running still. What the page says to be missing was not asked for.
func writeReport(dir string, running bool) error {
	o := report.DefaultOptions()
	if running {
		o.Refresh = pageRefresh
	}
	made, err := report.Make(dir, o)
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(reportPath(false, dir), made.HTML)
}

// makeReport reports on one thing or compares several.
func makeReport(cmd *cobra.Command, compare bool, in string, runs []string, o report.Options) (*report.Report, error) {
	if compare {
		if in != "" {
			runs = append([]string{in}, runs...)
		}
		if len(runs) < 2 {
			return nil, inputError{fmt.Errorf("--compare: got %d runs, want two or more: --compare run1 run2 (see '%s --help')", len(runs), cmd.CommandPath())}
		}
		made, err := report.Compare(runs, o)
		return made, begin(err)
	}
	if err := required(cmd, "in", in); err != nil {
		return nil, err
	}
	made, err := report.Make(in, o)
	return made, begin(err)
}

// reportPath is where a report goes that nobody gave a name.
func reportPath(compare bool, in string) string {
	if compare {
		return "compare.html"
	}
	if info, err := os.Stat(in); err == nil && info.IsDir() {
		return filepath.Join(in, "report.html")
	}
	for ext := filepath.Ext(in); ext == ".jsonl" || ext == ".zst" || ext == ".gz"; ext = filepath.Ext(in) {
		in = strings.TrimSuffix(in, ext)
	}
	return in + ".report.html"
}

// refuseOutput keeps a file of results from replacing what it is made from, and from being a directory. "": there is no such file.
func refuseOutput(flag, out string, inputs ...string) error {
	if out == "" {
		return nil
	}
	if to, err := os.Stat(out); err == nil && to.IsDir() {
		return inputError{fmt.Errorf("--%s: %s is a directory, want the name of a file", flag, out)}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return inputError{err}
	}
	for _, in := range inputs {
		if err := record.Apart(in, out); err != nil {
			return inputError{fmt.Errorf("--%s: %w", flag, err)}
		}
	}
	return nil
}
