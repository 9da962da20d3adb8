package tokenizer

import (
	"container/heap"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
)

// TrainConfig says what Train makes.
type TrainConfig struct {
	VocabSize int      // tokens in all, at least 256 + len(Special); fewer if the texts give no more
	Special   []string // special tokens, ids 0, 1, …
	Pattern   string   // pre-tokenizer: "llama3", "qwen2" or "gpt2"
	MinCount  int      // a pair that occurs less often is not merged; 0 means 2
}

// Train learns a byte-level BPE vocabulary. Ids are: the special tokens, the 256 bytes in the order of
// the characters that spell them, then one token per merge. In each round the most frequent pair of
// neighbours is merged; of equally frequent ones that with the smaller left id, then the smaller right
// id. So the result depends on the texts alone, and not on their order. Special tokens in the
// texts are skipped: nothing is learned across or inside them.
func Train(texts iter.Seq[string], c TrainConfig) (*Tokenizer, error) {
	pattern, ok := map[string]string{"llama3": patternLlama3, "qwen2": patternQwen2, "gpt2": patternGPT2}[c.Pattern]
	switch {
	case !ok:
		return nil, fmt.Errorf("tokenizer: train: pattern %q: want llama3, qwen2 or gpt2", c.Pattern)
	case c.VocabSize < 256+len(c.Special) || c.VocabSize > maxVocab:
		return nil, fmt.Errorf("tokenizer: train: vocabulary of %d: want %d to %d", c.VocabSize, 256+len(c.Special), maxVocab)
	case c.MinCount < 0:
		return nil, errors.New("tokenizer: train: MinCount is negative")
	case c.MinCount == 0:
		c.MinCount = 2
	}
	split := patterns()[pattern](newClasses())
	tr := newTrainer(c.Special)
	for _, w := range countPieces(texts, split, c.Special) {
		tr.addWord(w.piece, w.count)
	}
	tr.learn(c.VocabSize, int64(c.MinCount))
	t, err := parse(tr.file(c, pattern))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: train: %w", err)
	}
	return t, nil
}

type countedPiece struct {
	piece string
	count int64
}

// countPieces gives the distinct pieces of the texts in byte order.
func countPieces(texts iter.Seq[string], split cutter, special []string) []countedPiece {
	stop := newTrie()
	for i, s := range special {
		if s != "" {
			stop.add(s, i)
		}
	}
	counts := map[string]int64{}
	for text := range texts {
		for text != "" {
			n, start, end := stop.find(text)
			if n < 0 {
				start, end = len(text), len(text)
			}
			for i := 0; i < start; {
				j := split(text[:start], i)
				counts[text[i:j]]++
				i = j
			}
			text = text[end:]
		}
	}
	words := make([]countedPiece, 0, len(counts))
	for p, n := range counts {
		words = append(words, countedPiece{p, n})
	}
	slices.SortFunc(words, func(a, b countedPiece) int {
		if a.piece < b.piece {
			return -1
		}
		return 1
	})
	return words
}

// trainer holds the words, cut into the tokens known so far, and the number of times each pair stands
// side by side in them.
type trainer struct {
	special []string
	raw     []string // id → bytes
	merges  []pair
	byteID  [256]int32
	words   []trainWord
	pairs   map[pair]*pairCount
	queue   pairQueue
}

type trainWord struct {
	ids   []int32
	count int64
}

// pairCount is the count of a pair and the words it may be in (a superset, a word may come twice).
type pairCount struct {
	count int64
	words []int32
}

func newTrainer(special []string) *trainer {
	t := &trainer{special: special, raw: slices.Clone(special), pairs: map[pair]*pairCount{}}
	order := make([]byte, 256)
	for i := range order {
		order[i] = byte(i)
	}
	slices.SortFunc(order, func(a, b byte) int { return int(byteRune(a)) - int(byteRune(b)) })
	for _, b := range order {
		t.byteID[b] = int32(len(t.raw))
		t.raw = append(t.raw, string([]byte{b}))
	}
	return t
}

func (t *trainer) addWord(piece string, count int64) {
	ids := make([]int32, len(piece))
	for i := range ids {
		ids[i] = t.byteID[piece[i]]
	}
	w := int32(len(t.words))
	t.words = append(t.words, trainWord{ids, count})
	t.countAll(w, count)
}

