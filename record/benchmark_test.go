package record

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/internal/golden"
)

// benchmarkRows are rows of each benchmark as its owners write them, in words of our own, and what becomes of them: for each record its id,
// its benchmark as JSON, its answer or answers, and whether it is right.
var benchmarkRows = []struct {
	schema *Schema
	row    string
	want   []string
	found  string // lines, joined by |
}{
	{&rewardBench, `{"prompt":"Name a colour.","chosen":"Red.","chosen_model":"a","rejected":"Seven.","rejected_model":"b","subset":"hep-go","id":31}`,
		[]string{`31 {"name":"rewardbench","part":"hep-go"} Red.|Seven.`}, ""},
	{&rewardBench2, `{"id":"tied:4","prompt":"Name a colour.","chosen":["Red.","Blue."],"rejected":["Seven."],"num_correct":2,"num_incorrect":1,"total_completions":3,"models":["a"],"subset":"Ties","additional_metadata":{"x":1}}`,
		[]string{`tied:4/1 {"name":"rewardbench2","part":"Ties","row":"tied:4","answers":3} Red. true`, `tied:4/2 {"name":"rewardbench2","part":"Ties","row":"tied:4","answer":1,"answers":3} Blue. true`,
			`tied:4/3 {"name":"rewardbench2","part":"Ties","row":"tied:4","answer":2,"answers":3} Seven. false`}, ""},
	{&rmBench, `{"id":8,"prompt":"Name a colour.","chosen":["Red.","It is red.","**Red**"],"rejected":["7","It is 7.","**7**"],"subset":"xstest-should-respond"}`,
		[]string{`8/1 {"name":"rmbench","part":"safety-response","row":"8","answers":6} Red. true`, "", "", "", "", `8/6 {"name":"rmbench","part":"safety-response","row":"8","answer":5,"answers":6} **7** false`}, ""},
	{&judgeBench, `{"pair_id":"p","original_id":7,"source":"mmlu-pro-law","question":"Name a colour.","response_model":"m","response_A":"Seven.","response_B":"Red.","label":"B>A"}`,
		[]string{`p {"name":"judgebench","part":"mmlu-pro-law","second":true} Red.|Seven.`}, ""},
	{&rmbPairs, `{"pair_uid":"u","conversation_input":[{"role":"user","content":"Name a colour.","language":"en"}],"chosen":{"llm_name":"m","answer":"Red."},"reject":{"llm_name":"n","answer":"Seven."},"category_path":"Pairwise_set/Harmlessness/S1"}`,
		[]string{`u {"name":"rmb","part":"pairwise Harmlessness"} Red.|Seven.`}, ""},
	{&rmbBestOfN, `{"bon_uid":"u","conversation_input":[{"role":"user","content":"Name a colour."},{"role":"assistant","content":""},{"role":"user","content":"Well?"}],"bon_best":{"llm_name":"m","answer":"Red."},"loser_list":[{"answer":"Seven."},{"answer":" "}],"category_path":"BoN_set/Helpfulness/Chat"}`,
		[]string{`u/1 {"name":"rmb","part":"best-of-n Helpfulness","row":"u","answers":3} Red. true`, `u/2 {"name":"rmb","part":"best-of-n Helpfulness","row":"u","answer":1,"answers":3} Seven. false`,
			`u/3 {"name":"rmb","part":"best-of-n Helpfulness","row":"u","answer":2,"answers":3}   false`}, ""},
	{&ppePreference, `{"question_id":"q","model_a":"a","model_b":"b","winner":"model_b","prompt":"Name a colour.","response_1":"Seven.","response_2":"Red.","language":"English"}`,
		[]string{`q {"name":"ppe-preference","part":"English","second":true} Red.|Seven.`}, ""},
	{&ppeCorrectness, `{"question_id":5,"model_name":"m","prompt":"Name a colour.","response_1":"Red.","response_2":"Seven.","response_3":"Blue.","scores":[true,false,true],"mean_score":0.6,"parsed_outputs":["r","s","b"],"sampled_conflict_pairs":[[0,1],[1,2],[0,1]],"subset":"MATH"}`,
		[]string{`5/1 {"name":"ppe-correctness","part":"MATH","row":"5","answers":3,"pairs":[[0,1],[1,2],[0,1]]} Red. true`, `5/2 {"name":"ppe-correctness","part":"MATH","row":"5","answer":1,"answers":3} Seven. false`,
			`5/3 {"name":"ppe-correctness","part":"MATH","row":"5","answer":2,"answers":3} Blue. true`}, ""},
	{&llmBar, `{"input":"Name a colour.","output_1":"Seven.","output_2":"Red.","label":2,"subset":"Manual"}`,
		[]string{`row-1 {"name":"llmbar","part":"Manual","second":true} Red.|Seven.`}, ""},
	{&crossEval, `{"prompt_id":"9","capability":"English","difficulty":"easy","l1_category":"a","l2_category":"b","prompt":"Name a colour.","attached_file":null,"response_1":"Red.","response_1_human_1_rating":5,"response_1_human_1_explanation":"good","response_1_human_2_rating":4,"response_1_human_2_explanation":"well","response_2":"Seven.","response_2_human_1_rating":1,"response_2_human_2_rating":2,"response_3":"Blue.","response_3_human_1_rating":3}`,
		[]string{`9/1 {"name":"crosseval","part":"English","row":"9","answers":3,"rating":4.5} Red. nil`, `9/2 {"name":"crosseval","part":"English","row":"9","answer":1,"answers":3,"rating":1.5} Seven. nil`,
			`9/3 {"name":"crosseval","part":"English","row":"9","answer":2,"answers":3,"rating":3} Blue. nil`}, ""},
	{&criticBench, `{"id":3,"question":"1+1?","question_source":"GSM8K","question_type":"Mathematical","answer":["2"],"response":"3","response_label":false}`,
		[]string{`3/1 {"name":"criticbench","part":"GSM8K","row":"3","answers":1,"group":"Mathematical"} 3 false`}, ""},
	{&qaFeedback, `{"question":"Which colour?","passages":[["Colours","Colours Red is one.","Blue is one."]],"gold":"g","prediction 1":"Red.","prediction 2":"Seven.","prediction 3":"Blue.","prediction 4":"Red.","feedback":{},"preference":[1,0,2,2,0,1]}`,
		[]string{`row-1/1 {"name":"qa-feedback"} Red.|Seven.`, `row-1/2 {"name":"qa-feedback","second":true} Blue.|Seven.`, `row-1/3 {"name":"qa-feedback"} Blue.|Red.`}, "set aside: 1 with two equal responses|set aside: 2 without a preference (ties)"},
}

