package main

// What several commands share: flags, aliases, opening a model, running a stage, errors and their exit codes.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/engine"
	"criticrm/internal/progress"
	"criticrm/internal/settings"
	"criticrm/internal/spell"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/pipeline"
	"criticrm/record"
	"criticrm/stage"
)

// Names that other programs use for the same thing. A command gives its own in Annotations: alias → flag.
var commonAliases = map[string]string{"model_name_or_path": "model", "prompt_dir": "prompts", "chat_template_path": "chat_template",
	"score_min": "scale_min", "score_max": "scale_max", "max_new_tokens": "max_tokens", "input": "in", "output": "out", "num_critiques": "critiques"}

// acceptAliases lets a command's flags be written with dashes and under their aliases.
func acceptAliases(cmd *cobra.Command) {
	flags := cmd.Flags()
	known := map[string]bool{}
	flags.VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		name = strings.ReplaceAll(name, "-", "_")
		if to, ok := cmd.Annotations[name]; ok {
			name = to
		} else if to, ok := commonAliases[name]; ok && known[to] && !known[name] {
			name = to
		}
		return pflag.NormalizedName(name)
	})
	joinInputs(cmd)
	findRows(cmd)
}

// inputs is a flag of input files: given again, it names another one, and both are read. Where one file alone can be read, it says so.
type inputs struct {
	pflag.Value
	name  string
	one   bool
	given []string
}

func (o *inputs) Set(text string) error {
	if slices.Contains(o.given, text) {
		return nil
	}
	if o.given = append(o.given, text); o.one && len(o.given) > 1 {
		return fmt.Errorf("--%s is given twice, as %q and %q: it takes one file", o.name, o.given[0], text)
	}
	return o.Value.Set(strings.Join(o.given, ","))
}

// joinInputs makes the flags that name input files take several.
func joinInputs(cmd *cobra.Command) {
	for _, name := range [...]string{"in", "train_file", "eval_file", "ids"} { // or a flag of which it is another name
		f := cmd.Flags().Lookup(name)
		if f == nil {
			continue
		}
		if _, done := f.Value.(*inputs); !done {
			f.Value = &inputs{Value: f.Value, name: f.Name, one: f.Name == "ids"}
		}
	}
}

// joinBools writes "--switch true" as "--switch=true", as other trainers' command lines have it, in any case.
func joinBools(flags *pflag.FlagSet, args []string) (out []string) {
	for i := 0; i < len(args); i++ {
		name, ok := strings.CutPrefix(args[i], "--")
		if args[i] == "--" {
			return append(out, args[i:]...)
		}
		if f := flags.Lookup(strings.ReplaceAll(name, "-", "_")); ok && !strings.Contains(name, "=") && f != nil && f.Value.Type() == "bool" && i+1 < len(args) {
			if value := strings.ToLower(args[i+1]); value == "true" || value == "false" {
				out = append(out, args[i]+"="+value)
				i++
				continue
			}
		}
		out = append(out, args[i])
	}
	return out
}

// flagError names the nearest flag for one that is not known.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		names = append(names, slices.Sorted(maps.Keys(cmd.Annotations))...)
		hint, name := "", strings.ReplaceAll(unknown.GetSpecifiedName(), "-", "_")
		if near := spell.Nearest(name, names); near != "" {
			hint = fmt.Sprintf(", did you mean --%s?", near)
		}
		return inputError{fmt.Errorf("unknown flag --%s%s (see '%s --help-all')", name, hint, cmd.CommandPath())}
	}
	return inputError{fmt.Errorf("%w (see '%s --help')", err, cmd.CommandPath())}
}

// noArgs refuses words that belong to no flag.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return inputError{fmt.Errorf("unexpected argument %q: flags are written --name value, switches --name or --name=false (see '%s --help')", args[0], cmd.CommandPath())}
}

// required refuses empty values; pairs are flag, value.
func required(cmd *cobra.Command, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return inputError{fmt.Errorf("--%s is missing (see '%s --help')", pairs[i], cmd.CommandPath())}
		}
	}
	return nil
}

// begin marks an error that came before any work as the user's to mend; a full disk is not.
func begin(err error) error {
	if err == nil || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return inputError{err}
}

// bindTable binds a flag to every setting of the struct that c points to, or to those alone that only names; other names are understood.
func bindTable(cmd *cobra.Command, c any, only ...string) {
	bindForeign(cmd, c, "")
	s := settings.Section{Into: c}
	for _, field := range s.Fields() {
		if len(only) == 0 || slices.Contains(only, field.Name) {
			bindSetting(cmd, s, field)
		}
	}
}

