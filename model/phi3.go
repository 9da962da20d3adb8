package model

// Phi-3 and Phi-4 (Abdin et al. 2024): Llama with fused projections, of whose heads a part may be turned.
var phi3 = family{
	name: "phi3", class: "Phi3", ownsCode: true, known: "Phi-3 and Phi-3.5 mini and medium, Phi-4, Phi-4-mini",
	like:  Config{MaxPositionEmbeddings: 4096, RMSNormEps: 1e-5, Rope: Rope{OriginalPosition: 4096}},
	norms: normsBefore, fused: true,
	slides:  everywhere,
	ropes:   map[string]string{"default": "default", "longrope": "longrope", "su": "longrope", "yarn": "longrope"},
	partial: true,
}
