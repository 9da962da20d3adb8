package record

import (
	"slices"
	"strings"
	"testing"
)

// TestNumbersOfTables: numbers that decide which response is better are texts in a table, and stand for what they spell.
func TestNumbersOfTables(t *testing.T) {
	for _, c := range []struct {
		schema *Schema
		table  string
		want   []string
	}{
		{&Arena55k, `id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie
7,m,n,"[""p""]","[""c""]","[""r""]",1,0,0
8,m,n,"[""p""]","[""r""]","[""c""]",0,1,0
9,m,n,"[""p""]","[""r""]","[""c""]",0,0,1
`, []string{`{"chosen_model":"m","rejected_model":"n","id":"7","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`,
			`{"chosen_model":"n","rejected_model":"m","id":"8","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`}},
		{&HelpSteerPreference, "prompt,response_1,response_2,preference_strength\np,c,r,-2\np,r,c,1\n",
			[]string{`{"prompt":"p","preference_strength":-2,"id":"row-2","chosen":"c","rejected":"r"}`, `{"prompt":"p","preference_strength":1,"id":"row-3","chosen":"c","rejected":"r"}`}},
		{&HelpSteer, "prompt,response,helpfulness,correctness,coherence,complexity,verbosity\np,r,1,2,3,4,5\np,c,2.0,2,3,4,5\n",
			[]string{`{"chosen_ratings":{"helpfulness":2,"correctness":2,"coherence":3,"complexity":4,"verbosity":5},"rejected_ratings":{"helpfulness":1,"correctness":2,"coherence":3,"complexity":4,"verbosity":5},"id":"row-2","prompt":"p","chosen":"c","rejected":"r"}`}},
		{&PKUSafeRLHF, "prompt,response_0,response_1,better_response_id,safer_response_id\np,r,c,1,0\n",
			[]string{`{"prompt":"p","better_response_id":1,"safer_response_id":"0","id":"row-2","chosen":"c","rejected":"r"}`}},
		{&AlpacaFarm, "instruction,output_1,output_2,preference\np,r,c,2\n", []string{`{"id":"row-2","prompt":"p","chosen":"c","rejected":"r"}`}},
		{&WebGPT, "question,answer_0,answer_1,score_0,score_1\np,c,r,0.5,-0.5\n", []string{`{"score_0":0.5,"score_1":-0.5,"id":"row-2","prompt":"p","chosen":"c","rejected":"r"}`}},
	} {
		r, err := NewReader(strings.NewReader(c.table), "f.csv", ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for rec, err := range r.Records() {
			if err != nil {
				t.Errorf("%s: %v", c.schema.Name, err)
				break
			}
			line, err := rec.AppendJSON(nil)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(line))
		}
		if r.Schema != c.schema || !slices.Equal(got, c.want) {
			t.Errorf("%v, want %s; got\n%s\nwant\n%s", r.Schema, c.schema.Name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}
