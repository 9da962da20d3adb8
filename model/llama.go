package model

// Llama 1 to 3 (Touvron et al. 2023), and others of its architecture.
var llama = family{
	name: "llama", class: "Llama", known: "Llama 1 to 3.3, SmolLM, SmolLM2, TinyLlama",
	like:  Config{MaxPositionEmbeddings: 2048},
	keys:  []string{"attention_bias", "mlp_bias"},
	norms: normsBefore, outBias: true,
}
