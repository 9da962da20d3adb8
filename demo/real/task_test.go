package real

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/tokenizer"
)

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		word, answer string
		has          bool
		quote        string
	}{
		{"waves", "The sea has blue waves, always.", true, "has blue waves, always."},
		{"waves", "Waves come and go.", true, "Waves come"},
		{"water", "It is the water's edge.", true, "is the water's edge."},
		{"snow", "A snow-covered peak.", true, "A snow-covered peak."},
		{"snow", "Known for its snowfall.", false, ""},
		{"snow", "", false, ""},
	} {
		for _, without := range []bool{false, true} {
			w := Wish{"Describe it.", c.word, without}
			ok, quote := w.Holds(c.answer)
			if ok != (c.has != without) || quote != c.quote {
				t.Errorf("%q without %v in %q: %v %q, want %v %q", c.word, without, c.answer, ok, quote, c.has != without, c.quote)
			}
		}
	}
}

// What the cold start teaches is read as the verdict that the label wants, and says the word.
func TestCritiqueByProgram(t *testing.T) {
	scale := critic.DefaultScale()
	for _, without := range []bool{false, true} {
		for _, answer := range []string{"The sea has waves.", "The sea is blue."} {
			w := Wish{"Describe the sea.", "waves", without}
			ok, _ := w.Holds(answer)
			text := w.Critique(answer)
			v := scale.Parse(text)
			if !v.OK || (v.Score > scale.Middle()) != ok || !strings.Contains(text, `"waves"`) {
				t.Errorf("%q of %q: %+v, holds %v", text, answer, v, ok)
			}
		}
	}
}

// No request is in two splits, and every wish of a split is another.
func TestSplitsAreApart(t *testing.T) {
	for _, full := range []bool{false, true} {
		r := runner{Options: Options{Full: full}}
		cold, train, held := r.splits()
		seen, requests := map[Wish]bool{}, map[string]string{}
		for _, s := range []split{cold, train, held} {
			for _, w := range s.wishes() {
				if seen[w] {
					t.Errorf("full %v: %s: %v is there twice", full, s.name, w)
				}
				if other, ok := requests[w.Request]; ok && other != s.name {
					t.Errorf("full %v: %q is in %s and %s", full, w.Request, other, s.name)
				}
				seen[w], requests[w.Request] = true, s.name
			}
		}
	}
}

func TestPairs(t *testing.T) {
	sea, sky := Wish{"Describe the sea.", "waves", false}, Wish{"Describe the sky.", "blue", true}
	rows, with := pairs([]answered{
		{sea, []string{"It is salt.", "It has waves.", "It has high waves."}},
		{sky, []string{"It is blue.", "It is blue, too."}}, // none without the word
		{sky, []string{"It is grey.", "It is blue."}},
	}, "x")
	if len(rows) != 2 || with != 1 {
		t.Fatalf("%d pairs, %d of them with a word, want 2 and 1: %v", len(rows), with, rows)
	}
	for i, want := range [][2]string{{"It has waves.", "It is salt."}, {"It is grey.", "It is blue."}} {
		row := rows[i].(map[string]any)
		if row["chosen"] != want[0] || row["rejected"] != want[1] {
			t.Errorf("pair %d: %v, want %v", i, row, want)
		}
	}
}

// The cold start has as many answers of either verdict, asked about with the words that the run asks with.
func TestColdStartIsBalanced(t *testing.T) {
	sea := Wish{"Describe the sea.", "waves", false}
	ask := func(prompt, answer string) []tokenizer.Message {
		return critic.DefaultPrompts().Ask(&record.Record{Prompt: record.Prompt{Text: prompt}, Response: &answer}, record.Single, critic.DefaultScale())
	}
	rows := coldStart([]answered{{sea, []string{"It is salt.", "It has waves.", "It is deep.", "It is blue."}}}, ask, 1)
	if len(rows) != 2 {
		t.Fatalf("%d conversations, want 2", len(rows))
	}
	var verdicts []string
	for _, row := range rows {
		m := row.(map[string]any)["messages"].([]tokenizer.Message)
		if asked := ask(sea.Prompt(), "It has waves."); len(m) != len(asked)+1 || m[0] != asked[0] || m[len(m)-1].Role != "assistant" {
			t.Errorf("conversation %v", m)
		}
		verdicts = append(verdicts, m[len(m)-1].Content[len(m[len(m)-1].Content)-1:])
	}
	slices.Sort(verdicts)
	if !slices.Equal(verdicts, []string{"2", "9"}) {
		t.Errorf("scores %v, want one of each", verdicts)
	}
}

// A directory is gone on with by the same settings alone.
func TestOtherSettings(t *testing.T) {
	model := t.TempDir()
	if err := os.CopyFS(model, os.DirFS(filepath.Join("..", "base"))); err != nil {
		t.Fatal(err)
	}
	r := runner{Options: Options{Model: model, Dir: t.TempDir(), Seed: 1}}
	for range 2 {
		if err := r.same(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range []func(){func() { r.Seed = 2 }, func() { r.Seed, r.Full = 1, true }} {
		change()
		if err := r.same(t.Context()); err == nil || !strings.Contains(err.Error(), "give another --output_dir") {
			t.Errorf("seed %d, full %v: %v", r.Seed, r.Full, err)
		}
	}
}
