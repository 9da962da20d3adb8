package experiment

import (
	"strings"
	"testing"
)

// Critiques to read are picked where the trained model is right and the base is not, which is said where they stand.
func TestExamplesSayHowTheyArePicked(t *testing.T) {
	r := &Results{Tasks: []*Task{{Name: "misread", Examples: []Example{
		{Prompt: "one", BaseOff: true}, {Prompt: "two", BaseOff: true}, {Prompt: "both", BaseOff: false}}}}}
	var b strings.Builder
	r.WriteExamples(&b)
	head, rest, ok := strings.Cut(b.String(), ":\n")
	if !ok || !strings.Contains(head, "that the base gets wrong and Critic-RM right") || strings.Contains(rest, "critiques to read") ||
		!strings.Contains(rest, "\none\n") || !strings.Contains(rest, "\ntwo\n") || strings.Contains(rest, "both") {
		t.Error(b.String())
	}
	page, err := r.HTML()
	if err != nil || !strings.Contains(string(page), "Replies that the base gets wrong and Critic-RM right") {
		t.Error(err)
	}
	b.Reset()
	(&Results{Tasks: []*Task{{Name: "text"}}}).WriteExamples(&b)
	if b.String() != "" {
		t.Error(b.String())
	}
}
