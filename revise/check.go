package revise

// Is a final answer right? Numbers and texts as package synth compares them, letters of multiple choice, and code by a command.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"criticrm/record"
	"criticrm/strictjson"
	"criticrm/synth"
)

// Kinds of final answers.
const (
	Auto   = "auto"   // choice where the known answer is a letter, number where it is one, else text
	Number = "number" //
	Choice = "choice" // a letter, A to J
	Text   = "text"   // the same words
	Code   = "code"   // the command says so
)

// Kinds lists them.
func Kinds() []string { return []string{Auto, Number, Choice, Text, Code} }

// Checker knows the right final answers.
type Checker struct {
	Kind    string   `json:"kind"`
	Field   string   `json:"field,omitempty"`   // column of the known answer, or of a solution that ends with it; "": reference, else answer, else a pair's chosen response
	Command []string `json:"command,omitempty"` // of kind Code: a program and its arguments, {file} the response's code, {row} the row as JSON
	Seconds float64  `json:"seconds,omitempty"` // time limit of the command

	// Same overrides everything: whether a text is a right answer to the record's prompt, and the answer that it gives ("": none is found). For
	// tasks whose answers only their own program can read.
	Same func(r *record.Record, text string) (answer string, right bool) `json:"-"`
}

func (c *Checker) validate() error {
	switch {
	case c.Same != nil:
		return nil
	case !slices.Contains(Kinds(), c.Kind):
		return fmt.Errorf("revise: check: got %.40q, want one of %s", c.Kind, strings.Join(Kinds(), ", "))
	case c.Kind != Code && len(c.Command) > 0:
		return fmt.Errorf("revise: a command is given, and check is %s: only code is checked by a command", c.Kind)
	case c.Kind != Code:
		return nil
	case len(c.Command) == 0:
		return errors.New("revise: check code needs a command, as \"python3 check.py {file} {row}\"; it is run as it stands, without a shell")
	case !(c.Seconds > 0 && c.Seconds <= 3600):
		return fmt.Errorf("revise: time limit: got %v seconds, want more than 0 and at most 3600", c.Seconds)
	}
	if !slices.ContainsFunc(c.Command[1:], func(s string) bool { return strings.Contains(s, "{file}") }) {
		return fmt.Errorf("revise: the command %q has no argument with {file}: it would not see the code", strings.Join(c.Command, " "))
	}
	return nil
}

// columns are what may hold the known answer.
func (c *Checker) columns() []string {
	switch {
	case c.Same != nil || c.Kind == Code:
		return nil
	case c.Field != "":
		return []string{c.Field}
	}
	return []string{"reference", "answer"}
}

// reference is the known final answer and its kind.
func (c *Checker) reference(r *record.Record) (answer, kind string, err error) {
	if c.Same != nil || c.Kind == Code {
		return "", c.Kind, nil
	}
	text := ""
	for _, key := range c.columns() {
		raw, ok := r.Extra(key)
		if !ok || string(raw) == "null" {
			continue
		}
		if text, err = answerText(raw); err != nil {
			return "", "", r.Fault("%q: want a text, a number, or a list that begins with one", key)
		}
		if text = strings.TrimSpace(text); text != "" {
			break
		}
	}
	if text == "" && r.Paired() && c.Field == "" {
		text = r.Chosen
	}
	if text == "" {
		return "", "", r.Fault("it has no %s, so the right answer is not known (--answer_field names the column)", strings.Join(quoted(c.columns()), " or "))
	}
	kind = c.Kind
	if letter := choiceOf(text); letter != "" && (kind == Choice || kind == Auto && soleLetter(text)) {
		return letter, Choice, nil
	}
	found, _ := result(text, false)
	if !synth.IsNumber(found) && (kind == Number || kind == Auto && found == "" && strings.Contains(text, "\n")) {
		found = synth.LastNumber(text)
	}
	if found == "" {
		found = text
	}
	switch {
	case synth.IsNumber(found) && kind != Text && kind != Choice:
		return found, Number, nil
	case kind == Number || kind == Choice:
		return "", "", r.Fault("its known answer %.40q is no %s", found, kind)
	}
	return found, Text, nil
}

func quoted(list []string) (out []string) {
	for _, s := range list {
		out = append(out, fmt.Sprintf("%q", s))
	}
	return out
}

// answerText is a text, a number as it is written, or the first item of a list of such.
func answerText(raw json.RawMessage) (string, error) {
	switch strictjson.KindOf(raw) {
	case "string":
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case "number":
		return string(raw), nil
	case "array":
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
			return "", err
		}
		return answerText(list[0])
	}
	return "", errors.New("no answer")
}

var (
	markedLetter = regexp.MustCompile(`(?i:choice(?:\\?_| )|option\s+|answer(?:\s+is)?\s*:?\s*\(?|\\boxed\{\(?|####\s*\(?)\(?([A-J])\b|\(([A-J])\)`)
	loneLetter   = regexp.MustCompile(`^\W*([A-J])\W*$`)
)

