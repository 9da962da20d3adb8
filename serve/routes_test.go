package serve

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
)

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

const (
	rendered = "<|user|>What is 2 + 2?<|assistant|>It is 4.<|end|>"
	other    = "<|user|>What is 2 + 2?<|assistant|>It is 5.<|end|>"
)

// Each route takes the bodies of its clients and answers in their form: the names and kinds of all members, as method and documentation have them.
func TestForms(t *testing.T) {
	const usage = "usage:{completion_tokens:number prompt_tokens:number prompt_tokens_details:null total_tokens:number}"
	const critique = "{finish_reason:string own_score:number reward:number score:number text:string tokens:number verdict:string}"
	const classes = "{created:number data:[{critiques:[" + critique + "] index:number label:string num_classes:number probs:[number]}] id:string model:string object:string " + usage + "}"
	const list = "{created:number data:[{critiques:[" + critique + "] index:number own_score:number plain:bool reward:number score:number}] id:string model:string object:string " + usage + "}"
	for _, x := range []struct{ path, body, want string }{
		{"/v1/reward", `{"prompt":"What is 2 + 2?","response":"It is 4."}`, list},
		{"/v1/reward", `{"model":"base","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Ho"}],"samples":4,"temperature":0.7,"top_p":1,"top_k":0,"max_tokens":60,"seed":1}`, list},
		{"/v1/reward", `{"messages":[{"role":"user","content":"Hi"}],"responses":["Ho","Hu"],"id":"x","stream":false}`, list},
		{"/v1/reward", `{"input":["` + rendered + `"]}`, list},
		{"/get_reward", `{"query":["` + rendered + `"],"prompts":["…"],"labels":["…"],"metadata":{"a":[1]}}`, "{extra_logs:{critique_len:[number]} rewards:[number] scores:[number]}"},
		{"/get_reward", `{"query":["just words"]}`, "{extra_logs:{critique_len:[number] read_plain:[number]} rewards:[number] scores:[number]}"},
		{"/classify", `{"model":"base","input":"` + rendered + `","use_activation":false}`, classes},
		{"/classify", `{"model":"base","input":["` + rendered + `"],"activation":false,"priority":0,"user":"u","truncate_prompt_tokens":-1}`, classes},
		{"/classify", `{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]},{"role":"assistant","content":"Ho"}],"request_id":"r"}`, classes},
		{"/v1/classify", `{"model":"base","input":["` + rendered + `"]}`, classes},
		{"/classify", `{"text":["` + rendered + `"]}`, "[{critiques:[" + critique + "] embedding:[number] meta_info:{completion_tokens:number e2e_latency:number id:string prompt_tokens:number}}]"},
		{"/classify", `{"text":"` + rendered + `"}`, "{critiques:[" + critique + "] embedding:[number] meta_info:{completion_tokens:number e2e_latency:number id:string prompt_tokens:number}}"},
		{"/pooling", `{"model":"base","input":"` + rendered + `","task":"classify","encoding_format":"float"}`, "{created:number data:[{critiques:[" + critique + "] data:[number] index:number object:string}] id:string model:string object:string " + usage + "}"},
		{"/v1/embeddings", `{"model":"base","input":"` + rendered + `"}`, "{created:number data:[{critiques:[" + critique + "] embedding:[number] index:number object:string}] id:string model:string object:string " + usage + "}"},
		{"/v1/score/evaluation", `{"model":"base","messages":["` + rendered + `"],"max_length":null}`, "{id:string model:string object:string scores:[number]}"},
		{"/v1/score/evaluation", `{"messages":["just words"]}`, "{id:string model:string object:string read_plain:[number] scores:[number]}"},
		{"/slime", `{"prompt":"What is 2 + 2?","response":"4","label":null}`, "number"},
		{"/slime", `{"prompt":[{"role":"user","content":"What?"}],"response":"4","label":"x"}`, "number"},
		{"/v1/chat/completions", `{"model":"base","messages":[{"role":"user","content":"Hi"}],"max_tokens":5}`, "{choices:[{finish_reason:string index:number logprobs:null message:{content:string role:string}}] created:number id:string model:string object:string " + usage + "}"},
		{"/v1/completions", `{"model":"base","prompt":"` + rendered + `","max_tokens":5}`, "{choices:[{finish_reason:string index:number logprobs:null text:string}] created:number id:string model:string object:string " + usage + "}"},
	} {
		s, _ := newServer(t, nil)
		code, body := post(t, s, x.path, x.body)
		if code != 200 {
			t.Errorf("%s %s: %d %s", x.path, x.body, code, body)
			continue
		}
		if got := shapeOf(value(t, body)); got != x.want {
			t.Errorf("%s %s:\n got %s\nwant %s", x.path, x.body, got, x.want)
		}
	}
}

