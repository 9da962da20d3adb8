package report

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"criticrm/measure"
	"criticrm/record"
)

func contains(t *testing.T, html []byte, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !bytes.Contains(html, []byte(want)) {
			t.Errorf("the report lacks %q", want)
		}
	}
}

// The same files give the same bytes, wherever they lie and however the directory is spelled; nothing in the page is fetched or run.
func TestMake(t *testing.T) {
	dir := writeRun(t, filepath.Join(t.TempDir(), "run"), runOptions{pairs: 60, categories: 3, rounds: 2, baselines: true, steps: 100})
	r := make1(t, dir)
	if !strings.HasPrefix(r.Lead[0], "Round 1, m = 8 prefers") {
		t.Errorf("the model of the run is round 1's, and the report begins with %q", r.Lead[0])
	}
	copied := filepath.Join(t.TempDir(), "run")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{dir + "/", filepath.Join(dir, "..", "run"), copied} {
		if !bytes.Equal(make1(t, again).HTML, r.HTML) {
			t.Errorf("the report of %s is another one", again)
		}
	}
	if len(r.Missing) > 0 {
		t.Errorf("nothing is missing, and the report says %q", r.Missing)
	}
	if m := regexp.MustCompile(`(?i)<(script|img|link|iframe|object)|\s(src|href|onerror)="|url\(|@import`).Find(r.HTML); m != nil {
		t.Errorf("the report has %q", m)
	}
	if n := bytes.Count(r.HTML, []byte("<title>")) - bytes.Count(r.HTML, []byte("<circle")); n > 1 {
		t.Errorf("%d titles too many: one came from the data", n)
	}
	contains(t, r.HTML, "round 2, m = 8", "round 1, m = 8", "base model as judge, N = 8", "CLoud (unfiltered critiques), m = 4", "scalar reward model (bt)", "length of the response alone",
		"Accuracy against critiques averaged", "Losses", "Reliability of P(chosen)", "Brier score", "Reward against length", "Where it is wrong", "score is against the label",
		"The best round is the one", "bootstrap over 60 prompts", "filter.rule", "mean&#43;each", "eval.curve", "train.dropped.&lt;script&gt;", "round-2/1-critiques.jsonl", "Score: ")
}

