// Package demo is a task that can be verified, small enough for two CPU cores, and a base language model for it.
//
// The model has 0.6 million parameters, ships with the program ([MakeBase] made it) and writes critiques with systematic faults. Package
// demo/experiment is what is done with both.
package demo

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"

	"criticrm/checkpoint"
	"criticrm/record"
)

//go:embed base/* mistaken/model.safetensors prompts/*.txt
var files embed.FS

// What Extract writes: the base model's directory, and the prompts that it knows.
const (
	Base    = "base"
	Prompts = "prompts"
)

// Extract writes all files of Base or Prompts to a directory.
func Extract(from, to string) error {
	entries, err := files.ReadDir(from)
	if err == nil {
		err = os.MkdirAll(to, 0o755)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	for _, e := range entries {
		b, err := files.ReadFile(from + "/" + e.Name())
		if err == nil {
			err = checkpoint.WriteFileAtomic(filepath.Join(to, e.Name()), b)
		}
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

// Records turns pairs into records of the method.
func Records(pairs []Pair) []*record.Record {
	out := make([]*record.Record, len(pairs))
	for i, p := range pairs {
		out[i] = &record.Record{ID: p.ID, Prompt: record.Prompt{Text: p.Question.Prompt}, Chosen: p.Chosen.Text, Rejected: p.Rejected.Text,
			Category: p.Question.Kind.Category(), Subset: string(p.Question.Kind)}
	}
	return out
}
