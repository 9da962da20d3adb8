package spell

import (
	"testing"
)

func TestNearest(t *testing.T) {
	words := []string{"learning_rate", "train", "top_p", "stage", "model_name_or_path", "lr"}
	for name, want := range map[string]string{
		"learnig_rate": "learning_rate", "tran": "train", "top-p": "top_p", "stages": "stage", "model_name": "model_name_or_path",
		"lora_rank": "", "x": "", "deepspeed": "", "": "", "generate": "",
	} {
		if got := Nearest(name, words); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := Hint("tran", words); got != `, did you mean "train"?` {
		t.Error(got)
	}
	if got := Hint("deepspeed", words); got != "" {
		t.Error(got)
	}
}
