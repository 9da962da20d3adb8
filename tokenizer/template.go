package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// The template engine, gonja, inside bounds. A template comes with a model and is not trusted: it can
// load no file, runs for twenty seconds at most, and writes 16 MiB at most. What remains: a single
// expression (a string doubled again and again) can still take much memory and time.

// template is a parsed chat template.
type template struct {
	gonja *exec.Template
}

// oneTemplate is a loader that knows one name.
type oneTemplate string

func (l oneTemplate) Read(name string) (io.Reader, error) {
	if name != "template" {
		return nil, errors.New("a chat template cannot load files")
	}
	return strings.NewReader(string(l)), nil
}
func (l oneTemplate) Resolve(name string) (string, error)    { return name, nil }
func (l oneTemplate) Inherit(string) (loaders.Loader, error) { return l, nil }

// parseTemplate parses a template that scanTemplate has passed.
func parseTemplate(source string) (t *template, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = recovered(r)
		}
	}()
	c := config.New()
	c.TrimBlocks = true // as transformers sets up Jinja
	c.LeftStripBlocks = true
	g, err := exec.NewTemplate("template", c, oneTemplate(source), &exec.Environment{
		Context:           exec.EmptyContext(),
		Filters:           guardedFilters(),
		Tests:             builtins.Tests,
		ControlStructures: guardedStatements(),
		Methods:           guardedMethods(),
	})
	if err != nil {
		// The engine repeats the whole source in front of what is wrong.
		text := strings.TrimPrefix(err.Error(), fmt.Sprintf("failed to parse template '%s': ", source))
		return nil, errors.New(cutError(text))
	}
	repair(g.Root())
	return &template{g}, nil
}

// render runs the template. data is changed.
func (t *template) render(data map[string]any) (out string, err error) {
	b := &budget{deadline: time.Now().Add(renderTime)}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be rendered: %w", recovered(r))
		}
	}()
	maps.Copy(data, b.functions())
	maps.Copy(data, b.repairs())
	if day, ok := data["date"].(string); ok {
		when, err := time.Parse(time.DateOnly, day)
		if err != nil {
			return "", fmt.Errorf("date %q: want a day like 2006-01-02", clip(day))
		}
		data["strftime_now"] = func(va *exec.VarArgs) *exec.Value {
			text, err := strftime(when, va.First().String())
			if err != nil {
				return exec.AsValue(b.fail("cannot be rendered: %v", err))
			}
			return exec.AsValue(text)
		}
	}
	data[budgetName] = b
	w := &boundedWriter{b: b}
	err = t.gonja.Execute(w, exec.NewContext(data))
	switch {
	case b.err != nil: // what the engine wraps it in says no more
		return "", b.err
	case err != nil:
		return "", fmt.Errorf("cannot be rendered: %s", cutError(err.Error()))
	}
	return w.String(), nil
}

// recovered makes a panic of the engine an error.
func recovered(r any) error {
	if e, ok := r.(runtime.Error); ok && strings.Contains(e.Error(), "divide by zero") {
		return errors.New("division by zero")
	}
	return errors.New(cutError(fmt.Sprint(r)))
}

func cutError(s string) string {
	if len(s) > maxErrorText {
		return strings.ToValidUTF8(s[:maxErrorText-4], "") + " …"
	}
	return s
}

// boundedWriter is what the template writes to.
type boundedWriter struct {
	bytes.Buffer
	b *budget
}

func (w *boundedWriter) Write(p []byte) (int, error) {
	if w.Len()+len(p) > maxOutput {
		return 0, w.b.fail("output is over %d bytes", maxOutput)
	}
	return w.Buffer.Write(p)
}

func (w *boundedWriter) WriteString(s string) (int, error) {
	if w.Len()+len(s) > maxOutput {
		return 0, w.b.fail("output is over %d bytes", maxOutput)
	}
	return w.Buffer.WriteString(s)
}

// budgetName is where the budget of a rendering is kept. No template can spell it.
const budgetName = "\x00budget"

// budget counts what one rendering has spent. The first error is kept: nothing goes on after it.
type budget struct {
	deadline time.Time
	steps    int
	macros   int // macro calls inside each other
	nesting  int // statements inside each other
	err      error
}

// budgetOf gives the budget of the rendering that a context belongs to.
func budgetOf(c *exec.Context) *budget {
	v, _ := c.Get(budgetName)
	return v.(*budget)
}

func (b *budget) fail(format string, args ...any) error {
	if b.err == nil {
		b.err = errors.New(cutError(fmt.Sprintf(format, args...)))
	}
	return b.err
}

// step pays for one step.
func (b *budget) step() error {
	switch b.steps++; {
	case b.err != nil:
		return b.err
	case b.steps > maxSteps:
		return b.fail("takes more than %d steps", maxSteps)
	case time.Now().After(b.deadline):
		return b.fail("ran longer than %v", renderTime)
	}
	return nil
}

// written checks what has been written into a macro's or a set's value so far.
func (b *budget) written(w io.Writer) error {
	if l, ok := w.(interface{ Len() int }); ok && l.Len() > maxOutput {
		return b.fail("output is over %d bytes", maxOutput)
	}
	return nil
}

// functions are the global functions of a template.
func (b *budget) functions() map[string]any {
	f := map[string]any{
		"raise_exception": func(va *exec.VarArgs) *exec.Value {
			return exec.AsValue(b.fail("cannot be rendered: %s", va.First().String()))
		},
		"range": b.makeRange,
	}
	for _, name := range []string{"namespace", "dict", "joiner", "cycler"} {
		f[name], _ = builtins.GlobalFunctions.Get(name)
	}
	return f
}

// makeRange is Jinja's range as a list; the engine's own counts in a goroutine that nobody ends.
func (b *budget) makeRange(va *exec.VarArgs) *exec.Value {
	n := []int{0, 0, 1}
	for i, a := range va.Args {
		if !a.IsInteger() || i > 2 {
			return exec.AsValue(b.fail("cannot be rendered: range takes 1 to 3 integers"))
		}
		n[i] = a.Integer()
	}
	switch {
	case len(va.Args) == 0 || n[2] == 0:
		return exec.AsValue(b.fail("cannot be rendered: range takes 1 to 3 integers, the third not 0"))
	case len(va.Args) == 1:
		n[0], n[1] = 0, n[0]
	}
	start, stop, step := n[0], n[1], n[2]
	size := 0.0 // of float64: no difference of two integers overflows it
	if (step > 0) == (start < stop) && start != stop {
		size = (float64(stop) - float64(start)) / float64(step)
	}
	if size > maxItems {
		return exec.AsValue(b.fail("range of %.0f items, limit %d", size, maxItems))
	}
	list := []any{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		list = append(list, i)
		if len(list) >= maxItems {
			break
		}
	}
	return exec.AsValue(list)
}

// strftime formats a fixed day. Only what dates in chat templates use.
func strftime(day time.Time, format string) (string, error) {
	layouts := map[byte]string{
		'd': "02", 'b': "Jan", 'B': "January", 'm': "01", 'Y': "2006", 'y': "06", 'a': "Mon", 'A': "Monday",
		'H': "15", 'M': "04", 'S': "05", 'e': "_2", 'j': "002",
	}
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		layout, ok := layouts[format[i]]
		switch {
		case format[i] == '%':
			out.WriteByte('%')
		case !ok:
			return "", fmt.Errorf("strftime_now: %%%c is not supported", format[i])
		default:
			out.WriteString(day.Format(layout))
		}
	}
	return out.String(), nil
}