// bindSection binds a flag "section.name" to every setting of a section.
func bindSection(cmd *cobra.Command, s settings.Section) {
	bindForeign(cmd, s.Into, s.Key(""))
	for _, field := range s.Fields() {
		bindSetting(cmd, s, field)
	}
}

// bindForeign binds hidden flags to the keys of other programs that the settings understand.
func bindForeign(cmd *cobra.Command, c any, prefix string) {
	foreign, ok := c.(settings.Foreign)
	if !ok {
		return
	}
	for name, isSwitch := range foreign.ForeignNames() {
		f := cmd.Flags().VarPF(&foreignValue{name: name, isSwitch: isSwitch, to: foreign}, prefix+name, "", "")
		f.Hidden = true
		if isSwitch {
			f.NoOptDefVal = "true"
		}
	}
}

// foreignValue is the value of a flag of other programs.
type foreignValue struct {
	name     string
	isSwitch bool
	to       settings.Foreign
	given    string
}

func (v *foreignValue) String() string { return v.given }

func (v *foreignValue) Set(value string) error {
	v.given = value
	_, err := v.to.Foreign(v.name, value)
	return err
}

func (v *foreignValue) Type() string {
	if v.isSwitch {
		return "bool"
	}
	return "string"
}

func bindSetting(cmd *cobra.Command, s settings.Section, field settings.Field) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	key := s.Key(field.Name)
	bindField(cmd.Flags(), key, field.Ptr(s.Into), field.Help)
	inGroup(cmd.Flags(), key, cmp.Or(s.Name, field.Group), field.Common)
	for _, a := range field.Aliases {
		cmd.Annotations[s.Key(a)] = s.Key(field.Name)
	}
}

// hideSection leaves the flags of a section out of the help.
func hideSection(cmd *cobra.Command, name string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = f.Hidden || strings.HasPrefix(f.Name, name+".") })
}

func bindField(f *pflag.FlagSet, name string, ptr any, help string) {
	switch p := ptr.(type) {
	case *string:
		f.StringVar(p, name, *p, help)
	case *int:
		f.IntVar(p, name, *p, help)
	case *uint64:
		f.Uint64Var(p, name, *p, help)
	case *float64:
		f.Float64Var(p, name, *p, help)
	case *bool:
		f.BoolVar(p, name, *p, help)
	default:
		panic("criticrm: a recipe field has a type without a flag")
	}
}

// printRecipe prints all settings as they hold.
func printRecipe(cmd *cobra.Command, c interface{ Recipe() ([]byte, error) }) error {
	text, err := c.Recipe()
	if err == nil {
		_, err = cmd.OutOrStdout().Write(text)
	}
	return err
}

// modelFlags say which model is opened and how.
type modelFlags struct {
	pipeline.Model
	report bool

	over *engine.Engine // whose device, and whose weights, an adapter shares; nil: none
	nf4  bool           // the base is opened in 4 bits
}

func (m *modelFlags) bind(cmd *cobra.Command, only ...string) {
	m.Model = pipeline.DefaultModel()
	bindTable(cmd, &m.Model, only...)
	bindReport(cmd.Flags(), &m.report)
}

func (m *modelFlags) device() *deviceFlags { return &deviceFlags{m.Device, m.Threads, m.report} }

// open opens the model as an engine, with a limit and a policy for longer sequences (0 and "": the model's own); close frees it and its device.
func (m *modelFlags) open(cmd *cobra.Command, maxLength int, overlong string, reward bool) (e *engine.Engine, close func(), err error) {
	if err := m.Validate(); err != nil {
		return nil, nil, inputError{err}
	}
	if err := asModelDir(cmd, &m.Dir); err != nil {
		return nil, nil, err
	}
	o := m.EngineOptions(m.Given(maxLength, overlong))
	o.RequireReward, o.Over, o.NF4 = reward, m.over, m.nf4
	var dev *kernels.Device
	closeDevice := func() {}
	if m.over != nil {
		dev = m.over.Model.Dev
	} else if dev, closeDevice, err = m.device().open(cmd.ErrOrStderr()); err != nil {
		return nil, nil, err
	}
	e, err = engine.Open(dev, m.Dir, o)
	if err != nil {
		closeDevice()
		return nil, nil, begin(err)
	}
	for _, note := range append(e.Dir.Notes, e.Model.Slow()...) {
		fmt.Fprintln(cmd.ErrOrStderr(), note)
	}
	return e, func() { e.Close(); closeDevice() }, nil
}

