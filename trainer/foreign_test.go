package trainer

import (
	"strings"
	"testing"
)

// What other trainers' recipes say is understood where it means what is done here, and else refused with what to do.
func TestForeign(t *testing.T) {
	c := Default()
	if err := ParseRecipe([]byte("report_to: none\nfp16: false\nprompt_key: None\nchosen_key: chosen\nattn_implementation: flash_attention_2\nuse_peft: False\noptim: adamw_torch_fused\n"+
		"lr_scheduler_type: cosine_with_min_lr\nmodel_name_or_path: m\nprompt_dir: p\nscore_max: 5\n"), &c); err != nil {
		t.Fatal(err)
	}
	if c.Optim != AdamW || c.Scheduler != "cosine" || c.Model != "m" || c.PromptDir != "p" || c.ScoreMax != 5 {
		t.Errorf("%+v", c)
	}
	for recipe, want := range map[string]string{
		"seed: 1\nfp16: true\n":     `:2: fp16: got "true", which is not done here: float16 is not built`,
		"use_peft: true\n":          "give lora_r, the rank",
		"load_in_8bit: true\n":      "weights of 8 bits are not built",
		"chosen_key: good\n":        "use columns chosen=good",
		"deepspeed: ds.json\n":      "divide what they keep with zero_stage",
		"logging_strategy: epoch\n": "use logging_steps N",
		"quux_corge: 1\n":           `:1: unknown key "quux_corge"`,
	} {
		c := Default()
		err := ParseRecipe([]byte(recipe), &c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", recipe, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "did you mean") {
			t.Errorf("%q: a hint that is far off: %v", recipe, err)
		}
	}
	for word, want := range map[string]string{"warmup_stable_decay": "linear with stable_fraction", "polynomial": "linear"} {
		c := Default()
		c.Scheduler = word
		if err := c.Validate(); err == nil || !strings.HasSuffix(err.Error(), "nearest to it is "+want) {
			t.Error(err)
		}
	}
	own := map[string]bool{}
	for _, f := range Fields() {
		own[f.Name] = true
		for _, a := range f.Aliases {
			own[a] = true
		}
	}
	for name := range (&Config{}).ForeignNames() {
		if own[name] {
			t.Errorf("%s is a setting, and foreign too", name)
		}
	}
}
