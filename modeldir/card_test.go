package modeldir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/critic"
)

func cardOf(base string, from ...string) Card {
	scale := critic.DefaultScale()
	return Card{Name: "tiny, critic", Base: base, From: from, Settings: []string{"learning_rate: 0.001"}, Results: "| figure | value |\n|---|---|\n| `eval_accuracy` | 0.9 |\n",
		Facts: Facts{Program: "criticrm 1", Method: Critic, Prompts: map[string]string{"critique.txt": "x"}, Scale: &scale, Data: []Data{{Use: "train", Name: "a|b.jsonl", SHA256: "abc", Rows: 3, Used: 2}}}}
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func cardIn(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, CardFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A card has what the hub shows, from where it is known, and no folder of this machine.
func TestCard(t *testing.T) {
	dir := t.TempDir()
	commit := strings.Repeat("0", 40)
	base := filepath.Join(dir, "hub", "models--org--tiny", "snapshots", commit)
	data := filepath.Join(dir, "hub", "datasets--org--pairs", "snapshots", commit, "data", "train.parquet")
	put(t, base, CardFile, "---\nlicense: other\nlicense_name: tiny-1\nlicense_link: https://example.org/x\nbase_model: org/older\ntags: [a]\n---\n# Tiny\n")
	out := filepath.Join(dir, "model")
	put(t, out, "config.json", "{}")
	if err := cardOf(base, data, data, filepath.Join(dir, "b.jsonl")).Write(out, ""); err != nil {
		t.Fatal(err)
	}
	text := cardIn(t, out)
	for _, want := range []string{"---\nlibrary_name: transformers\nlicense: other\nlicense_name: tiny-1\nlicense_link: https://example.org/x\nbase_model: org/tiny\nbase_model_relation: finetune\ndatasets:\n    - org/pairs\npipeline_tag: text-generation\n",
		"\n# tiny, critic\n", "Trained from `org/tiny`", "Critic-RM", "a score from 1 to 10", "| `eval_accuracy` | 0.9 |", `| train | a\|b.jsonl | 3 | 2 | ` + "`abc` |", "learning_rate: 0.001", "criticrm score --model MODEL --in answers.jsonl --samples 8"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, dir) || strings.Contains(text, "## Licence") {
		t.Errorf("a folder of this machine, or a licence that is not known, in\n%s", text)
	}

	plain := cardOf(filepath.Join(dir, "somewhere", "my-base"))
	if plain.Method, plain.Prompts, plain.Results = BT, nil, ""; plain.Write(out, "") != nil {
		t.Fatal("not written again")
	}
	text = cardIn(t, out)
	for _, want := range []string{"Trained from `my-base`", "scalar reward model", "--plain --in", "Nothing was measured", "## Licence", "tags:\n    - reward-model\n    - criticrm\n---"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "base_model") || strings.Contains(text, "license:") {
		t.Error(text)
	}

	// a model that is trained further is still of the first one
	put(t, filepath.Join(dir, "r1"), CardFile, strings.Replace(text, "---\n", "---\nbase_model: org/tiny\nlicense: mit\n", 1))
	if err := cardOf(filepath.Join(dir, "r1")).Write(out, ""); err != nil || !strings.Contains(cardIn(t, out), "license: mit\nbase_model: org/tiny\n") {
		t.Error(err, cardIn(t, out))
	}
}

// What a person has written stays, also when the directory is made again.
func TestCardOfAPerson(t *testing.T) {
	dir := t.TempDir()
	out, next := filepath.Join(dir, "model"), filepath.Join(dir, "model.partial")
	put(t, out, CardFile, "# Mine\n")
	if err := cardOf("").Write(out, ""); err != nil || cardIn(t, out) != "# Mine\n" {
		t.Error(err)
	}
	put(t, next, "config.json", "{}")
	if err := cardOf("").Write(next, out); err != nil || cardIn(t, next) != "# Mine\n" {
		t.Error(err)
	}
	put(t, out, CardFile, "# Old\n"+cardMark+"\n")
	if err := os.Remove(filepath.Join(next, CardFile)); err != nil {
		t.Fatal(err)
	}
	if err := cardOf("").Write(next, out); err != nil || strings.Contains(cardIn(t, next), "# Old") {
		t.Error(err)
	}
}

// An export has the card in its own form; a person's is not taken, and said.
func TestCardOfExport(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	put(t, to, "config.json", "{}")
	put(t, from, "config.json", "{}")
	card := cardOf("")
	if err := card.Write(from, ""); err != nil {
		t.Fatal(err)
	}
	if other, err := otherFiles(from); err != nil || len(other) > 0 {
		t.Error(other, err)
	}
	if err := copyCard(from, to, Classifier, card.Facts); err != nil {
		t.Fatal(err)
	}
	text := cardIn(t, to)
	for _, want := range []string{"pipeline_tag: text-classification\n", "AutoModelForSequenceClassification", "Warning: the reward head was trained behind critiques", "| `eval_accuracy` | 0.9 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "criticrm score") || strings.Contains(text, "AutoModelForCausalLM") {
		t.Error(text)
	}
	put(t, from, CardFile, "# Mine\n")
	if other, err := otherFiles(from); err != nil || len(other) != 1 {
		t.Error(other, err)
	}
}
