// Package trainer trains reward models that write critiques: examples from records, packed batches, schedules, the update, the
// loop, and resume that is exact to the bit.
//
// [Run] does everything from files, as a [Config] says: it reads records, renders them with the model's chat template, trains, and
// leaves a Hugging Face directory. [Train] is the same loop on a model and a [Dataset] in memory.
//
// The batch of an update is per_device_train_batch_size × gradient_accumulation_steps pairs. Each pair is one tree of tokens,
//
//	[prompt][response+][critique+ 1]…[critique+ K][response-][critique- 1]…[critique- K]
//
// whose shared parts are computed once; the trees are packed into micro-batches of max_tokens_per_batch tokens, without
// padding. Losses are sums over all micro-batches, divided once by the batch's critique tokens and pairs, so that the size
// of a micro-batch changes rounding and nothing else.
//
// All randomness is a function of (seed, purpose, epoch, index). A checkpoint holds weights, masters, moments and the position
// in the data; a run that is stopped and resumed gives the bytes of one that was not.
package trainer

import (
	"context"
	"errors"
	"fmt"

	"criticrm/critic"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/tokenizer"
)

// Run trains from files on a device: it loads the model, its tokenizer and chat template, renders the records of train_file and
// eval_file, trains, and writes output_dir. All input is read and checked before the first step. The recipe's device and threads are
// for whoever opens the device.
func Run(ctx context.Context, dev *kernels.Device, c Config, r Report) (Result, error) {
	if err := errors.Join(c.Validate(), c.validateFiles()); err != nil {
		return Result{}, err
	}
	say := func(format string, args ...any) {
		if r.Log != nil {
			fmt.Fprintf(r.Log, format+"\n", args...)
		}
	}
	mc, err := model.LoadConfig(c.Model)
	if err != nil {
		return Result{}, err
	}
	render, err := openRenderer(c, mc)
	if err != nil {
		return Result{}, err
	}
	longest := mc.WithDefaults().MaxPositionEmbeddings
	if c.MaxLength > 0 {
		longest = min(longest, c.MaxLength)
	}
	train, err := LoadRecords(c.TrainFile, render, c, longest)
	if err != nil {
		return Result{}, err
	}
	say("train: %v", train)
	opts := []Option{WithReport(r), WithFiles(func(dir string) error { return copyTokenizer(c.Model, dir, c.ChatTemplate) })}
	if c.EvalFile != "" {
		eval, err := LoadRecords(c.EvalFile, render, c, longest)
		if err != nil {
			return Result{}, err
		}
		say("eval: %v", eval)
		if n := overlap(train, eval); n > 0 {
			say("warning: %d of %d evaluation examples are also trained on", n, eval.Len())
		}
		opts = append(opts, WithEval(eval))
	} else {
		say("no eval_file: nothing is measured on held-out records")
	}
	m, err := model.Load(dev, c.Model, c.options())
	if err != nil {
		return Result{}, err
	}
	defer m.Close()
	plan := NewPlan(c, train.Len())
	say("%s: %d parameters, %s on %v, %d examples, %d updates of %d, %d an epoch", c.Method, m.Size(), m.DType(), dev, plan.Examples, plan.Total, plan.Batch, plan.PerEpoch)
	result, err := Train(ctx, m, train, c, opts...)
	if err == nil {
		say("%d updates, %d tokens in %.1f s; micro-batches %.0f %% full; without shared prefixes it would be %.2f times the tokens; model in %s",
			result.Steps, result.Tokens, result.Seconds, 100*result.Efficiency, result.Sharing, result.ModelDir)
	}
	return result, err
}

// openRenderer opens the tokenizer, the chat template and the critique prompt of a recipe.
func openRenderer(c Config, mc model.Config) (*Renderer, error) {
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		return nil, err
	}
	d := &Renderer{Text: tok.Encode, Decode: tok.DecodeText}
	if bos, ok := tok.BOS(); ok {
		d.BOS = []int32{bos}
	}
	chat, err := openChat(c, tok)
	if err != nil && c.Method != LM { // documents may do without a template
		return nil, err
	}
	if err == nil {
		d.Chat = chat
	}
	d.Ends = mc.EOSTokenIDs
	switch {
	case chat != nil:
		if d.End, err = chat.EndOfTurn(d.Ends); err != nil {
			return nil, err
		}
	case len(d.Ends) == 0:
		return nil, errors.New("trainer: config.json names no eos_token_id: nothing would end a document")
	default:
		d.End = d.Ends[0]
	}
	prompts, err := critic.LoadPrompts(c.PromptDir)
	if err != nil {
		return nil, err
	}
	hash := prompts.Hash()
	d.Request = func(r *critic.Record, s critic.Side) ([]tokenizer.Message, error) {
		if err := promptsMatch(r, hash); err != nil {
			return nil, err
		}
		v := critic.Values{Prompt: r.Prompt, Response: r.Text(s), Scale: critic.Scale{Min: c.ScoreMin, Max: c.ScoreMax}}
		return prompts.Critique.Messages(v), nil
	}
	return d, nil
}

func openChat(c Config, tok *tokenizer.Tokenizer) (*tokenizer.Chat, error) {
	if c.ChatTemplate == "" {
		return tokenizer.LoadChat(c.Model, tok)
	}
	return tokenizer.LoadChatFile(c.Model, c.ChatTemplate, tok)
}
