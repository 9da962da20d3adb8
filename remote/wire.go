package remote

// What goes over the wire: the bodies of requests, and what is taken from answers.

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/splitmix"
	"criticrm/strictjson"
)

// maxPerRequest bounds "n", and with it how far seeds of one request reach.
const maxPerRequest = 10000

// Seed is sample j's of a request: below 2³¹, which every server takes. Seeds of one request follow each other, since vLLM gives the
// i-th of n samples the request's seed plus i: a sample is then the same whether it is asked for alone or with others.
func Seed(seed, key uint64, j int) int64 {
	first := splitmix.Mix(key^splitmix.Mix(seed+1)) % (math.MaxInt32 - 1<<20)
	return int64(first) + int64(j)%(1<<20)
}

// body is a request of either route.
type body struct {
	Model       string    `json:"model"`
	Messages    []message `json:"messages,omitempty"`
	Prompt      []int32   `json:"prompt,omitempty"`
	MaxTokens   int       `json:"max_tokens"`
	Temperature float32   `json:"temperature"`
	TopP        float32   `json:"top_p"`
	N           int       `json:"n,omitempty"` // 0: one
	Seed        int64     `json:"seed"`
	Stream      bool      `json:"stream"`
	LogProbs    any       `json:"logprobs,omitempty"` // true, or on the completions route 1
	*extension
}

// extension are fields beside OpenAI's: sampling is what the record says, whatever the server or its model's generation_config.json does
// by default.
type extension struct {
	TopK              int     `json:"top_k"` // -1: no limit
	MinP              float32 `json:"min_p"`
	RepetitionPenalty float32 `json:"repetition_penalty"` // vLLM, SGLang
	RepeatPenalty     float32 `json:"repeat_penalty"`     // llama.cpp
	StopTokenIDs      []int32 `json:"stop_token_ids,omitempty"`
	ReturnTokenIDs    bool    `json:"return_token_ids,omitempty"` // vLLM
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// encode is the body that asks for n samples from number from on.
func (e *Engine) encode(r *critic.Request, prompt []int32, s record.Sampling, from, n int) ([]byte, error) {
	b := body{Model: e.o.Model, MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopP: s.TopP, Seed: Seed(s.Seed, r.Key, from)}
	if s.TopP == 0 {
		b.TopP = 1
	}
	if n > 1 {
		b.N = n
	}
	if !e.o.Standard {
		b.extension = &extension{TopK: -1, RepetitionPenalty: 1, RepeatPenalty: 1, ReturnTokenIDs: e.o.Decode != nil}
		if s.TopK > 0 {
			b.TopK = s.TopK
		}
	}
	switch e.o.Route {
	case Completions:
		if b.Prompt = prompt; b.extension != nil {
			b.StopTokenIDs = e.o.Ends
		}
		if e.o.LogProbs {
			b.LogProbs = 1
		}
	default:
		for _, m := range r.Messages {
			b.Messages = append(b.Messages, message{m.Role, m.Content})
		}
		if e.o.LogProbs {
			b.LogProbs = true
		}
	}
	return json.Marshal(&b)
}

// answer is what a server sends for either route.
type answer struct {
	Choices []choice        `json:"choices"`
	Usage   *usage          `json:"usage"`
	Error   json.RawMessage `json:"error"` // of servers that answer 200 all the same
}

type choice struct {
	Index        *int            `json:"index"`
	FinishReason *string         `json:"finish_reason"`
	Text         *string         `json:"text"`
	Message      *reply          `json:"message"`
	LogProbs     json.RawMessage `json:"logprobs"`
	TokenIDs     []int32         `json:"token_ids"` // vLLM
}

// reply is a message of the assistant. What a model thinks beside its content (reasoning_content, reasoning) is no part of the text.
type reply struct {
	Content   json.RawMessage `json:"content"`
	Reasoning *string         `json:"reasoning_content"`
	Thought   *string         `json:"reasoning"`
	Refusal   *string         `json:"refusal"`
}

type usage struct {
	Prompt     *int64 `json:"prompt_tokens"`
	Completion *int64 `json:"completion_tokens"`
}

// chosen is a choice that is a sample.
type chosen struct {
	at     int // number among those asked for
	sample critic.Sample
	lacks  bool // token ids that the model's tokenizer could have confirmed
}

// decode takes an answer to a request for n samples apart. It may hold fewer than n. What is wrong with it is a failure.
func (e *Engine) decode(b []byte, n int) (list []chosen, u usage, err error) {
	if err := strictjson.Read(b, (*strictjson.Reader).Skip); err != nil {
		return nil, u, fmt.Errorf("its answer is not JSON: %w", err)
	}
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, u, fmt.Errorf("its answer is not of the API's form: %w", err)
	}
	if len(a.Error) > 0 && string(a.Error) != "null" {
		return nil, u, fmt.Errorf("it answers with the error %s", clip(said(b)))
	}
	if len(a.Choices) == 0 || len(a.Choices) > n {
		return nil, u, fmt.Errorf("its answer has %d choices, %d were asked for", len(a.Choices), n)
	}
	if a.Usage != nil {
		u = *a.Usage
	}
	for _, count := range []*int64{u.Prompt, u.Completion} {
		if count != nil && (*count < 0 || *count > 1<<40) {
			return nil, u, fmt.Errorf("its answer says %d tokens", *count)
		}
	}
	seen := map[int]bool{}
	for i := range a.Choices {
		c := &a.Choices[i]
		x := chosen{at: i}
		if c.Index != nil {
			x.at = *c.Index
		}
		if x.at < 0 || x.at >= n || seen[x.at] {
			return nil, u, fmt.Errorf("its answer has a choice with index %d among %d of %d", x.at, len(a.Choices), n)
		}
		seen[x.at] = true
		if x.sample.Text, err = c.text(e.o.Route); err != nil {
			return nil, u, err
		}
		if x.sample.FinishReason, err = c.finish(); err != nil {
			return nil, u, err
		}
		if e.o.Decode != nil {
			x.lacks = !e.spell(c, &x.sample)
		}
		list = append(list, x)
	}
	return list, u, nil
}

