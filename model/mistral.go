package model

// Mistral (Jiang et al. 2023): Llama with a window, which a null says it has not.
var mistral = family{
	name: "mistral", class: "Mistral", known: "Mistral 7B, Mistral Nemo, Mistral Small 24B (text)",
	like:   Config{NumKeyValueHeads: 8, MaxPositionEmbeddings: 131072},
	norms:  normsBefore,
	slides: everywhere, window: 4096,
}

// Ministral 3 (Mistral AI 2025): Mistral with YaRN, whose queries grow beyond the original positions. The model ends there: its
// vision is another part, which Mistral3ForConditionalGeneration has.
var ministral3 = family{
	name: "ministral3", class: "Ministral3", known: "Ministral 3 3B to 14B (text)",
	like:   Config{NumKeyValueHeads: 8, HeadDim: 128, MaxPositionEmbeddings: 262144, RMSNormEps: 1e-5, Rope: Rope{Theta: 1e6}},
	norms:  normsBefore,
	slides: everywhere,
	ropes:  map[string]string{"yarn": "yarn"}, growing: true,
}

// Ministral: Mistral with layers that have the window and layers that have not.
var ministral = family{
	name: "ministral", class: "Ministral", known: "Ministral 8B",
	like:   Config{NumKeyValueHeads: 8, MaxPositionEmbeddings: 131072},
	norms:  normsBefore,
	slides: byLayer, window: 4096,
}
