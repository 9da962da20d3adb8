// Package render is where a row becomes what a model sees: token ids, the rows of the loss and the places where rewards are read. It is
// the one place where that is decided, for training, for sampling and for scoring, and the one place where text is taken away.
//
// A [Renderer] has what a model directory says ([Of]). [Renderer.Pair] and [Renderer.Document] make an [Example] of a record;
// [Example.AppendTo] adds it to a packed batch as a tree of tokens. [Renderer.AppendRewards] does the same for rewards of
// given text. [Renderer.Fit] cuts records that are too long for what a model is to be asked.
package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"criticrm/critic"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/tokenizer"
)

// Encoder spells a conversation as tokens; with generation, up to the place where the model is to write.
// *tokenizer.Chat is one.
type Encoder interface {
	Encode(messages []tokenizer.Message, generation bool) ([]int32, error)
	// Continue spells a conversation up to the end of its last message, which the model has begun and goes on with.
	Continue(messages []tokenizer.Message) ([]int32, error)
}

// Renderer makes tokens of records.
type Renderer struct {
	Chat Encoder // nil: there is no chat template, and only documents of plain text or ids can be rendered
	// Text spells plain text, without control tokens; it is for critiques that were not sampled, and for documents.
	Text func(text string) []int32
	// Decode is the text of tokens; it is for records that must be shortened.
	Decode func(ids []int32) string
	// End ends a turn: it is put behind critiques and documents that have no tokens of their own.
	End int32
	// Ends are the tokens that end a sampled critique; none: End only.
	Ends []int32
	// BOS is put before documents of plain text; nil if the tokenizer puts nothing there.
	BOS []int32

	Prompts *critic.Prompts // what critiques are asked with
	Scale   critic.Scale    // of their scores
	At      model.RewardAt  // where in a critique its reward is read
	Context int             // the longest sequence that the model takes; 0: no limit
	Vocab   int             // token ids of the model; 0: not known
}

// New is the renderer of a tokenizer and a chat template, which may be nil, with the built-in prompts and scale. ends are the model's end
// tokens.
func New(tok *tokenizer.Tokenizer, chat *tokenizer.Chat, ends []int32) (*Renderer, error) {
	r := &Renderer{Text: tok.Encode, Decode: tok.DecodeText, Ends: ends, Prompts: critic.DefaultPrompts(), Scale: critic.DefaultScale(), At: model.AtEnd}
	if bos, ok := tok.BOS(); ok {
		r.BOS = []int32{bos}
	}
	switch {
	case len(ends) == 0:
		return nil, errors.New("render: neither generation_config.json nor config.json names an eos_token_id, and the tokenizer has no eos_token: nothing would end a critique or a document")
	case chat == nil:
		r.End = ends[0]
		return r, nil
	}
	r.Chat = chat
	var err error
	r.End, err = chat.EndOfTurn(ends)
	return r, err
}

// Of is the renderer of a model directory.
func Of(d *modeldir.Dir) (*Renderer, error) {
	r, err := New(d.Tok, d.Chat, d.EndTokens)
	if err != nil {
		return nil, err
	}
	r.Prompts, r.Scale, r.At, r.Context = d.Prompts, d.Scale, d.At, d.Config.MaxPositionEmbeddings
	r.Vocab = d.Config.VocabSize
	return r, nil
}

// Encode spells a conversation; with generation, up to where the model is to write: behind a last message that it has begun, if there is one.
func (d *Renderer) Encode(messages []tokenizer.Message, generation bool) ([]int32, error) {
	if d.Chat == nil {
		return nil, errors.New("render: the model has no chat template, which conversations need: give one with chat_template")
	}
	if of := critic.OpenTurn(messages); of != "" {
		messages = slices.Clone(messages)
		if messages[len(messages)-1].Role = of; generation {
			return d.Chat.Continue(messages)
		}
	}
	return d.Chat.Encode(messages, generation)
}

