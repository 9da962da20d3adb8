package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"criticrm/render"
)

// shifted is a backend whose rewards are those of another one, and more.
type shifted struct {
	*fake
	by float32
}

func (s shifted) Rewards(ctx context.Context, texts [][]int32) ([]float32, error) {
	out, err := s.fake.Rewards(ctx, texts)
	for i := range out {
		out[i] += s.by
	}
	return out, err
}

// withMore is a server with two more models, the second of which reads rewards alone.
func withMore(t *testing.T) *Server {
	t.Helper()
	s, f := newServer(t, func(o *Options, _ *fake) { o.Set.Names = "first" })
	r, err := render.Of(openDir(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a", "b"} {
		o := Options{Score: s.Score, Head: true, Plain: name == "b"}
		if err := s.Add(name, s.dir, r, shifted{f, float32(100 * (i + 1))}, o); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Each request is answered by the model that it names, in the body or in the address; without a name by the first.
func TestModelsByName(t *testing.T) {
	s := withMore(t)
	reward := func(path, model string) float64 {
		t.Helper()
		code, text := post(t, s, path, fmt.Sprintf(`{%s"prompt": "What is 1 + 1?", "response": "2", "plain": true}`, model))
		var got struct {
			Model string
			Data  []struct{ Reward float64 }
		}
		if err := json.Unmarshal([]byte(text), &got); code != 200 || err != nil {
			t.Fatalf("%s %s: %d %s", path, model, code, text)
		}
		return got.Data[0].Reward
	}
	first := reward("/v1/reward", "")
	for _, x := range []struct {
		path, model string
		more        float64
	}{{"/v1/reward", `"model": "first", `, 0}, {"/v1/reward", `"model": "a", `, 100}, {"/v1/reward", `"model": "b", `, 200}, {"/v1/reward?model=b", "", 200}, {"/v1/reward?model=a", `"model": "a", `, 100}, {"/v1/reward?model=first", "", 0}} {
		if got := reward(x.path, x.model); got-first < x.more-0.01 || got-first > x.more+0.01 {
			t.Errorf("%s %s: %v more than the first model, want %v", x.path, x.model, got-first, x.more)
		}
	}
	// On routes whose bodies name none, the address does.
	code, text := post(t, s, "/get_reward?model=b", `{"query": ["<|user|>x<|assistant|>y<|end|>"]}`)
	var got struct{ Rewards []float64 }
	if err := json.Unmarshal([]byte(text), &got); code != 200 || err != nil || got.Rewards[0] < 190 {
		t.Errorf("%d %s", code, text)
	}
	// What a model cannot do is told of that one: b writes no critiques.
	if code, text := post(t, s, "/v1/reward", `{"model": "b", "prompt": "x", "response": "y", "plain": false}`); code != 422 {
		t.Errorf("%d %s", code, text)
	}
	for body, want := range map[string]string{`{"model": "c", "prompt": "x", "response": "y"}`: "there is no model c, there are first, a, b", `{"model": 7, "prompt": "x", "response": "y"}`: "model", `{"model": "a", "model": "b"}`: "model"} {
		if code, text := post(t, s, "/v1/reward", body); code != http.StatusNotFound && code != 400 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", body, code, text)
		}
	}
	for path, status := range map[string]int{"/v1/reward?model=c": 404, "/get_reward?model=c": 404, "/v1/reward?model=b": 400} {
		body := `{"prompt": "x", "response": "y"}`
		if status == 400 {
			body = `{"model": "a", "prompt": "x", "response": "y"}`
		}
		if code, text := post(t, s, path, body); code != status || !strings.Contains(text, `"param":"model"`) {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
}

// What an address says beside the model, or in a way that cannot be read, is refused: the first model would be asked without a word.
func TestParameters(t *testing.T) {
	s := withMore(t)
	body := `{"prompt": "x", "response": "y", "plain": true}`
	for query, want := range map[string]string{
		"model=b%ZZ": "cannot be read", "model=a;b": "cannot be read", "Model=b": `unknown parameter \"Model\" in the address, did you mean \"model\"?`,
		"seed=5": "the body says the rest", "model=a&model=b": "model: the address names it twice", "model=b&x": `unknown parameter \"x\"`,
	} {
		if code, text := post(t, s, "/v1/reward?"+query, body); code != 400 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s; want %s", query, code, text, want)
		}
	}
	one, _ := newServer(t, nil)
	if code, text := post(t, one, "/get_reward?seed=5", `{"query": ["x"]}`); code != 400 {
		t.Errorf("a server of one model: %d %s", code, text)
	}
	if code, text := post(t, s, "/slime", `{"model": "c", "prompt": "x", "response": "y"}`); code != http.StatusNotFound || !strings.Contains(text, "no model c") {
		t.Errorf("slime: %d %s", code, text)
	}
}

// The list has every model under its name, and the metrics are of all.
func TestModelsAreListed(t *testing.T) {
	s := withMore(t)
	w := send(s, http.MethodGet, "/v1/models", "")
	var got struct {
		Data []struct {
			ID     string
			Critic struct{ Plain bool } `json:"criticrm"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Data) != 3 || got.Data[1].ID != "a" || got.Data[2].ID != "b" || got.Data[1].Critic.Plain || !got.Data[2].Critic.Plain {
		t.Errorf("%s, %v", w.Body, err)
	}
	if code, text := post(t, s, "/v1/chat/completions", `{"model": "a", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}`); code != 200 || !strings.Contains(text, `"model":"a"`) {
		t.Errorf("%d %s", code, text)
	}
	if text := send(s, http.MethodGet, "/metrics", "").Body.String(); !strings.Contains(text, "criticrm_written_tokens_total 3") { // the fake counts calls, and is there three times
		t.Errorf("%s", text)
	}
	if err := s.Add("a", s.dir, s.render, s.back, Options{Score: s.Score, Head: true}); err == nil || !strings.Contains(err.Error(), `two models are called "a"`) {
		t.Errorf("%v", err)
	}
	if err := s.Add("c", s.dir, s.render, s.back, Options{Score: s.Score, Plain: true}); err == nil || !strings.Contains(err.Error(), "neither a reward head nor critiques to give (model c)") || len(s.all) != 3 {
		t.Errorf("%v, %d models", err, len(s.all))
	}
}
