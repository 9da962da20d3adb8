package pipeline

// Held-out rows of a public benchmark: what each method has by its own rule. Averages over pairs that are not its score are not printed.

import (
	"fmt"

	"criticrm/measure"
)

// Official is a method by the rule of a public benchmark.
type Official struct {
	Method string          `json:"method"`
	Round  int             `json:"round,omitempty"` // of Critic-RM
	M      int             `json:"m"`               // critiques of a response that are averaged; 0: none
	Scores []measure.Score `json:"scores"`          // the first is the one that is quoted
}

// official lists what the scores of a rival are, and those of the lengths if they are wanted.
func (v *rival) official(length bool) (list []Official) {
	if v.bench == nil {
		return nil
	}
	for _, m := range v.bench.Methods {
		name := map[string]string{"reward": v.method, "judge": v.judged}[m.Name]
		if m.Name == "length" && length {
			name = MethodLength
		}
		if name != "" {
			list = append(list, Official{name, v.round, m.Samples, m.Scores})
		}
	}
	return list
}

// officialTable is their table, the head first, with so many scores of each at most.
func (res *Results) officialTable(scores int) (table [][]string) {
	for i, o := range res.Official {
		list := o.Scores[:min(scores, len(o.Scores))]
		if i == 0 {
			head := []string{"method", "m"}
			for _, s := range list {
				head = append(head, s.Name)
			}
			table = append(table, head)
		}
		row := []string{o.Method, "-"}
		if o.Round > 0 && len(res.Rounds) > 1 {
			row[0] += fmt.Sprintf(", round %d", o.Round)
		}
		if o.M > 0 {
			row[1] = fmt.Sprint(o.M)
		}
		for _, s := range list {
			row = append(row, s.String())
		}
		table = append(table, row)
	}
	return table
}