// TestBenchmarkRows: rows are known by their columns, and what is written of them is read as the same again.
func TestBenchmarkRows(t *testing.T) {
	for _, c := range benchmarkRows {
		list, r := allOf(t, c.row+"\n")
		if r.Schema != c.schema || strings.Join(r.Lines(), "|") != c.found || len(list) != len(c.want) || len(r.Benchmarks) != 1 {
			t.Errorf("%s: %v, %d records, %q, %v", c.schema, r.Schema, len(list), r.Lines(), r.Benchmarks)
			continue
		}
		var file strings.Builder
		for i, rec := range list {
			if got := told(t, rec); c.want[i] != "" && got != c.want[i] {
				t.Errorf("%s: record %d is\n%s, want\n%s", c.schema, i, got, c.want[i])
			}
			if !strings.Contains(rec.Prompt.String(), "colour") && c.schema != &criticBench {
				t.Errorf("%s: asked %q", c.schema, rec.Prompt)
			}
			if rec.Paired() {
				rec.ChosenReward, rec.RejectedReward = new(1.0), new(2.0)
			} else {
				rec.Reward = new(1.0)
			}
			if err := WriteRecords(&file, []*Record{rec}); err != nil {
				t.Fatal(err)
			}
		}
		again, r := allOf(t, file.String())
		if r.Schema != &ofBenchmark || len(again) != len(list) || len(r.Lines()) > 0 {
			t.Errorf("%s: written and read as %v, %d records, %q", c.schema, r.Schema, len(again), r.Lines())
			continue
		}
		var once strings.Builder
		WriteRecords(&once, again)
		if once.String() != file.String() {
			t.Errorf("%s: written again:\n%swant\n%s", c.schema, &once, &file)
		}
		for i := range again {
			if a, b := told(t, again[i]), told(t, list[i]); a != b {
				t.Errorf("%s: read again:\n%s, want\n%s", c.schema, a, b)
			}
		}
	}
}

