package report

// Pairs that two evaluations have in common.

import (
	"fmt"
	"strings"

	"criticrm/measure"
	"criticrm/record"
)

// matched are the places of the same pairs in two lists.
type matched struct {
	a, b    []int
	records []*record.Record // of the first list
	other   int              // pairs of either list that the other one has not
}

// match finds pairs with the same id and the same texts; of pairs that are there twice, the first belongs to the first.
func match(a, b []*record.Record) matched {
	places := map[string][]int{}
	for i, r := range b {
		key := identity(r)
		places[key] = append(places[key], i)
	}
	var m matched
	for i, r := range a {
		key := identity(r)
		list := places[key]
		if len(list) == 0 {
			continue
		}
		places[key] = list[1:]
		m.a, m.b, m.records = append(m.a, i), append(m.b, list[0]), append(m.records, r)
	}
	m.other = len(a) + len(b) - 2*len(m.a)
	return m
}

func identity(r *record.Record) string {
	return string(hashOf(strings.Join([]string{r.ID, r.Prompt.Key(), r.Chosen, r.Rejected}, "\x00")))
}

// count says how many pairs are compared, and how many are not.
func (m matched) count() string {
	if m.other == 0 {
		return fmt.Sprint(len(m.a))
	}
	return fmt.Sprintf("%d (%d are in one of the two alone)", len(m.a), m.other)
}

// take gives the values at the places.
func take(values []float64, places []int) []float64 {
	out := make([]float64, len(places))
	for i, p := range places {
		out[i] = values[p]
	}
	return out
}

// difference is the first list's values minus the second's, paired.
func (m matched) difference(o measure.EvalOptions, a, b []float64) measure.Estimate {
	boot := measure.NewBootstrap(m.records, o.Draws, o.Level, o.Seed)
	return boot.Difference(take(a, m.a), take(b, m.b))
}
