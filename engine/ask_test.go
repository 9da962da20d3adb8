package engine

import (
	"context"
	"math"
	"strings"
	"testing"

	"criticrm/critic"
	"criticrm/device/devicetest"
	"criticrm/record"
)

// askAll samples with a score asked for.
func askAll(t testing.TB, e *Engine, n int, a *critic.Ask, company int) ([]critic.Request, [][]critic.Sample) {
	t.Helper()
	var reqs []critic.Request
	for i, m := range conversations(6) {
		reqs = append(reqs, critic.Request{Messages: m, N: n, Key: uint64(i), Ask: a})
	}
	var out [][]critic.Sample
	for len(reqs) > len(out) {
		part, err := e.Generate(context.Background(), reqs[len(out):min(len(out)+company, len(reqs))],
			record.Sampling{Temperature: 1.5, TopP: 1, MaxTokens: 16, Seed: 1, Reward: true})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, part...)
	}
	return reqs, out
}

// Every sample without a score gets one: in its text, on the scale, with an end token. Its reward is the one that is read of the same tokens
// afterwards. What is asked for by expectation is the same text, and the score lies between the numbers.
func TestAskedScores(t *testing.T) {
	e := open(t, tinyDir(t, true), Options{})
	ask := &critic.Ask{Lead: "\nScore:", Scale: critic.Scale{Min: 1, Max: 12}}
	n := devicetest.Fewer(20, 8)
	reqs, samples := askAll(t, e, n, ask, 6)
	rewards, err := e.Rewards(context.Background(), rewardRequests(reqs, samples))
	if err != nil {
		t.Fatal(err)
	}
	ends, numbers := map[string]int{}, map[int]bool{}
	for i, list := range samples {
		for k, s := range list {
			if s.Asked == nil {
				t.Fatalf("%q was not asked for a score", s.Text)
			}
			v := ask.Scale.Parse(s.Text)
			if !v.OK || int(v.Score) != s.Asked.Score || !strings.HasSuffix(s.Text, ask.Ending(s.Asked.Score)) {
				t.Errorf("%q has the score %+v, read as %+v", s.Text, s.Asked, v)
			}
			if last := s.Tokens[len(s.Tokens)-1]; last != e.End || s.Text != e.Decode(s.Tokens) {
				t.Errorf("%q is %v, ends with %d", s.Text, s.Tokens, last)
			}
			if own := len(s.Tokens) - s.Asked.Tokens; (s.FinishReason == record.FinishLength) != (own == 16) {
				t.Errorf("%d tokens of its own, finish reason %s", own, s.FinishReason)
			}
			if d := math.Abs(float64(*s.Reward - rewards[i][k])); !(d < 1e-4) {
				t.Errorf("reward %v, read again %v", *s.Reward, rewards[i][k])
			}
			ends[s.FinishReason]++
			numbers[s.Asked.Score] = true
		}
	}
	if len(ends) != 2 || len(numbers) < 6 {
		t.Errorf("ends %v, numbers %v: both ends and many numbers should occur", ends, numbers)
	}
	expect := *ask
	expect.Expect = true
	_, means := askAll(t, e, n, &expect, 6)
	for i, list := range means {
		for k, s := range list {
			if was := samples[i][k]; s.Text != was.Text || s.Asked.Chance != was.Asked.Chance || !(*s.Asked.Mean > 1 && *s.Asked.Mean < 12) {
				t.Errorf("%q with mean %v, sampled %q", s.Text, *s.Asked.Mean, was.Text)
			}
		}
	}
	if e.Model.Dev.Name() == "cpu" { // on a GPU last bits may differ with company
		_, alone := askAll(t, e, n, &expect, 1)
		for i, list := range alone {
			for k, s := range list {
				if was := means[i][k]; s.Text != was.Text || s.LogProb != was.LogProb || *s.Asked.Mean != *was.Asked.Mean || *s.Reward != *was.Reward {
					t.Errorf("alone %q, %v, mean %v, reward %v; in company %q, %v, %v, %v", s.Text, s.LogProb, *s.Asked.Mean, *s.Reward, was.Text, was.LogProb, *was.Asked.Mean, *was.Reward)
				}
			}
		}
	}
}

// The room for an asked-for score is counted: what fits a record's limit can be asked, and one token less is refused before anything is written.
func TestAskedScoresNeedRoom(t *testing.T) {
	e := open(t, tinyDir(t, true), Options{})
	ask := &critic.Ask{Lead: "\nScore:", Scale: critic.Scale{Min: 1, Max: 10}}
	r := critic.Request{Messages: conversations(1)[0], N: 1}
	free, err := e.Over(r, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.Ask = ask
	over, err := e.Over(r, 1, 0)
	paths, err2 := e.Endings(ask)
	if err != nil || err2 != nil || over-free != len(paths[9]) {
		t.Fatalf("asking takes %d tokens (%v, %v), the longest ending has %d", over-free, err, err2, len(paths[9]))
	}
	s := record.Sampling{Temperature: 1, TopP: 1, MaxTokens: 1 - over}
	if _, err := e.Generate(context.Background(), []critic.Request{r}, s); err != nil {
		t.Errorf("what just fits: %v", err)
	}
	s.MaxTokens++
	if _, err := e.Generate(context.Background(), []critic.Request{r}, s); err == nil || !strings.Contains(err.Error(), "over the model's 128 positions") {
		t.Errorf("a token too much: %v", err)
	}
	if _, err := e.Generate(context.Background(), []critic.Request{r, {Messages: r.Messages, N: 1}}, s); err == nil {
		t.Error("requests that ask in different ways are taken")
	}
}