// allOf reads a text.
func allOf(t *testing.T, text string) (list []*Record, r *Reader) {
	t.Helper()
	r, err := NewReader(strings.NewReader(text), "rows", ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Records() {
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		list = append(list, rec)
	}
	return list, r
}

func told(t *testing.T, r *Record) string {
	t.Helper()
	e := &encoder{}
	e.marshal(r.Benchmark)
	if r.Paired() {
		return fmt.Sprintf("%s %s %s|%s", r.ID, e.b, r.Chosen, r.Rejected)
	}
	correct := "nil"
	if r.Correct != nil {
		correct = fmt.Sprint(*r.Correct)
	}
	return fmt.Sprintf("%s %s %s %s", r.ID, e.b, r.Text(Single), correct)
}

// TestBenchmarkLookalikes: rows that have a benchmark's columns in part are what they were.
func TestBenchmarkLookalikes(t *testing.T) {
	for row, want := range map[string]*Schema{
		`{"prompt":"p","chosen":"a","rejected":"b","subset":"math"}`:                                                                   &Pairs,
		`{"prompt":"p","chosen":"a","rejected":"b","subset":"hep-go"}`:                                                                 &Pairs,
		`{"prompt":"p","chosen":"a","rejected":"b","chosen_model":"x","rejected_model":"y","subset":"my own"}`:                         &Pairs,
		`{"prompt":"p","chosen":"a","rejected":"b","benchmark":"gsm8k"}`:                                                               &Pairs,
		`{"prompt":"p","chosen":"a","rejected":"b","benchmark":{"name":"mine"}}`:                                                       &Pairs,
		`{"prompt":"p","response":"a","label":true,"question":"q"}`:                                                                    &Responses,
		`{"prompt":"p","chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}],"domain":"chat"}`: &Conversations,
	} {
		if _, r := allOf(t, row+"\n"); r.Schema != want || r.Benchmarks != nil {
			t.Errorf("%s is read as %s", row, r.Schema)
		}
	}
}

// TestBenchmarkFaults: what a rule needs and a row does not have is an error of that row.
func TestBenchmarkFaults(t *testing.T) {
	edit := func(schema *Schema, from, to string) string {
		for _, c := range benchmarkRows {
			if c.schema == schema {
				if !strings.Contains(c.row, from) {
					t.Fatalf("no %s in %s", from, c.row)
				}
				return strings.Replace(c.row, from, to, 1)
			}
		}
		panic(schema)
	}
	for _, c := range []struct{ row, want string }{
		{edit(&rewardBench, `"Red."`, `null`), `"chosen": got null, want a value`},
		{edit(&rewardBench2, `"num_correct":2`, `"num_correct":3`), `"num_correct": got 3, want 1 to 2`},
		{edit(&rewardBench2, `"total_completions":3`, `"total_completions":4`), `"total_completions": 4, and chosen and rejected have 3 answers`},
		{edit(&rewardBench2, `"Blue."`, `null`), `"chosen": item 1 is null, want an answer`},
		{edit(&rewardBench2, `"id":"tied:4",`, ``), `key "id" is missing`},
		{edit(&rmBench, `"Red.",`, ``), `chosen and rejected have 2 and 3 answers, want 3 and 3`},
		{edit(&rmBench, `xstest-should-respond`, `poems`), `"subset": "poems" does not say which domain`},
		{edit(&judgeBench, `"source":"mmlu-pro-law",`, ``), `key "source" is missing`},
		{edit(&rmbPairs, `"role":"user"`, `"role":"assistant"`), `want messages of which the last is the user's`},
		{edit(&rmbPairs, `"answer":"Red."`, `"answr":"Red."`), `chosen: key "answer" is missing`},
		{edit(&rmbBestOfN, `[{"answer":"Seven."},{"answer":" "}]`, `[]`), `"loser_list" is empty`},
		{edit(&ppePreference, `"winner":"model_b"`, `"winner":"m2"`), `"winner": got "m2", want model_a, model_b or tie`},
		{edit(&ppeCorrectness, `[1,2]`, `[0,2]`), `"sampled_conflict_pairs": item 1 is [0,2], and scores has both alike`},
		{edit(&ppeCorrectness, `[1,2]`, `[1,3]`), `item 1 is [1,3], want two numbers below 3`},
		{edit(&ppeCorrectness, `"response_3":"Blue.",`, ``), `key "response_3" is missing`},
		{edit(&llmBar, `"label":2`, `"label":0`), `"label": got "0", want 1 or 2`},
		{edit(&crossEval, `"response_3_human_1_rating":3`, `"x":3`), `key "response_3_human_1_rating" is missing`},
		{edit(&crossEval, `"attached_file":null`, `"attached_file":"a.png"`), `no examples (set aside: 1 with an attached file, which cannot be read as text)`},
		{edit(&qaFeedback, `[1,0,2,2,0,1]`, `[1,0,2]`), `"preference": 3 comparisons, want 6`},
		{`{"prompt":"p","response":"r","benchmark":{"name":"rmbench","row":"1","answer":6,"answers":6}}`, `"benchmark": not what this program writes`},
		{`{"prompt":"p","response":"r","benchmark":{"name":"rmbench","row":"1","answers":6,"extra":1}}`, `"benchmark": not what this program writes`},
		{`{"prompt":"p","chosen":"r","rejected":"s","benchmark":{"name":"rmbench","row":"1","answers":6}}`, `"benchmark": not what this program writes`},
		{`{"prompt":"p","response":"r","benchmark":{"name":"ppe-correctness","row":"1","answers":2,"pairs":[[0,2]]}}`, `pair [0 2] of 2 answers`},
	} {
		_, err := ParseRecord([]byte(c.row))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v, want %s", c.row, err, c.want)
		}
	}
}