// Figures are those of package measure on the file, not of a summary beside it.
func TestMakeMeasures(t *testing.T) {
	dir := writeRun(t, filepath.Join(t.TempDir(), "run"), runOptions{pairs: 40, categories: 2, rounds: 1, steps: 3})
	write(t, filepath.Join(dir, "round-1", "eval.json"), `{"methods":[{"name":"reward","mean":0.123}]}`)
	records, err := record.ReadFile(filepath.Join(dir, "round-1", evalFile), record.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := measure.DefaultEvalOptions()
	o.Draws = 200 // as the recipe of the run says
	want, err := measure.Evaluate(records, o)
	if err != nil {
		t.Fatal(err)
	}
	r := make1(t, dir)
	reward, _ := want.Method("reward")
	c := percent(reward.Mean, reward.Interval)
	contains(t, r.HTML, fmt.Sprintf("%s %% %s of 40 held-out pairs", c.Text, c.Small), fmt.Sprintf("%.3f", want.Calibration.ECE), strings.Replace(fmt.Sprintf("%+.2f;", *want.Length.Rewards), "+", "&#43;", 1))
	wrong := 0
	for i, right := range reward.Correct {
		if p := records[i]; (right == 0) != (*p.ChosenReward < *p.RejectedReward) {
			t.Errorf("pair %d: %v", i, right)
		}
		if right == 0 {
			wrong++
		}
	}
	if n := bytes.Count(r.HTML, []byte(`<details class="pair"`)); n != min(wrong, 20) || wrong == 0 {
		t.Errorf("%d wrong pairs, %d shown", wrong, n)
	}
	var margins []float64
	for _, m := range regexp.MustCompile(`<summary><b>([^<]*)</b>`).FindAllSubmatch(r.HTML, -1) {
		var v float64
		if _, err := fmt.Sscan(string(bytes.Replace(m[1], []byte("&#43;"), nil, 1)), &v); err != nil {
			t.Fatal(err)
		}
		if len(margins) > 0 && v < margins[len(margins)-1] {
			t.Errorf("margin %v behind %v", v, margins[len(margins)-1])
		}
		margins = append(margins, v)
	}
}

// What is not there is left out, and the report says which file it is.
func TestMakeSaysWhatIsMissing(t *testing.T) {
	for _, name := range []string{recipeFile, dataFile, "round-1/" + critiquesFile, "round-1/" + filteredFile, "round-1/" + refinedFile, "round-1/" + evalFile, "round-1/train/" + metricsFile, "base/" + evalFile} {
		dir := writeRun(t, filepath.Join(t.TempDir(), "run"), runOptions{pairs: 10, categories: 1, rounds: 1, baselines: true, steps: 2})
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
		r := make1(t, dir)
		if len(r.Missing) != 1 || !strings.HasPrefix(r.Missing[0], name+" is missing") {
			t.Errorf("without %s: %q", name, r.Missing)
		}
		contains(t, r.HTML, name+" is missing")
	}
	dir := writeRun(t, filepath.Join(t.TempDir(), "run"), runOptions{pairs: 10, categories: 1, rounds: 1, steps: 2})
	if r := make1(t, dir); len(r.Missing) != 1 || !strings.Contains(r.Missing[0], "no cloud and no bt") {
		t.Errorf("without baselines: %q", r.Missing)
	}
	write(t, filepath.Join(dir, "round-1", filteredFile+".stage.json"), `{"version":1,"stage":"filter","settings":{},"max_bad":0,"input":{"name":"a","sha256":"00","bytes":1,"records":1},"done":1,"bytes":2,"sha256":"00","complete":false}`)
	if r := make1(t, dir); !strings.Contains(strings.Join(r.Missing, "\n"), filteredFile+" is not complete") {
		t.Errorf("with an unfinished stage: %q", r.Missing)
	}
	for _, in := range []string{"round-1/train", "round-1/" + evalFile} {
		if r := make1(t, filepath.Join(dir, in)); len(r.Missing) != 1 {
			t.Errorf("%s: %q", in, r.Missing)
		}
	}
}

// Texts of any length and rows of any number leave a page of bounded size, which says what it does not show.
func TestMakeIsBounded(t *testing.T) {
	dir := writeRun(t, filepath.Join(t.TempDir(), "run"), runOptions{pairs: 2000, categories: 700, rounds: 1, steps: 5000})
	o := DefaultOptions()
	o.Draws, o.Wrong, o.Critiques, o.Characters = 10, 3, 1, 20
	r, err := Make(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.HTML); n > 400<<10 {
		t.Errorf("the report has %d bytes", n)
	}
	contains(t, r.HTML, "the 3 worst are shown", "more characters)", "and 7 more critiques", "The first 12 of 700 categories", "600 of 2000 pairs are drawn", "A point is the mean of up to 13 updates")
}

func TestMakeRefuses(t *testing.T) {
	dir := writeRun(t, filepath.Join(t.TempDir(), "run"), runOptions{pairs: 10, categories: 1, rounds: 1, steps: 2})
	metrics, eval := filepath.Join(dir, "round-1", "train", metricsFile), filepath.Join(dir, "round-1", evalFile)
	good, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{
		string(good) + "no JSON\n":                   "round-1/train/metrics.jsonl:4: ",
		string(good) + `{"step": 1}` + "\n":          "step 1 behind step 2",
		string(good) + `{"loss": 1}` + "\n":          "want a step",
		`{"step": 1, "lambda": "x"}` + "\n":          "lambda is no number",
		`{"step": 1, "step": 2, "lambda": 1}` + "\n": "metrics.jsonl:1: ",
	} {
		write(t, metrics, content)
		wantError(t, dir, want)
	}
	write(t, metrics, string(good)+`{"step": 3, "lam`)
	contains(t, make1(t, dir).HTML, "metrics.jsonl: line 4 is cut off and left out")
	write(t, metrics, string(good))

	write(t, filepath.Join(dir, recipeFile), "- a\n- b\n")
	wantError(t, dir, "recipe.yaml: line 1: want a mapping")
	write(t, filepath.Join(dir, recipeFile), "eval:\n  draws: many\n")
	wantError(t, dir, "recipe.yaml: eval.draws: ")
	write(t, filepath.Join(dir, recipeFile), "a: 1\n")
	write(t, filepath.Join(dir, dataFile), `{"a":1,"a":2}`)
	wantError(t, dir, "data.json: ")
	write(t, filepath.Join(dir, dataFile), `{}`)

	write(t, eval+".stage.json", `{"version":1,"stage":"score","settings":{},"max_bad":0,"input":{"name":"a","sha256":"00","bytes":1,"records":1},"done":1,"bytes":2,"sha256":"00","complete":true}`)
	wantError(t, dir, "is not as stage score has left it")
	wantError(t, t.TempDir(), "is no run")
	wantError(t, filepath.Join(dir, "nothing"), "no such file")
	if _, err := Make(dir, Options{}); err == nil || !strings.Contains(err.Error(), "at least one character") {
		t.Errorf("got %v", err)
	}
}

func wantError(t *testing.T, in, want string) {
	t.Helper()
	if _, err := Make(in, DefaultOptions()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// Differences are over the pairs that both have: the same id and the same texts, whatever their order.
func TestCompare(t *testing.T) {
	base := t.TempDir()
	pair := func(id, chosen string, reward float64) *record.Record {
		return &record.Record{ID: id, Prompt: record.Prompt{Text: "p" + id}, Chosen: chosen, Rejected: "r", ChosenReward: &reward, RejectedReward: new(0.0)}
	}
	a, b := filepath.Join(base, "a.jsonl"), filepath.Join(base, "b.jsonl")
	writeRecords(t, a, []*record.Record{pair("1", "c", 1), pair("2", "c", -1), pair("3", "c", -1), pair("4", "c", 1)})
	writeRecords(t, b, []*record.Record{pair("3", "c", 1), pair("2", "c", 1), pair("1", "c", 1), pair("4", "another text", -1)})
	r, err := Compare([]string{a, b}, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	// Of 1, 2 and 3 the first has one right, the second all; 4 is not the same pair.
	if len(r.Lead) != 1 || !strings.Contains(r.Lead[0], "+66.7 points") || !strings.Contains(r.Lead[0], "on 3 (2 are in one of the two alone) pairs") {
		t.Errorf("%q", r.Lead)
	}
	again, err := Compare([]string{a, b}, DefaultOptions())
	if err != nil || !bytes.Equal(again.HTML, r.HTML) {
		t.Errorf("the same comparison has other bytes, or %v", err)
	}
	writeRecords(t, b, []*record.Record{pair("9", "c", 1)})
	if r, err = Compare([]string{a, b}, DefaultOptions()); err != nil || !strings.Contains(r.Lead[0], "no held-out pair in common") {
		t.Errorf("%q, %v", r.Lead, err)
	}
	if _, err := Compare([]string{a}, DefaultOptions()); err == nil {
		t.Error("one run is compared")
	}
}

func TestCompareRuns(t *testing.T) {
	one := writeRun(t, filepath.Join(t.TempDir(), "run"), runOptions{pairs: 30, categories: 3, rounds: 1, baselines: true, steps: 20})
	two := writeRun(t, filepath.Join(t.TempDir(), "run"), runOptions{pairs: 30, categories: 3, rounds: 1, steps: 30, seed: 9})
	r, err := Compare([]string{one, two}, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	// Runs of one name are told apart; of the recipe only the seed differs.
	first, second := filepath.Base(filepath.Dir(one))+"/run", filepath.Base(filepath.Dir(two))+"/run"
	contains(t, r.HTML, first, second, "1 of 6 settings", "<td>eval.seed</td><td>0</td><td>9</td>", "Critique loss", "Paired differences by category", second+" right")
	if bytes.Contains(r.HTML, []byte("generate.critiques")) {
		t.Error("a setting that is the same is listed")
	}
}

// Ticks: values are where the labels say, and labels do not touch.
func TestTicks(t *testing.T) {
	for _, values := range [][]float64{{0, 1}, {0.62, 0.97}, {-3, 12}, {5, 5}, {1e-6, 3e-6}, {0, 123456}, {1e16, 1e16 + 2}, {0, 1e-320}, {-3e38, 3e38}} {
		a := linear(values, nil, 5)
		a.from, a.to = 0, 400
		if a.low > values[0] || a.high < values[1] || len(a.ticks) < 2 {
			t.Errorf("%v: axis from %v to %v with %d ticks", values, a.low, a.high, len(a.ticks))
		}
		for _, k := range a.ticks {
			var v float64
			if _, err := fmt.Sscan(k.label, &v); err != nil || math.Abs(v-k.value) > 1e-3*math.Abs(a.high-a.low) {
				t.Errorf("%v: tick %q stands at %v", values, k.label, k.value)
			}
		}
	}
	a := logarithmic([]float64{60, 150, 300, 600, 6000})
	if a.from, a.to = 0, 400; len(a.ticks) != 5 || math.Abs(a.at(600)-a.at(60)-200) > 1e-9 {
		t.Errorf("%+v", a)
	}
	a.to = 60 // too narrow for all of them: the ends stay
	if kept := a.apart(); len(kept) != 2 || kept[0].value != 60 || kept[1].value != 6000 {
		t.Errorf("%+v", kept)
	}
}

// Rewards near zero are told apart.
func TestFigure(t *testing.T) {
	for x, want := range map[float64]string{0: "+0.00", 3.14159: "+3.14", -0.25: "-0.25", 0.00123: "+0.0012", -0.00987: "-0.0099", 1.26e-7: "+1.3e-07"} {
		if got := signedFigure(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}
