package modeldir

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"criticrm/critic"
)

func facts() Facts {
	p := critic.DefaultPrompts()
	scale := critic.DefaultScale()
	return Facts{Method: Critic, HeadPosition: "content", Prompts: p.Texts(), PromptsHash: p.Hash(), Scale: &scale, MaxLength: 400, Overlong: "drop",
		EndTokens: []int32{4, 5}, EndOfTurn: 4, Data: []Data{{Use: "train", Name: "a.jsonl", SHA256: "00", Rows: 3, Used: 2}}}
}

// One flipped bit turned a reward of 0.62 into one of 0.03. Now every one is refused, or changes nothing.
func TestEveryBitOfFacts(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := facts().Write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, FactsFile))
	if err != nil {
		t.Fatal(err)
	}
	want, found, err := ReadFacts(dir)
	if err != nil || !found || len(want.Files) != 1 || want.Files["config.json"] == "" {
		t.Fatalf("%+v, %v", want, err)
	}
	same := 0
	for i := range 8 * len(text) {
		text[i/8] ^= 1 << (i % 8)
		if got, err := parseFacts(text); err == nil {
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("bit %d of byte %d (%q): other facts", i%8, i/8, text[max(0, i/8-20):i/8+20])
			}
			same++
		}
		text[i/8] ^= 1 << (i % 8)
	}
	if same > len(text)/4 { // white space
		t.Errorf("%d of %d bits are not seen", same, 8*len(text))
	}
}

// A file that cannot be read is named once, and settings of critiques are told to those who use them.
func TestWhatIsTold(t *testing.T) {
	dir := baseDir(t)
	for _, none := range []bool{false, true} {
		d, err := Open(dir, Given{NoCritiques: none})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(d.Notes, "\n"), "the built-in prompts"); got == none {
			t.Errorf("NoCritiques %v: %q", none, d.Notes)
		}
	}
	path := filepath.Join(dir, FactsFile)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadFacts(dir); err == nil || strings.Count(err.Error(), path) != 1 {
		t.Errorf("error %v", err)
	}
}

// A directory is whole at every moment: the new one, the old one, or none.
func TestPublish(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	put := func(text string) func(string) error {
		return func(partial string) error { return os.WriteFile(filepath.Join(partial, text), []byte(text), 0o600) }
	}
	names := func(dir string) (list []string) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	for _, text := range []string{"first", "second"} {
		if err := Publish(dir, put(text)); err != nil || !slices.Equal(names(dir), []string{text}) {
			t.Fatalf("%v: %v", err, names(dir))
		}
	}
	fault := errors.New("no room")
	if err := Publish(dir, func(string) error { return fault }); !errors.Is(err, fault) || !slices.Equal(names(dir), []string{"second"}) {
		t.Errorf("%v: %v", err, names(dir))
	}
	if err := os.MkdirAll(dir+".partial/half", 0o700); err != nil { // of a run that was killed
		t.Fatal(err)
	}
	if err := Publish(dir, put("third")); err != nil || !slices.Equal(names(filepath.Dir(dir)), []string{"model"}) || !slices.Equal(names(dir), []string{"third"}) {
		t.Errorf("%v: %v, %v", err, names(filepath.Dir(dir)), names(dir))
	}
	other := filepath.Join(filepath.Dir(dir), "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := exchangeInSteps(other, dir); err != nil || !slices.Equal(names(other), []string{"third"}) || len(names(dir)) != 0 {
		t.Errorf("in steps: %v, %v, %v", err, names(other), names(dir))
	}
}

func TestCopy(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for _, name := range []string{"tokenizer.json", "chat_template.jinja", "generation_config.json", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Copy(from, to, other); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"tokenizer.json": "tokenizer.json", "chat_template.jinja": "other", "generation_config.json": "generation_config.json", "notes.txt": ""} {
		if b, _ := os.ReadFile(filepath.Join(to, name)); string(b) != want {
			t.Errorf("%s is %q, want %q", name, b, want)
		}
	}
	if err := Copy(from, to, "none"); err == nil {
		t.Error("a template that is not there was copied")
	}
}