// at follows names and indices into a value.
func dig(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

func ask(t testing.TB, s *Server, path, body string) any {
	t.Helper()
	code, text := post(t, s, path, body)
	if code != 200 {
		t.Fatalf("%s %s: %d %s", path, body, code, text)
	}
	return value(t, text)
}

// The same text has the same reward on every route: that of the server's own, asked with messages.
func TestOneReward(t *testing.T) {
	s, _ := newServer(t, nil)
	want := dig(ask(t, s, "/v1/reward", `{"prompt":"What is 2 + 2?","responses":["It is 4."]}`), "data", 0, "reward")
	quoted, _ := json.Marshal(rendered)
	ids, _ := json.Marshal(s.dir.Tok.EncodeSpecial(rendered))
	for name, got := range map[string]any{
		"messages":    dig(ask(t, s, "/v1/reward", `{"messages":[{"role":"user","content":"What is 2 + 2?"},{"role":"assistant","content":"It is 4."}]}`), "data", 0, "score"),
		"among":       dig(ask(t, s, "/v1/reward", `{"prompt":"What is 2 + 2?","responses":["It is 5.","It is 4."]}`), "data", 1, "reward"),
		"input":       dig(ask(t, s, "/v1/reward", `{"input":`+string(quoted)+`}`), "data", 0, "reward"),
		"ids":         dig(ask(t, s, "/v1/reward", `{"input":`+string(ids)+`}`), "data", 0, "reward"),
		"openrlhf":    dig(ask(t, s, "/get_reward", `{"query":[`+string(quoted)+`]}`), "rewards", 0),
		"scores":      dig(ask(t, s, "/get_reward", `{"query":[`+string(quoted)+`]}`), "scores", 0),
		"classify":    dig(ask(t, s, "/classify", `{"input":`+string(quoted)+`}`), "data", 0, "probs", 0),
		"v1/classify": dig(ask(t, s, "/v1/classify", `{"input":[`+string(ids)+`]}`), "data", 0, "probs", 0),
		"pooling":     dig(ask(t, s, "/pooling", `{"input":`+string(quoted)+`}`), "data", 0, "data", 0),
		"sglang":      dig(ask(t, s, "/classify", `{"text":[`+string(quoted)+`]}`), 0, "embedding", 0),
		"input_ids":   dig(ask(t, s, "/classify", `{"input_ids":`+string(ids)+`}`), "embedding", 0),
		"embeddings":  dig(ask(t, s, "/v1/embeddings", `{"input":`+string(quoted)+`}`), "data", 0, "embedding", 0),
		"factory":     dig(ask(t, s, "/v1/score/evaluation", `{"messages":[`+string(quoted)+`]}`), "scores", 0),
		"slime":       ask(t, s, "/slime", `{"prompt":"What is 2 + 2?","response":"It is 4."}`),
		"slime text":  ask(t, s, "/slime", `{"prompt":"<|user|>What is 2 + 2?<|assistant|>","response":"It is 4."}`),
	} {
		if got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if same := dig(ask(t, s, "/get_reward", fmt.Sprintf(`{"query":[%q]}`, other)), "rewards", 0); same == want {
		t.Error("another text has the same reward")
	}
	if seeded := dig(ask(t, s, "/v1/reward", `{"prompt":"What is 2 + 2?","response":"It is 4.","seed":5}`), "data", 0, "reward"); seeded == want {
		t.Error("another seed has the same reward")
	}
}

// A reward is squashed where that is asked for, and only there; base64 is the float32's bytes.
func TestActivation(t *testing.T) {
	s, _ := newServer(t, nil)
	number := func(v any) float64 { f, _ := v.(json.Number).Float64(); return f }
	raw := number(dig(ask(t, s, "/classify", `{"input":"`+rendered+`"}`), "data", 0, "probs", 0))
	for _, x := range []struct {
		more   string
		squash bool
	}{{`"use_activation":false`, false}, {`"use_activation":true`, true}, {`"activation":true`, true}, {`"activation":false`, false}, {`"activation":true,"use_activation":false`, false}, {`"use_activation":null`, false}} {
		got := number(dig(ask(t, s, "/classify", `{"input":"`+rendered+`",`+x.more+`}`), "data", 0, "probs", 0))
		want := raw
		if x.squash {
			want = float64(float32(1 / (1 + math.Exp(-raw))))
		}
		if float32(got) != float32(want) {
			t.Errorf("%s: got %v, want %v", x.more, got, want)
		}
	}
	if got := number(dig(ask(t, s, "/classify", `{"text":"`+rendered+`","use_activation":true}`), "embedding", 0)); float32(got) != float32(1/(1+math.Exp(-raw))) {
		t.Errorf("SGLang's form: got %v of %v", got, raw)
	}
	text := dig(ask(t, s, "/v1/embeddings", `{"input":"`+rendered+`","encoding_format":"base64"}`), "data", 0, "embedding").(string)
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != 4 || math.Float32frombits(binary.LittleEndian.Uint32(b)) != float32(raw) {
		t.Errorf("base64 %q, %v", text, err)
	}
}

// truncate_prompt_tokens cuts messages and SGLang's texts as it does vLLM's, and leaves alone what is short.
func TestTruncated(t *testing.T) {
	s, _ := newServer(t, func(o *Options, _ *fake) { o.Plain = true })
	const messages = `"messages":[{"role":"user","content":"What is 2 + 2?"},{"role":"assistant","content":"It is 4."}]`
	ids := s.dir.Tok.EncodeSpecial(rendered)
	want := func(ids []int32) string { return fmt.Sprint(float32(hash(ids)%1000)/100 - 5) }
	for more, want := range map[string]string{
		``: want(ids), `,"truncate_prompt_tokens":-1`: want(ids), `,"truncate_prompt_tokens":4`: want(ids[len(ids)-4:]), `,"truncate_prompt_tokens":4,"truncation_side":"right"`: want(ids[:4]),
	} {
		for _, text := range []string{messages, `"input":"` + rendered + `"`} {
			if got := fmt.Sprint(dig(ask(t, s, "/classify", `{`+text+more+`}`), "data", 0, "probs", 0)); got != want {
				t.Errorf("%s%s: got %s, want %s", text, more, got, want)
			}
		}
		if got := fmt.Sprint(dig(ask(t, s, "/classify", `{"text":"`+rendered+`"`+more+`}`), "embedding", 0)); got != want {
			t.Errorf("text%s: got %s, want %s", more, got, want)
		}
	}
	if got := fmt.Sprint(dig(ask(t, s, "/v1/score/evaluation", `{"messages":["`+rendered+`"],"max_length":4}`), "scores", 0)); got != want(ids[:4]) {
		t.Errorf("max_length: got %s, want %s", got, want(ids[:4]))
	}
	critic, _ := newServer(t, nil)
	if got := ask(t, critic, "/classify", `{`+messages+`,"truncate_prompt_tokens":4}`); dig(got, "data", 0, "plain") != true {
		t.Errorf("a critic's: %v", got)
	}
}

// A scalar model reads whole texts as they are, control tokens as such, with no second begin-of-text token; a critic's model without a head
// gives its critiques' scores, and says so.
func TestKindsOfModels(t *testing.T) {
	plain, f := newServer(t, func(o *Options, _ *fake) { o.Plain = true })
	want := float32(hash(plain.dir.Tok.EncodeSpecial(rendered))%1000)/100 - 5
	got := ask(t, plain, "/v1/reward", `{"input":"`+rendered+`"}`)
	if text := fmt.Sprint(dig(got, "data", 0, "reward")); text != fmt.Sprint(want) {
		t.Errorf("got %s, want %v", text, want)
	}
	if dig(got, "data", 0, "plain") != true || len(dig(got, "data", 0, "critiques").([]any)) != 0 || dig(got, "notes") != nil {
		t.Errorf("%v", got)
	}
	messages := ask(t, plain, "/v1/reward", `{"prompt":"What is 2 + 2?","response":"It is 4."}`)
	if dig(messages, "data", 0, "reward") != dig(got, "data", 0, "reward") {
		t.Errorf("messages and the text that they are rendered as: %v and %v", dig(messages, "data", 0, "reward"), dig(got, "data", 0, "reward"))
	}
	if fmt.Sprint(dig(ask(t, plain, "/get_reward", `{"query":["words"]}`), "extra_logs")) != "map[critique_len:[0]]" {
		t.Error("a scalar model says that it read without critiques")
	}
	if code, body := post(t, plain, "/v1/reward", `{"prompt":"a","response":"b","plain":false}`); code != 422 || !strings.Contains(body, "it has learned to write none") {
		t.Errorf("%d %s", code, body)
	}
	if n := f.calls.Load(); n != 3 {
		t.Errorf("%d calls of the backend", n)
	}

	judge, _ := newServer(t, func(o *Options, _ *fake) { o.Head = false })
	got = ask(t, judge, "/v1/reward", `{"prompt":"a","response":"b","samples":3}`)
	if dig(got, "data", 0, "reward") != nil || dig(got, "data", 0, "score") == nil || dig(got, "notes", 0) != noteNoHead {
		t.Errorf("%v", got)
	}
	for _, x := range []struct{ path, body, want string }{
		{"/v1/reward", `{"prompt":"a","response":"b","plain":true}`, "no reward head"},
		{"/get_reward", `{"query":["words"]}`, "is not one that the model's chat template makes"},
	} {
		if code, body := post(t, judge, x.path, x.body); code/100 != 4 || !strings.Contains(body, x.want) {
			t.Errorf("%s: %d %s", x.path, code, body)
		}
	}
	mute, _ := newServer(t, func(o *Options, f *fake) { o.Head, f.text = false, func(uint64) string { return "No idea." } })
	if code, body := post(t, mute, "/get_reward", `{"query":["`+rendered+`"]}`); code != 400 || !strings.Contains(body, "ends in a score") {
		t.Errorf("%d %s", code, body)
	}
	if got := ask(t, mute, "/v1/reward", `{"prompt":"a","response":"b"}`); dig(got, "data", 0, "score") != nil {
		t.Errorf("%v", got)
	}

	critic, _ := newServer(t, nil)
	got = ask(t, critic, "/v1/reward", `{"prompt":"a","response":"b","plain":true}`)
	if dig(got, "data", 0, "plain") != true || dig(got, "notes", 0) != notePlain {
		t.Errorf("%v", got)
	}
	got = ask(t, critic, "/v1/reward", `{"input":["words","`+rendered+`"]}`)
	if dig(got, "data", 0, "plain") != true || dig(got, "data", 1, "plain") != false || dig(got, "notes", 0) != noteWhole {
		t.Errorf("%v", got)
	}
}

// The id and the columns of a request count for whole texts, too, and what is not read is told.
func TestColumns(t *testing.T) {
	p, err := critic.ParseTemplate("rubric.txt", "[user]\n{prompt} {response}\nBy: {rubric}\n", []string{"prompt", "response"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	asks, _ := newServer(t, func(o *Options, _ *fake) {
		set := *o.Score.Prompts
		set.Critique = p
		o.Score.Prompts = &set
	})
	plain, _ := newServer(t, nil)
	const as = `"prompt":"What is 2 + 2?","response":"It is 4."`
	reward := func(s *Server, body string, notes ...any) any {
		t.Helper()
		got := ask(t, s, "/v1/reward", `{`+body+`}`)
		told, _ := dig(got, "notes").([]any)
		if !slices.Equal(told, notes) {
			t.Errorf("%s: notes %q, want %q", body, told, notes)
		}
		return dig(got, "data", 0, "reward")
	}
	for _, more := range []string{`,"rubric":"be kind"`, `,"rubric":"be short"`, `,"rubric":"be kind","id":"x"`} {
		if a, b := reward(asks, as+more), reward(asks, `"input":"`+rendered+`"`+more); a != b {
			t.Errorf("%s: %v of messages, %v of the text that they are rendered as", more, a, b)
		}
	}
	if reward(asks, as+`,"rubric":"be kind"`) == reward(asks, as+`,"rubric":"be short"`) {
		t.Error("the rubric is not read")
	}
	if a, b := reward(plain, as+`,"id":"x"`), reward(plain, `"input":"`+rendered+`","id":"x"`); a != b || a == reward(plain, as) {
		t.Errorf("of an id: %v and %v", a, b)
	}
	refused{"/v1/reward", `{"input":"` + rendered + `","id":""}`, 422, "id: want 1 to 256 bytes"}.try(t, plain)
	refused{"/v1/reward", `{` + as + `}`, 422, `it has no "rubric"`}.try(t, asks)
	reward(plain, as+`,"rubric":"be kind","reference":"4"`, "rubric is not read: the model's prompt for critiques does not name it", "reference is not read: the model's prompt for critiques does not name it")
	reward(asks, as+`,"rubric":"be kind","plain":true`, notePlain, "rubric is not read: no critique is asked for")
}

// An empty response is judged like any other, with critiques and without, and does not take its neighbours with it.
func TestEmptyResponse(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, body := range []string{
		`{"prompt":"a","responses":["b",""]}`, `{"prompt":"a","responses":["b",""],"plain":true}`,
		`{"messages":[{"role":"user","content":"a"}],"responses":["b",""]}`,
	} {
		got := ask(t, s, "/v1/reward", body)
		for i := range 2 {
			if dig(got, "data", i, "reward") == nil {
				t.Errorf("%s: response %d has no reward: %v", body, i, dig(got, "data", i))
			}
		}
	}
	ask(t, s, "/v1/reward", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":""}]}`)
}

// Rewards are printed so that they are read as the same float32.
func TestRewardsRoundTrip(t *testing.T) {
	for _, want := range []float32{0.1, 1e-30, -3.4028235e38, 1.1754944e-38, 16777217, 0.333333343} {
		b, err := json.Marshal(rewardJSON{Reward: &want})
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Reward float64 }
		if err := json.Unmarshal(b, &got); err != nil || float32(got.Reward) != want {
			t.Errorf("%v became %v (%v)", want, got.Reward, err)
		}
	}
}
