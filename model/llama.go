package model

// Llama 1 to 3 (Touvron et al. 2023), and others of its architecture, SmolLM2 for one.
var llama = family{
	name: "llama", class: "Llama",
	like: Config{MaxPositionEmbeddings: 2048},
}
