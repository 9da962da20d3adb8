package jinja

// The parsed template. Names are bound to variables before anything is rendered (bind.go).

type expr interface{}

type (
	constant struct{ v Value }
	name     struct {
		name string
		line int
		ref  ref
	}
	nsRef struct { // ns.attr, assigned to
		name, attr string
		line       int
		ref        ref
	}
	tupleExpr struct{ items []expr }
	listExpr  struct{ items []expr }
	dictExpr  struct{ keys, values []expr }
	condExpr  struct {
		test, yes, no expr // no may be nil
		line          int
	}
	logic struct {
		or          bool
		left, right expr
	}
	not     struct{ x expr }
	compare struct {
		x    expr
		ops  []string
		with []expr
		line int
	}
	binary struct {
		op          string
		left, right expr
		line        int
	}
	unary struct {
		op   string
		x    expr
		line int
	}
	concat  struct{ items []expr }
	getattr struct {
		x    expr
		name string
		line int
	}
	getitem struct {
		x, key expr
		folded bool // Jinja2 computes it before rendering: a slice of what has none is undefined then, not an error
		line   int
	}
	sliceExpr struct{ start, stop, step expr } // parts may be nil
	call      struct {
		f    expr
		args callArgs
		line int
	}
	filter struct {
		x    expr // nil: what a block wrote
		name string
		args callArgs
		soft bool // an unknown name is an error only where it is reached
		line int
	}
	test struct {
		x    expr
		name string
		args callArgs
		soft bool
		line int
	}
	callArgs struct {
		pos   []expr
		names []string
		named []expr
		list  expr // *list
		dict  expr // **dict
	}
)

type stmt interface{}

type (
	output struct {
		items []expr // data is *constant
		line  int
	}
	setStmt struct {
		target expr
		value  expr
		line   int
	}
	setBlock struct {
		target expr
		filter *filter
		body   []stmt
		line   int
		frame  []load
	}
	forStmt struct {
		target, iter, test expr
		testTarget         expr // target, bound in the scope of the test
		body, els          []stmt
		recursive          bool
		line               int

		loop     ref // of the variable loop, where the body uses it
		extended bool
		frame    []load
		elsFrame []load
		testFn   *function
		fn       *function // of a recursive loop
		testLoad []load
	}
	ifStmt struct {
		test expr
		body []stmt
		elif []*ifStmt
		els  []stmt
		line int
	}
	macroStmt struct {
		name     string // "" for the body of a call
		ref      ref
		args     []*name
		defaults []expr
		body     []stmt
		line     int

		fn                       *function
		frame                    []load
		caller, kwargs, varargs  bool
		callerRef, kwRef, argRef ref
	}
	callStmt struct {
		macro *macroStmt
		call  *call // nil: {% generation %}
		line  int
	}
	filterStmt struct {
		filter *filter
		body   []stmt
		line   int
		frame  []load
	}
	withStmt struct {
		targets, values []expr
		body            []stmt
		line            int
		frame           []load
	}
	jump struct {
		brk  bool
		line int
	}
)
