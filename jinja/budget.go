package jinja

import "fmt"

// What a rendering may cost. Nothing depends on the clock: a template is refused on every machine or on none.
const (
	maxBrackets = 200       // nesting of brackets, and of values
	maxParse    = 500       // nesting of statements and expressions
	maxDepth    = 20_000    // evaluations inside each other, macro calls and loops included
	maxMacros   = 100       // macro calls inside each other
	maxNesting  = 200       // statements inside each other
	maxSteps    = 4_000_000 // statements, expressions, rounds of loops
	maxItems    = 100_000   // items of a range and of what a filter makes
	maxOutput   = 16 << 20  // bytes of one text
	maxWork     = 256 << 20 // bytes that a rendering makes or looks at, beside
	workFactor  = 64        // times what it was given
	maxBits     = 4096      // of an integer
)

// MaxText is the most bytes that a template may write, also into the value of a macro or a set.
const MaxText = maxOutput

// run is one rendering.
type run struct {
	vars    map[string]Value
	day     func(format string) (string, error)
	steps   int
	work    int
	limit   int
	depth   int
	macros  int
	nesting int
	line    int
	env     *env
	casers
	out *builder
}

func (in *run) fail(format string, args ...any) {
	panic(&Error{Line: in.line, Text: fmt.Sprintf(format, args...)})
}

func (in *run) step() {
	if in.steps++; in.steps > maxSteps {
		in.fail("takes more than %d steps", maxSteps)
	}
}

// charge pays for n bytes, or for things about as large, before they are made or looked at.
func (in *run) charge(n int) {
	in.work += n
	if in.work > in.limit || n < 0 {
		in.fail("works on more than %d bytes", in.limit)
	}
}

// items pays for n items of a list.
func (in *run) items(n int) {
	if n > maxItems {
		in.fail("%d items, limit %d", n, maxItems)
	}
	in.charge(16 * n)
}

func (in *run) checkText(n int) {
	if n > maxOutput {
		in.fail("output is over %d bytes", maxOutput)
	}
}

// text pays for a text of n bytes.
func (in *run) text(n int) {
	in.checkText(n)
	in.charge(n)
}