// count adds n to a pair; with n > 0 it is now in word w.
func (t *trainer) count(p pair, n int64, w int32) {
	c := t.pairs[p]
	if c == nil {
		c = &pairCount{}
		t.pairs[p] = c
	}
	c.count += n
	if n > 0 && (len(c.words) == 0 || c.words[len(c.words)-1] != w) {
		c.words = append(c.words, w)
	}
}

// learn merges until the vocabulary has size tokens or no pair occurs minCount times.
func (t *trainer) learn(size int, minCount int64) {
	for p, c := range t.pairs {
		t.queue = append(t.queue, queuedPair{p, c.count})
	}
	heap.Init(&t.queue)
	for len(t.raw) < size && len(t.queue) > 0 {
		top := heap.Pop(&t.queue).(queuedPair)
		c := t.pairs[top.pair]
		if c == nil || c.count != top.count { // counts only fall between two pushes
			if c != nil && c.count > 0 && c.count < top.count {
				heap.Push(&t.queue, queuedPair{top.pair, c.count})
			}
			continue
		}
		if c.count < minCount {
			return
		}
		raw := t.raw[top.left] + t.raw[top.right]
		if len(spell(raw)) > maxToken {
			delete(t.pairs, top.pair)
			continue
		}
		id := int32(len(t.raw))
		t.raw = append(t.raw, raw)
		t.merges = append(t.merges, top.pair)
		t.apply(top.pair, id, c.words)
	}
}

// apply merges pair p into id in the given words and brings the counts up to date.
func (t *trainer) apply(p pair, id int32, words []int32) {
	slices.Sort(words)
	grown := map[pair]bool{} // pairs with id; all others can only have become rarer
	for _, w := range slices.Compact(words) {
		word := &t.words[w]
		t.countAll(w, -word.count)
		out := word.ids[:0]
		for i := 0; i < len(word.ids); i++ {
			if i+1 < len(word.ids) && (pair{word.ids[i], word.ids[i+1]}) == p {
				out = append(out, id)
				i++
			} else {
				out = append(out, word.ids[i])
			}
		}
		word.ids = out
		t.countAll(w, word.count)
		for i := 1; i < len(out); i++ {
			if out[i-1] == id || out[i] == id {
				grown[pair{out[i-1], out[i]}] = true
			}
		}
	}
	delete(t.pairs, p)
	for q := range grown { // in any order: the queue's order is total
		heap.Push(&t.queue, queuedPair{q, t.pairs[q].count})
	}
}

// countAll adds n to each pair of word w.
func (t *trainer) countAll(w int32, n int64) {
	ids := t.words[w].ids
	for i := 1; i < len(ids); i++ {
		t.count(pair{ids[i-1], ids[i]}, n, w)
	}
}

// queuedPair is a pair with its count when it was queued.
type queuedPair struct {
	pair
	count int64
}

// pairQueue has the most frequent pair on top; see Train for ties.
type pairQueue []queuedPair

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.count != b.count {
		return a.count > b.count
	}
	if a.left != b.left {
		return a.left < b.left
	}
	return a.right < b.right
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *pairQueue) Push(x any)   { *q = append(*q, x.(queuedPair)) }
func (q *pairQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// file gives the tokenizer.json of what was learned.
func (t *trainer) file(c TrainConfig, pattern string) []byte {
	b := []byte(`{"added_tokens":[`)
	for i, s := range t.special {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"id":%d,"special":true,"content":`, i)
		b = append(appendJSONString(b, s), '}')
	}
	b = append(b, `],"normalizer":null,"pre_tokenizer":`...)
	if c.Pattern == "gpt2" {
		b = append(b, `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`...)
	} else {
		b = append(b, `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":`...)
		b = appendJSONString(b, pattern)
		b = append(b, `},"behavior":"Isolated","invert":false},`...)
		b = append(b, `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}`...)
	}
	b = append(b, `,"post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`...)
	b = append(b, `,"model":{"type":"BPE","ignore_merges":false,"vocab":{`...)
	for id, raw := range t.raw {
		if id > 0 {
			b = append(b, ',')
		}
		if id >= len(t.special) {
			raw = spell(raw)
		}
		b = append(appendJSONString(b, raw), ':')
		b = strconv.AppendInt(b, int64(id), 10)
	}
	b = append(b, `},"merges":[`...)
	for i, p := range t.merges {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(append(b, '['), spell(t.raw[p.left]))
		b = append(appendJSONString(append(b, ','), spell(t.raw[p.right])), ']')
	}
	return append(b, `]}}`...)
}
