package record

// Every layout, with rows of our own: what is made of them, and that what is written is read as itself.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// layoutCase is rows of one layout and the lines that its records are written as.
type layoutCase struct {
	name   string
	schema *Schema
	rows   []string
	want   []string
	said   Layout // what is said of the rows
	found  string // lines of Found, joined by |
}

func layoutCases() []layoutCase {
	const turns = `[{"role":"user","content":"hi"},{"role":"assistant","content":"yes?"},{"role":"user","content":"p"}]`
	row := func(rows ...string) []string { return rows }
	return []layoutCase{
		{name: "TRL standard", schema: &Pairs, rows: row(`{"prompt":"p","chosen":"c","rejected":"r","margin":0.5}`),
			want: row(`{"prompt":"p","chosen":"c","rejected":"r","margin":0.5,"id":"row-1"}`)},
		{name: "TRL standard, implicit", schema: &Texts, rows: row(
			`{"chosen":"What is 1 + 1? It is 2.","rejected":"What is 1 + 1? It is 3."}`,
			`{"chosen":"Name a river.\nThe Thjorsa","rejected":"Name a river.\nThe"}`,
			"{\"chosen\":\"\u56db\u5341\u4e8c\",\"rejected\":\"\u56db\u5341\u4e09\"}",
			`{"chosen":"a b","rejected":"a b"}`),
			want: row(`{"chosen":" 2.","rejected":" 3.","id":"row-1","prompt":"What is 1 + 1? It is"}`,
				`{"chosen":"\nThe Thjorsa","rejected":"\nThe","id":"row-2","prompt":"Name a river."}`,
				"{\"chosen\":\"\u4e8c\",\"rejected\":\"\u4e09\",\"id\":\"row-3\",\"prompt\":\"\u56db\u5341\"}"),
			found: "set aside: 1 with two equal responses|3 rows have no prompt: it is what chosen and rejected begin with"},
		{name: "TRL conversational", schema: &Conversations, rows: row(`{"prompt":` + turns + `,"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}`),
			want: row(`{"prompt":` + turns + `,"chosen":"c","rejected":"r","id":"row-1"}`)},
		{name: "TRL conversational, implicit, with a part", schema: &Conversations,
			rows: row(`{"chosen":[{"role":"user","content":[{"type":"text","text":"p"}]},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`),
			want: row(`{"chosen":"c","rejected":"r","id":"row-1","prompt":[{"role":"user","content":"p"}]}`)},
		{name: "OLMo 3", schema: &Conversations,
			rows: row(`{"chosen":[{"role":"user","content":"p","function_calls":null,"functions":null},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`),
			want: row(`{"chosen":"c","rejected":"r","id":"row-1","prompt":[{"role":"user","content":"p"}]}`)},
		{name: "UltraFeedback binarized", schema: &Conversations,
			rows: row(`{"prompt":"p","chosen":[{"role":"user","content":"p "},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p "},{"role":"assistant","content":"r"}],"messages":[{"role":"user","content":"p "},{"role":"assistant","content":"c"}],"score_chosen":8.5,"score_rejected":3}`),
			want: row(`{"prompt":[{"role":"user","content":"p "}],"chosen":"c","rejected":"r","score_chosen":8.5,"score_rejected":3,"id":"row-1"}`)},
		{name: "the prompt is the first of several turns", schema: &Conversations,
			rows: row(`{"id":"t","prompt":"hi","chosen":[{"role":"user","content":"hi"},{"role":"assistant","content":"yes?"},{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"hi"},{"role":"assistant","content":"yes?"},{"role":"user","content":"p"},{"role":"assistant","content":"r"}],"chosen_rating":5,"rejected_rating":2}`),
			want: row(`{"id":"t","prompt":` + turns + `,"chosen":"c","rejected":"r","chosen_rating":5,"rejected_rating":2}`)},
		{name: "HH", schema: &Dialogues, rows: row(`{"chosen":"\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: p\n\nAssistant: c","rejected":"\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: p\n\nAssistant: r"}`),
			want: row(`{"chosen":"c","rejected":"r","id":"row-1","prompt":` + turns + `}`)},
		{name: "HH with its prompt", schema: &Dialogues,
			rows: row(`{"prompt":"\n\nHuman: p\n\nAssistant:","chosen":"\n\nHuman: p\n\nAssistant: c","rejected":"\n\nHuman: p\n\nAssistant: r"}`),
			want: row(`{"prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r","id":"row-1"}`), found: "prompt of 1 rows is a transcript: its turns are read as messages"},
		{name: "HH's prompt alone", schema: &Pairs,
			rows: row(`{"prompt":"\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: p\n\nAssistant:","chosen":" c","rejected":" r"}`, `{"prompt":"\n\nHuman: p","chosen":" c","rejected":" r"}`,
				`{"prompt":"Human: an essay","chosen":" c","rejected":" r"}`),
			want: row(`{"prompt":`+turns+`,"chosen":" c","rejected":" r","id":"row-1"}`, `{"prompt":[{"role":"user","content":"p"}],"chosen":" c","rejected":" r","id":"row-2"}`,
				`{"prompt":"Human: an essay","chosen":" c","rejected":" r","id":"row-3"}`), found: "prompt of 2 rows is a transcript: its turns are read as messages"},
		{name: "CLoud", schema: &CLoud, rows: row(`{"prompt":"p","chosen":"c","rejected":"r","chosen_feedback":["good"],"rejected_feedback":"bad","id":"x"}`),
			want: row(`{"prompt":"p","chosen":"c","rejected":"r","id":"x","chosen_critiques":[{"text":"good","origin":"given"}],"rejected_critiques":[{"text":"bad","origin":"given"}]}`)},
		{name: "LLaMA-Factory alpaca", schema: &AlpacaRanking,
			rows: row(`{"instruction":"p","input":"","chosen":"c","rejected":"r"}`, `{"system":"s","instruction":"do","input":"this","history":[["hi","yes?"]],"chosen":"c","rejected":"r"}`),
			want: row(`{"chosen":"c","rejected":"r","id":"row-1","prompt":"p"}`,
				`{"chosen":"c","rejected":"r","id":"row-2","prompt":[{"role":"system","content":"s"},{"role":"user","content":"hi"},{"role":"assistant","content":"yes?"},{"role":"user","content":"do\nthis"}]}`)},
		{name: "alpaca", schema: &Alpaca, rows: row(`{"instruction":"do","input":"this","output":"c"}`, `{"instruction":"p","output":"c","kto_tag":false}`),
			want: row(`{"id":"row-1","prompt":"do\nthis","response":"c"}`, `{"id":"row-2","prompt":"p","response":"c","correct":false}`)},
		{name: "AlpacaFarm", schema: &AlpacaFarm,
			rows: row(`{"instruction":"p","input":"","output_1":"r","output_2":"c","preference":2}`, `{"instruction":"p","output_1":"c","output_2":"r","preference":1.02}`,
				`{"instruction":"p","output_1":"c","output_2":"r","preference":1.5}`, `{"instruction":"p","output_1":"c","output_2":"r","preference":0}`),
			want:  row(`{"id":"row-1","prompt":"p","chosen":"c","rejected":"r"}`, `{"id":"row-2","prompt":"p","chosen":"c","rejected":"r"}`),
			found: "set aside: 2 without a preference (ties)"},
		{name: "Argilla", schema: &ArgillaBinarized,
			rows: row(`{"source":"x","instruction":"p","chosen_response":"c","rejected_response":"r","chosen_avg_rating":5,"rejected_avg_rating":4}`),
			want: row(`{"source":"x","chosen_avg_rating":5,"rejected_avg_rating":4,"id":"row-1","prompt":"p","chosen":"c","rejected":"r"}`)},
		{name: "axolotl", schema: &Axolotl, rows: row(`{"system":"s","input":"p","chosen":"c","rejected":"r"}`, `{"input":"p","chosen":"c","rejected":"r"}`),
			want: row(`{"chosen":"c","rejected":"r","id":"row-1","prompt":[{"role":"system","content":"s"},{"role":"user","content":"p"}]}`, `{"chosen":"c","rejected":"r","id":"row-2","prompt":"p"}`)},
		{name: "LLaMA-Factory sharegpt", schema: &ShareGPTRanking,
			rows: row(`{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"yes?"},{"from":"human","value":"p"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}}`,
				`{"conversations":[{"role":"user","content":"p"}],"chosen":{"role":"assistant","content":"c"},"rejected":{"role":"assistant","content":"r"}}`),
			want: row(`{"chosen":"c","rejected":"r","id":"row-1","prompt":`+turns+`}`, `{"chosen":"c","rejected":"r","id":"row-2","prompt":[{"role":"user","content":"p"}]}`)},
		{name: "sharegpt", schema: &ShareGPT,
			rows: row(`{"system":"s","conversations":[{"from":"human","value":"p"},{"from":"gpt","value":"c"}]}`, `{"conversations":[{"from":"human","value":"p"},{"from":"gpt","value":"c"}],"kto_tag":true}`),
			want: row(`{"id":"row-1","messages":[{"role":"system","content":"s"},{"role":"user","content":"p"},{"role":"assistant","content":"c"}]}`,
				`{"id":"row-2","prompt":[{"role":"user","content":"p"}],"response":"c","correct":true}`)},
		{name: "HelpSteer2", schema: &HelpSteer,
			rows: row(`{"prompt":"p","response":"r","helpfulness":1,"correctness":2,"coherence":3,"complexity":4,"verbosity":0}`, `{"prompt":"p","response":"c","helpfulness":4,"correctness":2,"coherence":3,"complexity":4,"verbosity":1}`,
				`{"prompt":"lone","response":"c","helpfulness":4,"correctness":2,"coherence":3,"complexity":4,"verbosity":1}`,
				`{"prompt":"q","response":"a","helpfulness":4,"correctness":2,"coherence":3,"complexity":4,"verbosity":1}`, "",
				`{"prompt":"q","response":"b","helpfulness":4,"correctness":2,"coherence":3,"complexity":4,"verbosity":1}`,
				`{"prompt":"hi\n<extra_id_1>Assistant\nyes?\n<extra_id_1>User\np","response":"c","helpfulness":4,"correctness":2,"coherence":3,"complexity":4,"verbosity":1}`,
				`{"prompt":"hi\n<extra_id_1>Assistant\nyes?\n<extra_id_1>User\np","response":"r","helpfulness":3,"correctness":2,"coherence":3,"complexity":4,"verbosity":1}`,
				`{"prompt":"end","response":"c","helpfulness":4,"correctness":2,"coherence":3,"complexity":4,"verbosity":1}`),
			want: row(`{"chosen_ratings":{"helpfulness":4,"correctness":2,"coherence":3,"complexity":4,"verbosity":1},"rejected_ratings":{"helpfulness":1,"correctness":2,"coherence":3,"complexity":4,"verbosity":0},"id":"row-1","prompt":"p","chosen":"c","rejected":"r"}`,
				`{"chosen_ratings":{"helpfulness":4,"correctness":2,"coherence":3,"complexity":4,"verbosity":1},"rejected_ratings":{"helpfulness":3,"correctness":2,"coherence":3,"complexity":4,"verbosity":1},"id":"row-7","prompt":`+turns+`,"chosen":"c","rejected":"r"}`),
			found: "set aside: 1 without a preference (ties)|set aside: 2 without the row beside it that has the other response|prompt of 2 rows is a transcript: its turns are read as messages|1 blank lines between rows"},
		{name: "HelpSteer2 preference", schema: &HelpSteerPreference,
			rows: row(`{"split":"train","prompt":"p","response_1":"r","response_2":"c","preference_strength":2}`, `{"prompt":"p","response_1":"c","response_2":"r","preference_strength":-1}`,
				`{"prompt":"p","response_1":"","response_2":"r","preference_strength":0}`),
			want:  row(`{"split":"train","prompt":"p","preference_strength":2,"id":"row-1","chosen":"c","rejected":"r"}`, `{"prompt":"p","preference_strength":-1,"id":"row-2","chosen":"c","rejected":"r"}`),
			found: "set aside: 1 without a preference (ties)"},
		{name: "HelpSteer3", schema: &HelpSteer3,
			rows:  row(`{"domain":"general","language":"english","context":` + turns + `,"response1":"c","response2":"r","overall_preference":-2,"individual_preference":[{"score":-2}]}`),
			want:  row(`{"domain":"general","language":"english","overall_preference":-2,"individual_preference":[{"score":-2}],"id":"row-1","prompt":` + turns + `,"chosen":"c","rejected":"r"}`),
			found: `column "individual_preference" of 1 rows is not read`},
		{name: "UltraFeedback", schema: &UltraFeedback,
			rows: row(`{"source":"x","instruction":"p","completions":[{"response":"r","overall_score":10,"fine-grained_score":1.25},{"response":"c","overall_score":8,"fine-grained_score":4.5},{"response":"","fine-grained_score":4}]}`,
				`{"instruction":"p","completions":[{"response":"r","annotations":{"honesty":{"Rating":"2"},"helpfulness":{"Rating":"3"}}},{"response":"c","annotations":{"honesty":{"Rating":"N/A"},"helpfulness":{"Rating":"5"}}},{"response":"x","annotations":{}}]}`,
				`{"instruction":"p","completions":[{"response":"c","fine-grained_score":4}]}`),
			want:  row(`{"score_chosen":4.5,"score_rejected":1.25,"source":"x","id":"row-1","prompt":"p","chosen":"c","rejected":"r"}`, `{"score_chosen":5,"score_rejected":2.5,"id":"row-2","prompt":"p","chosen":"c","rejected":"r"}`),
			found: "set aside: 2 responses that are empty or have no rating|set aside: 1 with fewer than two responses that are rated|column \"completions[].overall_score\" of 1 rows is not read"},
		{name: "Nectar", schema: &Nectar,
			rows:  row(`{"prompt":"\n\nHuman: p\n\nAssistant: ","answers":[{"answer":"m","rank":2,"model":"x"},{"answer":"c","rank":1},{"answer":"r","rank":3}],"turns":1,"num_responses":3,"good_natured":true}`),
			want:  row(`{"rank_chosen":1,"rank_rejected":3,"prompt":[{"role":"user","content":"p"}],"turns":1,"num_responses":3,"good_natured":true,"id":"row-1","chosen":"c","rejected":"r"}`),
			found: "set aside: 2 pairs of responses in order, which --ranked ends does not take|prompt of 1 rows is a transcript: its turns are read as messages"},
		{name: "NeMo RL ranked, all", schema: &NeMoRanked, said: Layout{Ranked: RankedAll},
			rows: row(`{"context":[{"role":"user","content":"p"}],"completions":[{"rank":0,"completion":[{"role":"assistant","content":"c"}]},{"rank":1,"completion":[{"role":"assistant","content":"m"}]},{"rank":1,"completion":[{"role":"assistant","content":"r"}]},{"rank":2,"completion":[{"role":"assistant","content":"c"}]}],"task_name":"x"}`),
			want: row(`{"rank_chosen":0,"rank_rejected":1,"task_name":"x","id":"row-1/1","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"m"}`,
				`{"rank_chosen":0,"rank_rejected":1,"task_name":"x","id":"row-1/2","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`,
				`{"rank_chosen":1,"rank_rejected":2,"task_name":"x","id":"row-1/3","prompt":[{"role":"user","content":"p"}],"chosen":"m","rejected":"c"}`,
				`{"rank_chosen":1,"rank_rejected":2,"task_name":"x","id":"row-1/4","prompt":[{"role":"user","content":"p"}],"chosen":"r","rejected":"c"}`),
			found: "set aside: 1 with two equal responses|set aside: 1 without a preference (ties)"},
		{name: "NeMo RL ranked, best", schema: &NeMoRanked, said: Layout{Ranked: RankedBest},
			rows:  row(`{"id":7,"context":[{"role":"user","content":"p"}],"completions":[{"rank":0,"completion":"c"},{"rank":1,"completion":"m"},{"rank":2,"completion":"r"}]}`),
			want:  row(`{"rank_chosen":0,"rank_rejected":1,"id":"7/1","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"m"}`, `{"rank_chosen":0,"rank_rejected":2,"id":"7/2","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`),
			found: "set aside: 1 pairs of responses in order, which --ranked best does not take"},
		{name: "Nectar, one by one", schema: &Nectar, said: Layout{Ranked: RankedList},
			rows: row(`{"id":7,"prompt":"p","answers":[{"answer":"m","rank":2},{"answer":"c","rank":1},{"answer":"r","rank":2}]}`),
			want: row(`{"rank":1,"list_id":"7","id":"7/1","prompt":"p","response":"c"}`, `{"rank":2,"list_id":"7","id":"7/2","prompt":"p","response":"m"}`,
				`{"rank":2,"list_id":"7","id":"7/3","prompt":"p","response":"r"}`)},
		{name: "UltraFeedback, one by one", schema: &UltraFeedback, said: Layout{Ranked: RankedList},
			rows:  row(`{"instruction":"p","completions":[{"response":"r","fine-grained_score":1.25},{"response":"c","fine-grained_score":4.5},{"response":"","fine-grained_score":4}]}`),
			want:  row(`{"rank":1,"score":4.5,"list_id":"row-1","id":"row-1/1","prompt":"p","response":"c"}`, `{"rank":2,"score":1.25,"list_id":"row-1","id":"row-1/2","prompt":"p","response":"r"}`),
			found: "set aside: 1 responses that are empty or have no rating"},
		{name: "NeMo-Aligner", schema: &NeMoAligner, said: Layout{Schema: "nemo-aligner-texts"},
			rows: row(`{"text":"Name a river. Thjorsa"}`, `{"text":"Name a river. None"}`, `{"text":"<extra_id_0>System\n\n<extra_id_1>User\np\n<extra_id_1>Assistant\nc\n"}`,
				`{"text":"<extra_id_0>System\n\n<extra_id_1>User\np\n<extra_id_1>Assistant\nr\n"}`, `{"text":"Human: p\n\nAssistant: c"}`),
			want:  row(`{"id":"row-1","prompt":"Name a river.","chosen":" Thjorsa","rejected":" None"}`, `{"id":"row-3","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`),
			found: "set aside: 1 without the row beside it that has the other response"},
		{name: "Arena", schema: &Arena,
			rows: row(`{"question_id":"q","model_a":"m1","model_b":"m2","winner":"model_b","judge":"j","conversation_a":[{"content":"p","role":"user"},{"content":"r","role":"assistant"}],"conversation_b":[{"content":"p","role":"user"},{"content":"c","role":"assistant"}],"turn":1,"anony":true,"tstamp":1.5}`,
				`{"id":"x","winner":"model_a","conversation_a":[{"role":"user","content":[{"type":"text","text":"p","image":null}]},{"role":"assistant","content":[{"type":"text","text":"c"}]}],"conversation_b":[{"role":"user","content":[{"type":"text","text":"p"}]},{"role":"assistant","content":[{"type":"text","text":"r"}]}]}`,
				`{"winner":"tie (bothbad)","conversation_a":[],"conversation_b":[]}`,
				`{"winner":"model_a","conversation_a":[{"role":"user","content":[{"type":"text","text":"p"},{"type":"image","image":"x"}]},{"role":"assistant","content":"c"}],"conversation_b":[]}`,
				`{"winner":"model_a","conversation_a":[{"role":"user","content":"hi"},{"role":"assistant","content":"a"},{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"conversation_b":[{"role":"user","content":"hi"},{"role":"assistant","content":"b"},{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`),
			want: row(`{"chosen_model":"m2","rejected_model":"m1","question_id":"q","judge":"j","turn":1,"anony":true,"tstamp":1.5,"id":"row-1","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`,
				`{"id":"x","prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`),
			found: "set aside: 1 with pictures|set aside: 1 with two conversations that part before their last turn|set aside: 1 without a preference (ties)"},
		{name: "Arena 55k", schema: &Arena55k,
			rows: row(`{"id":30,"model_a":"m1","model_b":"m2","prompt":"[\"hi\",\"p\"]","response_a":"[\"yes?\",\"c\"]","response_b":"[\"yes?\",\"r\"]","winner_model_a":1,"winner_model_b":0,"winner_tie":0}`,
				`{"id":31,"prompt":"[\"p\"]","response_a":["r"],"response_b":"[\"c\"]","winner_model_a":0,"winner_model_b":1,"winner_tie":0}`,
				`{"id":32,"prompt":"[\"hi\",\"p\"]","response_a":"[\"a\",\"c\"]","response_b":"[\"b\",\"r\"]","winner_model_a":1,"winner_model_b":0,"winner_tie":0}`,
				`{"id":33,"prompt":"[\"p\"]","response_a":"[\"c\"]","response_b":"[\"r\"]","winner_model_a":0,"winner_model_b":0,"winner_tie":1}`),
			want: row(`{"chosen_model":"m1","rejected_model":"m2","id":30,"prompt":`+turns+`,"chosen":"c","rejected":"r"}`,
				`{"id":31,"prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r"}`),
			found: "set aside: 1 with two conversations that part before their last turn|set aside: 1 without a preference (ties)"},
		{name: "PKU", schema: &PKUSafeRLHF,
			rows: row(`{"prompt":"p","response_0":"r","response_1":"c","prompt_source":"x","is_response_0_safe":true,"better_response_id":1,"safer_response_id":0}`),
			want: row(`{"prompt":"p","prompt_source":"x","is_response_0_safe":true,"better_response_id":1,"safer_response_id":0,"id":"row-1","chosen":"c","rejected":"r"}`)},
		{name: "PKU, safer", schema: &PKUSafeRLHF, said: Layout{Columns: "better_response_id=safer_response_id,safer_response_id=better_response_id"},
			rows: row(`{"prompt":"p","response_0":"c","response_1":"r","better_response_id":1,"safer_response_id":0}`),
			want: row(`{"prompt":"p","safer_response_id":1,"better_response_id":0,"id":"row-1","chosen":"c","rejected":"r"}`)},
		{name: "SHP", schema: &SHP,
			rows: row(`{"post_id":"x","domain":"d_test","history":"p","score_A":3,"score_B":2,"human_ref_A":"c","human_ref_B":"r","labels":1}`, `{"history":"p","human_ref_A":"r","human_ref_B":"c","labels":0}`),
			want: row(`{"post_id":"x","domain":"d_test","score_A":3,"score_B":2,"id":"row-1","prompt":"p","chosen":"c","rejected":"r","benchmark":{"name":"shp","part":"d"}}`,
				`{"id":"row-2","prompt":"p","chosen":"c","rejected":"r","benchmark":{"name":"shp","second":true}}`)},
		{name: "WebGPT", schema: &WebGPT,
			rows: row(`{"question":{"dataset":"x","id":"y","full_text":"p"},"answer_0":"r","score_0":-0.5,"answer_1":"c","score_1":0.5}`, `{"question":"p","answer_0":"c","score_0":1,"answer_1":"r","score_1":-1}`,
				`{"question":"p","answer_0":"c","score_0":0,"answer_1":"r","score_1":0}`),
			want:  row(`{"score_0":-0.5,"score_1":0.5,"id":"row-1","prompt":"p","chosen":"c","rejected":"r"}`, `{"score_0":1,"score_1":-1,"id":"row-2","prompt":"p","chosen":"c","rejected":"r"}`),
			found: "set aside: 1 without a preference (ties)"},
		{name: "KTO", schema: &Responses,
			rows: row(`{"prompt":[{"role":"user","content":"p"}],"completion":[{"role":"assistant","content":"c"}],"label":true}`, `{"prompt":"p","completion":"r","label":false}`),
			want: row(`{"prompt":[{"role":"user","content":"p"}],"id":"row-1","response":"c","correct":true}`, `{"prompt":"p","id":"row-2","response":"r","correct":false}`)},
		{name: "GSM8K", schema: &GSM8K, rows: row(`{"question":"1 + 1?","answer":"It is 2.\n#### 2"}`), want: row(`{"id":"row-1","prompt":"1 + 1?","response":"It is 2.\n#### 2","correct":true}`)},
		{name: "GSM8K model solutions", schema: &GSM8KSolutions,
			rows: row(`{"question":"1 + 1?","ground_truth":"1+1=2","6b_finetuning":{"is_correct":false,"solution":"It is 3."},"6b_verification":{"is_correct":true,"solution":"It is 2."},"175b_finetuning":{"is_correct":false,"solution":""},"175b_verification":{"is_correct":true,"solution":"2"}}`),
			want: row(`{"model":"6b_finetuning","id":"row-1/1","prompt":"1 + 1?","response":"It is 3.","correct":false}`,
				`{"model":"6b_verification","id":"row-1/2","prompt":"1 + 1?","response":"It is 2.","correct":true}`,
				`{"model":"175b_finetuning","id":"row-1/3","prompt":"1 + 1?","response":"","correct":false}`,
				`{"model":"175b_verification","id":"row-1/4","prompt":"1 + 1?","response":"2","correct":true}`)},
		{name: "MATH", schema: &MATH, rows: row(`{"problem":"1 + 1?","solution":"\\boxed{2}","type":"sums","unique_id":"u"}`, `{"problem":"2?","solution":"\\boxed{2}","subject":"sums"}`),
			want: row(`{"id":"u","prompt":"1 + 1?","response":"\\boxed{2}","correct":true,"category":"sums"}`, `{"id":"row-2","prompt":"2?","response":"\\boxed{2}","correct":true,"category":"sums"}`)},
		{name: "results", schema: &Results, rows: row(`{"prompt":"1 + 1?","result":2}`), want: row(`{"prompt":"1 + 1?","id":"row-1","response":"2","correct":true}`)},
		{name: "prompts", schema: &PromptOnly, said: Layout{Schema: "prompts"}, rows: row(`{"prompt":"p"}`), want: row(`{"id":"row-1","messages":[{"role":"user","content":"p"}]}`)},
		{name: "tokens", schema: &Tokens, rows: row(`{"input_ids":[1,2]}`), want: row(`{"input_ids":[1,2],"id":"row-1"}`)},
		{name: "messages", schema: &Messages, rows: row(`{"messages":` + turns + `}`), want: row(`{"messages":` + turns + `,"id":"row-1"}`)},
		{name: "text", schema: &Text, rows: row(`{"text":"t"}`), want: row(`{"text":"t","id":"row-1"}`)},
		{name: "keys by name, as OpenRLHF has them", schema: &Pairs, said: Layout{Columns: "prompt=question,chosen=response_good,rejected=response_bad"},
			rows: row(`{"question":"p","response_good":"c","response_bad":"r"}`), want: row(`{"prompt":"p","chosen":"c","rejected":"r","id":"row-1"}`)},
	}
}

