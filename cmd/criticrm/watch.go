package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"criticrm/internal/progress"
	"criticrm/watch"
)

func newWatch() *cobra.Command {
	var o watch.Options
	var seconds float64
	cmd := &cobra.Command{
		Use:   "watch RUN",
		Short: "Show a training in the terminal while it lasts: curves, and the time that is left",
		Long: `watch shows where a training stands: losses, λ, accuracies of the batch and of held-out records as curves, and the time that is left. RUN is
the output_dir of 'criticrm train', or the directory of 'criticrm run', of which the training that wrote last is shown. It follows
metrics.jsonl, changes nothing, may be started and stopped at any time, and ends when the training does, or with Ctrl-C. Where standard
output is no terminal it writes a line now and then, and the screen at the end.`,
		Example: `  criticrm watch run
  criticrm watch run --once`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return inputError{fmt.Errorf("want one directory, as 'criticrm watch run' (see 'criticrm watch --help')")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !(seconds > 0 && seconds <= 3600) {
				return inputError{fmt.Errorf("--interval: got %v, want more than 0 to 3600 seconds", seconds)}
			}
			o.Interval, o.Log = time.Duration(seconds*float64(time.Second)), cmd.ErrOrStderr()
			if f, ok := cmd.OutOrStdout().(*os.File); ok && progress.IsTerminal(f) {
				o.Size = func() (columns, rows int) {
					columns, rows, err := term.GetSize(int(f.Fd()))
					if err != nil || columns < 20 || rows < 5 {
						return 80, 24
					}
					return columns, rows
				}
			}
			return begin(watch.Run(cmd.Context(), args[0], cmd.OutOrStdout(), o))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Once, "once", false, "print one screen and stop")
	f.Float64Var(&seconds, "interval", 1, "seconds between two looks at the files")
	return cmd
}
