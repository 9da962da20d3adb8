package tokenizer

// Limits for files and texts that nobody has checked before. Each is tested at the limit
// and one over it where that is cheap.
const (
	MaxTokenizerFile = 64 << 20 // bytes of tokenizer.json
	MaxConfigFile    = 4 << 20  // bytes of tokenizer_config.json
	MaxTemplate      = 64 << 10 // bytes of a chat template
	MaxText          = 8 << 20  // bytes of one message

	maxVocab     = 1 << 20 // entries of the vocabulary
	maxMerges    = 2 << 20 // merges
	maxToken     = 4 << 10 // bytes of one token
	maxAdded     = 1 << 16 // added tokens
	maxAddedText = 1 << 20 // bytes of all added tokens together

	maxErrorText = 500 // bytes of an error from a template
)
