// Package tokenizer turns text into token ids and back, as the Hugging Face library does with a tokenizer.json: byte-pair encoding
// of bytes or of characters, and Unigram; the chat templates that go with it; and a small trainer.
//
//	tok, err := tokenizer.Load("model/")          // model/tokenizer.json
//	ids := tok.Encode("What is 12 + 30?")         // plain text, whatever it spells
//	text := tok.Decode(ids)                       // byte for byte the same, of a byte-level tokenizer
//
//	chat, err := tokenizer.LoadChat("model/", tok, tokenizer.ChatOptions{})
//	ids, err = chat.Encode([]tokenizer.Message{{Role: "user", Content: "hi"}}, true)
//
// Encode never makes a control token out of text: "<|eot_id|>" in a user's message is
// nine characters of text. EncodeSpecial is for text the program itself wrote. A Chat
// joins both: what the template writes may be a control token, message text never is. Templates are rendered by
// package jinja, whose text knows which bytes came from which message; a message of which nothing is written is
// an error.
//
// A text passes added tokens (added.go), normalizers (normalize.go), pre-tokenizers (pretokenize.go), a model (bpe.go, runes.go,
// unigram.go); ids pass decoders (decoder.go). Each of these is a table, from which everything that is not implemented is refused by
// name.
//
// No regular expression from a file is ever run. A pre-tokenizer's pattern has to be one of the known ones (patterns.go), for which
// this package has scanners that take linear time on every input, or a set of characters and how often it may stand there
// (onepattern.go). A Tokenizer and a Chat are read-only after construction and safe for concurrent use.
package tokenizer
