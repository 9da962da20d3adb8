package record

// What somebody says of rows, where their keys do not say it, or not enough.

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"criticrm/internal/spell"
	"criticrm/strictjson"
)

// Ways to make pairs of several responses in order.
const (
	RankedEnds = "ends" // the best against the worst
	RankedBest = "best" // the best against each other one
	RankedAll  = "all"  // each against each that is behind it
	RankedList = "list" // no pairs: each response by itself, with its place in the list
)

// Layout says how rows are read. The zero value leaves it to their keys.
type Layout struct {
	Schema  string `yaml:"schema" json:"schema,omitempty" group:"Layout" help:"layout of the rows, by its name in docs/data.md; empty: by their columns"`
	Columns string `yaml:"columns" json:"columns,omitempty" help:"columns that have other names, as chosen=good,rejected=bad: the name that is known, then the one in the file"`
	Ranked  string `yaml:"ranked" json:"ranked,omitempty" help:"pairs made of a row with several responses in order: ends (the best against the worst), best (against each other one) or all (each against each behind it), or list (no pairs: each response by itself, with list_id and rank); empty: ends"`
}

// String is what was said, as flags.
func (l Layout) String() string {
	var words []string
	for _, f := range [...]struct{ name, value string }{{"schema", l.Schema}, {"columns", l.Columns}, {"ranked", l.Ranked}} {
		if f.value != "" {
			words = append(words, f.name+" "+f.value)
		}
	}
	if words == nil {
		return "none given"
	}
	return strings.Join(words, ", ")
}

// Validate checks what does not need rows.
func (l Layout) Validate() error {
	_, _, err := l.parse()
	return err
}

// parse is the schema that is named (nil: none) and the new names of columns, by the file's.
func (l Layout) parse() (s *Schema, rename map[string]string, err error) {
	if l.Schema != "" {
		if s, err = schemaOf(l.Schema); err != nil {
			return nil, nil, err
		}
	}
	switch l.Ranked {
	case "", RankedEnds, RankedBest, RankedAll, RankedList:
	default:
		return nil, nil, fmt.Errorf("ranked: got %.40q, want %s, %s, %s or %s", l.Ranked, RankedEnds, RankedBest, RankedAll, RankedList)
	}
	taken := map[string]string{}
	for _, item := range strings.Split(l.Columns, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		to, from, ok := strings.Cut(item, "=")
		to, from = strings.TrimSpace(to), strings.TrimSpace(from)
		if !ok || to == "" || from == "" {
			return nil, nil, fmt.Errorf("columns: got %.40q, want KNOWN=FILE'S, as chosen=good,rejected=bad", item)
		}
		if was, twice := rename[from]; twice {
			return nil, nil, fmt.Errorf("columns: %q is to be both %q and %q", from, was, to)
		}
		if known := nameable(); !slices.Contains(known, to) {
			return nil, nil, fmt.Errorf("columns: %.40q is no column that is known%s (KNOWN=FILE'S, as chosen=good)", to, spell.Hint(to, known))
		}
		if was, twice := taken[to]; twice {
			return nil, nil, fmt.Errorf("columns: %q and %q are both to be %q", was, from, to)
		}
		taken[to] = from
		if rename == nil {
			rename = map[string]string{}
		}
		rename[from] = to
	}
	return s, rename, nil
}

// renamed gives columns their new names. Every one of them must be there, and none may take the name of another that keeps it.
func renamed(members []strictjson.Member, rename map[string]string) ([]strictjson.Member, error) {
	if len(rename) == 0 {
		return members, nil
	}
	found := map[string]bool{}
	seen := map[string]bool{}
	var names []string
	for i, m := range members {
		names = append(names, m.Key)
		if to, ok := rename[m.Key]; ok {
			members[i].Key, found[m.Key] = to, true
		}
		if seen[members[i].Key] {
			return nil, badField("%q: two columns have this name, one of them by --columns", clip(members[i].Key))
		}
		seen[members[i].Key] = true
	}
	for _, from := range slices.Sorted(maps.Keys(rename)) {
		if !found[from] {
			return nil, badField("key %q is missing, which --columns calls %q%s", clip(from), clip(rename[from]), spell.Hint(from, names))
		}
	}
	return members, nil
}

// nameable lists the columns that another one may stand for: those of every row, of the layouts, of prompts, and the harmless ones.
func nameable() []string {
	names := append(PromptColumns(), harmlessColumns()...)
	for _, c := range columns() {
		names = append(names, c.key)
	}
	for _, s := range schemas() {
		names = append(append(names, s.Keys...), s.Reads...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
