package record

// The columns of rows: which are read, which are refused, which may stay unread and why. Any other key is counted and told, because
// somebody may have meant it to count.

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"criticrm/strictjson"
)

// column is a key of rows that is read. A row's fields are asked for by these keys alone, so no key is read that is not here.
type column struct {
	key string
	use string // who reads it

	// read takes the value into the record; nil: the row's schema does.
	read func(*Record, *row) error
	// has reports whether the record has the value to write; nil: it is written under another key. Fields of the other kind of record
	// are left alone, so that for example a pair may carry a foreign "reward".
	has   func(*Record) bool
	write func(*encoder, *Record)
}

// table is the list of columns by key.
type table []column

func (t table) of(key string) (column, bool) {
	i := slices.IndexFunc(t, func(c column) bool { return c.key == key })
	if i < 0 {
		return column{}, false
	}
	return t[i], true
}

// like is the column that differs from a key in case only.
func (t table) like(key string) (column, bool) {
	i := slices.IndexFunc(t, func(c column) bool { return c.key != key && strings.EqualFold(c.key, key) })
	if i < 0 {
		return column{}, false
	}
	return t[i], true
}

// columns is the table, in the order that written columns take when they are new: the order in which steps add them, so that a record
// written once at the end equals one that went through a file after each step.
func columns() table {
	const texts, learnt, method, known = "the texts of every step", "train with method lm or sft", "the method's steps, in the next ones", "eval, and train with method sft"
	document := func(has func(*Document) bool) func(*Record) bool {
		return func(r *Record) bool { return r.Document != nil && has(r.Document) }
	}
	pair := func(has func(*Record) bool) func(*Record) bool {
		return func(r *Record) bool { return r.Paired() && has(r) }
	}
	return table{
		{key: "id", use: "every step", read: (*Record).decodeID,
			has: func(*Record) bool { return true }, write: (*encoder).id},
		{key: "prompt", use: texts,
			has: func(r *Record) bool { return r.Document == nil }, write: (*encoder).prompt},
		{key: "chosen", use: texts,
			has: (*Record).Paired, write: func(e *encoder, r *Record) { e.text(r.Chosen) }},
		{key: "rejected", use: texts,
			has: (*Record).Paired, write: func(e *encoder, r *Record) { e.text(r.Rejected) }},
		{key: "response", use: texts,
			has: func(r *Record) bool { return r.Document == nil && !r.Paired() }, write: func(e *encoder, r *Record) { e.text(*r.Response) }},
		{key: "completion", use: "response's other name"},
		{key: "correct", use: known,
			has: func(r *Record) bool { return !r.Paired() && r.Correct != nil }, write: func(e *encoder, r *Record) { e.b = strconv.AppendBool(e.b, *r.Correct) }},
		{key: "label", use: "correct's other name"},
		{key: "text", use: learnt,
			has: document(func(d *Document) bool { return d.IDs == nil && d.Messages == nil }), write: func(e *encoder, r *Record) { e.text(r.Document.Text) }},
		{key: "input_ids", use: learnt,
			has:   document(func(d *Document) bool { return d.IDs != nil }),
			write: func(e *encoder, r *Record) { e.tokens(r.Document.IDs) }},
		{key: "weights", use: learnt,
			has:   document(func(d *Document) bool { return d.Weights != nil }),
			write: func(e *encoder, r *Record) { list(e, r.Document.Weights, func(w float32) { e.float(float64(w), 32) }) }},
		{key: "messages", use: learnt,
			has: document(func(d *Document) bool { return d.Messages != nil }), write: func(e *encoder, r *Record) { e.messages(r.Document.Messages) }},
		{key: "system", use: "the first message of the texts", read: (*Record).decodeSystem},
		{key: "category", use: "eval", read: func(rec *Record, r *row) error { return r.optText("category", &rec.Category) },
			has: func(r *Record) bool { return r.Category != "" }, write: func(e *encoder, r *Record) { e.text(r.Category) }},
		{key: "subset", use: "eval, where there is no category", read: func(rec *Record, r *row) error { return r.optText("subset", &rec.Subset) },
			has: func(r *Record) bool { return r.Subset != "" }, write: func(e *encoder, r *Record) { e.text(r.Subset) }},
		{key: "benchmark", use: "eval, by the benchmark's own rule", read: (*Record).decodeBenchmark,
			has: func(r *Record) bool { return r.Benchmark != nil }, write: func(e *encoder, r *Record) { e.marshal(r.Benchmark) }},
		{key: "margin", use: "train with use_margin; it counts the others",
			has: pair(func(r *Record) bool { return r.Margin != nil }), write: func(e *encoder, r *Record) { e.number(*r.Margin) }},
		{key: "chosen_critiques", use: method,
			has: pair(func(r *Record) bool { return len(r.ChosenCritiques) > 0 }), write: func(e *encoder, r *Record) { e.critiques(r.ChosenCritiques) }},
		{key: "chosen_feedback", use: "chosen_critiques' other name"},
		{key: "rejected_critiques", use: method,
			has: pair(func(r *Record) bool { return len(r.RejectedCritiques) > 0 }), write: func(e *encoder, r *Record) { e.critiques(r.RejectedCritiques) }},
		{key: "rejected_feedback", use: "rejected_critiques' other name"},
		{key: "critiques", use: method,
			has: func(r *Record) bool { return len(r.Critiques) > 0 }, write: func(e *encoder, r *Record) { e.critiques(r.Critiques) }},
		{key: "critique", use: "one of critiques"},
		{key: "critique_correct", use: "eval, of critique"},
		{key: "critic", use: method, read: func(rec *Record, r *row) error { return r.optCritic(&rec.Critic) },
			has: func(r *Record) bool { return r.Critic != nil }, write: func(e *encoder, r *Record) { e.marshal(r.Critic) }},
		{key: "shortened", use: method, read: func(rec *Record, r *row) error { return r.optCut("shortened", rec, &rec.Cut) },
			has: func(r *Record) bool { return r.Cut != nil }, write: func(e *encoder, r *Record) { e.marshal(r.Cut) }},
		{key: "dropped", use: method, read: func(rec *Record, r *row) error { return r.optText("dropped", &rec.Dropped) },
			has: func(r *Record) bool { return r.Dropped != "" }, write: func(e *encoder, r *Record) { e.text(r.Dropped) }},
		{key: "chosen_reward", use: "eval",
			has: pair(func(r *Record) bool { return r.ChosenReward != nil }), write: func(e *encoder, r *Record) { e.number(*r.ChosenReward) }},
		{key: "rejected_reward", use: "eval",
			has: pair(func(r *Record) bool { return r.RejectedReward != nil }), write: func(e *encoder, r *Record) { e.number(*r.RejectedReward) }},
		{key: "reward", use: "eval",
			has: func(r *Record) bool { return !r.Paired() && r.Reward != nil }, write: func(e *encoder, r *Record) { e.number(*r.Reward) }},
		{key: "plain_shortened", use: "eval", read: func(rec *Record, r *row) error { return r.optCut("plain_shortened", rec, &rec.PlainCut) },
			has: func(r *Record) bool { return r.PlainCut != nil }, write: func(e *encoder, r *Record) { e.marshal(r.PlainCut) }},
	}
}

