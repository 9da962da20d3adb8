package pipeline

// Who writes for a stage: an open model, or servers elsewhere.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/remote"
	"criticrm/render"
)

// Writer is a generator with what is known of how to ask it.
type Writer struct {
	critic.Generator
	Prompts  *critic.Prompts
	Scale    critic.Scale
	Reading  critic.Reading
	Label    func() (string, error)    // names the model and all that its texts depend on
	Chunk    func(samples int) int     // records with so many samples a response that keep it busy
	Dir      *modeldir.Dir             // nil: none is at hand
	Progress func(func(tokens, n int)) // sets who is told of tokens and finished samples
	askScore string                    // where nobody says
	maxToken int                       // likewise; 0: nobody knows
}

// Local is an open model as a Writer.
func Local(e *engine.Engine) *Writer {
	return &Writer{Generator: e, Prompts: e.Prompts, Scale: e.Scale, Reading: e.Reading(), Label: e.Label, Chunk: e.Chunk, Dir: e.Dir,
		Progress: func(f func(int, int)) { e.Progress = f }, askScore: e.Dir.AskScore(), maxToken: e.Dir.MaxTokens}
}

// Engines that write.
const (
	LocalEngine  = "local"  // the model directory
	OpenAIEngine = "openai" // servers with OpenAI's routes
)

// Remote says who writes, if it is not the model directory.
type Remote struct {
	Engine         string  `yaml:"engine" common:"true" group:"Engine" help:"who writes: local (the model directory), or openai: servers with OpenAI's routes (vLLM, SGLang, llama.cpp, Ollama), which base_url names; a model directory beside it gives prompts, scale and limits"`
	BaseURL        string  `yaml:"base_url" common:"true" resume:"free" help:"openai: the servers of one model, by comma, as http://localhost:8000/v1"`
	EngineModel    string  `yaml:"engine_model" help:"openai: name of the model on the servers (default: the one that they have)"`
	APIKeyEnv      string  `yaml:"api_key_env" resume:"free" help:"openai: environment variable that holds the key (default: no key is sent)"`
	EngineRoute    string  `yaml:"engine_route" help:"openai: chat (the server renders conversations) or completions (token ids, spelled by the model directory, which must be of the same model)"`
	PerRequest     int     `yaml:"per_request" help:"openai: samples that one request asks for; servers that leave some out are asked for them one by one"`
	StandardFields bool    `yaml:"standard_fields" help:"openai: send OpenAI's own fields alone; top_k, min_p and penalties are then the server's"`
	EngineLogProbs bool    `yaml:"engine_logprobs" help:"openai, with a model directory: ask for log-probabilities, which refine breaks ties by; they count only where the server says token ids, too"`
	Concurrency    int     `yaml:"concurrency" resume:"free" help:"openai: requests under way at each server"`
	Retries        int     `yaml:"retries" resume:"free" help:"openai: further tries of a request that fails for a reason that may pass"`
	RequestTimeout float64 `yaml:"request_timeout" resume:"free" help:"openai: seconds that one try may take"`
}

// DefaultRemote is none: the model directory writes.
func DefaultRemote() Remote {
	return Remote{Engine: LocalEngine, EngineRoute: remote.Chat, PerRequest: 1, Concurrency: remote.DefaultConcurrent, Retries: remote.DefaultRetries,
		RequestTimeout: remote.DefaultTimeout.Seconds()}
}

// Elsewhere reports whether servers write.
func (r *Remote) Elsewhere() bool { return r.Engine == OpenAIEngine }

// Validate checks what needs no server. Errors do not repeat what may be a password.
func (r *Remote) Validate() error {
	if r.Engine = cmp.Or(r.Engine, LocalEngine); r.Engine != LocalEngine && r.Engine != OpenAIEngine {
		return fmt.Errorf("engine: got %.40q, want %s or %s", r.Engine, LocalEngine, OpenAIEngine)
	}
	if !r.Elsewhere() {
		for _, x := range []struct{ name, value string }{{"base_url", r.BaseURL}, {"engine_model", r.EngineModel}, {"api_key_env", r.APIKeyEnv}} {
			if x.value != "" {
				return fmt.Errorf("%s is for engine %s, and engine is %s", x.name, OpenAIEngine, r.Engine)
			}
		}
		return nil
	}
	if r.BaseURL == "" {
		return fmt.Errorf("engine %s needs base_url, as http://localhost:8000/v1", OpenAIEngine)
	}
	if !(r.RequestTimeout > 0 && r.RequestTimeout <= 1e6) || math.IsNaN(r.RequestTimeout) {
		return fmt.Errorf("request_timeout: got %v, want more than 0 and at most 1e6 seconds", r.RequestTimeout)
	}
	_, err := remote.SplitURLs(r.BaseURL)
	return err
}

