package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"criticrm/critic"
	"criticrm/engine"
	"criticrm/kernels"
	"criticrm/record"
	"criticrm/render"
	"criticrm/trainer"
)

// openTiny opens the tiny model to see what a command has read.
func openTiny(t *testing.T) *engine.Engine {
	t.Helper()
	dev, err := kernels.OpenCPU(1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(dev, tinyModel(t), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(); dev.Close() })
	return e
}

// truncating is a file with one row that fits, one with a long prompt and one with a long response, of characters of 1 to 4 bytes.
func truncating(t *testing.T, dir string) (file string, rows []*record.Record) {
	t.Helper()
	long := strings.Repeat("ä語🙂x", 60)
	text := sumPairs(1) + fmt.Sprintf(`{"id":"prompt","prompt":[{"role":"system","content":"Be kind."},{"role":"user","content":%q},{"role":"assistant","content":"Yes."},{"role":"user","content":%q}],"chosen":"It is 4.","rejected":"It is 5."}`+"\n", long, "Why? "+long) +
		fmt.Sprintf(`{"id":"response","prompt":"What is 1?","chosen":%q,"rejected":"no"}`+"\n", "One. "+long)
	return writeFile(t, filepath.Join(dir, "long.jsonl"), text), parse(t, text)
}

// TestTruncate: each policy that shortens, by generate and score --plain: counts, marks, the record's own text as it was, nothing
// over the limit, whole characters, and training that meets exactly the tokens that the critiques were sampled behind.
func TestTruncate(t *testing.T) {
	e := openTiny(t)
	prompts := shortPrompts(t)
	p, err := critic.LoadPrompts(prompts, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		policy    string
		shortened string // id of the row that can be shortened
		dropped   string // id of the row that cannot
	}{{record.TruncateLeft, "prompt", "response"}, {record.TruncateRight, "response", "prompt"}} {
		t.Run(c.policy, func(t *testing.T) {
			const limit = 400 // below the model's 512
			dir := t.TempDir()
			in, given := truncating(t, dir)
			out := filepath.Join(dir, "1.jsonl")
			args := []string{"generate", "--model", tinyModel(t), "--in", in, "--out", out, "--prompts", prompts, "--critiques", "2", "--max_tokens", "8",
				"--max_length", fmt.Sprint(limit), "--overlong", c.policy}
			_, errs := must(t, args...)
			records := parse(t, readFile(t, out))
			if len(records) != 3 {
				t.Fatalf("%d records", len(records))
			}
			for i, r := range records {
				if r.Chosen != given[i].Chosen || r.Prompt.String() != given[i].Prompt.String() || (r.Cut != nil) != (r.ID == c.shortened) || (r.Dropped != "") != (r.ID == c.dropped) {
					t.Errorf("%s: cut %+v, dropped %q, or its text was changed", r.ID, r.Cut, r.Dropped)
				}
				if r.Dropped != "" {
					continue
				}
				checkRead(t, e, p, r, limit-8)
				checkTrained(t, e, p, r, limit, c.policy)
			}
			cut := records[map[string]int{"prompt": 1, "response": 2}[c.shortened]].Cut
			for _, want := range []string{"1 records dropped: over the model's context\n", fmt.Sprintf("1 records shortened: %d characters are not read\n", cut.Characters())} {
				if !strings.Contains(errs, want) {
					t.Errorf("%q lacks %q", errs, want)
				}
			}
			train := []string{"train", "--model", tinyModel(t), "--train_file", out, "--prompts", prompts, "--max_steps", "1", "--batch_size", "2", "--accumulation", "1",
				"--max_length", fmt.Sprint(limit), "--overlong", c.policy, "--output_dir", filepath.Join(dir, "run")}
			if _, errs := must(t, train...); !strings.Contains(errs, "3 rows, 2 examples, 1 dropped (by the filter: over the model's context), 1 shortened") {
				t.Errorf("%q", errs)
			}
			if code, _, errs := command(t, append(args, "--overlong", "drop")...); code != exitUsage || !strings.Contains(errs, `overlong was "`+c.policy+`", now "drop": choose another output or restart`) {
				t.Errorf("a file of two policies: %d %q", code, errs)
			}
			again := filepath.Join(dir, "again.jsonl") // a file that was cut before is read whole, and cut anew
			must(t, replaced(args, in, out, out, again)...)
			if readFile(t, again) != readFile(t, out) {
				t.Error("a rerun over its own output differs")
			}
		})
	}
}