// Options say what of a record becomes an example.
type Options struct {
	Parts
	All      bool    // all critiques of a response, not only those that are kept
	Limit    int     // tokens of the longest sequence; 0: none
	Overlong string  // what is done with longer ones: one of record.OverlongPolicies
	Rest     float32 // loss weight of a document's words that are not an answer, where it tells them apart
	ScoreOf  string  // with Scores: what the scores' columns are named by, see record.Record.Score
}

// Outcome says what became of a record.
type Outcome struct {
	Dropped   string // why it is not used; "" if it is
	Shortened bool   // it was shortened to fit
	Counts
}

// Counts is what of records' critiques training does not learn, or not as it could.
type Counts struct {
	Length   int `json:"cut_critiques,omitempty"`      // critiques that the sampling limit had cut, and that have no end token therefore
	Empty    int `json:"empty_critiques,omitempty"`    // critiques without a token that a reward could be read at; they are left out
	Unkept   int `json:"dropped_critiques,omitempty"`  // critiques that filter or refine dropped
	Beyond   int `json:"critiques_over_max,omitempty"` // critiques over max_critiques
	OneSided int `json:"one_sided,omitempty"`          // pairs with critiques of one side alone, whose rewards are not compared
}

// Add adds other counts.
func (c *Counts) Add(o Counts) {
	c.Length, c.Empty, c.Unkept, c.Beyond, c.OneSided = c.Length+o.Length, c.Empty+o.Empty, c.Unkept+o.Unkept, c.Beyond+o.Beyond, c.OneSided+o.OneSided
}

