package serve

// From what a request has to judge to rewards. The method is package critic's, as in the command score; here is what a server adds: whole texts,
// usage, samples that are told of while they are written.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"

	"criticrm/critic"
	"criticrm/record"
)

// reading is how items are judged.
type reading struct {
	critic.ScoreOptions
	plain bool // rewards at the end of the response, without critiques

	// token gets the tokens of a sample of an item as they are drawn; done an item's verdict. Both may be nil, and are called by several goroutines.
	token func(i, sample int, ids []int32)
	done  func(i int, v *verdict)
}

// verdict is what came of an item.
type verdict struct {
	critiques []record.Critique
	reward    *float32 // nil: the model has no reward head
	own       *float64 // mean of the scores that the critiques end in; nil: none has one
	plain     bool     // read without critiques
	cut       *record.Cut
	ids       []int32 // of a plain text

	prompt, written int // tokens
}

// score is what the item is to be ranked by: its reward, or, of a model without a head, the mean of the critiques' own scores. nil: none has one.
func (v *verdict) score() *float32 {
	if v.reward == nil && v.own != nil {
		s := float32(*v.own)
		return &s
	}
	return v.reward
}

// usage sums tokens.
type usage struct{ prompt, written int }

func (u *usage) add(v *verdict) { u.prompt, u.written = u.prompt+v.prompt, u.written+v.written }

// judge judges items. Each has its verdict, or all have an error.
func (s *Server) judge(ctx context.Context, items []item, o reading) ([]verdict, error) {
	if len(items) == 0 {
		return nil, unfit("", "there is nothing to judge")
	}
	if n := len(items); n > s.Set.MaxItems {
		return nil, unfit(items[0].param, "got %d items, at most %d in one request", n, s.Set.MaxItems)
	}
	for i := range items {
		if err := s.settle(&items[i], &o); err != nil {
			return nil, err
		}
	}
	out := make([]verdict, len(items))
	var plain []int
	var each []func(context.Context) error
	for i := range items {
		if items[i].whole != nil || o.plain {
			plain = append(plain, i)
			continue
		}
		each = append(each, func(ctx context.Context) error { return s.critique(ctx, i, &items[i], &out[i], &o) })
	}
	if len(plain) > 0 {
		each = append(each, func(ctx context.Context) error { return s.plain(ctx, plain, items, out, &o) })
	}
	return out, s.each(ctx, len(each), func(ctx context.Context, i int) error { return each[i](ctx) })
}

// Safely makes a panic an error, with the stack: one on another goroutine than the request's would end the server, and with it what everybody else
// has asked for. A [Backend] calls it where it uses the model.
func Safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// settle decides what an item is: a whole text that the model's template makes of a conversation is that conversation where critiques are wanted.
func (s *Server) settle(it *item, o *reading) error {
	if it.whole == nil {
		return nil
	}
	text := it.whole.s
	if it.whole.ids != nil {
		if _, err := s.ids(it.whole, it.param, false); err != nil {
			return err
		}
		text = s.dir.Tok.Decode(it.whole.ids)
	}
	if text == "" {
		return unfit(it.param, "the text is empty")
	}
	if o.plain {
		return nil
	}
	list, ok := s.dir.Chat.Conversation(text)
	if ok {
		split, err := conversation(it.param, list)
		if ok = err == nil; ok {
			split.bos, split.id, split.columns = it.bos, it.id, it.columns
			*it = split
			return nil
		}
	}
	if !s.Head {
		return unfit(it.param, "the text is not one that the model's chat template makes of a conversation with a response, and a model without a reward head can only be asked about those")
	}
	return nil // it is read plain, which the answer says
}

