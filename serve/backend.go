package serve

import (
	"context"
	"errors"

	"criticrm/critic"
	"criticrm/record"
)

// Backend is the model as the server sees it: work that comes and goes, joined into one running batch. All of it may be called by many
// goroutines. A call whose context ends returns at once with the context's error, and its work leaves the batch.
type Backend interface {
	// Generate writes what follows a prompt, N times.
	Generate(ctx context.Context, w Work) ([]critic.Sample, error)
	// Rewards reads a reward at the end of each text.
	Rewards(ctx context.Context, texts [][]int32) ([]float32, error)
	// Load is what is going on.
	Load() Load
}

// Work is a prompt with what is to be written behind it.
type Work struct {
	Prompt   []int32 // token ids, as the template renders them up to where the model is to write
	N        int
	Key      uint64          // random stream: sample i depends on the prompt, Sampling, Key and i only
	Sampling record.Sampling // Seed is part of the stream; Reward: a reward is read behind each sample
	Ask      *critic.Ask     // how samples that end without a score go on; nil: they do not

	// Token is called with the tokens of sample i as they are drawn, in order, the end token too, from one goroutine at a time, which it must
	// not hold up; nil: not.
	Token func(i int, ids []int32)
}

// Load is what a backend is doing.
type Load struct {
	Running, Waiting int // samples in the batch, and those that wait for a place
	CachedTokens     int // prompts that are kept because another request may begin with them
	ReusedTokens     int // of all prompts so far, were there already
	ReadTokens       int // of all prompts so far, were computed
	WrittenTokens    int
}

// ErrBusy is what Generate and Rewards give where the queue is full; ErrNoText what Generate gives where the model has no words, but rewards alone.
var (
	ErrBusy   = errors.New("serve: the queue is full")
	ErrNoText = errors.New("serve: the model writes no text")
)
