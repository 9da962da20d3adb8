package main

// eval of rows of a public benchmark, by its official rule.

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/checkpoint"
	"criticrm/measure"
	"criticrm/record"
)

// benchmarkResult is the file that --json writes of a benchmark.
type benchmarkResult struct {
	File  string `json:"file"`
	Model string `json:"model,omitempty"`
	*measure.BenchmarkReport
}

// benchmarkFlags say which benchmark the rows are of, and what else is written of it.
type benchmarkFlags struct {
	name        string
	rewardBench string
}

func (b *benchmarkFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&b.name, "benchmark", "", "the public benchmark that the rows are of; without it they are known by their columns")
	f.StringVar(&b.rewardBench, "rewardbench_out", "", "also write the results in RewardBench's own format into this directory: eval-set and eval-set-scores")
}

func benchmarkNames() string {
	return strings.Join(record.Benchmarks(), ", ")
}

// look sees that the first row is of the benchmark that is named, before a model reads all of them. What can be read once only is left to fits.
func (b *benchmarkFlags) look(files *fileFlags) error {
	if b.name == "" {
		return nil
	}
	if _, err := measure.FindBenchmark(b.name); err != nil {
		return inputError{err}
	}
	if record.Rereadable(files.in) != nil {
		return nil
	}
	o := files.read()
	o.MaxLine = 1 << 30
	in, err := record.Open(files.in, o)
	if err != nil {
		return begin(err)
	}
	defer in.Close()
	r, err := in.Next()
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return begin(err)
	}
	return b.fits(files, r, fmt.Sprintf("but one of the layout %q", in.Schema))
}

// fits sees that a row is of the benchmark that is named; other says what else it is.
func (b *benchmarkFlags) fits(files *fileFlags, r *record.Record, other string) error {
	if b.name == "" {
		return nil
	}
	bench, err := measure.FindBenchmark(b.name)
	switch {
	case err != nil:
		return inputError{err}
	case r.Benchmark != nil && r.Benchmark.Name != bench.Name:
		return begin(files.named(r.Fault("this is a row of %s, not of %s", r.Benchmark.Name, bench.Name)))
	case r.Benchmark == nil && (!bench.AnyPairs || !r.Paired()):
		return begin(files.named(r.Fault("this is no row of %s, %s: want the rows as they are published (docs/evaluation.md), or as this program has scored them", bench.Title, other)))
	}
	return nil
}

// of is the benchmark that is named, else that of the rows; nil: there is none.
func (b *benchmarkFlags) of(records []*record.Record) (*measure.Benchmark, error) {
	var bench *measure.Benchmark
	var err error
	if b.name != "" {
		bench, err = measure.FindBenchmark(b.name)
	} else {
		bench, err = measure.BenchmarkOf(records)
	}
	if err == nil && b.rewardBench != "" && (bench == nil || bench.Name != record.RewardBench && bench.Name != record.RewardBench2) {
		err = fmt.Errorf("--rewardbench_out is for rows of RewardBench and RewardBench 2")
	}
	return bench, err
}

// run scores the rows and tells of it.
func (b *benchmarkFlags) run(cmd *cobra.Command, s *sampler, bench *measure.Benchmark, records []*record.Record, o measure.EvalOptions, jsonFile string) error {
	report, err := measure.EvaluateBenchmark(bench, records, o)
	if err != nil {
		return begin(s.files.named(err))
	}
	w := cmd.ErrOrStderr()
	if report.LengthOnly() {
		fmt.Fprintln(w, "warning: the rows have no rewards and no sampled critiques: only the length of their responses is scored; give --model, or score them first")
	}
	fmt.Fprint(cmd.OutOrStdout(), report, "\n", howRead(s, report))
	if b.rewardBench != "" {
		name := modelName(s, records)
		results, scores, err := report.RewardBench(name)
		if err != nil {
			return err
		}
		for _, file := range [...]struct {
			folder string
			text   []byte
		}{{"eval-set", results}, {"eval-set-scores", scores}} {
			path := filepath.Join(b.rewardBench, file.folder, name+".json")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := checkpoint.WriteFileAtomic(path, file.text); err != nil {
				return err
			}
			fmt.Fprintln(w, path)
		}
	}
	if jsonFile == "" {
		return nil
	}
	return writeFigures(jsonFile, benchmarkResult{s.files.in, s.o.Model, report})
}

// howRead is what decides the numbers beside the rule.
func howRead(s *sampler, r *measure.BenchmarkReport) string {
	line := "texts: the prompt as the user's turn, the answer as the assistant's, no system prompt, the model's own chat template"
	if s.engine != nil {
		limit := "the model's context"
		if n := s.o.Reading.MaxLength; n > 0 {
			limit = fmt.Sprintf("%d tokens", n)
		}
		line += fmt.Sprintf("; longer than %s: %s", limit, cmp.Or(s.o.Reading.Overlong, record.OverlongError))
	}
	return line + fmt.Sprintf("; %d rows read in part\n", r.Shortened)
}

// modelName is the model's name in other programs' files: its directory's.
func modelName(s *sampler, records []*record.Record) string {
	name := s.model.Dir
	if s.writer != nil && s.engine == nil {
		name = s.o.Model
	}
	for _, r := range records {
		if name == "" && r.Critic != nil {
			name = r.Critic.Model
		}
	}
	if abs, err := filepath.Abs(name); err == nil && name != "" {
		name = filepath.Base(abs)
	}
	name = strings.Map(func(c rune) rune {
		if c == '/' || c == '\\' || c == ' ' || c < ' ' {
			return '-'
		}
		return c
	}, name)
	return cmp.Or(name, "model")
}