// openModel opens weights only: asTrained, quantised as the base of an adapter was in training or as it is stored, or else as plain numbers where they
// can be.
func (m *modelFlags) openModel(cmd *cobra.Command, o model.Options, asTrained bool) (*model.Model, func(), error) {
	if err := asModelDir(cmd, &m.Dir); err != nil {
		return nil, nil, err
	}
	dev, closeDevice, err := m.device().open(cmd.ErrOrStderr())
	if err != nil {
		return nil, nil, err
	}
	facts, _, err := modeldir.ReadFacts(m.Dir)
	if err != nil {
		closeDevice()
		return nil, nil, begin(err)
	}
	o.NF4, o.Unpack = asTrained && facts.Quantised == modeldir.NF4, !asTrained
	mod, err := model.Load(dev, m.Dir, o)
	if err != nil {
		closeDevice()
		return nil, nil, begin(err)
	}
	closeBoth := func() { mod.Close(); closeDevice() }
	notes, err := modeldir.UnreadKeys(m.Dir)
	if err != nil {
		closeBoth()
		return nil, nil, begin(err)
	}
	for _, note := range notes {
		fmt.Fprintln(cmd.ErrOrStderr(), note)
	}
	return mod, closeBoth, nil
}

// inputHelp is said of flags of input files.
const inputHelp = "rows: JSON Lines, JSON, CSV, TSV or Parquet, also compressed; a file, a folder, a pattern, a list (a.jsonl,b.csv), a mixture (a.jsonl:0.7,b.csv:0.3), or a data set on the hub (owner/name/train); - is standard input, where it is read once"

// fileFlags are the input and output of a stage.
type fileFlags struct {
	in, out string
	restart bool
	maxBad  int
	layout  record.Layout
	reads   []string // columns that the command itself reads

	shard     string
	part      *stage.Shard // nil: all rows
	processes int
	team      *stage.Team // nil: this process alone
	unnamed   bool        // nobody has asked for out, which will be removed
	stdin     func() io.Reader
}

func (o *fileFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.in, "in", "", inputHelp)
	f.StringVar(&o.out, "out", "", "output, JSON Lines; an interrupted run goes on where it stopped")
	o.bindRestart(cmd)
	o.bindRows(cmd)
}

func (o *fileFlags) bindRestart(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.restart, "restart", false, "forget an earlier output and begin again")
}

// bindRows binds what says how the input's rows are read.
func (o *fileFlags) bindRows(cmd *cobra.Command) {
	cmd.Flags().IntVar(&o.maxBad, "max_bad", 0, "bad rows that are left out and listed before the file is refused")
	bindTable(cmd, &o.layout)
	namesRows(cmd.Flags(), "in")
	o.stdin = cmd.InOrStdin
}

// read is how the input is read.
func (o *fileFlags) read() record.ReadOptions {
	return record.ReadOptions{MaxBad: o.maxBad, Reads: o.reads, Layout: o.layout, Stdin: o.stdin()}
}

// named gives an error of a row the name of the input file, where it has none.
func (o *fileFlags) named(err error) error { return record.InFile(err, o.in) }

// runStage runs a stage with progress on stderr and tells what it found in the input.
func (o *fileFlags) runStage(cmd *cobra.Command, s *stage.Stage, m *progress.Meter) error {
	defer m.Close()
	s.Restart, s.Read.MaxBad, s.Read.Layout, s.Read.Reads = o.restart, o.maxBad, o.layout, append(s.Read.Reads, o.reads...)
	if d, helps := stage.OnDuty(cmd.Context()); helps {
		m.Tell(d.Wrote)
		return begin(s.Serve(cmd.Context(), d))
	}
	s.Shard = o.part
	if s.Team = o.team; s.Team != nil {
		s.Team.Wrote = m.Wrote
	}
	s.Progress = func(p stage.Progress) { m.Records(p.Stage, p.Done, p.Total, p.Resumed) }
	res, err := s.Run(cmd.Context())
	m.Close()
	if res == nil {
		return begin(err)
	}
	w := cmd.ErrOrStderr()
	listed := record.BadPath(s.Out)
	if o.unnamed {
		listed = ""
	}
	sayFound(w, o.in, listed, res.Found)
	for i, issue := range res.Check.Issues {
		if i == 5 {
			fmt.Fprintln(w, "… ('criticrm inspect' counts all)")
			break
		}
		fmt.Fprintf(w, "%s: %v\n", o.in, issue)
	}
	return err
}

// sayFound tells what an input holds beside the rows that are used; listed is the file with all bad rows, if there is one.
func sayFound(w io.Writer, file, listed string, found record.Found) {
	for _, line := range found.BadLines(file, listed) {
		fmt.Fprintln(w, line)
	}
	for _, line := range found.Lines() {
		fmt.Fprintf(w, "%s: %s\n", file, line)
	}
}
