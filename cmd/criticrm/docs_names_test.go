package main

// The words of the pages: commands, flags, and how long lines are.

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestDocsNames: every command and every flag that a page names is there, and every command is named by some page.
func TestDocsNames(t *testing.T) {
	named := ""
	for _, p := range pages(t) {
		for _, name := range unknownNames(p.text) {
			t.Errorf("%s: there is no %s", p.name, name)
		}
		named += p.text
	}
	for _, cmd := range newRoot().Commands() {
		if !cmd.Hidden && !regexp.MustCompile(cmd.CommandPath()+`\b`).MatchString(named) {
			t.Errorf("no page names %s", cmd.CommandPath())
		}
	}
}

var (
	span     = regexp.MustCompile("`([^`\n]+)`")
	flagWord = regexp.MustCompile(`--[a-z][a-zA-Z0-9_.-]*`)
)

// unknownNames are the commands and flags in a page's code spans, and anywhere else in it, that are not there. A span that begins with
// a command is held to that command's flags.
func unknownNames(text string) (list []string) {
	root := newRoot()
	all := map[string]bool{"help": true}
	for _, cmd := range allCommands(root) {
		maps.Copy(all, flagNames(cmd))
	}
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		program, rest, ours := strings.Cut(m[1], "criticrm ")
		if ours = ours && program == ""; !ours {
			rest = m[1]
		}
		name, _, _ := strings.Cut(rest, " ")
		cmd, _, err := root.Find([]string{name})
		if rest, ok := strings.CutPrefix(rest, name+" "); ok && err == nil && cmd.HasSubCommands() { // of several words
			second, _, _ := strings.Cut(rest, " ")
			cmd, _, err = root.Find([]string{name, second})
		}
		found := err == nil && cmd != root
		if ours && !found && regexp.MustCompile(`^[a-z]+$`).MatchString(name) {
			list = append(list, "criticrm "+name)
		}
		if !found {
			continue
		}
		of := flagNames(cmd)
		for _, flag := range flagWord.FindAllString(rest, -1) {
			if name := normal(flag); !of[name] && all[name] {
				list = append(list, strings.TrimSuffix(m[1][:strings.Index(m[1], flag)], " ")+" "+flag)
			}
		}
	}
	for _, flag := range flagWord.FindAllString(ours(text), -1) {
		if !all[normal(flag)] && !slices.Contains(list, flag) {
			list = append(list, flag)
		}
	}
	return list
}

// ours is a page without the lines of its text fences that are of other programs.
func ours(text string) string {
	fence := ""
	var kept []string
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```") && fence == "":
			fence = line
		case strings.HasPrefix(line, "```"):
			fence = ""
		case fence == "" || fence == "```sh" || strings.Contains(line, "criticrm"):
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func normal(flag string) string {
	return strings.ReplaceAll(strings.Trim(strings.TrimPrefix(flag, "--"), ".-"), "-", "_")
}

// flagNames are the names that a command's flags may be written by.
func flagNames(cmd *cobra.Command) map[string]bool {
	cmd.InitDefaultHelpFlag()
	names := map[string]bool{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names[f.Name] = true })
	for alias, name := range commonAliases {
		if names[name] {
			names[alias] = true
		}
	}
	for alias := range cmd.Annotations {
		names[alias] = true
	}
	return names
}

// TestDocsWidth: lines of the pages are readable beside code; tables, and lines with a link, which cannot be folded, may be longer.
func TestDocsWidth(t *testing.T) {
	const most = 120
	for _, p := range pages(t) {
		for i, line := range strings.Split(p.text, "\n") {
			if n := utf8.RuneCountInString(line); n > most && !strings.HasPrefix(strings.TrimSpace(line), "|") && !strings.Contains(line, "](") {
				t.Errorf("%s:%d: %d columns, want at most %d", p.name, i+1, n, most)
			}
		}
	}
}
