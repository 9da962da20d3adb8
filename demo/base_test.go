package demo

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/device/devicetest"
	"criticrm/record"
	"criticrm/tokenizer"
)

// The shipped tokenizer is what its recipe gives, and a base model does not depend on threads.
func TestMakeBase(t *testing.T) {
	o := DefaultBaseOptions()
	tok, err := trainTokenizer(o.Seed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := tok.Save(path); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := files.ReadFile("base/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, shipped) {
		t.Error("the shipped tokenizer is not what its recipe gives: run make base")
	}
	o.DrillSteps, o.LessonSteps, o.Documents = 3, 2, 8
	var models [2][]byte
	for i := range models {
		dir := filepath.Join(t.TempDir(), "base")
		if err := MakeBase(t.Context(), devicetest.CPU(t, i+1), dir, o); err != nil {
			t.Fatal(err)
		}
		if models[i], err = os.ReadFile(filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(models[0], models[1]) {
		t.Error("the base model depends on the number of threads")
	}
}

// Documents spell conversations as the chat template and the prompts do, so that the base model meets in use what it was trained on.
func TestDocumentsMatchPrompts(t *testing.T) {
	dir := t.TempDir()
	if err := Extract("base", dir); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	chat, err := tokenizer.LoadChat(dir, tok, tokenizer.ChatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Extract("prompts", filepath.Join(dir, "prompts")); err != nil {
		t.Fatal(err)
	}
	prompts, err := critic.LoadPrompts(filepath.Join(dir, "prompts"), "")
	if err != nil {
		t.Fatal(err)
	}
	checkDocuments(t, tok, chat, prompts, func(i int) (document, string, string) {
		r := stream(1, "lesson", i)
		q, p := drawScene(r, taskMix.draw(r), -1)
		return lesson(tok, baseFaults, 1, i), q.Prompt, p.Text
	})
	checkDocuments(t, tok, chat, prompts, func(i int) (document, string, string) {
		r := stream(1, "work lesson", i)
		q := drawWork(r, Train)
		return workLesson(tok, 1, i), q.Prompt, workReply(&q, drawClaims(r, &q), false).Text
	})
}

func checkDocuments(t *testing.T, tok *tokenizer.Tokenizer, chat *tokenizer.Chat, prompts *critic.Prompts, draw func(i int) (d document, prompt, reply string)) {
	id := func(s string) int32 { v, _ := tok.ID(s); return v }
	kinds := map[string]int{}
	for i := range 300 {
		d, prompt, reply := draw(i)
		if len(d.IDs) > baseContext || len(d.IDs) != len(d.Weights) {
			t.Fatalf("document %d has %d tokens and %d weights", i, len(d.IDs), len(d.Weights))
		}
		v := critic.Values{Prompt: record.Prompt{Text: prompt}, Response: reply, Scale: critic.DefaultScale()}
		template, end, name := prompts.Critique, id("<|critique|>"), "critique"
		switch {
		case slices.Contains(d.IDs, id("<|meta|>")):
			template, end, name = prompts.Meta, id("<|meta|>"), "meta"
			from, to := slices.Index(d.IDs, id("<|critique|>")), slices.Index(d.IDs, id("<|meta|>"))
			v.Critique = tok.DecodeText(d.IDs[from+1 : to])
		case slices.Contains(d.IDs, id("<|summary|>")):
			template, end, name = prompts.Summarize, id("<|summary|>"), "summary"
			from, to := slices.Index(d.IDs, id("<|critiques|>")), slices.Index(d.IDs, id("<|summary|>"))
			for _, c := range strings.Split(tok.DecodeText(d.IDs[from+1:to]), "\n\n") {
				v.Critiques = append(v.Critiques, c[strings.Index(c, "\n")+1:])
			}
		}
		kinds[name]++
		want, err := chat.Encode(template.Messages(v), true)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.IDs[:slices.Index(d.IDs, end)+1]; !slices.Equal(got, want) {
			t.Fatalf("%s document %d begins\n%q, the prompt is\n%q", name, i, tok.Decode(got), tok.Decode(want))
		}
	}
	if len(kinds) != 3 {
		t.Errorf("only %v among 300 documents", kinds)
	}
}
