package model

// Mistral (Jiang et al. 2023): Llama with a window, which a null says it has not.
var mistral = family{
	name: "mistral", class: "Mistral",
	like: Config{NumKeyValueHeads: 8, MaxPositionEmbeddings: 131072},
	read: func(c *Config, f *fields) {
		const window = 4096 // of transformers' class, where the key is left out; null is another thing
		if !f.given("sliding_window") && c.MaxPositionEmbeddings > window {
			f.fail("sliding_window", "missing, which means %d to transformers, below max_position_embeddings (%d): windows are not supported; say null if the model has none, or lower max_position_embeddings to %d",
				window, c.MaxPositionEmbeddings, window)
		}
	},
	write: func(_ *Config, m map[string]any) { m["sliding_window"] = nil },
}
