package tokenizer

// The patterns that published tokenizers cut text by, letter by letter as tokenizer.json files hold them, each with the scanner that
// cuts exactly so in linear time. The patterns use look-ahead, which Go's regexp lacks, and backtracking engines take quadratic
// time or overflow on hostile text. Patterns of a single set of characters (\p{N}{1,3}, \s?\p{L}+) are read by onePattern instead.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	// Qwen 3.5: marks belong to words.
	patternQwen35 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// Llama 3's, as tiktoken spells it: DBRX, StableLM 2.
	patternCL100K = `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`
	// GPT-4o, gpt-oss, Phi-4-mini, Llama 4: words end where capitals begin.
	patternO200K = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// Mistral's Tekken: Nemo, Ministral, Nemotron.
	patternTekken = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// DeepSeek V3 and R1, behind \p{N}{1,3} and a set of Han and kana.
	patternDeepSeek3 = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+" + `|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// patterns gives the scanners by pattern.
func patterns() map[string]func(c *classes) cutter {
	const (
		joins   = every &^ (newlines | letters | numbers) // [^\r\n\p{L}\p{N}]
		capital = upper | letter | marks
		small   = lower | letter | marks
	)
	return map[string]func(c *classes) cutter{
		patternGPT2:   func(c *classes) cutter { return (&splitter{classes: c}).nextGPT2 },
		patternLlama3: func(c *classes) cutter { return (&splitter{classes: c, most: 3}).next },
		patternCL100K: func(c *classes) cutter { return (&splitter{classes: c, most: 3}).next },
		patternQwen2:  func(c *classes) cutter { return (&splitter{classes: c, most: 1}).next },
		patternQwen35: func(c *classes) cutter {
			return first(contractions, c.run(joins, letters|marks, ""), c.numbers(1), c.run(blank, others&^marks, "\r\n"), c.blanks)
		},
		patternO200K: func(c *classes) cutter {
			return first(c.cased(joins, capital, small, true), c.numbers(3), c.run(blank, others, "\r\n/"), c.blanks)
		},
		patternTekken: func(c *classes) cutter {
			return first(c.cased(joins, capital, small, false), c.numbers(1), c.run(blank, others, "\r\n/"), c.blanks)
		},
		patternDeepSeek3: func(c *classes) cutter {
			return first(punctuatedWord, c.run(every&^(newlines|letters|puncts|symbols), letters|marks, ""), c.run(blank, puncts|symbols, "\r\n"), c.blanks)
		},
	}
}