// TestSharedBenchmarks reads the small files of the larger set, where there is one.
func TestSharedBenchmarks(t *testing.T) {
	dir := golden.Shared(t, "cases/formats")
	for name, want := range map[string]string{"rewardbench1": RewardBench, "rewardbench2": RewardBench2, "rmbench": RMBench, "judgebench": JudgeBench, "rmb_pair": RMB, "ppe_human": PPEPreference, "llmbar": LLMBar} {
		path := filepath.Join(dir, "cases", "formats", name+".jsonl")
		list, err := ReadFile(path, ReadOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, r := range list {
			if r.Benchmark == nil || r.Benchmark.Name != want {
				t.Errorf("%s: %+v", name, r.Benchmark)
			}
		}
	}
}

// TestHeldOut: training on rows of a benchmark is warned of, but for sets that are made for it.
func TestHeldOut(t *testing.T) {
	for name, want := range map[*Schema]string{&judgeBench: "WARNING: 1 rows are of the public benchmark judgebench", &qaFeedback: ""} {
		for _, c := range benchmarkRows {
			if c.schema != name {
				continue
			}
			if _, r := allOf(t, c.row+"\n"); !strings.HasPrefix(strings.Join(r.Warnings(), "|"), want) || want == "" && r.Warnings() != nil {
				t.Errorf("%q", r.Warnings())
			}
		}
	}
}

// TestBenchmarkCheck: equal answers of one row are no rows that stand there twice; the row itself may be.
func TestBenchmarkCheck(t *testing.T) {
	const row = `{"id":8,"prompt":"p","chosen":["Red.","It is red.","It is red."],"rejected":["7","It is 7.","It is 7."],"domain":"chat"}` + "\n"
	for n, want := range []int{0, 0, 6} {
		list, _ := allOf(t, strings.Repeat(row, max(n, 1)))
		c := NewChecker()
		for _, r := range list {
			if err := c.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Finish(); err != nil {
			t.Fatal(err)
		}
		if c.Counts["duplicate row"] != want {
			t.Errorf("%d rows: %v", n, c.Counts)
		}
	}
}