// contentID stands for the id that an item has not: the same content has the same samples, whatever else is in the request.
func contentID(it *item) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q", it.prompt.Key(), it.response)
	for _, c := range record.PromptColumns() {
		fmt.Fprintf(h, " %q", it.columns[c])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// record is an item as a row.
func (it *item) record() *record.Record {
	r := &record.Record{ID: it.id, Prompt: it.prompt, Response: &it.response}
	if r.ID == "" {
		r.ID = contentID(it)
	}
	for _, c := range record.PromptColumns() {
		if raw, ok := it.columns[c]; ok {
			r.SetExtra(c, raw)
		}
	}
	return r
}

// critique writes critiques of an item, and reads rewards behind them.
func (s *Server) critique(ctx context.Context, i int, it *item, v *verdict, o *reading) error {
	r := it.record()
	g := &asker{s: s}
	if o.token != nil {
		g.token = func(sample int, ids []int32) { o.token(i, sample, ids) }
	}
	with := o.ScoreOptions
	with.Chunk = 1
	sample := critic.Score
	if !s.Head {
		sample = critic.Generate
	}
	if _, err := sample(ctx, g, []*record.Record{r}, with); err != nil {
		return ofItem(err, it, r.ID)
	}
	if r.Dropped == critic.DropOverlong {
		return unfit(it.param, "it is %s of %d tokens", critic.DropOverlong, s.longest())
	}
	v.critiques, v.cut = r.Critiques, r.Cut
	v.prompt = int(g.prompt.Load())
	sum, n := 0.0, 0
	for _, c := range r.Critiques {
		v.written += len(c.Tokens)
		if c.Score != nil {
			sum, n = sum+*c.Score, n+1
		}
	}
	if n > 0 {
		mean := sum / float64(n)
		v.own = &mean
	}
	if r.Reward != nil {
		reward := float32(*r.Reward)
		v.reward = &reward
	}
	if o.done != nil {
		o.done(i, v)
	}
	return nil
}

// plain reads rewards at the end of texts, all in one call.
func (s *Server) plain(ctx context.Context, list []int, items []item, out []verdict, o *reading) error {
	var ids [][]int32
	var records []*record.Record
	var of []int // the item of each record
	for _, i := range list {
		it := &items[i]
		if it.whole == nil {
			r := it.record()
			r.ID = strconv.Itoa(i)
			records, of = append(records, r), append(of, i)
			continue
		}
		t, err := s.ids(it.whole, it.param, it.bos)
		if err != nil {
			return err
		}
		if most := s.longest(); most > 0 && len(t) > most {
			return unfit(it.param, "%d tokens, the limit is %d: cut the text, or send truncate_prompt_tokens on a route that knows it", len(t), most)
		}
		out[i].ids = t
	}
	take := func(i int, reward float32) {
		v := &out[i]
		v.reward, v.plain, v.prompt = &reward, true, len(v.ids)
	}
	if len(records) > 0 {
		rw := &asker{s: s, each: func(k int, ids []int32) { out[of[k]].ids = ids }}
		if _, err := critic.ScorePlain(ctx, rw, records, critic.PlainOptions{Chunk: len(records), Model: o.Model, Reading: o.Reading}); err != nil {
			for k, r := range records {
				if row := new(record.RowError); errors.As(err, &row) && named(row, r.ID) {
					return ofItem(err, &items[of[k]], r.ID)
				}
			}
			return err
		}
		for k, r := range records {
			if r.Dropped == critic.DropOverlong {
				return unfit(items[of[k]].param, "it is %s of %d tokens", critic.DropOverlong, s.longest())
			}
			out[of[k]].cut = r.PlainCut
			take(of[k], float32(*r.Reward))
		}
	}
	var whole []int
	for _, i := range list {
		if items[i].whole != nil {
			whole, ids = append(whole, i), append(ids, out[i].ids)
		}
	}
	if len(whole) > 0 {
		rewards, err := s.back.Rewards(ctx, ids)
		if err == nil {
			err = finite(rewards, len(ids))
		}
		if err != nil {
			return err
		}
		for k, i := range whole {
			take(i, rewards[k])
		}
	}
	if o.done != nil {
		for _, i := range list {
			o.done(i, &out[i])
		}
	}
	return nil
}

// ids are the tokens of a whole text, in which control tokens count as such. bos puts the tokenizer's begin-of-text token in front, never a second one.
func (s *Server) ids(t *text, param string, bos bool) ([]int32, error) {
	ids := t.ids
	if ids == nil {
		ids = s.dir.Tok.EncodeSpecial(t.s)
		if id, ok := s.dir.Tok.BOS(); bos && ok && (len(ids) == 0 || ids[0] != id) {
			ids = append([]int32{id}, ids...)
		}
	}
	for _, id := range ids {
		if vocab := s.dir.Config.VocabSize; int(id) >= vocab {
			return nil, unfit(param, "token id %d, the model has %d", id, vocab)
		}
	}
	return ids, nil
}

// each does n things at once and gives the first error, which ends the others.
func (s *Server) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	for i := range n {
		wg.Go(func() {
			if err := Safely(func() error { return f(ctx, i) }); err != nil {
				once.Do(func() { failed = err; cancel(err) })
			}
		})
	}
	wg.Wait()
	return failed
}

