package main

import (
	"bufio"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"criticrm/strictjson"
	"criticrm/tokenizer"
)

func newTokenize() *cobra.Command {
	var dir, in string
	var decode, special, raw bool
	cmd := &cobra.Command{
		Use:   "tokenize",
		Short: "Turn texts into token ids and back",
		Long: `tokenize reads a text from each line and writes {"ids": [...]}. A line that begins with { is an object with "text"; every other
line is the text itself, as all lines are with --raw. With --decode it reads {"ids": [...]} or [...] and writes {"text": ...}.
Special tokens that a text spells are plain text, unless --special is given; --decode leaves special tokens out without it.`,
		Example: `  echo 'What is 12 + 30?' | criticrm tokenize --model llama
  criticrm tokenize --model llama --in texts.jsonl | criticrm tokenize --model llama --decode`,
		Args:        noArgs,
		Annotations: map[string]string{"tokenizer": "model"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", dir); err != nil {
				return err
			}
			if err := asLightDir(cmd, &dir); err != nil {
				return err
			}
			t, err := tokenizer.Load(dir)
			if err != nil {
				return begin(err)
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			err = readLines(cmd, in, func(line []byte) error {
				if decode {
					return decodeLine(w, t, line, special)
				}
				return encodeLine(w, t, line, special, raw)
			})
			if flush := w.Flush(); err == nil {
				err = flush
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "model", "", "model directory, or its tokenizer.json")
	f.StringVar(&in, "in", "-", "input; -: standard input")
	f.BoolVar(&decode, "decode", false, "from ids to text")
	f.BoolVar(&special, "special", false, "special tokens count as such")
	f.BoolVar(&raw, "raw", false, "every line is a text, also one that begins with {")
	return cmd
}

func encodeLine(w io.Writer, t *tokenizer.Tokenizer, line []byte, special, raw bool) error {
	text := string(line)
	if !raw && len(line) > 0 && line[0] == '{' {
		err := strictjson.Read(line, func(r *strictjson.Reader) error {
			return valueOf(r, "text", func(r *strictjson.Reader) (err error) { text, err = r.String(); return err })
		})
		if err != nil {
			return err
		}
	}
	ids := t.Encode(text)
	if special {
		ids = t.EncodeSpecial(text)
	}
	if ids == nil {
		ids = []int32{}
	}
	return writeJSON(w, map[string][]int32{"ids": ids})
}

func decodeLine(w io.Writer, t *tokenizer.Tokenizer, line []byte, special bool) error {
	ids, err := parseIDs(line, t.VocabSize())
	if err != nil {
		return err
	}
	text := t.DecodeText(ids)
	if special {
		text = t.Decode(ids)
	}
	return writeJSON(w, map[string]string{"text": text})
}

// writeJSON writes one line.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
