package record

// What rows look like in files: the table of schemas. A new one is a file with a Schema and a line in the table.

import (
	"fmt"
	"slices"
	"strings"

	"criticrm/internal/spell"
	"criticrm/strictjson"
)

// Schema is one layout of rows.
type Schema struct {
	Name string // for messages, and for Layout.Schema
	// Group is of layouts that one file may mix; "": it may not be mixed.
	Group string

	// What docs/data.md says of it, in Markdown: what a row has, what it is good for (one of the For… constants, or another use), and whose
	// layout it is.
	Has, For, From string

	// Keys are what a row must have. A row that is of no layout is told which of them it lacks of the nearest one.
	Keys []string
	// Reads are the keys that this layout has of its own, beside those of every row (columns.go). No other one can be asked for.
	Reads []string
	// Keeps are keys of this layout that nobody reads and that nobody need be told of: they stay in the row.
	Keeps []string

	// is says whether a row has this layout, by its keys and their types; nil: if it has Keys. Of several the first in the table is taken.
	is func(*row) bool
	// decode makes records of a row, with what the layout has: texts, labels and critiques. It may make several, or none (an aside). nil: the
	// layout is known and not read.
	decode func(*row) ([]*Record, error)
	// join makes one record of two rows that stand one behind the other, of which decode has made a record each; nil: a row stands for itself.
	// AsideAlone says that the two do not belong together: the second may belong to the one behind it.
	join func(first, second *Record) (*Record, error)
	// instead is what to do with rows of a layout that is not read.
	instead string
}

// What layouts are good for.
const (
	ForPairs     = "every command"
	ForResponses = "`score`; `eval` with labels; `train` with method sft"
	ForDocuments = "`train` with method lm or sft"
	ForProblems  = "`synth`; `train` with method sft"
	ForBenchmark = "`eval`, by the rule of a public benchmark"
)

// schemas is the table. What must be told apart by more keys comes first; the layouts that are refused by name come last.
func schemas() []*Schema {
	return []*Schema{
		&ofBenchmark,
		&rewardBench,
		&rewardBench2,
		&rmBench,
		&judgeBench,
		&rmbPairs,
		&rmbBestOfN,
		&ppePreference,
		&ppeCorrectness,
		&llmBar,
		&crossEval,
		&criticBench,
		&qaFeedback,
		&CLoud,
		&ShareGPTRanking,
		&AlpacaRanking,
		&Axolotl,
		&Conversations,
		&Dialogues,
		&Pairs,
		&HelpSteerPreference,
		&HelpSteer3,
		&HelpSteer,
		&UltraFeedback,
		&ArgillaBinarized,
		&NeMoRanked,
		&Nectar,
		&Arena,
		&Arena55k,
		&AlpacaFarm,
		&PKUSafeRLHF,
		&SHP,
		&WebGPT,
		&Responses,
		&ShareGPT,
		&Alpaca,
		&Tokens,
		&Messages,
		&Text,
		&GSM8K,
		&GSM8KSolutions,
		&MATH,
		&Results,
		&PromptOnly,
		&NeMoAligner,
		&Texts,
		&tokenPairs,
		&stepwise,
	}
}

// one is the decode of a layout whose rows are one record each.
func one(decode func(*Record, *row) error) func(*row) ([]*Record, error) {
	return func(r *row) ([]*Record, error) {
		rec := &Record{}
		if err := decode(rec, r); err != nil {
			return nil, err
		}
		return []*Record{rec}, nil
	}
}

// aside is the reason why a row, or a part of one, that is as it should be gives no record: it is counted in Found.Aside, and no error.
type aside string

func (a aside) Error() string { return string(a) }

// String is the name.
func (s *Schema) String() string {
	if s == nil {
		return "unknown"
	}
	return s.Name
}

// Schemas lists the layouts that are read, in the order in which they are tried.
func Schemas() []*Schema {
	return slices.DeleteFunc(schemas(), func(s *Schema) bool { return s.decode == nil })
}

