package critic

// The method's steps as file stages.

import (
	"context"
	"errors"

	"criticrm/record"
	"criticrm/stage"
)

// settings adds to a stage's options what they do not say of themselves.
type settings struct {
	Options any     `json:"options"`
	Prompts string  `json:"prompts,omitempty"` // Prompts.Hash
	Fit     *fitted `json:"fit,omitempty"`
}

// fitted says how records are shortened: what the model reads must not change in the middle of a file.
type fitted struct {
	MaxLength int    `json:"max_length"`
	Overlong  string `json:"overlong"`
}

func (o *Reading) fitted() *fitted {
	if o.MaxLength == 0 && (o.Overlong == record.OverlongError || o.Overlong == record.OverlongDrop) {
		return nil
	}
	return &fitted{o.MaxLength, o.Overlong}
}

// GenerateStage runs Generate from file to file. The statistics are filled while it runs.
func GenerateStage(in, out string, g Generator, o GenerateOptions) (*stage.Stage, *CritiqueStats, error) {
	return sampleStage("generate", in, out, o, func(ctx context.Context, records []*record.Record, o *GenerateOptions) error {
		return generateChunk(ctx, g, records, o, "critique")
	})
}

// ScoreStage runs Score from file to file.
func ScoreStage(in, out string, g Generator, o ScoreOptions) (*stage.Stage, *CritiqueStats, error) {
	return sampleStage("score", in, out, o, func(ctx context.Context, records []*record.Record, o *GenerateOptions) error {
		return scoreChunk(ctx, g, records, o)
	})
}

func sampleStage(name, in, out string, o GenerateOptions, work func(context.Context, []*record.Record, *GenerateOptions) error) (*stage.Stage, *CritiqueStats, error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	stats, guard := NewCritiqueStats(o.Scale), newGuard(&o)
	return &stage.Stage{
		Name: name, In: in, Out: out, Chunk: o.Chunk, Chunks: guard.chunk, Settings: settings{o, o.Prompts.Hash(), o.fitted()},
		Read: record.ReadOptions{Check: o.Check(), Reads: o.Prompts.Columns()},
		Work: func(ctx context.Context, records []*record.Record) error { return work(ctx, records, &o) },
		Observe: func(r *record.Record) error {
			stats.Observe(r)
			return guard.observe(r)
		},
	}, stats, nil
}

// ScorePlainStage runs ScorePlain from file to file. o.Model names the model, so that another one is not mixed in.
func ScorePlainStage(in, out string, rw Rewarder, o PlainOptions) (*stage.Stage, *ReadStats, error) {
	if err := errors.Join(validChunk(&o.Chunk), o.validate()); err != nil {
		return nil, nil, err
	}
	stats := &ReadStats{}
	return &stage.Stage{
		Name: "score-plain", In: in, Out: out, Chunk: o.Chunk, Settings: settings{Options: o, Fit: o.fitted()},
		Read: record.ReadOptions{Check: o.Check()},
		Work: func(ctx context.Context, records []*record.Record) error {
			return scorePlainChunk(ctx, rw, records, &o)
		},
		Observe: func(r *record.Record) error {
			stats.observe(r, r.PlainCut)
			return nil
		},
	}, stats, nil
}

// FilterStage runs Filter from file to file; it fails at the end if too few pairs survive.
func FilterStage(in, out string, o FilterOptions) (*stage.Stage, *DropStats, error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	stats := NewDropStats()
	return &stage.Stage{
		Name: "filter", In: in, Out: out, Chunk: 1024, Settings: settings{Options: o},
		Read: record.ReadOptions{Check: func(r *record.Record) error { return filterRecord(r, o) }},
		Work: func(_ context.Context, records []*record.Record) error {
			for _, r := range records {
				if err := filterRecord(r, o); err != nil {
					return err
				}
			}
			return nil
		},
		Observe: func(r *record.Record) error {
			stats.Observe(r)
			return nil
		},
		Finish: func() error { return stats.CheckSurvivors(o.MinSurvivors) },
	}, stats, nil
}

// RefineStage runs Refine from file to file; g may be nil for modes that do not ask the model.
func RefineStage(in, out string, g Generator, o RefineOptions) (*stage.Stage, *DropStats, error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	stats := NewDropStats()
	return &stage.Stage{
		Name: "refine", In: in, Out: out, Chunk: o.Chunk, Settings: settings{o, o.Prompts.Hash(), o.fitted()},
		Read: record.ReadOptions{Check: o.refinable, Reads: o.Prompts.Columns()},
		Work: func(ctx context.Context, records []*record.Record) error { return refineChunk(ctx, g, records, &o) },
		Observe: func(r *record.Record) error {
			stats.Observe(r)
			return nil
		},
		Finish: func() error { return stats.CheckSurvivors(o.MinSurvivors) },
	}, stats, nil
}
