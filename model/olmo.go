package model

// OLMo 2 (2025): norms after each part in place of before, and of all queries and all keys of a token together.
var olmo2 = family{
	name: "olmo2", class: "Olmo2", known: "OLMo 2 1B to 32B",
	like:  Config{MaxPositionEmbeddings: 2048, RMSNormEps: 1e-5},
	keys:  []string{"attention_bias"},
	norms: normsAfter, qkNorm: wholeRow, outBias: true,
}

// OLMo 3 (2025): OLMo 2 with windows in three of four layers, which are not stretched.
var olmo3 = family{
	name: "olmo3", class: "Olmo3", known: "OLMo 3 7B and 32B",
	like:  Config{MaxPositionEmbeddings: 2048, RMSNormEps: 1e-5, Rope: Rope{Theta: 5e5}, LocalRope: &Rope{Theta: 5e5}},
	keys:  []string{"attention_bias"},
	norms: normsAfter, qkNorm: wholeRow, outBias: true,
	slides: byLayer, window: 4096, sliding: func(_ *Config, _ *fields, i int) bool { return (i+1)%4 != 0 },
	localKey: noKey,
}