// PromptColumns are texts of a row that a prompt may name, as {rubric}: for a critic's eyes, beside prompt and response. They are read where a
// prompt names them, and told as unread elsewhere.
func PromptColumns() []string { return []string{"rubric", "principles", "reference"} }

// PromptColumn is the text of such a column, a list as a line "- …" for each of its texts; "" if the row has none.
func (r *Record) PromptColumn(key string) (string, error) {
	raw, ok := r.Extra(key)
	if !ok || isEmpty(raw) {
		return "", nil
	}
	switch strictjson.KindOf(raw) {
	case "string":
		return strings.TrimSpace(str(raw)), nil
	case "array":
		var lines []string
		for i, item := range items(raw) {
			text := strings.TrimSpace(str(item))
			if text == "" {
				return "", r.Fault("%q: item %d is %s, want a text", key, i, clip(string(item)))
			}
			lines = append(lines, "- "+text)
		}
		return strings.Join(lines, "\n"), nil
	}
	return "", r.Fault("%q: got %s, want a text or a list of texts, because the prompt names it", key, strictjson.KindOf(raw))
}

// refusedColumns are fields that other programs put into what the model is asked. Here they would be left out, and the reward would be
// another one.
func refusedColumns() []string {
	return []string{"tools", "functions", "documents", "chat_template_kwargs", "history", "input", "instruction", "images", "image", "videos", "video", "audios", "audio"}
}

// harmlessColumns may stay unread: they say where a row is from, or how its responses were liked, and go with it from file to file. Layouts
// keep some of them that they have found the better response by.
func harmlessColumns() []string { return harmless }

var harmless = slices.Concat(
	[]string{"source", "dataset", "data_source", "origin", "url", "license", "split", "datasplit", "language", "lang", "hash", "comment", "notes", "metadata", "meta", "tags",
		"prompt_id", "question_id", "conversation_id", "row_id", "uid", "uuid", "index", "idx", "_id", "__index_level_0__", "post_id", "domain", "task_name",
		"timestamp", "tstamp", "created_at", "date", "annotator", "annotator_id", "annotator_index", "annotators", "judge", "judge_hash",
		"model", "models", "model_a", "model_b", "chosen_model", "rejected_model", "chosen-model", "rejected-model", "generator", "generator_1", "generator_2", "synthetic",
		"num_tokens", "turn", "turns", "num_responses", "prompt_source", "answers", ListColumn, RankColumn, "score"},
	[]string{"score_chosen", "score_rejected", "chosen_score", "rejected_score", "chosen_rating", "rejected_rating", "chosen-rating", "rejected-rating",
		"chosen_avg_rating", "rejected_avg_rating", "chosen_ratings", "rejected_ratings", "rank_chosen", "rank_rejected", "preference_strength", "overall_preference",
		"better_response_id", "safer_response_id", "score_0", "score_1", "score_A", "score_B", "score_ratio", "upvote_ratio", "seconds_difference"},
	[]string{"anony", "openai_moderation", "toxic_chat_tag", "conv_metadata", "category_tag", "is_code", "is_refusal", "dedup_tag", "evaluation_session_id",
		"evaluation_order", "full_conversation", "good_natured", "c_root_id_A", "c_root_id_B", "created_at_utc_A", "created_at_utc_B", "tokens_0", "tokens_1",
		"is_response_0_safe", "is_response_1_safe", "response_0_source", "response_1_source", "response_0_sha256", "response_1_sha256",
		"response_0_harm_category", "response_1_harm_category", "response_0_severity_level", "response_1_severity_level"})

