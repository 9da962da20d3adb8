package settings

import (
	"strings"
	"testing"
)

type sampling struct {
	Temperature float64 `yaml:"temperature" help:"how"`
	Seed        uint64  `yaml:"seed" resume:"free" help:"seed"`
}

type generate struct {
	Count    int `yaml:"critiques" alias:"n" help:"how many"`
	sampling `yaml:",inline"`
}

type whole struct {
	Model string `yaml:"model" help:"model"`
	Train string `yaml:"train_file" alias:"train" help:"file"`
	Bad   bool   `yaml:"bad" help:"bad"`
	Line  int    // no tag: no setting
}

type train struct {
	Rate float64 `yaml:"learning_rate" alias:"lr" help:"rate"`
}

func sections() (*whole, *generate, *train, []Section) {
	w, g, t := &whole{}, &generate{Count: 10}, &train{}
	return w, g, t, []Section{{Into: w}, {Name: "generate", Into: g, Not: map[string]string{"seed": "seed at the top"}}, {Name: "train", Into: t}}
}

// A recipe of sections is read, and what is written is read back; a name may be a file as a plain value and a section as a mapping.
func TestSections(t *testing.T) {
	w, g, tr, s := sections()
	set, err := Parse([]byte("model: m\ntrain: pairs.jsonl\ngenerate:\n  n: 4\n  temperature: 1\ntrain_: 1\n"), s...)
	if err == nil || !strings.Contains(err.Error(), `:6: unknown key "train_", did you mean "train"?`) {
		t.Error(err)
	}
	if set["generate.critiques"] != 4 || g.Count != 4 || g.Temperature != 1 || w.Train != "pairs.jsonl" {
		t.Error(set, *w, *g)
	}
	tr.Rate = 1e-5
	text, err := Text(s...)
	if err != nil {
		t.Fatal(err)
	}
	w2, g2, t2, s2 := sections()
	if _, err := Parse(text, s2...); err != nil || *w2 != *w || *g2 != *g || *t2 != *tr {
		t.Errorf("%v: %+v %+v %+v of\n%s", err, w2, g2, t2, text)
	}
	if !strings.Contains(string(text), "generate:\n    # how many\n    critiques: 4\n") {
		t.Errorf("no help in\n%s", text)
	}
}

func TestSectionErrors(t *testing.T) {
	for _, x := range []struct{ text, want string }{
		{"generate:\n  critique: 4\n", `:2: unknown key "generate.critique", did you mean "generate.critiques"?`},
		{"learning_rate: 1\n", `:1: "learning_rate" is a setting of train: write it below "train:" as learning_rate`},
		{"train:\n  model: m\n", `:2: train: "model" stands for all stages: write it at the top, outside of "train:"`},
		{"generate:\n  n: 1\ngenerate:\n  n: 2\n", `:3: generate was already set on line 1`},
		{"generate: 4\n", `:1: generate: want a mapping of names to values`},
		{"generate:\n  n: 1.5\n", `:2: generate.critiques: "1.5" is not a whole number`},
		{"generate:\n  n: 1\n  critiques: 2\n", `:3: generate.critiques was already set on line 2`},
		{"seed: 1\n", `:1: "seed" is a setting of generate, on which seed at the top decides: leave it out`},
		{"generate:\n  seed: 1\n", `:2: generate.seed is not set here: seed at the top decides`},
		{"train:\n- lr\n", `:2: train_file: want one plain value`},
	} {
		_, _, _, s := sections()
		if _, err := Parse([]byte(x.text), s...); err == nil || err.Error() != x.want {
			t.Errorf("%q: got %v, want %s", x.text, err, x.want)
		}
	}
}

// The recipe of one stage has no sections, though a file may have the name of one.
func TestNoSections(t *testing.T) {
	w, _, _, _ := sections()
	for _, text := range []string{"train:\n  learning_rate: 1\n", "generate:\n  n: 1\n"} {
		if _, err := Parse([]byte(text), Section{Into: w}); err == nil || !strings.Contains(err.Error(), "is a section, and the recipe of one stage has none") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Flags are bound and assigned field by field.
func TestFields(t *testing.T) {
	list := Fields(generate{Count: 10})
	if len(list) != 3 || list[0].Default != "10" || list[2].Name != "seed" || !list[2].Free || list[1].Free {
		t.Fatalf("%+v", list)
	}
	a, b := generate{}, generate{Count: 3}
	*list[2].Ptr(&b).(*uint64) = 7
	for _, f := range list {
		f.Assign(&a, &b)
	}
	if a != b || list[0].Text(a) != "3" {
		t.Errorf("%+v, want %+v", a, b)
	}
	if f, ok := Find(list, "N"); ok {
		t.Error(f)
	}
	if f, ok := Find(list, "n"); !ok || f.Name != "critiques" {
		t.Error(f)
	}
}

// What differs from the defaults can be shown to others: no paths, nothing that only says where and how fast.
func TestDiffering(t *testing.T) {
	w, g, _, s := sections()
	*w, g.Count, g.Seed, g.Temperature = whole{Model: "/home/me/m,b", Bad: true}, 4, 7, 1
	got := append(s[0].Differing(&whole{}), s[1].Differing(&generate{Count: 10})...)
	if want := "model: m,b bad: true generate.critiques: 4 generate.temperature: 1"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if same := (Section{Into: &sampling{Seed: 3}}).Differing(sampling{}); same != nil {
		t.Error(same)
	}
}
