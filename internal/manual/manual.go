// Package manual writes man pages from what the commands say of themselves in --help. Text stays as it is there: no markup is looked for.
package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Pages are the pages of a program and its commands by file name: name.1, name-command.1. Hidden commands and flags have no place in them.
func Pages(root *cobra.Command, version string) map[string]string {
	pages := map[string]string{}
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		pages[name(cmd)+".1"] = page(cmd, version)
		for _, c := range shown(cmd) {
			if cmd.Name() != "completion" { // a page each for the shells is too many
				add(c)
			}
		}
	}
	root.InitDefaultCompletionCmd()
	add(root)
	return pages
}

func page(cmd *cobra.Command, version string) string {
	var b strings.Builder
	section := func(title string) { fmt.Fprintf(&b, ".SH %s\n", title) }
	program := cmd.Root().Name()
	fmt.Fprintf(&b, ".TH \"%s\" 1 \"\" \"%s %s\" \"User Commands\"\n", strings.ToUpper(name(cmd)), program, escape(version))
	section("NAME")
	fmt.Fprintf(&b, "%s \\- %s\n", escape(name(cmd)), escape(cmd.Short))
	section("SYNOPSIS")
	if cmd.Runnable() && cmd != cmd.Root() {
		fmt.Fprintf(&b, ".B %s\n", escape(cmd.UseLine()))
	}
	if len(shown(cmd)) > 0 {
		fmt.Fprintf(&b, ".br\n.B %s\n.I command\n[flags]\n", escape(cmd.CommandPath()))
	}
	section("DESCRIPTION")
	text(&b, cmd.Long, cmd.Short)
	flags(&b, "OPTIONS", cmd.NonInheritedFlags())
	flags(&b, "OPTIONS OF ALL COMMANDS", cmd.InheritedFlags())
	if cmd.Example != "" {
		section("EXAMPLES")
		verbatim(&b, strings.Split(cmd.Example, "\n"))
	}
	if list := shown(cmd); len(list) > 0 && cmd == cmd.Root() {
		section("COMMANDS")
		for _, c := range list {
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", escape(name(c)), escape(c.Short))
		}
	}
	if cmd.HasParent() {
		section("SEE ALSO")
		fmt.Fprintf(&b, ".BR %s (1)\n", escape(name(cmd.Parent())))
	}
	return b.String()
}

func flags(b *strings.Builder, title string, set *pflag.FlagSet) {
	first := true
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if first {
			fmt.Fprintf(b, ".SH %s\n", title)
			first = false
		}
		kind, usage := pflag.UnquoteUsage(f)
		names := "\\fB" + escape("--"+f.Name) + "\\fR"
		if f.Shorthand != "" {
			names = "\\fB" + escape("-"+f.Shorthand) + "\\fR, " + names
		}
		if kind != "" {
			names += " \\fI" + escape(kind) + "\\fR"
		}
		if d := f.DefValue; d != "" && d != "false" && d != "[]" {
			usage += " (default " + d + ")"
		}
		fmt.Fprintf(b, ".TP\n%s\n%s\n", names, escape(usage))
	})
}

// text writes paragraphs filled, and indented lines, which are command lines and tables, as they stand.
func text(b *strings.Builder, long, short string) {
	if long == "" {
		long = short + "."
	}
	var block []string
	for _, line := range append(strings.Split(long, "\n"), "") {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			block = append(block, line)
			continue
		}
		verbatim(b, block)
		block = nil
		if line == "" {
			b.WriteString(".PP\n")
		} else {
			b.WriteString(escape(line) + "\n")
		}
	}
}

func verbatim(b *strings.Builder, lines []string) {
	if len(lines) == 0 {
		return
	}
	b.WriteString(".PP\n.nf\n")
	for _, l := range lines {
		b.WriteString(escape(strings.ReplaceAll(l, "\t", "    ")) + "\n")
	}
	b.WriteString(".fi\n")
}

var roff = strings.NewReplacer(`\`, `\e`, `-`, `\-`, "\n", "\n\\&")

// escape is text that roff takes for nothing but text: a line that begins with a dot would be a request.
func escape(s string) string { return `\&` + roff.Replace(s) }

// name is that of a command's page: criticrm-train.
func name(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// shown are the commands below one that --help shows.
func shown(cmd *cobra.Command) []*cobra.Command {
	var list []*cobra.Command
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			list = append(list, c)
		}
	}
	return list
}
