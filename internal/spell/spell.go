// Package spell finds the word that somebody meant.
package spell

// Nearest is the candidate with the smallest edit distance (Levenshtein); the first of equals.
func Nearest(name string, candidates []string) string {
	best, least := "", 1<<30
	for _, c := range candidates {
		row := make([]int, len(c)+1)
		for j := range row {
			row[j] = j
		}
		for i := range len(name) {
			diagonal := row[0]
			row[0] = i + 1
			for j := range len(c) {
				cost := diagonal
				if name[i] != c[j] {
					cost++
				}
				diagonal = row[j+1]
				row[j+1] = min(cost, row[j]+1, row[j+1]+1)
			}
		}
		if row[len(c)] < least {
			best, least = c, row[len(c)]
		}
	}
	return best
}
