package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/collective"
	"criticrm/internal/spell"
	"criticrm/kernels"
	"criticrm/record"
	"criticrm/stage"
)

// Exit codes. 130 and 143 follow a signal, after everything is saved.
const (
	exitOK     = 0
	exitFailed = 1  // the run failed
	exitUsage  = 2  // wrong flags, recipe, model or file: nothing was begun
	exitData   = 3  // a row of a data file is wrong
	exitLost   = 75 // the device, or another process of the same work, is lost to this one: a new one may go on (EX_TEMPFAIL of sysexits.h)
)

// inputError is a fault of what the user gave, as opposed to one of the run.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// run executes one command line and gives the exit code. Results go to stdout, everything else to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	if cmd, _, err := root.Find(args); err == nil {
		args = joinBools(cmd.Flags(), args)
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if cmd, _, err := root.Find(args); err == nil && asksForAll(args) {
		writeHelp(cmd, true)
		return exitOK
	}
	err := root.ExecuteContext(ctx)
	if err == nil || errors.Is(err, errServed) {
		return exitOK
	}
	var told toldError
	if !errors.As(err, &told) {
		fmt.Fprintf(stderr, "criticrm: %s\n", oneLine(reason(ctx, err)))
	}
	return exitCode(ctx, err)
}

// reason is an error's text. Of a command that a signal has stopped it names the signal, where the library can say only that somebody did.
func reason(ctx context.Context, err error) string {
	var sig signalCause
	if !errors.As(context.Cause(ctx), &sig) {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), context.Canceled.Error(), sig.Error())
}

// maxError bounds what is printed of an error, in bytes: it may quote an argument or a file.
const maxError = 1500

// oneLine is an error as a line.
func oneLine(text string) string {
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "…"
	}
	return strings.NewReplacer("\r", " ", "\n", "; ").Replace(text)
}

// exitCode is what a command ends with after an error.
func exitCode(ctx context.Context, err error) int {
	var sig signalCause
	if errors.As(context.Cause(ctx), &sig) {
		return 128 + int(sig.signal)
	}
	var lost kernels.Lost
	if errors.As(err, &lost) {
		return exitLost
	}
	var group *collective.Error
	if errors.As(err, &group) && group.Lost {
		return exitLost
	}
	var helper *stage.LostError
	if errors.As(err, &helper) {
		return exitLost
	}
	var ended endedError
	if errors.As(err, &ended) {
		return ended.exit()
	}
	var row *record.RowError
	if errors.As(err, &row) {
		return exitData
	}
	var input inputError
	if errors.As(err, &input) {
		return exitUsage
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "criticrm",
		Short: "Train reward models that write a critique before they score (Critic-RM)",
		Long: `criticrm trains Critic-RM reward models: the model writes its own critiques of each response, preference labels
filter them, and one model learns critique and reward together. Rewards of several sampled critiques are averaged.

The whole method on two files of pairs:
  criticrm run --model M --train pairs.jsonl --eval held-out.jsonl --output_dir run

Its stages one by one, JSON Lines in and out:
  criticrm generate --model M --in pairs.jsonl --out 1.jsonl
  criticrm filter   --in 1.jsonl --out 2.jsonl
  criticrm refine   --model M --in 2.jsonl --out 3.jsonl
  criticrm train    --model M --train_file 3.jsonl --output_dir run
  criticrm eval     --model run/model --in held-out.jsonl

Flags may be written with dashes or underscores. Results go to standard output, everything else to standard error.
Exit codes: 0 done, 1 the run failed, 2 wrong flags, recipe, model or file, 3 a wrong row in a data file,
75 the GPU or another process of the same work is lost and a new one may go on, 130 and 143 stopped by SIGINT and SIGTERM
after everything was saved: the same command goes on (train: with --resume latest). A second signal
ends a command at once.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return inputError{fmt.Errorf("unknown command %q%s (see 'criticrm --help')", args[0], spell.Hint(args[0], names))}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "-", "_"))
	})
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(cmd, false) })
	root.PersistentFlags().Bool("help_all", false, "help with all flags")
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"The method", []*cobra.Command{newRun(), newGenerate(), newFilter(), newRefine(), newTrain(), newSynth()}},
		{"Using and measuring models", []*cobra.Command{newScore(), newEval(), newCritiqueEval(), newRevise(), newMerge(), newServe(), newReport(), newWatch(), newExport(), newConvert()}},
		{"Looking inside", []*cobra.Command{newData(), newInspect(), newPrompt(), newTokenize(), newLogits(), newFetch()}},
		{"The demo", []*cobra.Command{newDemo(), newBase()}},
		{"This program", []*cobra.Command{newDevices(), newEnv(), newVersion(), newMan()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
		for _, cmd := range g.commands {
			cmd.GroupID = g.title
			cmd.Flags().SortFlags = false
			root.AddCommand(cmd)
		}
	}
	root.SetCompletionCommandGroupID("This program")
	root.SetHelpCommandGroupID("This program")
	for _, cmd := range allCommands(root) {
		acceptAliases(cmd)
		if cmd.Flags().Lookup("device") != nil {
			_ = cmd.RegisterFlagCompletionFunc("device", completeDevice) // it fails for flags that are not there
		}
	}
	return root
}

// allCommands are a command's own, and theirs.
func allCommands(cmd *cobra.Command) (list []*cobra.Command) {
	for _, c := range cmd.Commands() {
		list = append(append(list, c), allCommands(c)...)
	}
	return list
}
