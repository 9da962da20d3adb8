package model

// Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases of queries, keys and values.
var qwen2 = family{
	name: "qwen2", class: "Qwen2", known: "Qwen2 and Qwen2.5, 0.5B to 72B; QwQ; DeepSeek-R1-Distill-Qwen",
	like:  Config{NumKeyValueHeads: 32, MaxPositionEmbeddings: 32768},
	norms: normsBefore, qkvBias: true,
	slides: whereTurned, window: 4096, sliding: afterFirst,
}

// Qwen3 (Yang et al. 2025): Llama with heads of their own size, whose queries and keys are normalised.
var qwen3 = family{
	name: "qwen3", class: "Qwen3", known: "Qwen3 0.6B to 32B",
	like:  Config{NumKeyValueHeads: 32, HeadDim: 128, MaxPositionEmbeddings: 32768},
	keys:  []string{"attention_bias"},
	norms: normsBefore, qkNorm: perHead, outBias: true,
	slides: whereTurned, window: 4096, sliding: afterFirst,
}

// afterFirst says whether a layer comes after those that have no window.
func afterFirst(_ *Config, f *fields, i int) bool {
	return i >= f.whole("max_window_layers", 28, 0, 1024)
}
