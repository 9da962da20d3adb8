package model

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// own says in words what a family has that Llama has not.
func (m *family) own() string {
	var words []string
	for _, w := range []struct {
		has  bool
		name string
	}{
		{m.qkvBias, "biases of queries, keys and values"}, {m.qkNorm == perHead, "normalised heads"}, {m.qkNorm == wholeRow, "normalised queries and keys"},
		{m.norms == normsAfter, "norms after each part"}, {m.norms == normsAround, "norms before and after each part"}, {m.like.HiddenAct == geluTanh, "GeGLU"},
		{m.fused, "fused projections"}, {m.partial, "partly turned heads"}, {m.unturned != nil, "layers without rope"}, {m.slides == everywhere, "window"},
		{m.slides > everywhere, "windows by layer"}, {m.growing, "YaRN up to its original positions"}, {m.localKey != "", "a rope of their own for layers with a window"}, {m.embedByWidth, "scaled embeddings"},
		{slices.Contains(m.keys, "attn_logit_softcapping"), "soft caps"}, {slices.Contains(m.keys, "residual_multiplier"), "multipliers"},
	} {
		if w.has {
			words = append(words, w.name)
		}
	}
	return strings.Join(words, ", ")
}

// docs/models.md tells of every family, as the table has it.
func TestFamiliesInDocs(t *testing.T) {
	var text strings.Builder
	text.WriteString("| `model_type` | classes | models | beside what Llama has |\n|---|---|---|---|\n")
	for _, m := range families {
		classes := fmt.Sprintf("`%s`", m.architecture(false))
		if name := m.architecture(true); name != "" {
			classes += fmt.Sprintf(", `%s`", name)
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", m.name, classes, m.known, m.own())
	}
	page, err := os.ReadFile("../docs/models.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "<!-- families -->\n")
	if got, _, found := strings.Cut(rest, "<!-- end -->\n"); !found || got != text.String() {
		t.Errorf("docs/models.md: behind <!-- families --> must stand:\n%s<!-- end -->\nand there stands\n%s", &text, got)
	}
}
