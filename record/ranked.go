package record

// Pairs of what other layouts hold: two responses and which is better, or several in order.

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"criticrm/strictjson"
)

// Reasons of rows, or of pairs in rows, that are set aside.
const (
	AsideTie     aside = "without a preference (ties)"
	AsideEqual   aside = "with two equal responses"
	AsideFew     aside = "with fewer than two responses that are rated"
	AsideApart   aside = "with two conversations that part before their last turn"
	AsideAlone   aside = "without the row beside it that has the other response"
	AsideUnrated aside = "responses that are empty or have no rating"
	AsidePicture aside = "with pictures"
)

// asideRanked is the reason of pairs that the choice of Layout.Ranked leaves out.
func asideRanked(choice string) aside {
	return aside(fmt.Sprintf("pairs of responses in order, which --ranked %s does not take", choice))
}

// preferred is the record of two responses in the order in which the row has them: the second is the better one if better is above 0, the first if it
// is below; 0 is a tie.
func preferred(p Prompt, first, second string, better float64) ([]*Record, error) {
	rec := &Record{Prompt: p, Chosen: first, Rejected: second}
	switch {
	case better == 0:
		return nil, AsideTie
	case better > 0:
		rec.Chosen, rec.Rejected = second, first
	}
	if err := rec.differs(); err != nil {
		return nil, err
	}
	return shown([]*Record{rec}, better > 0), nil
}

// twoTexts is preferred for a row with the keys of a prompt and of two texts.
func (r *row) twoTexts(prompt, first, second string, better float64) ([]*Record, error) {
	p, err := r.promptAt(prompt)
	if err != nil {
		return nil, err
	}
	return r.twoOf(p, first, second, better)
}

// twoOf is preferred for the keys of two texts.
func (r *row) twoOf(p Prompt, first, second string, better float64) ([]*Record, error) {
	a, err := r.anyText(first)
	if err != nil {
		return nil, err
	}
	b, err := r.anyText(second)
	if err != nil {
		return nil, err
	}
	if better == 0 {
		return nil, AsideTie // an empty response may be the reason
	}
	for _, x := range [...]struct{ key, text string }{{first, a}, {second, b}} {
		if strings.TrimSpace(x.text) == "" {
			return nil, badField("%q is empty", x.key)
		}
	}
	return preferred(p, a, b, better)
}

// needNumber is a number that must be there. It stays in the row where such a column is harmless, as a number also where the row had a text for it.
func (r *row) needNumber(key string) (float64, error) {
	raw, ok := r.get(key)
	r.kept[key] = slices.Contains(harmlessColumns(), key)
	if !ok {
		return 0, r.missing(key)
	}
	raw = r.typed(raw, "number")
	for i := range r.members {
		if r.members[i].Key == key {
			r.members[i].Raw = raw
		}
	}
	return number(key, raw)
}

// oneOf is a number that must be one of those named.
func (r *row) oneOf(key string, names ...float64) (float64, error) {
	v, err := r.needNumber(key)
	if err == nil && !slices.Contains(names, v) {
		err = badField("%q: got %v, want one of %v", key, v, names)
	}
	return v, err
}

// answer is one of several responses.
type answer struct {
	text  string
	place float64 // the lower, the better
	raw   []byte  // the rank or score, as it is written
}

// models names the models of the two sides, of which the row has model_a and model_b.
func (r *row) models(list []*Record, better float64) {
	chosen, rejected := "model_a", "model_b"
	if better > 0 {
		chosen, rejected = rejected, chosen
	}
	for _, rec := range list {
		for _, m := range [...]struct{ key, from string }{{"chosen_model", chosen}, {"rejected_model", rejected}} {
			if raw, ok := r.get(m.from); ok && !r.has(m.key) {
				rec.SetExtra(m.key, raw)
			}
		}
	}
}

// ranked makes pairs of responses in order, as Layout.Ranked says. Of each pair the ranks or scores are kept, as NAME_chosen and NAME_rejected.
func (r *row) ranked(p Prompt, list []answer, name string) (out []*Record, err error) {
	if len(list) < 2 {
		return nil, AsideFew
	}
	slices.SortStableFunc(list, func(a, b answer) int { return cmp.Compare(a.place, b.place) })
	choice := RankedEnds
	if r.layout != nil && r.layout.Ranked != "" {
		choice = r.layout.Ranked
	}
	if choice == RankedList {
		return listed(p, list, name), nil
	}
	left := 0
	for i, a := range list {
		for j, b := range list[i+1:] {
			j += i + 1
			if choice != RankedAll && i > 0 || choice == RankedEnds && j < len(list)-1 {
				left++
				continue
			}
			switch {
			case a.place == b.place:
				r.aside(AsideTie, 1)
				continue
			case a.text == b.text:
				r.aside(AsideEqual, 1)
				continue
			}
			rec := &Record{Prompt: p, Chosen: a.text, Rejected: b.text}
			rec.SetExtra(name+"_chosen", a.raw)
			rec.SetExtra(name+"_rejected", b.raw)
			out = append(out, rec)
		}
	}
	if left > 0 {
		r.aside(asideRanked(choice), left)
	}
	return out, nil
}

// Columns of a response that stands in a list of ranked ones: decode gives the list's, which is the row's id.
const (
	ListColumn = "list_id" // equal of the responses of a list, which stand one behind the other
	RankColumn = "rank"    // from 1, the best; equal ones are tied
)

// listed are the responses of a list, each by itself; name is rank, or what is kept beside it.
func listed(p Prompt, list []answer, name string) (out []*Record) {
	rank := 0
	for i, a := range list {
		if i == 0 || a.place != list[i-1].place {
			rank = i + 1
		}
		rec := &Record{Prompt: p, Response: &a.text, listed: true}
		rec.SetExtra(RankColumn, strconv.AppendInt(nil, int64(rank), 10))
		if name != RankColumn {
			rec.SetExtra(name, a.raw)
		}
		out = append(out, rec)
	}
	return out
}

// Place is the list in which a single response stands and its rank there, the lower, the better; list is empty if it stands in none.
func (r *Record) Place() (list string, rank float64, err error) {
	raw, ok := r.Extra(ListColumn)
	if !ok || isEmpty(raw) {
		return "", 0, nil
	}
	switch strictjson.KindOf(raw) {
	case "string":
		list = str(raw)
	case "number":
		list = string(raw)
	default:
		return "", 0, r.Fault("%q: got %s, want a text or a number", ListColumn, strictjson.KindOf(raw))
	}
	raw, ok = r.Extra(RankColumn)
	if !ok {
		return "", 0, r.Fault("key %q is missing, beside %q", RankColumn, ListColumn)
	}
	if rank, err = number(RankColumn, raw); err != nil {
		return "", 0, r.Fault("%v", err)
	}
	return list, rank, nil
}

// objects are the items of a list, each of which must be an object.
func (r *row) objects(key, of string) (out []*row, err error) {
	list, err := r.list(key, of)
	if err != nil {
		return nil, err
	}
	if list == nil {
		return nil, r.missing(key)
	}
	for i, item := range list {
		if kind := strictjson.KindOf(item); kind != "object" {
			return nil, badField("%q: got %s, want object", fmt.Sprintf("%s[%d]", key, i), kind)
		}
		out = append(out, r.nested(item))
	}
	r.parts = append(r.parts, parts{key, out})
	return out, nil
}

// inside says in which item of a list a fault is.
func inside(key string, i int, err error) error {
	if err != nil {
		err = badField("%s[%d]: %w", key, i, err)
	}
	return err
}
