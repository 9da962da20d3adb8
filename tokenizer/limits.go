package tokenizer

import "time"

// Limits for files and texts that nobody has checked before. Each is tested at the limit
// and one over it where that is cheap.
const (
	MaxTokenizerFile = 64 << 20 // bytes of tokenizer.json
	MaxConfigFile    = 4 << 20  // bytes of tokenizer_config.json
	MaxTemplate      = 64 << 10 // bytes of a chat template
	MaxText          = 8 << 20  // bytes of one message

	maxVocab     = 1 << 20  // entries of the vocabulary
	maxMerges    = 2 << 20  // merges
	maxToken     = 4 << 10  // bytes of one token
	maxAdded     = 1 << 16  // added tokens
	maxAddedText = 1 << 20  // bytes of all added tokens together
	maxOutput    = 16 << 20 // bytes a template may write, also into a macro's or a set's value

	maxBrackets  = 200              // nesting of brackets in a template
	maxTag       = 4 << 10          // bytes of one template tag, string literals not counted
	maxItems     = 100_000          // items of a range and of a loop
	maxSteps     = 1_000_000        // statements, loop rounds, macro calls, filters of one rendering
	maxMacros    = 100              // macro calls inside each other
	maxNesting   = 200              // statements inside each other
	maxErrorText = 500              // bytes of an error from the template engine
	renderTime   = 20 * time.Second // time for one rendering; far more than any needs, for busy machines
)