// schemaOf is the schema of a name, of those that are read. Case does not count, nor whether words are parted by spaces or dashes.
func schemaOf(name string) (*Schema, error) {
	plain := func(s string) string { return strings.NewReplacer(" ", "-", "_", "-").Replace(strings.ToLower(s)) }
	var names []string
	for _, s := range Schemas() {
		if plain(s.Name) == plain(name) {
			return s, nil
		}
		names = append(names, s.Name)
	}
	hint := ""
	if near := spell.Nearest(name, names); near != "" {
		hint = fmt.Sprintf(", did you mean %q?", near)
	}
	return nil, fmt.Errorf("schema: %.60q is not known%s: want one of %s", name, hint, strings.Join(names, "; "))
}

// mixes says whether a file may hold rows of both layouts.
func (s *Schema) mixes(other *Schema) bool {
	return s == other || s.Group != "" && s.Group == other.Group
}

// fits says whether a row has the layout.
func (s *Schema) fits(r *row) bool {
	if s.is != nil {
		return s.is(r)
	}
	return r.lacks(s.Keys) == nil
}

// lacks lists those of the keys that have no value.
func (r *row) lacks(keys []string) (missing []string) {
	for _, key := range keys {
		if !r.has(key) {
			missing = append(missing, key)
		}
	}
	return missing
}

// detect finds the schema of a row, or says what is missing.
func detect(r *row) (*Schema, error) {
	for _, s := range schemas() {
		if !s.fits(r) {
			continue
		}
		if s.decode == nil {
			return nil, badField("this looks like the %s format, which is not read: %s", s.Name, s.instead)
		}
		return s, nil
	}
	return nil, r.nearest()
}

// nearest is the error of a row that has no layout: what it lacks of the nearest one, which has more than half of its keys here.
func (r *row) nearest() error {
	if r.kind("prompt") == "null" {
		return r.missing("prompt")
	}
	for _, m := range r.members { // a layout of one key is near only where its name is
		if c, ok := r.columns.like(m.Key); ok && r.kind(c.key) == "" && slices.Contains([]string{"text", "input_ids", "messages"}, c.key) {
			return r.missing(c.key)
		}
	}
	var near *Schema
	var least []string
	for _, s := range append([]*Schema{&Pairs}, Schemas()...) { // the first of those that are equally near
		missing := r.lacks(s.Keys)
		if len(missing) == 0 || 2*len(missing) >= len(s.Keys) {
			continue
		}
		if near == nil || len(missing) < len(least) || len(missing) == len(least) && len(s.Keys) > len(near.Keys) {
			near, least = s, missing
		}
	}
	if missing := r.lacks(Pairs.Keys); near == nil && len(missing) < len(Pairs.Keys) {
		near, least = &Pairs, missing
	}
	free := r.free()
	misspelt := func(m strictjson.Member) bool { return near != nil && strings.EqualFold(m.Key, least[0]) }
	switch {
	case near == nil:
		return badField("no known layout: the row has %s; say what is what with --columns, as prompt=…,chosen=…,rejected=…", names(r.keys()))
	case slices.ContainsFunc(r.members, misspelt): // in case, or it is null
		return r.missing(least[0])
	case len(free) == 1 && len(least) == 1:
		return badField("%w, the nearest layout is %s; if %s holds it: --columns %s=%s", r.missing(least[0]), near, names(free), least[0], clip(free[0]))
	}
	return badField("%w, the nearest layout is %s", r.missing(least[0]), near)
}

// keys lists the row's keys.
func (r *row) keys() (keys []string) {
	for _, m := range r.members {
		keys = append(keys, m.Key)
	}
	return keys
}

// free lists the keys of texts, lists and objects that no column is called: one of them may hold what a layout lacks.
func (r *row) free() (keys []string) {
	for _, m := range r.members {
		_, known := r.columns.of(m.Key)
		if kind := r.kind(m.Key); !known && !isEmpty(m.Raw) && (kind == "string" || kind == "array" || kind == "object") &&
			!slices.Contains(harmlessColumns(), m.Key) && !slices.Contains(PromptColumns(), m.Key) {
			keys = append(keys, m.Key)
		}
	}
	return keys
}

// names are some keys for a message, in quotes.
func names(keys []string) string {
	const most = 120
	var b strings.Builder
	for i, key := range keys {
		word := fmt.Sprintf("%.30q", key)
		if b.Len()+len(word) > most {
			fmt.Fprintf(&b, " and %d more", len(keys)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(word)
	}
	if b.Len() == 0 {
		return "no columns"
	}
	return b.String()
}
