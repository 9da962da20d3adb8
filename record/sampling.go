package record

import (
	"fmt"
	"math"
)

// Sampling says how a Generator samples.
type Sampling struct {
	Temperature float32 `json:"temperature"` // 0: the most likely token
	TopP        float32 `json:"top_p"`       // in (0, 1]; 0 stands for 1
	TopK        int     `json:"top_k"`       // 0: no limit
	MaxTokens   int     `json:"max_tokens"`  // of one sample
	Seed        uint64  `json:"seed"`
	Reward      bool    `json:"reward"` // also read the reward after each sample
}

// DefaultSampling is temperature 0.7, top-p 0.9 and 512 tokens.
func DefaultSampling() Sampling { return Sampling{Temperature: 0.7, TopP: 0.9, MaxTokens: 512} }

// Validate refuses settings outside their range.
func (s Sampling) Validate() error {
	switch {
	case !(s.Temperature >= 0 && s.Temperature <= 100):
		return fmt.Errorf("record: temperature: got %v, want 0 to 100", s.Temperature)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("record: top_p: got %v, want 0 to 1", s.TopP)
	case s.TopK < 0 || s.TopK > math.MaxInt32:
		return fmt.Errorf("record: top_k: got %d, want 0 to %d", s.TopK, math.MaxInt32)
	case s.MaxTokens < 1 || s.MaxTokens > 1<<24:
		return fmt.Errorf("record: max_tokens: got %d, want 1 to %d", s.MaxTokens, 1<<24)
	}
	return nil
}
