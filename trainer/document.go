package trainer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"unicode/utf8"

	"criticrm/record"
	"criticrm/tokenizer"
)

// documentRow is a row of a file for language modelling, in one of four forms: text; input_ids with weights or without;
// messages; prompt and completion. Other keys are not read.
type documentRow struct {
	ID         any                 `json:"id"`
	Text       *string             `json:"text"`
	InputIDs   []int32             `json:"input_ids"`
	Weights    []float32           `json:"weights"`
	Messages   []tokenizer.Message `json:"messages"`
	Prompt     json.RawMessage     `json:"prompt"`
	Completion *string             `json:"completion"`
}

// maxRow is the longest line of a file of documents, in bytes.
const maxRow = 16 << 20

// isDocuments says whether the first row of a file has one of a document's forms.
func isDocuments(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("trainer: %w", err)
	}
	defer f.Close()
	var keys map[string]json.RawMessage
	line, err := bufio.NewReaderSize(io.LimitReader(f, maxRow), 1<<16).ReadBytes('\n')
	if err != nil && err != io.EOF || json.Unmarshal(line, &keys) != nil {
		return false, nil // the record reader says what is wrong with it
	}
	has := func(k string) bool { _, ok := keys[k]; return ok }
	return !has("chosen") && (has("text") || has("input_ids") || has("messages") || has("completion")), nil
}

// readDocuments calls f with each row of a file and its line number.
func readDocuments(path string, f func(line int, row *documentRow) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("trainer: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 0, 1<<16), maxRow)
	n, rows := 0, 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if !utf8.Valid(lines.Bytes()) { // encoding/json would put other letters there and say nothing
			return fmt.Errorf("trainer: %s:%d: not valid UTF-8", path, n)
		}
		var row documentRow
		var wrong *json.UnmarshalTypeError
		if err := json.Unmarshal(lines.Bytes(), &row); errors.As(err, &wrong) {
			return fmt.Errorf("trainer: %s:%d: %q: got %s, want %s", path, n, wrong.Field, wrong.Value, wrong.Type)
		} else if err != nil {
			return fmt.Errorf("trainer: %s:%d: %w", path, n, err)
		}
		if err := f(n, &row); err != nil {
			return fmt.Errorf("trainer: %s:%d: %w", path, n, err)
		}
		rows++
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("trainer: %s:%d: the line is longer than %d bytes", path, n+1, maxRow)
	} else if err != nil {
		return fmt.Errorf("trainer: %s:%d: %w", path, n+1, err)
	}
	if rows == 0 {
		return fmt.Errorf("trainer: %s: no examples", path)
	}
	return nil
}

// document makes an example of a row. The loss covers all tokens of a text, the given weights of input_ids, and the assistant's
// words of a conversation; other words of a conversation have the weight rest.
func (d *Renderer) document(row *documentRow, rest float32) (Branch, error) {
	forms := 0
	for _, has := range []bool{row.Text != nil, row.InputIDs != nil, row.Messages != nil, row.Completion != nil} {
		if has {
			forms++
		}
	}
	switch {
	case forms != 1:
		return Branch{}, fmt.Errorf("want one of text, input_ids, messages, or prompt with completion; found %d of them", forms)
	case row.Text != nil:
		return Branch{IDs: slices.Concat(d.BOS, d.Text(*row.Text), []int32{d.End})}, nil
	case row.InputIDs != nil:
		if row.Weights != nil && len(row.Weights) != len(row.InputIDs) {
			return Branch{}, fmt.Errorf("weights has %d numbers, input_ids %d", len(row.Weights), len(row.InputIDs))
		}
		for i, w := range row.Weights {
			if !(w >= 0) || math.IsInf(float64(w), 0) {
				return Branch{}, fmt.Errorf("weights[%d] is %v, want a number from 0", i, w)
			}
		}
		return Branch{IDs: row.InputIDs, Weight: row.Weights}, nil
	case row.Messages != nil:
		return d.conversation(row.Messages, rest)
	}
	var prompt record.Prompt
	if json.Unmarshal(row.Prompt, &prompt.Text) != nil && json.Unmarshal(row.Prompt, &prompt.Messages) != nil {
		return Branch{}, fmt.Errorf("prompt: want a text or a list of messages")
	}
	return d.conversation(append(prompt.Conversation(), tokenizer.Message{Role: "assistant", Content: *row.Completion}), rest)
}

// conversation spells messages; what the template would let the model write, up to the end-of-turn token, has weight 1.
func (d *Renderer) conversation(messages []tokenizer.Message, rest float32) (Branch, error) {
	if d.Chat == nil {
		return Branch{}, fmt.Errorf("the model has no chat template, which messages need")
	}
	ids, err := d.Chat.Encode(messages, false)
	if err != nil {
		return Branch{}, err
	}
	b := Branch{IDs: ids, Weight: make([]float32, len(ids))}
	for i := range b.Weight {
		b.Weight[i] = rest
	}
	turns := 0
	for i, m := range messages {
		if m.Role != "assistant" {
			continue
		}
		before, err := d.Chat.Encode(messages[:i], true)
		if err != nil {
			return Branch{}, err
		}
		after, err := d.Chat.Encode(messages[:i+1], false)
		if err != nil {
			return Branch{}, err
		}
		if commonPrefix(before, ids) != len(before) || commonPrefix(after, ids) != len(after) || len(before) >= len(after) {
			return Branch{}, fmt.Errorf("messages[%d]: the chat template does not spell a conversation as the start of a longer one, so its answers cannot be found: give input_ids and weights", i)
		}
		end := len(after)
		if k := slices.Index(after[len(before):], d.End); k >= 0 {
			end = len(before) + k + 1
		}
		for k := len(before); k < end; k++ {
			b.Weight[k] = 1
		}
		turns++
	}
	if turns == 0 {
		return Branch{}, fmt.Errorf("messages: no message has the role assistant")
	}
	return b, nil
}
