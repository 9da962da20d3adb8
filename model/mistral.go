package model

// Mistral (Jiang et al. 2023): Llama with a window, which a null says it has not.
var mistral = family{
	name: "mistral", class: "Mistral", known: "Mistral 7B, Mistral Nemo, Mistral Small 24B (text)",
	like:   Config{NumKeyValueHeads: 8, MaxPositionEmbeddings: 131072},
	norms:  normsBefore,
	slides: everywhere, window: 4096,
}

// Ministral: Mistral with layers that have the window and layers that have not.
var ministral = family{
	name: "ministral", class: "Ministral", known: "Ministral 8B",
	like:   Config{NumKeyValueHeads: 8, MaxPositionEmbeddings: 131072},
	norms:  normsBefore,
	slides: byLayer, window: 4096,
}
