package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/demo"
	"criticrm/modeldir"
)

// The pages are held to what the program does: every line of a ```sh fence is run, or, where it builds, takes minutes or wants a GPU, looked
// at. The lines of a page are run in order, in a folder of its own that holds what the pages are written for:
//
//	my-model        a model that writes critiques: the demo's base model, which knows the demo's prompts
//	pairs.jsonl     pairs to train on        held-out.jsonl   pairs to measure on
//	answers.jsonl   single responses         examples, demo   the repository's
//
// A fence in another language (text, json, python) is not looked at.

// unrun are the commands that are only looked at, and why.
var unrun = map[string]string{
	"demo":  "four minutes",
	"base":  "a quarter of an hour",
	"synth": "the demo's model answers nothing",
	"serve": "it goes on until it is stopped; TestServe asks it what the page asks",
}

const repository = "../.."

// page is a document with its shell lines.
type page struct {
	name, text string
	lines      []shellLine
}

// shellLine is a line of a ```sh fence, joined with those that it goes on in.
type shellLine struct {
	at   int
	text string
}

// pages are README.md and the documents of docs.
func pages(t *testing.T) (list []page) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, name := range append(names, filepath.Join(repository, "README.md")) {
		text := readFile(t, name)
		lines, err := shellLines(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list = append(list, page{filepath.Base(name), text, lines})
	}
	return list
}

// shellLines are the lines of the ```sh fences of a document, without comments and blank ones.
func shellLines(text string) (list []shellLine, err error) {
	fence, joined := "", ""
	for i, line := range strings.Split(text, "\n") {
		mark, opens := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case opens && fence == "":
			if fence = "```" + mark; mark == "" {
				return nil, fmt.Errorf("line %d: a fence without a language: sh for what can be run, text for the rest", i+1)
			}
		case opens:
			if joined != "" {
				return nil, fmt.Errorf("line %d: the line before goes on nowhere", i+1)
			}
			fence = ""
		case fence == "```sh":
			part, more := strings.CutSuffix(strings.TrimSpace(line), "\\")
			if joined += part; more {
				continue
			}
			if joined != "" && !strings.HasPrefix(joined, "#") {
				list = append(list, shellLine{i + 1, joined})
			}
			joined = ""
		}
	}
	if fence != "" {
		return nil, errors.New("a fence is not closed")
	}
	return list, nil
}

