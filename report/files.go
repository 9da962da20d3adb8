package report

// Files of records: what they are, and what the stages have counted in them.

import (
	"crypto/sha256"
	"fmt"

	"criticrm/critic"
	"criticrm/record"
	"criticrm/stage"
)

// fileFacts are figures of one file of records, made while it is read.
type fileFacts struct {
	name             string // within the run
	sha256           string
	bytes            int64
	records, pairs   int
	prompts          map[[16]byte]struct{} // hashes of their keys
	issues           map[string]int        // record.Checker's
	critiques        *critic.CritiqueStats
	drops            *critic.DropStats
	decided          bool // a filter or refinement has said what is kept
	notes            []string
	chosen, rejected lengthsOf
}

// lengthsOf sums the lengths of responses, in characters.
type lengthsOf struct{ n, sum int }

func (l *lengthsOf) add(text string) { l.n, l.sum = l.n+1, l.sum+len([]rune(text)) }

func (l lengthsOf) mean() string {
	if l.n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f", float64(l.sum)/float64(l.n))
}

// readFile reads a finished, unaltered file of records once; each, if not nil, gets every record.
func readFile(path, name string, each func(*record.Record) error) (*fileFacts, error) {
	if err := stage.Unfinished(path); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	in, err := record.Open(path, record.ReadOptions{MaxLine: 1 << 30})
	if err != nil {
		return nil, err
	}
	defer in.Close()
	f := &fileFacts{name: name, prompts: map[[16]byte]struct{}{}, drops: critic.NewDropStats()}
	check := record.NewChecker()
	defer check.Close()
	for r, err := range in.Records() {
		if err == nil && each != nil {
			err = each(r)
		}
		if err != nil {
			return nil, err
		}
		if err := check.Add(r); err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		f.observe(r)
	}
	if err := stage.Altered(in); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if err := check.Finish(); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	f.issues, f.notes = check.Counts, in.Notes
	f.sha256, f.bytes, err = in.Sum()
	return f, err
}

func (f *fileFacts) observe(r *record.Record) {
	f.records++
	if r.Paired() {
		f.pairs++
		f.chosen.add(r.Chosen)
		f.rejected.add(r.Rejected)
	}
	f.prompts[[16]byte(hashOf(r.Prompt.Key()))] = struct{}{}
	if f.critiques == nil {
		scale := critic.DefaultScale()
		if r.Critic != nil && r.Critic.Scale != nil {
			scale = critic.Scale(*r.Critic.Scale)
		}
		f.critiques = critic.NewCritiqueStats(scale)
	}
	f.critiques.Observe(r)
	f.drops.Observe(r)
	for _, side := range r.Sides() {
		for _, c := range *r.SideCritiques(side) {
			f.decided = f.decided || c.Kept != nil
		}
	}
	f.decided = f.decided || r.Dropped != ""
}

// hashOf is the first half of the text's sha256.
func hashOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:16]
}

// shared counts the prompts that two files have in common.
func (f *fileFacts) shared(g *fileFacts) int {
	n := 0
	for key := range f.prompts {
		if _, ok := g.prompts[key]; ok {
			n++
		}
	}
	return n
}