// choiceOf is the letter that a text chooses: the last one behind a mark or in parentheses, or all of the text; "": none.
func choiceOf(text string) string {
	if m := loneLetter.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	all := markedLetter.FindAllStringSubmatch(text, -1)
	if all == nil {
		return ""
	}
	last := all[len(all)-1]
	return last[1] + last[2]
}

// soleLetter says whether a known answer is a letter and nothing else, or a solution that ends with one.
func soleLetter(text string) bool {
	if loneLetter.MatchString(text) {
		return true
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	last := lines[len(lines)-1]
	m := markedLetter.FindStringIndex(last)
	return m != nil && (strings.Trim(last[m[1]:], " .)*_}") == "" || last[m[1]] == ':')
}

// check finds a text's final answer and says whether it is right.
func (c *Checker) check(ctx context.Context, r *record.Record, _ record.Side, text string) (answer, verdict string, err error) {
	if c.Same != nil {
		answer, right := c.Same(r, text)
		return answer, word(answer != "", right), nil
	}
	want, kind, err := c.reference(r)
	if err != nil {
		return "", "", err
	}
	switch kind {
	case Code:
		right, err := c.run(ctx, r, text)
		return "", word(true, right), err
	case Choice:
		answer = choiceOf(text)
		return answer, word(answer != "", answer == want), nil
	}
	answer, how := result(text, kind == Number)
	switch {
	case answer == "" || kind == Number && !synth.IsNumber(answer):
		return answer, synth.Unreadable, nil
	case synth.Same(answer, want):
		return answer, synth.Right, nil
	case how == synth.LastPlace: // the result may stand before it
		return answer, synth.Unreadable, nil
	}
	return answer, synth.Wrong, nil
}

var lastLine = regexp.MustCompile(`(?:^|\n)(?:Step \d+: *)?A: *([^\n]+)$`)

// result is synth's; a last line "A: 17", as in GSM8K's model solutions, is a mark as well.
func result(text string, numeric bool) (answer, how string) {
	text = strings.TrimSpace(text)
	if m := lastLine.FindStringSubmatch(text); m != nil {
		return strings.TrimSpace(m[1]), synth.InWords
	}
	return synth.Result(text, numeric)
}

func word(found, right bool) string {
	switch {
	case !found:
		return synth.Unreadable
	case right:
		return synth.Right
	}
	return synth.Wrong
}

// before is the verdict on a response as it was: that of its final answer, and where that cannot be read its label.
func (c *Checker) before(ctx context.Context, r *record.Record, side record.Side) (string, error) {
	_, verdict, err := c.check(ctx, r, side, r.Text(side))
	if err != nil || verdict != synth.Unreadable {
		return verdict, err
	}
	switch {
	case side == record.Single && r.Correct != nil:
		return word(true, *r.Correct), nil
	case side == record.Rejected: // a pair of a right and a wrong answer, of which this is the wrong one
		return synth.Wrong, nil
	}
	return verdict, nil
}

var fence = regexp.MustCompile("(?s)```[A-Za-z0-9+#_-]*\n(.*?)```")

// code is the last fenced block of a text, or all of it.
func code(text string) string {
	if all := fence.FindAllStringSubmatch(text, -1); all != nil {
		return all[len(all)-1][1]
	}
	return text
}

// run runs the command in a folder of its own: exit code 0 is right, any other and the time limit wrong. A command that cannot be run is an error.
func (c *Checker) run(ctx context.Context, r *record.Record, text string) (right bool, err error) {
	dir, err := os.MkdirTemp("", "criticrm-check")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	row, err := r.AppendJSON(nil)
	if err != nil {
		return false, err
	}
	paths := map[string]string{"{file}": filepath.Join(dir, "code"), "{row}": filepath.Join(dir, "row.json")}
	for name, b := range map[string][]byte{"{file}": []byte(code(text)), "{row}": row} {
		if err := os.WriteFile(paths[name], b, 0o600); err != nil {
			return false, err
		}
	}
	args := slices.Clone(c.Command)
	for i := range args[1:] {
		for name, path := range paths {
			args[i+1] = strings.ReplaceAll(args[i+1], name, path)
		}
	}
	limited, cancel := context.WithTimeout(ctx, time.Duration(c.Seconds*float64(time.Second)))
	defer cancel()
	cmd := exec.CommandContext(limited, args[0], args[1:]...)
	cmd.WaitDelay = time.Second
	for _, name := range []string{"PATH", "HOME", "LANG"} { // and no keys: the code is a model's
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	ownGroup(cmd)
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case limited.Err() != nil, errors.As(err, &exit):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("revise: the command %q cannot be run: %w", args[0], err)
	}
	return true, nil
}