// words splits a line as a shell does, up to a comment: quotes are known, and nothing else that means something to a shell but ">".
func words(line string) (list []string, err error) {
	var word strings.Builder
	begun, quote := false, rune(0)
	end := func() {
		if begun {
			list = append(list, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ':
			end()
		case r == '#' && !begun:
			return list, nil
		case strings.ContainsRune("|&;<$`*()", r):
			return nil, fmt.Errorf("%q means something to a shell that this test does not know", r)
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	end()
	return list, nil
}

// docsFolder makes the folder that a page is run in, and goes there.
func docsFolder(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	my := filepath.Join(dir, "my-model")
	if err := os.CopyFS(my, os.DirFS(filepath.Join(root, "demo", "base"))); err != nil {
		t.Fatal(err)
	}
	// Room for the default of 512 tokens for a critique: its own critiques are shorter.
	config := filepath.Join(my, "config.json")
	writeFile(t, config, strings.Replace(readFile(t, config), `"max_position_embeddings": 512`, `"max_position_embeddings": 2048`, 1))
	prompts, err := critic.LoadPrompts(filepath.Join(root, "demo", "prompts"), "")
	if err != nil {
		t.Fatal(err)
	}
	scale := critic.DefaultScale()
	facts := modeldir.Facts{Method: modeldir.SFT, HeadPosition: "end", Prompts: prompts.Texts(), PromptsHash: prompts.Hash(), Scale: &scale, Overlong: "error"}
	if err := facts.Write(my); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(filepath.Join(root, "examples"), filepath.Join(dir, "examples")), os.Symlink(filepath.Join(root, "demo"), filepath.Join(dir, "demo"))); err != nil {
		t.Fatal(err)
	}
	rows := func(name string, pairs []demo.Pair, row func(demo.Pair) map[string]any) {
		var b strings.Builder
		for _, p := range pairs {
			line, err := json.Marshal(row(p))
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		writeFile(t, filepath.Join(dir, name), b.String())
	}
	pair := func(p demo.Pair) map[string]any {
		return map[string]any{"id": p.ID, "prompt": p.Question.Prompt, "chosen": p.Chosen.Text, "rejected": p.Rejected.Text, "category": p.Question.Kind.Category()}
	}
	rows("pairs.jsonl", demo.Pairs(5, 16, demo.Train), pair)
	rows("held-out.jsonl", demo.Pairs(6, 8, demo.Validation), pair)
	rows("answers.jsonl", demo.Pairs(7, 2, demo.Validation), func(p demo.Pair) map[string]any {
		return map[string]any{"id": p.ID, "prompt": p.Question.Prompt, "response": p.Chosen.Text}
	})
	t.Chdir(dir)
}

// TestDocsRun runs the pages.
func TestDocsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("the pages train models")
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // where GGUF files are converted
	t.Setenv(asProgram, "1")                // what starts itself again is the program
	targets := makeTargets(t)
	left := t.TempDir()
	all := pages(t)
	was := map[int]string{} // what a page had left before it and another went apart, by the other's number
	for k, p := range all {
		t.Run(p.name, func(t *testing.T) {
			if len(p.lines) == 0 {
				t.Skip("nothing to run")
			}
			docsFolder(t)
			done, ran := 0, 0
			if was[k] != "" {
				dir := filepath.Join(t.TempDir(), "goes on")
				if err := os.CopyFS(dir, os.DirFS(was[k])); err != nil {
					t.Fatal(err)
				}
				t.Chdir(dir)
				done = alike(p, all[:k])
			}
			for _, line := range p.lines {
				if runs(line) {
					if ran++; ran <= done {
						continue
					}
				}
				if err := try(t, line.text, targets); err != nil {
					t.Fatalf("docs: %s:%d: %s: %v", p.name, line.at, line.text, err)
				}
				for j := k + 1; j < len(all); j++ {
					if runs(line) && ran == alike(all[j], all[:j]) && ran == alike(all[j], all[k:k+1]) {
						was[j] = filepath.Join(left, fmt.Sprint(j))
						if err := errors.Join(os.RemoveAll(was[j]), os.CopyFS(was[j], os.DirFS("."))); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		})
	}
}

// runs says whether a line is run, and not only looked at.
func runs(line shellLine) bool { return strings.HasPrefix(line.text, "criticrm ") }

// alike is how many lines that are run a page has at its beginning like one of others: they leave the same, and are run once.
func alike(p page, others []page) (most int) {
	of := func(p page) (list []string) {
		for _, line := range p.lines {
			if runs(line) {
				list = append(list, line.text)
			}
		}
		return list
	}
	lines := of(p)
	for _, o := range others {
		n := 0
		for i, text := range of(o) {
			if i >= len(lines) || lines[i] != text {
				break
			}
			n++
		}
		most = max(most, n)
	}
	return most
}

// try runs a line, or looks at it.
func try(t *testing.T, line string, targets []string) error {
	list, err := words(line)
	if err != nil || len(list) == 0 {
		return err
	}
	into := ""
	if n := len(list); n > 2 && list[n-2] == ">" {
		list, into = list[:n-2], list[n-1]
	}
	for list[0] == "sudo" || regexp.MustCompile(`^[A-Z_]+=`).MatchString(list[0]) {
		if list = list[1:]; len(list) == 0 {
			return errors.New("it does nothing")
		}
	}
	switch name := list[0]; {
	case name == "make":
		for _, target := range list[1:] {
			if !strings.Contains(target, "=") && !slices.Contains(targets, target) {
				return fmt.Errorf("the Makefile has no target %s", target)
			}
		}
		return nil
	case name == "bin/criticrm" || name == "bin/criticrm-cuda" || name == "criticrm" && len(list) > 1 && unrun[list[1]] != "",
		slices.Contains(list, "--nproc") && !hasRanks():
		return parses(list[1:])
	case name == "criticrm":
		code, out, errs := command(t, list[1:]...)
		if code != exitOK {
			return fmt.Errorf("exit code %d: %s", code, lastLine(errs))
		}
		if into != "" {
			writeFile(t, into, out)
		}
		return nil
	}
	return errors.New("it is neither run nor looked at: put it into a fence of another language, text for example")
}

// parses says whether a command line's command and flags are there.
func parses(args []string) error {
	root := newRoot()
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if cmd == root {
		return errors.New("it names no command")
	}
	return cmd.ParseFlags(joinBools(cmd.Flags(), rest))
}

// makeTargets are the Makefile's targets that `make help` lists.
func makeTargets(t *testing.T) (list []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):.*##`).FindAllStringSubmatch(readFile(t, filepath.Join(repository, "Makefile")), -1) {
		list = append(list, m[1])
	}
	if len(list) < 10 {
		t.Fatalf("the Makefile has the targets %q", list)
	}
	return list
}

// TestDocsReader: what the tests of the pages would let through is seen here.
func TestDocsReader(t *testing.T) {
	lines, err := shellLines("```sh\n# a comment\ncriticrm a \\\n  --b 'c d' # e\n\nmake x\n```\n```text\nnot this\n```\n")
	if err != nil || fmt.Sprint(lines) != "[{4 criticrm a --b 'c d' # e} {6 make x}]" {
		t.Errorf("%v, %v", lines, err)
	}
	if got, err := words(lines[0].text); err != nil || !slices.Equal(got, []string{"criticrm", "a", "--b", "c d"}) {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{"```\nx\n```\n", "```sh\nx\n", "```sh\nx \\\n```\n"} {
		if _, err := shellLines(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	for line, want := range map[string]string{
		"ls":                                "neither run nor looked at",
		"criticrm version | cat":            "means something to a shell",
		"criticrm version 'x":               "not closed",
		"make nothing":                      "no target nothing",
		"bin/criticrm-cuda train --nothing": "unknown flag",
		"criticrm demo --nothing":           "unknown flag",
		"bin/criticrm nothing":              "names no command",
		"criticrm inspect --nothing":        "exit code 2",
		"sudo":                              "nothing",
	} {
		if err := try(t, line, []string{"help"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	for text, want := range map[string]string{
		"`--no_such_flag`":             "--no_such_flag",
		"`criticrm filter --device`":   "criticrm filter --device",
		"`train --samples 8`":          "train --samples",
		"`criticrm nothing`":           "criticrm nothing",
		"`filter --rule` and `--lr x`": "",
		"```sh\ncriticrm env\n```\n--treads\n```text\nother --module\ncriticrm run --nor_this\n```\n": "--treads --nor_this",
	} {
		if got := strings.Join(unknownNames(text), " "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
