// Package engine is a model directory as the two things the method asks for: a [critic.Generator] that writes critiques, and
// a [critic.Rewarder] that reads rewards after them.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"criticrm/critic"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/record"
	"criticrm/tokenizer"
)

// Options say how a model directory is opened.
type Options struct {
	DType         kernels.DType // F32 or BF16
	HeadPosition  string        // "end", "content", or "" for what the directory says
	ChatTemplate  string        // a file that replaces the directory's own template
	MaxSequences  int           // sequences decoded at once; 0: 256
	MaxTokens     int           // tokens of a packed forward pass when rewards are read; 0: 8192
	RequireReward bool          // refuse a directory without a reward head
}

// Engine is an open model with its tokenizer and chat template.
type Engine struct {
	Model *model.Model
	Tok   *tokenizer.Tokenizer
	Chat  *tokenizer.Chat

	position model.RewardAt
	end      int32   // ends a turn
	stop     []int32 // any of these ends a critique
	options  Options
}

// Open loads a Hugging Face model directory with its tokenizer and chat template.
func Open(dev *kernels.Device, dir string, o Options) (*Engine, error) {
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	chat, err := openChat(dir, o.ChatTemplate, tok)
	if err != nil {
		return nil, err
	}
	m, err := model.Load(dev, dir, model.Options{DType: o.DType})
	if err != nil {
		return nil, err
	}
	if o.RequireReward && !m.HasHead() {
		m.Close()
		return nil, fmt.Errorf("engine: %s: the model has no reward head: train one with 'criticrm train', or give a …ForSequenceClassification model", dir)
	}
	if o.HeadPosition == "" {
		if o.HeadPosition, err = headPosition(dir); err != nil {
			m.Close()
			return nil, err
		}
	}
	e, err := Wrap(m, tok, chat, o)
	if err != nil {
		m.Close()
	}
	return e, err
}

func openChat(dir, file string, tok *tokenizer.Tokenizer) (*tokenizer.Chat, error) {
	if file == "" {
		return tokenizer.LoadChat(dir, tok)
	}
	return tokenizer.LoadChatFile(dir, file, tok)
}

// Wrap joins an open model to a tokenizer and a chat template.
func Wrap(m *model.Model, tok *tokenizer.Tokenizer, chat *tokenizer.Chat, o Options) (*Engine, error) {
	if o.MaxSequences == 0 {
		o.MaxSequences = 256
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = 8192
	}
	e := &Engine{Model: m, Tok: tok, Chat: chat, options: o, stop: m.Config.EOSTokenIDs}
	switch o.HeadPosition {
	case "", "end":
		e.position = model.AtEnd
	case "content":
		e.position = model.AtContent
	default:
		return nil, fmt.Errorf("engine: head position %q: want end or content", o.HeadPosition)
	}
	end, err := chat.EndOfTurn(m.Config.EOSTokenIDs)
	if err != nil {
		return nil, err
	}
	e.end = end
	return e, nil
}

// Close frees the model.
func (e *Engine) Close() { e.Model.Close() }

// End is the token that ends a critique in training.
func (e *Engine) End() int32 { return e.end }

// Encode spells a conversation; with generation, up to where the model is to write.
func (e *Engine) Encode(messages []tokenizer.Message, generation bool) ([]int32, error) {
	return e.Chat.Encode(messages, generation)
}

// Generate samples critiques. It implements [critic.Generator].
func (e *Engine) Generate(ctx context.Context, reqs []critic.Request, s record.Sampling) ([][]critic.Sample, error) {
	in := make([]model.GenRequest, len(reqs))
	for i, r := range reqs {
		prefix, err := e.Chat.Encode(r.Messages, true)
		if err != nil {
			return nil, err
		}
		if limit := e.Model.Config.MaxPositionEmbeddings; limit > 0 && len(prefix)+s.MaxTokens > limit {
			return nil, fmt.Errorf("engine: a prompt of %d tokens with %d to write is over the model's %d positions: lower --max_tokens, or drop or truncate long rows", len(prefix), s.MaxTokens, limit)
		}
		in[i] = model.GenRequest{Prefix: prefix, N: r.N, Key: r.Key}
	}
	o := model.GenOptions{Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK, MaxTokens: s.MaxTokens, Seed: s.Seed,
		Stop: e.stop, MaxSequences: e.options.MaxSequences}
	if s.Reward {
		if !e.Model.HasHead() {
			return nil, errors.New("engine: the model has no reward head to read")
		}
		o.Reward = e.position
	}
	out := make([][]critic.Sample, len(reqs))
	err := e.Model.Generate(ctx, in, o, func(i int, samples []model.GenSample) {
		for _, g := range samples {
			out[i] = append(out[i], e.sample(g, s.Reward))
		}
	})
	return out, err
}

func (e *Engine) sample(g model.GenSample, reward bool) critic.Sample {
	text := g.IDs
	finish := "length"
	if g.Stopped {
		finish, text = "stop", text[:len(text)-1]
	}
	s := critic.Sample{Text: e.Tok.DecodeText(text), Tokens: g.IDs, LogProb: g.LogProb, FinishReason: finish}
	if reward {
		r := g.Reward
		s.Reward = &r
	}
	return s
}

// Rewards reads the reward after each given critique of each request, or at the end of the response where there are none. It
// implements [critic.Rewarder].
func (e *Engine) Rewards(ctx context.Context, reqs []critic.RewardRequest) ([][]float32, error) {
	if !e.Model.HasHead() {
		return nil, errors.New("engine: the model has no reward head to read")
	}
	out := make([][]float32, len(reqs))
	var b model.Batch
	var owner []int
	flush := func() error {
		if len(b.Leaf) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		_, rewards, err := e.Model.Evaluate(&b)
		for i, r := range rewards {
			out[owner[i]] = append(out[owner[i]], r)
		}
		b, owner = model.Batch{}, owner[:0]
		return err
	}
	for i, r := range reqs {
		if err := e.appendRewards(&b, r); err != nil {
			return nil, err
		}
		for len(owner) < len(b.Leaf) {
			owner = append(owner, i)
		}
		if b.Len() >= e.options.MaxTokens {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return out, flush()
}

func (e *Engine) appendRewards(b *model.Batch, r critic.RewardRequest) error {
	prefix, err := e.Chat.Encode(r.Messages, len(r.Critiques) > 0)
	if err != nil {
		return err
	}
	b.Open(prefix)
	response := b.Len() - 1
	if len(r.Critiques) == 0 {
		b.Leaf = append(b.Leaf, int32(response))
	}
	for _, c := range r.Critiques {
		if len(c) == 0 {
			return errors.New("engine: an empty critique has no token to read a reward at")
		}
		at := response
		if i := e.position.Index(c, e.stop); i >= 0 {
			at = b.Len() + i
		}
		b.Open(c)
		b.Close()
		b.Leaf = append(b.Leaf, int32(at))
	}
	b.Close()
	return nil
}

// metaFile is what a trained model directory says of its head, beside the weights.
const metaFile = "critic_rm.json"

func headPosition(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, metaFile))
	if errors.Is(err, os.ErrNotExist) {
		return "end", nil
	}
	if err != nil {
		return "", fmt.Errorf("engine: %w", err)
	}
	var m struct {
		HeadPosition string `json:"head_position"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return "", fmt.Errorf("engine: %s: %w", filepath.Join(dir, metaFile), err)
	}
	return m.HeadPosition, nil
}
