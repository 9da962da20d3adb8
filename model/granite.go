package model

// Granite 3 (IBM 2024): Llama with multipliers.
var granite = family{
	name: "granite", class: "Granite", classifier: noClass, known: "Granite 3.0 to 3.3, 2B and 8B",
	like:  Config{MaxPositionEmbeddings: 2048, EmbeddingMultiplier: 1, ResidualMultiplier: 1, AttentionMultiplier: 1, LogitsScaling: 1},
	keys:  []string{"attention_bias", "mlp_bias", "embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling"},
	norms: normsBefore, outBias: true,
}