// checkRead fails if the model has read more than limit tokens, or half a character, or not the start or end that it should.
func checkRead(t *testing.T, e *engine.Engine, p *critic.Prompts, r *record.Record, limit int) {
	t.Helper()
	short, longest := r.AsRead(), 0
	for _, side := range r.Sides() {
		ids, err := e.Encode(p.Ask(short, side, critic.DefaultScale()), true)
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, len(ids))
		if !strings.HasPrefix(r.Text(side), short.Text(side)) || !utf8.ValidString(short.Text(side)) {
			t.Errorf("%s: %s is read as %q", r.ID, side, short.Text(side))
		}
	}
	whole, read := r.Prompt.Conversation(), short.Prompt.Conversation()
	for i, m := range read {
		if !strings.HasSuffix(whole[i].Content, m.Content) || !utf8.ValidString(m.Content) || m.Role == "system" && m != whole[i] {
			t.Errorf("%s: message %d is read as %q", r.ID, i, m.Content)
		}
	}
	if longest > limit || r.Cut != nil && longest < limit-10 {
		t.Errorf("%s: %d tokens are read, the limit is %d", r.ID, longest, limit)
	}
}

// checkTrained fails if training would meet other tokens than the ones that the critiques were sampled behind, whatever its policy.
func checkTrained(t *testing.T, e *engine.Engine, p *critic.Prompts, r *record.Record, limit int, policy string) {
	t.Helper()
	d := *e.Renderer
	d.Prompts = p
	conf := trainer.Default()
	for _, conf.Overlong = range []string{policy, record.OverlongError} {
		got, o, err := d.Pair(r, conf.Render(limit))
		if err != nil || o.Dropped != "" || o.Shortened != (r.Cut != nil) {
			t.Fatalf("%s: %+v %v", r.ID, o, err)
		}
		for i, side := range []render.Reply{got.Chosen, got.Rejected} {
			s := r.Sides()[i]
			want, err := e.Encode(p.Ask(r.AsRead(), s, d.Scale), true)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(slices.Concat(got.Prompt, side.Response.IDs), want) {
				t.Errorf("%s %s: training meets other tokens than sampling", r.ID, s)
			}
			for k, z := range side.Critiques {
				if !slices.Equal(z.IDs, (*r.SideCritiques(s))[k].Tokens) || len(want)+len(z.IDs) > limit {
					t.Errorf("%s %s: critique %d: %d tokens behind %d", r.ID, s, k, len(z.IDs), len(want))
				}
			}
		}
	}
}

