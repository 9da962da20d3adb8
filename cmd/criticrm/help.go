package main

// Help: flags by group, the common ones first, within 100 columns.

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	helpWidth = 100
	helpFlag  = 30 // columns of a flag and its type
	helpMany  = 20 // flags; with more of them the short help has the common ones only

	groupAnnotation  = "criticrm_group"
	commonAnnotation = "criticrm_common"
	ownGroup         = "Files and command"
)

// inGroup says where a flag stands in the help. Flags that nobody groups are the command's own, and common.
func inGroup(f *pflag.FlagSet, name, group string, common bool) {
	_ = f.SetAnnotation(name, groupAnnotation, []string{group}) // it fails for flags that are not there
	_ = f.SetAnnotation(name, commonAnnotation, []string{fmt.Sprint(common)})
}

// asksForAll says whether a command line asks for help with all flags.
func asksForAll(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return strings.ReplaceAll(a, "_", "-") == "--help-all" })
}

// writeHelp explains a command: all of its flags, or, where it has many, the common ones.
func writeHelp(cmd *cobra.Command, all bool) {
	w := cmd.OutOrStdout()
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	fmt.Fprint(w, wrapText(text))
	if cmd.Runnable() && cmd.HasParent() {
		fmt.Fprintf(w, "\nUsage:\n  %s\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		for _, g := range append(cmd.Groups(), &cobra.Group{Title: "Commands:"}) {
			head := "\n" + g.Title + "\n"
			for _, c := range cmd.Commands() {
				if c.GroupID == g.ID && (c.IsAvailableCommand() || c.Name() == "help") {
					fmt.Fprintf(w, "%s  %-*s %s\n", head, c.NamePadding(), c.Name(), c.Short)
					head = ""
				}
			}
		}
		fmt.Fprintf(w, "\n'%s COMMAND --help' explains a command.\n", cmd.CommandPath())
	}
	if cmd.HasParent() {
		fmt.Fprint(w, flagHelp(cmd, all))
	}
}

// flagHelp lists flags by group, in the order in which the groups were made.
func flagHelp(cmd *cobra.Command, all bool) string {
	var groups []string
	lists := map[string][]*pflag.Flag{}
	shown, left := 0, 0
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" && f.Name != "help_all" {
			shown++
		}
	})
	all = all || shown <= helpMany
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		switch {
		case f.Hidden || f.Name == "help" || f.Name == "help_all":
			return
		case !all && annotation(f, commonAnnotation) == "false":
			left++
			return
		}
		group := annotation(f, groupAnnotation)
		if group == "" {
			group = ownGroup
		}
		if !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
		lists[group] = append(lists[group], f)
	})
	var b strings.Builder
	if i := slices.Index(groups, ownGroup); i > 0 { // it comes first
		groups = slices.Insert(slices.Delete(groups, i, i+1), 0, ownGroup)
	}
	for _, group := range groups {
		fmt.Fprintf(&b, "\n%s:\n", group)
		for _, f := range lists[group] {
			b.WriteString(describe(cmd, f))
		}
	}
	if left > 0 {
		fmt.Fprintf(&b, "\n%d more flags: '%s --help-all'\n", left, cmd.CommandPath())
	}
	return b.String()
}

// describe is a flag's entry.
func describe(cmd *cobra.Command, f *pflag.Flag) string {
	label := "  --" + f.Name
	kind, usage := pflag.UnquoteUsage(f)
	if f.Value.Type() != "bool" && kind != "" {
		label += " " + kind
	}
	var also []string
	for _, alias := range slices.Sorted(maps.Keys(cmd.Annotations)) {
		if cmd.Annotations[alias] == f.Name {
			also = append(also, "--"+alias)
		}
	}
	if len(also) > 0 {
		usage += " (also " + strings.Join(also, ", ") + ")"
	}
	switch f.DefValue {
	case "", "false", "0", "[]", "-1":
	default:
		usage += " (default " + f.DefValue + ")"
	}
	lines := wrapWords(strings.Fields(usage), helpWidth-helpFlag)
	var b strings.Builder
	if len(label) >= helpFlag {
		fmt.Fprintln(&b, label)
	} else {
		fmt.Fprintf(&b, "%-*s%s\n", helpFlag, label, lines[0])
		lines = lines[1:]
	}
	for _, line := range lines {
		fmt.Fprintf(&b, "%*s%s\n", helpFlag, "", line)
	}
	return b.String()
}

func annotation(f *pflag.Flag, name string) string {
	if v := f.Annotations[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// wrapText wraps paragraphs and, below their column, entries of lists: lines that begin with spaces and have two columns. Other lines that
// begin with spaces stand as they are.
func wrapText(text string) string {
	var b strings.Builder
	var words []string
	head, column := "", 0 // of the entry that words belong to
	flush := func() {
		for _, line := range wrapWords(words, helpWidth-column) {
			fmt.Fprintf(&b, "%-*s%s\n", column, head, line)
			head = ""
		}
		words, head, column = nil, "", 0
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case line != "" && indent == 0 && column == 0, column > 0 && indent == column: // it goes on
			words = append(words, strings.Fields(line)...)
		case line != "" && indent == 0:
			flush()
			words = strings.Fields(line)
		default:
			flush()
			label, rest, two := strings.Cut(line[indent:], "  ")
			if rest = strings.TrimLeft(rest, " "); !two || strings.HasPrefix(label, "criticrm") {
				fmt.Fprintln(&b, line)
				continue
			}
			column, words = len(line)-len(rest), strings.Fields(rest)
			head = line[:column]
		}
	}
	flush()
	return b.String()
}

// wrapWords joins words to lines of at most width characters, if the words allow.
func wrapWords(words []string, width int) (lines []string) {
	line := ""
	for _, w := range words {
		if line != "" && len([]rune(line))+1+len([]rune(w)) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
