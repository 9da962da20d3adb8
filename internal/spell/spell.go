// Package spell finds the word that somebody meant.
package spell

import (
	"fmt"
	"strings"
)

// Hint is `, did you mean "…"?` with the candidate that is nearest to name, or nothing where none is near: a guess that is far off sends
// people the wrong way.
func Hint(name string, candidates []string) string {
	if best := Nearest(name, candidates); best != "" {
		return fmt.Sprintf(", did you mean %q?", best)
	}
	return ""
}

// Nearest is the candidate with the smallest edit distance (Levenshtein) to name, the first of equals, or the first that begins with name.
// It is empty where more than a third of the letters would have to change.
func Nearest(name string, candidates []string) string {
	best, least := "", (len(name)+2)/3+1
	for _, c := range candidates {
		if d := distance(name, c); d < least {
			best, least = c, d
		}
	}
	for _, c := range candidates {
		if best == "" && len(name) >= 3 && strings.HasPrefix(c, name) {
			best = c
		}
	}
	return best
}

// distance counts the letters that are put in, left out or exchanged.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