// TestTruncatePlain: a scalar reward is read at the end of the shortened conversation, which is the one that bt trains on; eval
// counts such rows, those of a scored file too.
func TestTruncatePlain(t *testing.T) {
	e := openTiny(t)
	const limit = 300
	for policy, id := range map[string]string{record.TruncateLeft: "prompt", record.TruncateRight: "response"} {
		dir := t.TempDir()
		in, given := truncating(t, dir)
		out := filepath.Join(dir, "scored.jsonl")
		args := []string{"--model", rewardModel(t, "bt"), "--in", in, "--max_length", fmt.Sprint(limit), "--overlong", policy}
		_, errs := must(t, append([]string{"score", "--out", out}, args...)...)
		records := parse(t, readFile(t, out))
		i := map[string]int{"prompt": 1, "response": 2}[id]
		r := records[i]
		if r.PlainCut == nil || r.PlainCut.Policy != policy || r.Cut != nil || r.ChosenReward == nil || r.Chosen != given[i].Chosen || records[0].PlainCut != nil {
			t.Fatalf("%s: %+v", policy, r)
		}
		if want := fmt.Sprintf("1 records shortened: %d characters are not read\n", r.PlainCut.Characters()); !strings.Contains(errs, want) {
			t.Errorf("%q lacks %q", errs, want)
		}
		conf := trainer.Default()
		conf.Method, conf.Overlong = trainer.BT, policy
		x, o, err := e.Pair(given[i], conf.Render(limit))
		ids, _ := e.Encode(r.Shortened(r.PlainCut).Messages(record.Chosen), false)
		if err != nil || !o.Shortened || !slices.Equal(slices.Concat(x.Prompt, x.Chosen.Response.IDs), ids) || len(ids) > limit {
			t.Errorf("%s: bt trains on other tokens than the %d that are scored (%+v, %v)", policy, len(ids), o, err)
		}
		for _, eval := range [][]string{append([]string{"eval"}, args...), {"eval", "--in", out}} {
			if _, errs := must(t, append(eval, "--json", filepath.Join(dir, "eval.json"))...); !strings.Contains(errs, "1 of 3 records are measured on shortened text\n") {
				t.Errorf("%v: %q", eval, errs)
			}
			if !strings.Contains(readFile(t, filepath.Join(dir, "eval.json")), `"shortened": 1`) {
				t.Error("eval.json does not count the shortened record")
			}
		}
	}
}

// TestTruncateSingle: rows of one response are shortened too.
func TestTruncateSingle(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), fmt.Sprintf(`{"id":"a","prompt":"p","response":%q}`+"\n", strings.Repeat("語", 400)))
	stdout, errs := must(t, "score", "--model", rewardModel(t, "critic"), "--in", in, "--prompts", shortPrompts(t), "--samples", "2", "--max_tokens", "8", "--overlong", "truncate-right")
	r := parse(t, stdout)[0]
	if r.Cut == nil || r.Cut.Response != r.Cut.Characters() || r.Cut.Response == 0 || r.Reward == nil || utf8.RuneCountInString(r.AsRead().Text(record.Single)) != 400-r.Cut.Response ||
		!strings.Contains(errs, "1 records shortened: ") {
		t.Errorf("%+v %q", r.Cut, errs)
	}
	if code, _, errs := command(t, "score", "--model", "m", "--in", in, "--max_length", "-1"); code != exitUsage || !strings.Contains(errs, "max_length: got -1, want 0 or more") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestRefineReadsShortened: the judge is asked about what the critic has read.
func TestRefineReadsShortened(t *testing.T) {
	r := parse(t, `{"id":"a","prompt":"0123456789","chosen":"yes, yes","rejected":"no","shortened":{"policy":"truncate-left","prompt":8},`+
		`"chosen_critiques":[{"text":"a","score":9}],"rejected_critiques":[{"text":"b","score":1}]}`+"\n")
	g := &listener{}
	o := critic.DefaultRefineOptions()
	if _, err := critic.Refine(context.Background(), g, r, o); err == nil {
		t.Fatal("the judge gave no score, and pairs survived")
	}
	if len(g.asked) != 2 || !strings.Contains(g.asked[0], "89") || strings.Contains(g.asked[0], "789") {
		t.Errorf("%q", g.asked)
	}
}

type listener struct{ asked []string }

func (l *listener) Generate(_ context.Context, reqs []critic.Request, _ record.Sampling) ([][]critic.Sample, error) {
	out := make([][]critic.Sample, len(reqs))
	for i, r := range reqs {
		text := ""
		for _, m := range r.Messages {
			text += m.Content
		}
		l.asked = append(l.asked, text)
		for range r.N {
			out[i] = append(out[i], critic.Sample{FinishReason: record.FinishLength})
		}
	}
	return out, nil
}
