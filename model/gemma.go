package model

// Gemma 2 (Riviere et al. 2024): norms before and after each part, GeGLU, soft caps, every other layer with a window.
var gemma2 = family{
	name: "gemma2", class: "Gemma2", known: "Gemma 2 2B to 27B",
	act: "hidden_activation",
	like: Config{NumKeyValueHeads: 4, HeadDim: 256, MaxPositionEmbeddings: 8192, TieWordEmbeddings: true, HiddenAct: geluTanh,
		QueryPreAttnScalar: 256, AttnLogitSoftcap: 50, FinalLogitSoftcap: 30},
	keys:  []string{"attention_bias", "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"},
	norms: normsAround, outBias: true, shift: 1, embedByWidth: true,
	slides: byLayer, window: 4096, sliding: func(_ *Config, _ *fields, i int) bool { return (i+1)%2 != 0 },
}

// Gemma 3 (Kamath et al. 2025), the text model: normalised queries and keys in place of the caps, and two ropes.
var gemma3 = family{
	name: "gemma3_text", class: "Gemma3", classifier: "Gemma3Text", known: "Gemma 3 270M and 1B",
	act: "hidden_activation",
	like: Config{NumKeyValueHeads: 4, HeadDim: 256, MaxPositionEmbeddings: 131072, TieWordEmbeddings: true, HiddenAct: geluTanh,
		QueryPreAttnScalar: 256, Rope: Rope{Theta: 1e6}, LocalRope: &Rope{Theta: 1e4}},
	keys:  []string{"attention_bias", "query_pre_attn_scalar", "final_logit_softcapping"},
	norms: normsAround, qkNorm: perHead, outBias: true, shift: 1, embedByWidth: true,
	slides: byLayer, window: 4096, sliding: func(_ *Config, f *fields, i int) bool {
		return (i+1)%f.whole("sliding_window_pattern", 6, 1, 1024) != 0
	},
	localKey: "rope_local_base_freq",
}
