package record

// Scores of responses, as people or a judge gave them: what regression learns.

import (
	"slices"
	"strings"

	"criticrm/strictjson"
)

// scoreNames are what scores are called where nobody says it.
var scoreNames = []string{"score", "rating", "avg_rating", "helpfulness"}

// ScoreColumns are the columns that may hold the scores called name, or, if it is empty, those by one of the usual names (score, rating, avg_rating,
// helpfulness): name for a single response; name_chosen, chosen_name and chosen-name for that side of a pair, and a member name of the object
// chosen_ratings; likewise for the other side.
func ScoreColumns(name string) (columns []string) {
	for _, s := range [...]Side{Single, Chosen, Rejected} {
		for _, n := range namesOf(name) {
			columns = append(columns, sideColumns(s, n)...)
		}
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}

func namesOf(name string) []string {
	if name != "" {
		return []string{name}
	}
	return scoreNames
}

// sideColumns are the columns with the score of a side; the last of a pair's is an object.
func sideColumns(s Side, name string) []string {
	if s == Single {
		return []string{name}
	}
	side := s.String()
	return []string{name + "_" + side, side + "_" + name, side + "-" + name, side + "_ratings"}
}

// Score is the score of a side's response, in one of the columns of [ScoreColumns]. A row without one, with several, or with one that is no number
// has an error that says what to do.
func (r *Record) Score(s Side, name string) (float64, error) {
	var found []string
	var raw []byte
	for _, n := range namesOf(name) {
		for _, column := range sideColumns(s, n) {
			value, ok := r.Extra(column)
			if ok && s != Single && column == s.String()+"_ratings" {
				value, ok = memberOf(value, n)
				column += "." + n
			}
			if ok && !isEmpty(value) {
				found, raw = append(found, column), value
			}
		}
	}
	switch {
	case len(found) == 0 && name != "":
		return 0, r.Fault("%s: no score: the row has none of the columns %s (score_column %s)", s, strings.Join(sideColumns(s, name), ", "), name)
	case len(found) == 0:
		return 0, r.Fault("%s: no score: name its column with score_column", s)
	case len(found) > 1:
		return 0, r.Fault("%s: %s could all be its score: say which with score_column", s, strings.Join(found, " and "))
	}
	v, err := number(found[0], raw)
	if err != nil {
		return 0, r.Fault("%v", err)
	}
	return v, nil
}

// memberOf is a member of an object.
func memberOf(raw []byte, key string) ([]byte, bool) {
	if strictjson.KindOf(raw) != "object" {
		return nil, false
	}
	var members []strictjson.Member
	checked(raw, func(v *strictjson.Reader) (err error) { members, err = v.Members(); return err })
	i := slices.IndexFunc(members, func(m strictjson.Member) bool { return m.Key == key })
	if i < 0 {
		return nil, false
	}
	return members[i].Raw, true
}
