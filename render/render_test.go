package render

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/model"
	"criticrm/record"
	"criticrm/tokenizer"
)

// words is an encoder of conversations for tests: a role is a token below 10, a word is its number, the end token is 4.
type words struct{}

func (words) Encode(messages []tokenizer.Message, generation bool) (ids []int32, err error) {
	for _, m := range messages {
		ids = append(append(ids, map[string]int32{"system": 1, "user": 2, "assistant": 3}[m.Role]), wordIDs(m.Content)...)
		ids = append(ids, 4)
	}
	if generation {
		ids = append(ids, 3)
	}
	return ids, nil
}

// endless is words without end tokens.
type endless struct{ words }

func (e endless) Encode(messages []tokenizer.Message, generation bool) ([]int32, error) {
	ids, err := e.words.Encode(messages, generation)
	return slices.DeleteFunc(ids, func(id int32) bool { return id == 4 }), err
}

func wordIDs(text string) (ids []int32) {
	for _, w := range strings.Fields(text) {
		ids = append(ids, int32(w[0]-'a')+10)
	}
	return ids
}

// critiques are the options of a joint method.
func critiques(limit int) Options {
	return Options{Parts: Parts{Critiques: true, Rewards: true}, Limit: limit}
}

func (w words) Continue(m []tokenizer.Message) ([]int32, error) {
	ids, err := w.Encode(m, false)
	return ids[:len(ids)-1], err // without the turn's end
}

func testRenderer(t *testing.T) *Renderer {
	t.Helper()
	z, err := critic.ParseTemplate("z", "[user]\n{prompt}\n[assistant]\n{response}\n[user]\nz", nil, []string{"prompt", "response"})
	if err != nil {
		t.Fatal(err)
	}
	return &Renderer{Chat: words{}, Text: wordIDs, End: 4,
		Decode: func(ids []int32) string {
			var w []string
			for _, id := range ids {
				w = append(w, string(rune('a'+id-10)))
			}
			return strings.Join(w, " ")
		},
		Prompts: &critic.Prompts{Critique: z}, At: model.AtEnd}
}

func TestRenderPair(t *testing.T) {
	no := false
	rec := &record.Record{ID: "r", Prompt: record.Prompt{Text: "a b c d"}, Chosen: "e f g", Rejected: "e h",
		ChosenCritiques:   []record.Critique{{Text: "i j"}, {Text: "k", Kept: &no}, {Text: "x", Tokens: []int32{30, 31}, FinishReason: record.FinishLength}},
		RejectedCritiques: []record.Critique{{Text: "l", FinishReason: record.FinishLength}}}
	d, o := testRenderer(t), critiques(100)
	d.At = model.AtContent
	want := Example{ID: "r", Prompt: []int32{2, 10, 11, 12, 13, 4, 3, 14}, // both responses begin with e
		Chosen:   Reply{Response: Branch{IDs: []int32{15, 16, 4, 2, 35, 4, 3}, Read: 6}, Critiques: []Branch{{IDs: []int32{18, 19, 4}, Read: 1}, {IDs: []int32{30, 31}, Read: 1}}},
		Rejected: Reply{Response: Branch{IDs: []int32{17, 4, 2, 35, 4, 3}, Read: 5}, Critiques: []Branch{{IDs: []int32{21}, Read: 0}}}}
	e, out, err := d.Pair(rec, o)
	if err != nil || !reflect.DeepEqual(e, want) || out != (Outcome{Counts: Counts{Length: 2, Unkept: 1}}) {
		t.Errorf("critic: %+v, %+v, %v", e, out, err)
	}
	o.All = true // takes what the filter dropped
	if e, _, err := d.Pair(rec, o); err != nil || len(e.Chosen.Critiques) != 3 {
		t.Errorf("cloud: %+v, %v", e, err)
	}
	o = Options{Parts: Parts{Rewards: true}, Limit: 100}
	e, _, err = d.Pair(rec, o)
	if err != nil || !slices.Equal(e.Chosen.Response.IDs, []int32{15, 16, 4}) || e.Chosen.Response.Read != 2 || e.Chosen.Critiques != nil {
		t.Errorf("bt: %+v, %v", e, err)
	}
	// One response begins as the other, and the template ends no turn: each side keeps a token of its own.
	rec.Chosen, rec.Rejected = "e", "e e"
	d.Chat = endless{}
	e, _, err = d.Pair(rec, o)
	if err != nil || !slices.Equal(e.Chosen.Response.IDs, []int32{14}) || !slices.Equal(e.Rejected.Response.IDs, []int32{14, 14}) {
		t.Errorf("prefix: %+v, %v", e, err)
	}
	d.Chat = words{}
	rec.Rejected = "e"
	if _, out, _ := d.Pair(rec, o); out.Dropped != DropEqual {
		t.Errorf("equal responses: %+v", out)
	}
	o = critiques(100)
	rec.Rejected, rec.ChosenCritiques, rec.RejectedCritiques = "f", []record.Critique{{Text: ""}, {Text: "i"}}, nil
	if e, out, err := d.Pair(rec, o); err != nil || out.Empty != 1 || len(e.Chosen.Critiques) != 1 {
		t.Errorf("empty critique: %+v, %+v, %v", e, out, err)
	}
	// A sampled critique ends with any of the model's end tokens, not only with the template's.
	d.Ends = []int32{5, 4}
	rec.ChosenCritiques = []record.Critique{{Tokens: []int32{30, 31, 5}}, {Tokens: []int32{30, 31, 4}}, {Tokens: []int32{30, 31}}, {Tokens: []int32{5}}}
	e, out, err = d.Pair(rec, o)
	if err != nil || out.Empty != 1 || len(e.Chosen.Critiques) != 3 {
		t.Fatalf("ends: %+v, %+v, %v", e, out, err)
	}
	for i, z := range e.Chosen.Critiques {
		if z.Read != 1 {
			t.Errorf("critique %d is read at %d, want the last token of its content", i, z.Read)
		}
	}
}