// text is a choice's. A message without content is empty where the model has only thought.
func (c *choice) text(route string) (string, error) {
	if route == Completions {
		if c.Text == nil {
			return "", errors.New("its answer has a choice without text")
		}
		return *c.Text, nil
	}
	m := c.Message
	switch {
	case m == nil:
		return "", errors.New("its answer has a choice without a message")
	case m.Refusal != nil && *m.Refusal != "":
		return "", errors.New("its answer has a choice that is a refusal and no text")
	}
	switch strictjson.KindOf(m.Content) {
	case "string":
		var s string
		return s, json.Unmarshal(m.Content, &s)
	case "null":
		if m.Reasoning != nil || m.Thought != nil {
			return "", nil
		}
	}
	return "", errors.New("its answer has a choice whose content is no text")
}

// errEnded is why a choice ended that is neither its own end nor the limit of tokens.
var errEnded = errors.New("ended for another reason")

// finish is why a choice ended, in the words of records.
func (c *choice) finish() (string, error) {
	if c.FinishReason == nil || *c.FinishReason == "" {
		return "", errors.New("its answer has a choice without a finish_reason: whether the text ended by itself is not known")
	}
	switch *c.FinishReason {
	case "stop", "eos", "eos_token", "stop_sequence", "end_turn":
		return record.FinishStop, nil
	case "length", "max_tokens":
		return record.FinishLength, nil
	case "abort", "error", "cancelled":
		return "", fmt.Errorf("it ended a text with finish_reason %q", *c.FinishReason)
	}
	return "", fmt.Errorf("a text %w: finish_reason %.40q, want stop or length", errEnded, *c.FinishReason)
}

// spell gives a sample its token ids and log-probability, if the server says ids that the tokenizer reads as the sample's text: a text
// that ended by itself with the token that ended it. It says whether it did.
func (e *Engine) spell(c *choice, x *critic.Sample) bool {
	ids, logs := c.TokenIDs, []float64(nil)
	if len(c.LogProbs) > 0 {
		var own []int32
		if own, logs = tokenLogs(c.LogProbs); len(ids) == 0 {
			ids = own
		}
	}
	body := ids
	if x.FinishReason == record.FinishStop {
		if len(ids) == 0 || !slices.Contains(e.o.Ends, ids[len(ids)-1]) {
			return false
		}
		body = ids[:len(ids)-1]
	}
	for _, id := range ids {
		if id < 0 {
			return false
		}
	}
	if len(ids) == 0 || e.o.Decode(body) != x.Text {
		return false
	}
	x.Tokens = ids
	if len(logs) == len(ids) {
		sum := 0.0
		for _, l := range logs {
			sum += l
		}
		if !math.IsInf(sum, 0) {
			x.LogProb = sum
		}
	}
	return true
}

// tokenLogs reads log-probabilities in the forms of chat (a list "content" of objects, in llama.cpp with "id") and of completions (lists
// "tokens" and "token_logprobs", in vLLM with "token_id:N" for tokens on demand). What is of no known form is nothing.
func tokenLogs(raw json.RawMessage) (ids []int32, logs []float64) {
	var forms struct {
		Content []struct {
			ID      *int32   `json:"id"`
			Token   string   `json:"token"`
			LogProb *float64 `json:"logprob"`
		} `json:"content"`
		Tokens   []string   `json:"tokens"`
		LogProbs []*float64 `json:"token_logprobs"`
	}
	if json.Unmarshal(raw, &forms) != nil {
		return nil, nil
	}
	whole, known := true, true
	add := func(id *int32, token string, l *float64) {
		if text, ok := strings.CutPrefix(token, "token_id:"); ok && id == nil {
			if n, err := strconv.ParseInt(text, 10, 32); err == nil {
				own := int32(n)
				id = &own
			}
		}
		if whole = whole && id != nil; whole {
			ids = append(ids, *id)
		}
		if known = known && l != nil && !math.IsNaN(*l) && *l <= 0; known {
			logs = append(logs, *l)
		}
	}
	for _, c := range forms.Content {
		add(c.ID, c.Token, c.LogProb)
	}
	if forms.Content == nil && len(forms.Tokens) == len(forms.LogProbs) {
		for i, token := range forms.Tokens {
			add(nil, token, forms.LogProbs[i])
		}
	}
	if !whole {
		ids = nil
	}
	if !known {
		logs = nil
	}
	return ids, logs
}
