package record

// What is written must be read as itself: the layout of a record's line.

import (
	"slices"

	"criticrm/strictjson"
)

// home is the layout that a record is written in.
func (rec *Record) home() *Schema {
	switch d := rec.Document; {
	case rec.Benchmark != nil:
		return &ofBenchmark
	case d == nil && rec.Paired():
		return &Pairs
	case d == nil:
		return &Responses
	case d.IDs != nil:
		return &Tokens
	case d.Messages != nil:
		return &Messages
	}
	return &Text
}

// readsBack refuses a record that would be taken for another layout once it is written, by what the row has beside it: a later step would read
// something else.
func (rec *Record) readsBack(table table) error {
	if rec.Paired() && isDialogue(rec.Chosen) && isDialogue(rec.Rejected) {
		return badField("both responses are transcripts with Human: and Assistant: themselves, which a later step would take apart")
	}
	var members []strictjson.Member
	mine := map[string]bool{}
	for _, c := range table {
		if c.has != nil && c.has(rec) {
			raw := []byte(`"x"`) // its type is all that counts
			if c.key == "benchmark" {
				var e encoder
				c.write(&e, rec)
				raw = e.b
			}
			if slices.Contains([]string{"messages", "input_ids", "weights"}, c.key) {
				raw = []byte(`[0]`)
			}
			members, mine[c.key] = append(members, strictjson.Member{Key: c.key, Raw: raw}), true
		}
	}
	for _, m := range rec.order {
		if m.raw != nil && !mine[m.key] {
			members = append(members, strictjson.Member{Key: m.key, Raw: m.raw})
		}
	}
	r := newRow(members, table, 1)
	home := rec.home()
	for _, s := range schemas() {
		if !s.fits(r) {
			continue
		}
		if s == home {
			return nil
		}
		keys := slices.DeleteFunc(slices.Clone(s.Keys), func(key string) bool { return mine[key] || !r.has(key) })
		return badField("the row is of the layout %s, too, as which a later step would read it: take %s out", s, names(keys))
	}
	return badField("a later step could not read the row as %s, because of its other columns: take out what is not of that layout", home)
}