// isEmpty reports whether a value says nothing.
func isEmpty(raw []byte) bool {
	return slices.Contains([]string{"null", `""`, "[]", "{}"}, string(raw))
}

// refuse refuses rows with a column that may not stay unread, unless it is empty.
func (r *row) refuse(s *Schema) error {
	if s == &Tokens || s == &Text { // nothing is asked
		return nil
	}
	for _, m := range r.members {
		if slices.Contains(refusedColumns(), m.Key) && !slices.Contains(s.Reads, m.Key) && !isEmpty(m.Raw) && string(m.Raw) != "false" {
			return badField("%q is part of what the model is asked in other programs and is not read here: write it into prompt, or take it out of the row", m.Key)
		}
	}
	return nil
}

// unread lists the row's keys that nothing has read and that may have been meant to count.
func (r *row) unread() (keys []string) {
	for _, m := range r.members {
		if !r.used[m.Key] && !isEmpty(m.Raw) && !slices.Contains(harmlessColumns(), m.Key) && !slices.Contains(r.keeps, m.Key) {
			keys = append(keys, m.Key)
		}
	}
	for _, p := range r.parts {
		for _, o := range p.objects {
			for _, key := range o.unread() {
				keys = append(keys, p.key+"[]."+key)
			}
		}
	}
	return append(keys, r.inner...)
}

// Found is what a file holds beside its records.
type Found struct {
	Bad    []error        `json:"-"`                           // rows left out under MaxBad
	Notes  []string       `json:"notes,omitempty"`             // what was repaired, for example a byte order mark
	Blank  int            `json:"blank_lines,omitempty"`       // between rows
	Turns  int            `json:"transcripts,omitempty"`       // rows whose prompt was a transcript in one text, of which turns were made
	Began  int            `json:"shared_beginnings,omitempty"` // rows without a prompt, which is what their two texts begin with
	Aside  map[string]int `json:"set_aside,omitempty"`         // rows that are no records, and are not bad: ties and the like, by reason
	Unread map[string]int `json:"unread_columns,omitempty"`    // keys that nothing reads, and the rows that have them

	Benchmarks map[string]int `json:"benchmarks,omitempty"` // rows of public benchmarks, by Benchmark.Name
}

// maxUnread bounds how many keys are counted: a hostile file has a new one in every row.
const maxUnread = 1000

// otherColumns stands for the keys beyond maxUnread.
const otherColumns = "…"

func (f *Found) addUnread(keys []string) {
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if f.Unread == nil {
			f.Unread = map[string]int{}
		}
		if _, ok := f.Unread[key]; !ok && len(f.Unread) >= maxUnread {
			key = otherColumns
		}
		f.Unread[key]++
	}
}

func (f *Found) setAside(why aside, n int) {
	if f.Aside == nil {
		f.Aside = map[string]int{}
	}
	f.Aside[string(why)] += n
}

// Lines says it for people, without the bad rows.
func (f *Found) Lines() []string {
	lines := slices.Clone(f.Notes)
	for _, why := range slices.Sorted(maps.Keys(f.Aside)) {
		lines = append(lines, fmt.Sprintf("set aside: %d %s", f.Aside[why], why))
	}
	if f.Turns > 0 {
		lines = append(lines, fmt.Sprintf("prompt of %d rows is a transcript: its turns are read as messages", f.Turns))
	}
	if f.Began > 0 {
		lines = append(lines, fmt.Sprintf("%d rows have no prompt: it is what chosen and rejected begin with", f.Began))
	}
	if f.Blank > 0 {
		lines = append(lines, fmt.Sprintf("%d blank lines between rows", f.Blank))
	}
	const most = 10
	keys := slices.SortedFunc(maps.Keys(f.Unread), func(a, b string) int {
		if n := f.Unread[b] - f.Unread[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for i, key := range keys {
		if i == most && len(keys) > most+1 {
			return append(lines, fmt.Sprintf("%d more columns are not read", len(keys)-most))
		}
		lines = append(lines, fmt.Sprintf("column %.60q of %d rows is not read%s", key, f.Unread[key], meant(key)))
	}
	return lines
}

// meant names the column that differs from a key in case only.
func meant(key string) string {
	if c, ok := columns().like(key); ok {
		return fmt.Sprintf(" (keys are case-sensitive: want %q)", c.key)
	}
	return ""
}