// Refuse refuses settings of a stage (askScore is one) and of a model on this device that no server takes, where there is no other use
// for them.
func (r *Remote) Refuse(m *Model, askScore string) error {
	return r.without([]setting{
		{"ask_score " + askScore, askScore != "" && askScore != critic.AskOff, "a server cannot be asked for the score of a critique that has ended"},
		{"bf16", m.BF16, "the server decides on its types"},
		{"max_sequences", m.MaxSequences > 0, "give concurrency"},
		{"chat_template", m.ChatTemplate != "" && (m.Dir == "" || r.EngineRoute == remote.Chat), "the server renders conversations by its own; the completions route, with a model directory, takes it"},
	})
}

// refuse refuses what needs a model directory, where there is none.
func (r *Remote) refuse(d *modeldir.Dir, g modeldir.Given) error {
	return r.without([]setting{
		{"engine_logprobs", d == nil && r.EngineLogProbs, "it needs a model directory beside it, whose tokenizer confirms the tokens"},
		{"max_length", d == nil && g.MaxLength > 0, "nothing here counts tokens without a model directory beside it; the server refuses what is too long for it"},
		{"overlong " + g.Overlong, d == nil && (g.Overlong == record.TruncateLeft || g.Overlong == record.TruncateRight), "nothing here counts tokens without a model directory beside it; drop leaves out what the server refuses"},
	})
}

// setting is one that may not go with servers.
type setting struct {
	name  string
	given bool
	why   string
}

func (r *Remote) without(list []setting) error {
	for _, x := range list {
		if x.given {
			return fmt.Errorf("%s does not go with engine %s: %s", x.name, OpenAIEngine, x.why)
		}
	}
	return nil
}

// Open asks for the servers and gives them as a Writer; done closes it and says in one line what was asked, if anything was. The model's
// directory d may be nil: prompts and scale are then those that m names, or defaults. g is what was asked of d.
func (r Remote) Open(ctx context.Context, m *Model, d *modeldir.Dir, g modeldir.Given, warn func(string)) (w *Writer, done func() string, err error) {
	if err := errors.Join(r.Validate(), r.refuse(d, g)); err != nil {
		return nil, nil, err
	}
	o := remote.Options{KeyEnv: r.APIKeyEnv, Model: r.EngineModel, Route: r.EngineRoute, Concurrent: r.Concurrency, PerRequest: r.PerRequest, Retries: r.Retries,
		Timeout: time.Duration(r.RequestTimeout * float64(time.Second)), Standard: r.StandardFields, LogProbs: r.EngineLogProbs, Warn: warn}
	if o.BaseURLs, err = remote.SplitURLs(r.BaseURL); err != nil {
		return nil, nil, err
	}
	w = &Writer{askScore: critic.AskOff, Dir: d}
	template := ""
	if d == nil {
		err = w.asked(m)
	} else {
		template, err = w.asDir(&o, d)
	}
	if err != nil {
		return nil, nil, err
	}
	e, err := remote.Open(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	w.Generator, w.Chunk = e, e.Chunk
	w.Progress = func(f func(int, int)) { e.Progress = f }
	w.Label = func() (string, error) { return e.Label() + template, nil }
	return w, func() string {
		e.Close()
		if s := e.Stats(); s.Requests > 0 {
			return fmt.Sprintf("%s: %v", e.Label(), s)
		}
		return ""
	}, nil
}

// asked are the prompts and the scale that the settings name.
func (w *Writer) asked(m *Model) (err error) {
	if w.Prompts, err = critic.LoadPrompts(m.Prompts, m.Examples); err != nil {
		return err
	}
	if w.Scale = GivenScale(m.ScaleMin, m.ScaleMax); w.Scale == (critic.Scale{}) {
		w.Scale = critic.DefaultScale()
	}
	return errors.Join(w.Scale.Validate(), w.Prompts.CheckScale(w.Scale))
}

// asDir is how a directory's model is asked. With it, tokens are counted, spelled and checked as it says.
func (w *Writer) asDir(o *remote.Options, d *modeldir.Dir) (template string, err error) {
	if d.Chat == nil {
		return "", d.ChatErr
	}
	r, err := render.Of(d)
	if err != nil {
		return "", err
	}
	w.Prompts, w.Scale, w.askScore, w.maxToken = r.Prompts, r.Scale, d.AskScore(), d.MaxTokens
	w.Reading = critic.Reading{Limits: r, MaxLength: d.MaxLength, Overlong: d.Overlong}
	o.Encode, o.Decode, o.Ends = r.Encode, r.Decode, d.EndTokens
	if o.Route == remote.Completions { // the ids depend on it
		template = "/template " + d.TemplateHash()[:12]
	}
	return template, nil
}

// ask is what is done with critiques that end without a score: what was given, else what the model was trained with. A server cannot be asked.
func (w *Writer) ask(given string) (string, error) {
	how := cmp.Or(given, w.askScore)
	if _, there := w.Generator.(*remote.Engine); there && how != critic.AskOff {
		if given == "" {
			return "", fmt.Errorf("%s was trained with ask_score %s, and engine %s cannot be asked for the score of a critique that has ended: give ask_score off to go on without", w.Dir.Path, how, OpenAIEngine)
		}
		return "", fmt.Errorf("ask_score %s does not go with engine %s, which cannot be asked for the score of a critique that has ended: give off", how, OpenAIEngine)
	}
	return how, nil
}
