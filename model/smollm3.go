package model

import "encoding/json"

// SmolLM3 (2025): Llama in which every fourth layer is not turned.
var smolLM3 = family{
	name: "smollm3", class: "SmolLM3", known: "SmolLM3 3B",
	like:  Config{NumKeyValueHeads: 4, MaxPositionEmbeddings: 32768, TieWordEmbeddings: true, Rope: Rope{Theta: 2e6}},
	keys:  []string{"attention_bias", "mlp_bias"},
	norms: normsBefore, outBias: true,
	slides:  whereTurned,
	sliding: func(c *Config, _ *fields, i int) bool { return c.Layers[i].NoRope },
	unturned: func(c *Config, f *fields) {
		every := f.whole("no_rope_layer_interval", 4, 1, 1024)
		list, given := f.get("no_rope_layers").([]any) // 0: not turned
		if f.has("no_rope_layers") && (!given || len(list) != len(c.Layers)) {
			f.fail("no_rope_layers", "want an array of %d numbers, one for each layer", len(c.Layers))
			return
		}
		for i := range c.Layers {
			c.Layers[i].NoRope = (i+1)%every == 0
			if given {
				c.Layers[i].NoRope = list[i] == json.Number("0")
				if list[i] != json.Number("0") && list[i] != json.Number("1") {
					f.fail("no_rope_layers", "got %v for layer %d, want 0 (not turned) or 1", list[i], i)
				}
			}
		}
	},
}