func TestRenderOverlong(t *testing.T) {
	rec := &record.Record{ID: "r", Prompt: record.Prompt{Messages: []tokenizer.Message{{Role: "system", Content: "s"}, {Role: "user", Content: "a b c d"}}}, Chosen: "e f g h", Rejected: "i j",
		ChosenCritiques: []record.Critique{{Text: "k l m"}}, RejectedCritiques: []record.Critique{{Text: "n"}}}
	d, o := testRenderer(t), critiques(100)
	full, _, err := d.Pair(rec, o)
	if err != nil {
		t.Fatal(err)
	}
	longest := full.Size(o.Parts).Longest
	for _, x := range []struct {
		policy           string
		limit            int
		dropped          bool
		prompt, response []int32 // of the chosen side, what is left of the words
	}{
		{"truncate-left", longest - 3, false, []int32{13}, []int32{14, 15, 16, 17}},
		{"truncate-left", longest - 4, true, nil, nil},
		{"truncate-right", longest - 3, false, []int32{10, 11, 12, 13}, []int32{14}},
		{"truncate-right", longest - 4, true, nil, nil},
		{"drop", longest - 1, true, nil, nil},
		{"drop", longest, false, []int32{10, 11, 12, 13}, []int32{14, 15, 16, 17}},
	} {
		o.Overlong, o.Limit = x.policy, x.limit
		e, out, err := d.Pair(rec, o)
		if err != nil || (out.Dropped == DropOverlong) != x.dropped {
			t.Errorf("%s %d: %+v, %v", x.policy, x.limit, out, err)
			continue
		}
		if x.dropped {
			continue
		}
		want := slices.Concat([]int32{1, 28, 4, 2}, x.prompt, []int32{4, 3}, x.response, []int32{4, 2, 35, 4, 3})
		if got := slices.Concat(e.Prompt, e.Chosen.Response.IDs); !slices.Equal(got, want) || out.Shortened != (x.limit < longest) {
			t.Errorf("%s %d: %v (%+v), want %v", x.policy, x.limit, got, out, want)
		}
		if !slices.Equal(e.Chosen.Critiques[0].IDs, []int32{20, 21, 22, 4}) || e.Size(o.Parts).Longest > x.limit {
			t.Errorf("%s %d: the critique is %v, the longest branch %d", x.policy, x.limit, e.Chosen.Critiques[0].IDs, e.Size(o.Parts).Longest)
		}
	}
	if rec.Chosen != "e f g h" || rec.Prompt.Messages[1].Content != "a b c d" {
		t.Error("the record was changed")
	}
	o.Overlong, o.Limit = "error", longest-1
	if _, _, err := d.Pair(rec, o); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d tokens, the limit is %d", longest, longest-1)) {
		t.Errorf("error: %v", err)
	}
}