// Lines says it for people.
func (c Counts) Lines() (lines []string) {
	for _, x := range []struct {
		n    int
		what string
	}{
		{c.Length, "critiques without an end (cut when sampled)"},
		{c.Empty, "empty critiques left out"},
		{c.Unkept, "critiques dropped by filter or refine"},
		{c.Beyond, "critiques left out (max_critiques)"},
		{c.OneSided, "pairs with critiques of one side alone, whose rewards are not compared"},
	} {
		if x.n > 0 {
			lines = append(lines, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	return lines
}

// Reasons why a record is not used.
const (
	DropNoCritiques = "no critiques"
	DropOverlong    = "too long"
	DropEqual       = "equal responses"
	DropEqualCut    = "equal responses after shortening"
	DropShort       = "fewer than two tokens"
	DropUntrained   = "no token that is learned"
	DropWrong       = "labelled as wrong"
)

// Pair makes an example of a preference record, or of a response with a label. The tokens that both sides begin with are the shared prompt; a critique's
// tokens are those that were sampled, or its text and the end-of-turn token. A scalar model's reward is read at the last
// token of the rendered conversation. Critiques are trained behind what their critic has read: a
// record that was cut when it was sampled is cut in the same places, and more only if it is over the limit still.
func (d *Renderer) Pair(rec *record.Record, o Options) (Example, Outcome, error) {
	var e Example
	var out Outcome
	from := *rec
	if o.scalar() {
		from.Cut = nil // there are no critiques
	}
	if !o.scalar() {
		if err := d.asked(rec); err != nil {
			return e, out, rec.Fault("%v", err)
		}
		if err := d.Prompts.Lacks(rec); err != nil {
			return e, out, err
		}
	}
	cut, left, err := d.shorten(&from, o.Overlong, func(r *record.Record) (over []int, err error) {
		if e, out, err = d.pair(r, o); err != nil || out.Dropped != "" {
			return nil, err
		}
		by := e.over(o.Parts, o.Limit)
		if e.IsLabelled() {
			return []int{max(by[0], by[1])}, nil
		}
		return by[:], nil
	})
	out.Shortened = cut != nil
	switch {
	case err == nil && left == 0 && (out.Dropped == "" && cutAlike(from.Shortened(cut), cut) || out.Dropped == DropEqual && cut != nil):
		out.Dropped = DropEqualCut
		return e, out, nil
	case err != nil || left == 0:
		return e, out, err
	case o.Overlong == record.OverlongError:
		return e, out, rec.Fault("%v", tooLong(left, o.Limit))
	}
	return e, Outcome{Dropped: DropOverlong}, nil
}

// cutAlike says whether what was cut away is all that made a response differ from the other one.
func cutAlike(short *record.Record, cut *record.Cut) bool {
	return cut != nil && (cut.Chosen > 0 && strings.HasPrefix(short.Rejected, short.Chosen) || cut.Rejected > 0 && strings.HasPrefix(short.Chosen, short.Rejected))
}

func tooLong(by, limit int) error {
	return fmt.Errorf("%d tokens, the limit is %d (set overlong to drop, truncate-left or truncate-right)", limit+by, limit)
}

// asked refuses critiques that were asked for otherwise than they would be trained: behind other prompts, or on another scale.
func (d *Renderer) asked(rec *record.Record) error {
	c := rec.Critic
	switch {
	case c == nil:
	case c.Prompts != "" && c.Prompts != d.Prompts.Hash():
		return fmt.Errorf("the critiques were written with the prompts %s, this run has %s: give the same prompts", c.Prompts, d.Prompts.Hash())
	case c.Scale != nil && critic.Scale(*c.Scale) != d.Scale:
		return fmt.Errorf("the critiques were written with scores from %d to %d, this run has %d to %d: give the same scale_min and scale_max",
			c.Scale.Min, c.Scale.Max, d.Scale.Min, d.Scale.Max)
	}
	return nil
}

// side spells the conversation that ends in a response or, where critiques are trained, in the request for one.
func (d *Renderer) side(r *record.Record, s record.Side, o Options) (ids []int32, err error) {
	if o.scalar() {
		ids, err = d.Encode(r.Messages(s), false)
	} else {
		ids, err = d.Encode(d.Prompts.Ask(r, s, d.Scale), true)
	}
	if err != nil {
		err = r.Fault("%s: %v", s, err)
	}
	return ids, err
}

// labelled renders one response whose label or score is known, as the only side of a pair.
func (d *Renderer) labelled(r *record.Record, o Options) (Example, Outcome, error) {
	var out Outcome
	e := Example{ID: r.ID}
	ids, err := d.side(r, record.Single, o)
	if err != nil {
		return e, out, err
	}
	reply := &e.Rejected
	if o.Scores || o.Lists || *r.Correct {
		reply = &e.Chosen
	}
	if o.Scores {
		if e.Scores, err = scores(r, o); err != nil {
			return e, out, err
		}
	}
	e.Prompt = ids[: len(ids)-1 : len(ids)-1]
	reply.Response = Branch{IDs: ids[len(ids)-1:]}
	d.critiques(reply, r, record.Single, o, &out)
	if !o.scalar() && len(reply.Critiques) == 0 {
		out.Dropped = DropNoCritiques
	}
	return e, out, nil
}

// List makes one example of the examples of single responses to one prompt, the best first. ranks are theirs, and do not fall. It keeps the list that it is given.
func List(id string, singles []Example, ranks []int32) Example {
	e := Example{ID: id, Ranks: ranks}
	ids := make([][]int32, len(singles))
	shared := -1
	for i, s := range singles {
		ids[i] = slices.Concat(s.Prompt, s.Chosen.Response.IDs)
		if shared < 0 {
			shared = len(ids[0]) - 1
		}
		shared = min(shared, model.CommonPrefix(ids[0], ids[i]), len(ids[i])-1) // a response keeps a token of its own
	}
	for i, s := range singles {
		e.Prompt = ids[0][:shared:shared]
		e.Ranked = append(e.Ranked, Reply{Response: Branch{IDs: ids[i][shared:], Read: len(ids[i]) - shared - 1}, Critiques: s.Chosen.Critiques})
	}
	return e
}

// scores are those of a record's responses, chosen and rejected; that of a single one stands first.
func scores(r *record.Record, o Options) ([]float32, error) {
	list := make([]float32, 2)
	for i, s := range r.Sides() {
		v, err := r.Score(s, o.ScoreOf)
		if err != nil {
			return nil, err
		}
		list[i] = float32(v)
	}
	return list, nil
}

// pair renders a record as it is.
func (d *Renderer) pair(r *record.Record, o Options) (Example, Outcome, error) {
	if !r.Paired() {
		return d.labelled(r, o)
	}
	var out Outcome
	e := Example{ID: r.ID}
	if o.Scores {
		var err error
		if e.Scores, err = scores(r, o); err != nil {
			return e, out, err
		}
	}
	switch {
	case r.Margin != nil && o.Scale && *r.Margin < 0:
		return e, out, r.Fault("margin %g is negative, and is to weigh the pair's loss (scale_by_margin)", *r.Margin)
	case r.Margin != nil:
		e.Margin = float32(*r.Margin)
	case o.Scale:
		return e, out, r.Fault("no margin, which is to weigh the pair's loss (scale_by_margin)")
	}
	var ids [2][]int32
	for i, s := range [...]record.Side{record.Chosen, record.Rejected} {
		var err error
		if ids[i], err = d.side(r, s, o); err != nil {
			return e, out, err
		}
	}
	n := model.CommonPrefix(ids[0], ids[1])
	if n == len(ids[0]) && n == len(ids[1]) {
		out.Dropped = DropEqual
		return e, out, nil
	}
	n = min(n, len(ids[0])-1, len(ids[1])-1) // a response keeps a token of its own, to read a reward and to predict from
	e.Prompt = ids[0][:n:n]
	for i, s := range [...]record.Side{record.Chosen, record.Rejected} {
		reply := e.pair()[i]
		reply.Response = Branch{IDs: ids[i][n:], Read: len(ids[i]) - n - 1}
		d.critiques(reply, r, s, o, &out)
	}
	if !o.scalar() && len(e.Chosen.Critiques) == 0 && len(e.Rejected.Critiques) == 0 {
		out.Dropped = DropNoCritiques
	} else if !o.scalar() && o.Rewards && !o.Scores && (len(e.Chosen.Critiques) == 0 || len(e.Rejected.Critiques) == 0) {
		out.OneSided = 1
	}
	return e, out, nil
}

// critiques adds a side's critiques: all of them, or those that are kept.
func (d *Renderer) critiques(reply *Reply, r *record.Record, s record.Side, o Options, out *Outcome) {
	list := r.Kept(s)
	if o.All {
		list = *r.SideCritiques(s)
	}
	used := firstOf(o.Parts, list)
	if o.Critiques {
		out.Unkept += len(*r.SideCritiques(s)) - len(list)
		out.Beyond += len(list) - len(used)
	}
	for _, z := range used {
		b := d.critique(z)
		if b.Read < 0 { // the model ended at once: there is no token to read a reward at
			out.Empty++
			continue
		}
		if z.FinishReason == record.FinishLength && z.AskedTokens == 0 {
			out.Length++
		}
		reply.Critiques = append(reply.Critiques, b)
	}
}

func (d *Renderer) critique(z record.Critique) Branch {
	ids := z.Tokens
	if len(ids) == 0 {
		ids = d.Text(z.Text)
		if z.FinishReason != record.FinishLength {
			ids = append(ids[:len(ids):len(ids)], d.End)
		}
	}
	return Branch{IDs: ids, Read: d.At.Index(ids, d.ends())} // as Generate reads it
}

func (d *Renderer) ends() []int32 {
	if d.Ends == nil {
		return []int32{d.End}
	}
	return d.Ends
}

// AppendRewards adds a conversation to a batch with a leaf for each critique behind it, or, without critiques, one at its end.
// Critiques are token ids as sampled, with the token that ended them.
func (d *Renderer) AppendRewards(b *model.Batch, q critic.RewardRequest) error {
	prefix, err := d.Encode(q.Messages, len(q.Critiques) > 0)
	if err != nil {
		return err
	}
	b.Open(prefix)
	response := b.Len() - 1
	if len(q.Critiques) == 0 {
		b.Leaf = append(b.Leaf, int32(response))
	}
	for _, c := range q.Critiques {
		if len(c) == 0 {
			return errors.New("render: an empty critique has no token to read a reward at")
		}
		at := response
		if i := d.At.Index(c, d.ends()); i >= 0 {
			at = b.Len() + i
		}
		b.Open(c)
		b.Close()
		b.Leaf = append(b.Leaf, int32(at))
	}
	b.Close()
	return nil
}