// elsewhere are the layouts of benchmarks, which have tests of their own.
func elsewhere(s *Schema) bool { return s.For == ForBenchmark || s == &qaFeedback }

// readAll reads rows to the end, each record as it is written.
func readAll(t *testing.T, o ReadOptions, rows []string) (lines []string, r *Reader) {
	t.Helper()
	r, err := NewReader(strings.NewReader(strings.Join(rows, "\n")), "f", o)
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Records() {
		if err != nil {
			t.Fatal(err)
		}
		line, err := rec.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	return lines, r
}

func TestLayouts(t *testing.T) {
	seen := map[*Schema]bool{}
	for _, c := range layoutCases() {
		t.Run(c.name, func(t *testing.T) {
			got, r := readAll(t, ReadOptions{Layout: c.said}, c.rows)
			seen[c.schema] = true
			if r.Schema != c.schema {
				t.Errorf("layout %v, want %v", r.Schema, c.schema)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if lines := strings.Join(r.Lines(), "|"); lines != c.found {
				t.Errorf("found %q, want %q", lines, c.found)
			}
			for _, line := range got {
				again, in := readAll(t, ReadOptions{}, []string{line})
				if len(again) != 1 || again[0] != line {
					t.Errorf("written\n%s\nread and written again\n%s", line, strings.Join(again, "\n"))
				}
				if lines := strings.Join(in.Lines(), "|"); lines != "" && lines != c.found { // what nothing reads is told again
					t.Errorf("%s: what is written is read with %q", line, lines)
				}
			}
			if c.said == (Layout{}) {
				named, _ := readAll(t, ReadOptions{Layout: Layout{Schema: c.schema.Name}}, c.rows)
				if !slices.Equal(named, got) {
					t.Errorf("by its name it is read as\n%s", strings.Join(named, "\n"))
				}
			}
		})
	}
	for _, s := range Schemas() {
		if !seen[s] && !elsewhere(s) {
			t.Errorf("%s: no case", s)
		}
	}
}

// TestLayoutFaults: a row of a known layout with a fault is told its place, and never read without what it lacks.
func TestLayoutFaults(t *testing.T) {
	for _, c := range []struct{ row, want string }{
		{`{"chosen_ids":[1],"rejected_ids":[2]}`, "this looks like the tokenized pairs format, which is not read: tokens of some model"},
		{`{"chosen_input_ids":[1],"rejected_input_ids":[2]}`, "tokenized pairs format"},
		{`{"input_ids_chosen":[1],"input_ids_rejected":[2],"attention_mask_chosen":[1]}`, "tokenized pairs format"},
		{`{"prompt":"p","completions":["a","b"],"labels":[true,false]}`, "stepwise format, which is not read: `labels` are of single steps"},
		{`{"chosen":"one thing","rejected":"other"}`, `key "prompt" is missing, and chosen and rejected share no beginning`},
		{`{"chosen":"  a","rejected":"  b"}`, `key "prompt" is missing, and chosen`},
		{`{"question":"q","chosen":"so a","rejected":"so b"}`, `if "question" holds it: --columns prompt=question`},
		{`{"prompt":"p","chosen":[{"role":"assistant","content":[{"type":"image","image":"x"}]}],"rejected":[{"role":"assistant","content":"r"}]}`, `chosen[0]: "content": a part of type "image" is not read, want text`},
		{`{"prompt":"p","chosen":[{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],"rejected":[]}`, `"content" is a list of 2 parts, want one text`},
		{`{"prompt":"p","chosen":[{"role":"assistant","tool_calls":[{"type":"function"}]}],"rejected":[]}`, `"chosen[0]": key "tool_calls" is not supported`},
		{`{"prompt":"p","chosen":[{"role":"tool","content":"3"}],"rejected":[]}`, `role "tool": want system, user or assistant; calls of tools are not read`},
		{`{"prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r","tools":[{"type":"function"}]}`, `"tools" is part of what the model is asked`},
		{`{"prompt":"p","instruction":"do","chosen":"c","rejected":"r"}`, `"instruction" is part of what the model is asked`},
		{`{"instruction":"p","chosen":"c","rejected":"r","tools":"f"}`, `"tools" is part of what the model is asked`},
		{`{"instruction":" ","input":"","chosen":"c","rejected":"r"}`, `"instruction" is empty`},
		{`{"instruction":"p","history":["x"],"chosen":"c","rejected":"r"}`, `"history[0]": want a list of the user's text and the assistant's`},
		{`{"instruction":"p","output":"c","history":[["a","b"]],"documents":["x"]}`, `"documents" is part of what`},
		{`{"input":"p","history":[["a","b"]],"chosen":"c","rejected":"r"}`, `"history" is part of what`},
		{`{"instruction":"p","output_1":"a","output_2":"b","preference":3}`, `"preference": got 3, want 1 to 2, or 0`},
		{`{"instruction":"p","output_1":"a","output_2":" ","preference":1}`, `"output_2" is empty`},
		{`{"conversations":[{"from":"human","value":"p"},{"from":"observation","value":"x"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}}`, `"conversations[1]": role "observation": want system, user or assistant; calls of tools`},
		{`{"conversations":[{"from":"human","value":"p"},{"from":"gpt","value":"x"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}}`, `the last message is the assistant's, want the user's`},
		{`{"conversations":[{"from":"human","value":"p"}],"chosen":{"from":"human","value":"c"},"rejected":{"from":"gpt","value":"r"}}`, `"chosen": a message of the user, want the assistant's`},
		{`{"conversations":[{"from":"gpt","value":"p"}],"label":true}`, `want a prompt and, behind it, the message of the assistant`},
		{`{"prompt":"p","response":"x","helpfulness":"3","correctness":1,"coherence":1,"complexity":1,"verbosity":1}`, `"helpfulness": got string, want a finite number`},
		{`{"prompt":"p","response_1":"a","response_2":"b","preference_strength":4}`, `"preference_strength": got 4, want one of`},
		{`{"context":[{"role":"user","content":"p"}],"response1":"a","response2":"b"}`, `key "overall_preference" is missing, the nearest layout is HelpSteer3`},
		{`{"instruction":"p","completions":[{"fine-grained_score":1}]}`, `completions[0]: key "response" is missing`},
		{`{"instruction":"p","completions":["a"]}`, `"completions[0]": got string, want object`},
		{`{"prompt":"p","answers":[{"answer":"a"}]}`, `answers[0]: key "rank" is missing`},
		{`{"context":[{"role":"user","content":"p"}],"completions":[{"rank":0,"completion":[{"role":"user","content":"c"}]}]}`, `completions[0]: "completion": want one message, the assistant's`},
		{`{"winner":"both","conversation_a":[],"conversation_b":[]}`, `"winner": got "both", want model_a`},
		{`{"winner":"model_a","conversation_a":[{"role":"user","content":"p"}],"conversation_b":[{"role":"user","content":"p"}]}`, `"conversation_a": want a conversation that ends with the assistant's message`},
		{`{"prompt":"[\"p\"]","response_a":"[\"a\",\"b\"]","response_b":"[\"b\"]","winner_model_a":1,"winner_model_b":0,"winner_tie":0}`, `"response_a" has 2 turns, "prompt" 1`},
		{`{"prompt":"[\"p\"]","response_a":"[null]","response_b":"[\"b\"]","winner_model_a":1,"winner_model_b":0,"winner_tie":0}`, `"response_a[0]": want a text, got null`},
		{`{"prompt":"p","response_a":"a","response_b":"b","winner_model_a":1,"winner_model_b":0,"winner_tie":0}`, `"prompt": want a list as JSON in the text`},
		{`{"prompt":"[\"p\"]","response_a":"[\"a\"]","response_b":"[\"b\"]","winner_model_a":1,"winner_model_b":1,"winner_tie":0}`, `want one of them to be 1`},
		{`{"prompt":"p","response_0":"a","response_1":"b","better_response_id":2}`, `"better_response_id": got 2, want one of [0 1]`},
		{`{"question":"q","ground_truth":"g","6b_finetuning":{"solution":"s","is_correct":true},"6b_verification":{"solution":"s"},"175b_finetuning":{},"175b_verification":{}}`, `6b_verification: key "is_correct" is missing`},
		{`{"question":"q","ground_truth":"g","6b_finetuning":{"solution":3,"is_correct":true},"6b_verification":{},"175b_finetuning":{},"175b_verification":{}}`, `6b_finetuning: "solution": got number, want string`},
		{`{"question":"q","ground_truth":"g","6b_finetuning":"s","6b_verification":{},"175b_finetuning":{},"175b_verification":{}}`, `"6b_finetuning": got string, want object`},
		{`{"question":"q","ground_truth":"g","6b_finetuning":{},"6b_verification":{},"175b_finetuning":{}}`, `key "175b_verification" is missing, the nearest layout is GSM8K model solutions`},
		{`{"question":{"full_text":""},"answer_0":"a","answer_1":"b","score_0":1,"score_1":0}`, `question: "full_text" is empty`},
		{`{"chosen":"\n\nHuman: p\n\nAssistant:","rejected":"\n\nHuman: p\n\nAssistant: r"}`, `"chosen": turn 1 is empty`},
		{`{"prompt":"\n\nHuman: p\n\nAssistant: and","chosen":"c","rejected":"r"}`, `"prompt": a transcript that ends with words of the assistant`},
		{`{"prompt":"\n\nHuman:\n\nAssistant:","chosen":"c","rejected":"r"}`, `"prompt": turn 0 is empty`},
	} {
		if _, _, err := readOne(c.row, Layout{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", c.row, err, c.want)
		}
	}
}

// TestJoinedRows: rows that belong together are found behind bad ones, and a caller's check is asked about the pair.
func TestJoinedRows(t *testing.T) {
	half := func(prompt, response string, v int) string {
		return fmt.Sprintf(`{"prompt":%q,"response":%q,"helpfulness":%d,"correctness":1,"coherence":1,"complexity":1,"verbosity":1,"split":"x","source":%q}`, prompt, response, v, response)
	}
	rows := []string{half("p", "a", 1), "{", half("p", "b", 2), half("q", "a", 1), half("q", "a", 2), half("r", "a", 2), half("r", "b", 1)}
	got, r := readAll(t, ReadOptions{MaxBad: 2, Check: func(rec *Record) error {
		if !rec.Paired() {
			t.Errorf("record %s is no pair", rec.ID)
		}
		if rec.Prompt.Text == "r" {
			return rec.Fault("not this one")
		}
		return nil
	}}, rows)
	if len(got) != 1 || !strings.Contains(got[0], `"split":"x"`) || strings.Contains(got[0], "source") || r.Aside[string(AsideEqual)] != 1 || len(r.Bad) != 2 ||
		r.Bad[1].Error() != `f:6: record "row-6": not this one` {
		t.Errorf("%q, bad %v, aside %v", got, r.Bad, r.Aside)
	}
	texts := []string{`{"text":"so a"}`, "{", `{"text":"so b"}`, `{"text":"so c"}`, `{"text":"x"}`, `{"text":"y"}`}
	got, r = readAll(t, ReadOptions{MaxBad: 2, Layout: Layout{Schema: "NeMo-Aligner texts"}}, texts)
	if len(got) != 1 || !strings.Contains(got[0], `"chosen":" b"`) || r.Aside[string(AsideAlone)] != 1 || !strings.Contains(r.Bad[1].Error(), `f:5: key "prompt" is missing`) {
		t.Errorf("%q, bad %v, aside %v", got, r.Bad, r.Aside)
	}
}

// TestReads: what a layout reads of its own is no column of every row, and is read.
func TestReads(t *testing.T) {
	var used []string
	for _, c := range layoutCases() {
		for _, line := range c.rows {
			used = append(used, line)
		}
	}
	all := strings.Join(used, "\n")
	for _, s := range schemas() {
		for _, key := range s.Reads {
			if _, ok := columns().of(key); ok {
				t.Errorf("%s: %s is a column of every row", s, key)
			}
			if !elsewhere(s) && !strings.Contains(all, fmt.Sprintf("%q:", key)) {
				t.Errorf("%s: no case has %s", s, key)
			}
		}
		if len(s.Keys) == 0 && s.decode != nil && !elsewhere(s) {
			t.Errorf("%s: it has no keys", s)
		}
	}
}

// TestLongTexts guards against a search that takes the square of a text's length.
func TestLongTexts(t *testing.T) {
	same, blanks := strings.Repeat("x", 1<<20), strings.Repeat(" ", 1<<20)
	for _, c := range []struct {
		a, b string
		want int
	}{
		{same + ".a", same + ".b", len(same) + 1}, {same + "a", same + "b", 0}, {blanks + "a", blanks + "b", 0}, {"p" + blanks + "a", "p" + blanks + "b", 1}, {same + "?", same + "?b", 0},
		{"p q", "p q r", 1}, {"p", "q", 0}, {"p", "p", 0}, {"\u56db\u5341", "\u56db\u4e8c", 3}, {"", "x", 0},
	} {
		if got := sharedWords(c.a, c.b); got != c.want {
			t.Errorf("%.20q, %.20q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestEachLayout: several goroutines make the same of rows as one, of those that are joined, too.
func TestEachLayout(t *testing.T) {
	for _, c := range layoutCases() {
		want, r := readAll(t, ReadOptions{Layout: c.said}, c.rows)
		in, err := NewReader(strings.NewReader(strings.Join(c.rows, "\n")), "f", ReadOptions{Layout: c.said})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = Each(t.Context(), in, 3, func(rec *Record) (string, error) { line, err := rec.AppendJSON(nil); return string(line), err },
			func(_ *Record, line string) error { got = append(got, line); return nil })
		if err != nil || !slices.Equal(got, want) || !slices.Equal(in.Lines(), r.Lines()) {
			t.Errorf("%s: %v, got\n%s\nwith %q, want\n%s\nwith %q", c.name, err, strings.Join(got, "\n"), in.Lines(), strings.Join(want, "\n"), r.Lines())
		}
	}
}