// longest is the most tokens of a sequence; 0: no limit.
func (s *Server) longest() int {
	if n := s.Score.MaxLength; n > 0 && (s.render.Context == 0 || n < s.render.Context) {
		return n
	}
	return s.render.Context
}

// ends are the tokens that end what the model writes.
func (s *Server) ends() []int32 {
	if s.render.Ends == nil {
		return []int32{s.render.End}
	}
	return s.render.Ends
}

// named says whether a row's error is that of the record of an id; see [record.Record.Fault].
func named(e *record.RowError, id string) bool {
	return len(e.Msg) >= len(faultOf(id)) && e.Msg[:len(faultOf(id))] == faultOf(id)
}

func faultOf(id string) string { return fmt.Sprintf("record %.40q: ", id) }

// ofItem is an error of an item's record as one of its field.
func ofItem(err error, it *item, id string) error {
	row := new(record.RowError)
	if !errors.As(err, &row) {
		return err
	}
	msg := row.Msg
	if named(row, id) {
		msg = msg[len(faultOf(id)):]
	}
	return unfit(it.param, "%s", msg)
}

// asker asks the backend in the method's name.
type asker struct {
	s      *Server
	token  func(sample int, ids []int32) // of the one request that a call has
	each   func(i int, ids []int32)      // gets the tokens of each text that is read
	prompt atomic.Int64                  // tokens of prompts
}

// Generate implements [critic.Generator].
func (a *asker) Generate(ctx context.Context, reqs []critic.Request, o record.Sampling) ([][]critic.Sample, error) {
	out := make([][]critic.Sample, len(reqs))
	for i, q := range reqs { // an item has one
		ids, err := a.s.render.Encode(q.Messages, true)
		if err != nil {
			return nil, err
		}
		a.prompt.Add(int64(len(ids)))
		if out[i], err = a.s.back.Generate(ctx, Work{Prompt: ids, N: q.N, Key: q.Key, Sampling: o, Ask: q.Ask, Token: a.token}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Rewards implements [critic.Rewarder] for texts without critiques.
func (a *asker) Rewards(ctx context.Context, reqs []critic.RewardRequest) ([][]float32, error) {
	texts := make([][]int32, len(reqs))
	for i, q := range reqs {
		ids, err := a.s.render.Encode(q.Messages, false)
		if err != nil {
			return nil, err
		}
		texts[i] = ids
		a.each(i, ids)
	}
	rewards, err := a.s.back.Rewards(ctx, texts)
	if err == nil {
		err = finite(rewards, len(texts))
	}
	if err != nil {
		return nil, err
	}
	out := make([][]float32, len(rewards))
	for i := range rewards {
		out[i] = rewards[i : i+1]
	}
	return out, nil
}

// finite refuses an answer of the backend that is not one reward for each text.
func finite(rewards []float32, n int) error {
	if len(rewards) != n {
		return fmt.Errorf("serve: the backend gave %d rewards for %d texts", len(rewards), n)
	}
	for _, r := range rewards {
		if r-r != 0 {
			return fmt.Errorf("serve: the backend gave the reward %v", r)
		}
	}
	return nil
}
