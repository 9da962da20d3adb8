// Package corpus is what is known of files of rows before anything is made of them: how long their texts are, what they hold twice, which
// prompts nearly repeat each other or stand in a public benchmark, and how a file is cut in two or written for another program.
//
// [Scan] reads a file record by record and finds its [File], the facts of one file alone; an [Index] that it fills finds what several files
// share. [Check] is both, for `criticrm data check`. [Split] holds out prompts, [Convert] writes rows in a [Form].
//
// Files are streamed, and memory does not grow with them (TestMemoryIsBounded). What is kept of a record is some hundred bytes of hashes and
// counts, whatever its texts (TestMemory), and beyond some MiB they lie in temporary files; so do the texts that near duplicates are compared by.
// Exceptions: the distinct lengths of texts, and 12 bytes of each group of prompts while Split chooses among those of a category.
//
// Convert, Split and Check go on where they were interrupted: a work has partial outputs and a state beside them, a journal what was measured.
//
// # Near duplicates
//
// Prompts are compared by their shingles: all runs of five characters of the [Normal] text. A signature has 100 minima of as many seeded hash
// functions over them, in 20 bands of 5; two prompts are compared where a band is equal, which for a Jaccard similarity J of their sets of shingles
// happens with probability 1 - (1 - J⁵)²⁰: 0.9996 at J = 0.8, 0.97 at 0.7, 0.47 at 0.5. What is compared is verified: J is then counted, not estimated, and
// two prompts are near duplicates from [Near] on. So pairs may be missed, one in 2800 at J = 0.8 and fewer above, and none is reported that is
// not one.
//
// # Benchmarks
//
// The prompts of public benchmarks are not shipped. The folder benchmarks has hashes of them, a file for each benchmark and a list that says where
// they are from. `go run ./corpus/fingerprint` makes both. A match is of equal [Normal] text.
package corpus