// Responses that differ behind the cut only are no pair: equal ones were trained on as two answers of other lengths.
func TestEqualAfterShortening(t *testing.T) {
	d, o := testRenderer(t), critiques(0)
	rec := &record.Record{ID: "r", Prompt: record.Prompt{Text: "a"}, Chosen: "e f g h i j k l", Rejected: "e f g h i j k m",
		ChosenCritiques: []record.Critique{{Text: "n o p q"}}, RejectedCritiques: []record.Critique{{Text: "n"}}}
	full, _, err := d.Pair(rec, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{critiques(full.Size(o.Parts).Longest - 3), {Parts: Parts{Rewards: true}, Limit: 9}} {
		o.Overlong = record.TruncateRight
		if _, out, err := d.Pair(rec, o); err != nil || out.Dropped != DropEqualCut {
			t.Errorf("%+v: %+v, %v", o, out, err)
		}
		o.Overlong = record.TruncateLeft
		other := *rec
		other.Prompt.Text = "a b c d a b c d"
		if _, out, err := d.Pair(&other, Options{Parts: o.Parts, Limit: o.Limit + 7, Overlong: o.Overlong}); err != nil || out.Dropped != "" {
			t.Errorf("%+v: a shorter prompt: %+v, %v", o, out, err)
		}
	}
}

func TestDocuments(t *testing.T) {
	d := testRenderer(t)
	d.BOS = []int32{1}
	user, answer := tokenizer.Message{Role: "user", Content: "a"}, tokenizer.Message{Role: "assistant", Content: "b"}
	for _, x := range []struct {
		name string
		rec  record.Record
		want Branch
		drop string
		err  string
	}{
		{"text", record.Record{Document: &record.Document{Text: "a"}}, Branch{IDs: []int32{1, 10, 4}}, "", ""},
		{"ids", record.Record{Document: &record.Document{IDs: []int32{5, 6}}}, Branch{IDs: []int32{5, 6}}, "", ""},
		{"completion", record.Record{Prompt: record.Prompt{Text: "a"}, Response: new("b")}, Branch{IDs: []int32{2, 10, 4, 3, 11, 4}, Weight: []float32{.5, .5, .5, .5, 1, 1}}, "", ""},
		{"labelled right", record.Record{Prompt: record.Prompt{Text: "a"}, Response: new("b"), Correct: new(true)}, Branch{IDs: []int32{2, 10, 4, 3, 11, 4}, Weight: []float32{.5, .5, .5, .5, 1, 1}}, "", ""},
		{"labelled wrong", record.Record{Prompt: record.Prompt{Text: "a"}, Response: new("b"), Correct: new(false)}, Branch{}, DropWrong, ""},
		{"two answers", record.Record{Document: &record.Document{Messages: []tokenizer.Message{user, answer, user, answer}}},
			Branch{IDs: []int32{2, 10, 4, 3, 11, 4, 2, 10, 4, 3, 11, 4}, Weight: []float32{.5, .5, .5, .5, 1, 1, .5, .5, .5, .5, 1, 1}}, "", ""},
		{"no answer", record.Record{Document: &record.Document{Messages: []tokenizer.Message{user}}}, Branch{}, "", "no message has the role assistant"},
		{"one token", record.Record{Document: &record.Document{IDs: []int32{5}}}, Branch{IDs: []int32{5}}, DropShort, ""},
		{"nothing to learn", record.Record{Document: &record.Document{IDs: []int32{5, 6}, Weights: []float32{1, 0}}}, Branch{IDs: []int32{5, 6}, Weight: []float32{1, 0}}, DropUntrained, ""},
	} {
		got, out, err := d.Document(&x.rec, Options{Rest: .5})
		if x.err == "" && (err != nil || !reflect.DeepEqual(got.Document, x.want) || out.Dropped != x.drop) || x.err != "" && (err == nil || !strings.Contains(err.Error(), x.err)) {
			t.Errorf("%s: %+v, %+v, %v", x.name, got, out, err)
		}
	}
	d.Chat = nil
	if _, _, err := d.Document(&record.Record{Prompt: record.Prompt{Text: "a"}, Response: new("b")}, Options{}); err == nil || !strings.Contains(err.Error(), "no chat template") {
		t.Errorf("without a template: %v", err)
	}
}

// What a long document loses: never the begin-of-text token, never what the template writes, and an answer that was cut has no end to learn.
func TestLongDocuments(t *testing.T) {
	d := testRenderer(t)
	d.BOS = []int32{1}
	text := record.Record{Document: &record.Document{Text: "a b c d"}} // 1 a b c d 4
	ids := record.Record{Document: &record.Document{IDs: []int32{1, 11, 12, 13}, Weights: []float32{0, 1, 2, 3}}}
	chat := record.Record{Document: &record.Document{Messages: []tokenizer.Message{{Role: "system", Content: "s"}, {Role: "user", Content: "a b c"}, {Role: "assistant", Content: "d e"}}}} // 1 s 4 2 a b c 4 3 d e 4
	open := record.Record{Document: &record.Document{Messages: []tokenizer.Message{{Role: "assistant", Content: "d"}, {Role: "user", Content: "a b c"}}}}                                   // 3 d 4 2 a b c 4
	for _, x := range []struct {
		name, policy string
		rec          record.Record
		limit        int
		ids          []int32 // nil: dropped
		weight       []float32
	}{
		{"text", "truncate-left", text, 4, []int32{1, 12, 13, 4}, nil},
		{"text", "truncate-right", text, 4, []int32{1, 10, 11, 12}, nil},
		{"text", "drop", text, 5, nil, nil},
		{"text without room", "truncate-left", text, 2, nil, nil},
		{"ids", "truncate-left", ids, 3, []int32{1, 12, 13}, []float32{0, 2, 3}},
		{"ids", "truncate-right", ids, 3, []int32{1, 11, 12}, []float32{0, 1, 2}},
		{"chat", "truncate-left", chat, 10, []int32{1, 28, 4, 2, 12, 4, 3, 13, 14, 4}, []float32{0, 0, 0, 0, 0, 0, 0, 1, 1, 1}},
		{"chat", "truncate-right", chat, 11, []int32{1, 28, 4, 2, 10, 11, 12, 4, 3, 13, 4}, []float32{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}},
		{"no room for an answer", "truncate-right", chat, 10, nil, nil},
		{"a conversation without a last answer", "truncate-left", open, 6, []int32{3, 4, 2, 11, 12, 4}, []float32{0, 1, 0, 0, 0, 0}},
		{"a conversation without a last answer", "truncate-right", open, 7, nil, nil},
	} {
		e, out, err := d.Document(&x.rec, Options{Limit: x.limit, Overlong: x.policy})
		if err != nil || (out.Dropped == DropOverlong) != (x.ids == nil) || out.Shortened != (x.ids != nil) {
			t.Errorf("%s, %s: %+v, %v", x.name, x.policy, out, err)
		} else if x.ids != nil && (!slices.Equal(e.Document.IDs, x.ids) || !slices.Equal(e.Document.Weight, x.weight)) {
			t.Errorf("%s, %s: %v %v, want %v %v", x.name, x.policy, e.Document.IDs, e.Document.Weight, x.ids, x.weight)
		}
	}
	if _, _, err := d.Document(&text, Options{Limit: 3, Overlong: "error"}); err == nil || !strings.Contains(err.Error(), "6 tokens, the limit is 3") {
		t.Errorf("error: %v", err)
	}
}

// A turn that stays open is left so where the model is to write, and is a closed one elsewhere.
func TestEncodeBegunTurn(t *testing.T) {
	d := testRenderer(t)
	for role, token := range map[string]int32{critic.Begun: 3, critic.BegunUser: 2} {
		m := []tokenizer.Message{{Role: "user", Content: "a"}, {Role: role, Content: "b c"}}
		for generation, want := range map[bool][]int32{true: {2, 10, 4, token, 11, 12}, false: {2, 10, 4, token, 11, 12, 4}} {
			if got, err := d.Encode(m, generation); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, generation %v: %v, %v; want %v", role, generation, got, err, want)
			}
		}
		if m[1].Role != role {
			t.Error("the messages were changed")
		}
	}
}
