// Package record is rows of preference data: what they hold, how they are read from files, and how they are written.
//
// A [Record] is one row of a JSON Lines file: a preference pair, a single response, or a document for language modelling, with what
// the method's steps add to it. Steps only add fields, so every file can be read and every step run again; fields that are not ours
// keep their place and their bytes.
//
// [Open] and [Reader] read rows strictly, whatever their schema: limits, repeated keys and bad UTF-8 are errors with file, line and byte.
// Files may be compressed with gzip or zstd. The table of schemas is in schema.go; a new one is a file and a line there.
//
// A [Cut] says how much of a record's texts a model has not read; package render decides on it.
package record
