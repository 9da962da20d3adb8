package pipeline

// state.json: which stages of a run are done, with what settings, and what they left.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/safefile"
	"criticrm/stage"
	"criticrm/strictjson"
	"criticrm/version"
)

// Files of a run directory, beside those of its stages.
const (
	StateFile   = "state.json"
	RecipeFile  = "recipe.yaml"
	DataFile    = "data.json"
	HeldFile    = "held.json"
	ResultsFile = "results.json"
	ModelLink   = "model"
	ReportFile  = "report.html"
	lockFile    = ".lock"
)

// stateVersion is the format of state.json.
const stateVersion = 1

// maxState bounds state.json, in bytes.
const maxState = 16 << 20

// state is state.json.
type state struct {
	Version int     `json:"version"`
	Program string  `json:"program"`
	Spent   float64 `json:"seconds"` // of work, but for what a kill cut off
	Stages  []*done `json:"stages"`  // in the order in which they were finished
}

// done is a finished stage.
type done struct {
	Name     string            `json:"name"`
	Settings json.RawMessage   `json:"settings"`
	Outputs  map[string]string `json:"outputs"` // sha256 of files by path in the run, "" for directories
	Seconds  float64           `json:"seconds"` // of the attempt that finished it
	Says     string            `json:"says,omitempty"`
}

func (s *state) find(name string) *done {
	for _, d := range s.Stages {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// readState reads the state of a run; without one it is new, if the directory is.
func readState(dir string) (*state, error) {
	path := filepath.Join(dir, StateFile)
	b, err := safefile.Read(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") { // a lock, or a file that was being written
				return nil, fmt.Errorf("%s is not empty and holds no run (%s is missing): choose another output_dir", dir, StateFile)
			}
		}
		return &state{Version: stateVersion, Program: "criticrm " + version.String()}, nil
	}
	if err != nil {
		return nil, err
	}
	s := &state{}
	if err := strictjson.Read(b, (*strictjson.Reader).Skip); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("%s: its format is %d, this program knows %d", path, s.Version, stateVersion)
	}
	return s, nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return checkpoint.WriteFileAtomic(path, append(b, '\n'))
}

// hashFile is the sha256 of a file; "" for a directory.
func hashFile(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return "", err
	}
	return safefile.SHA256(path)
}

// verify compares the outputs of a finished stage with what it left.
func (d *done) verify(dir string) error {
	for _, name := range sorted(d.Outputs) {
		sum, err := hashFile(filepath.Join(dir, name))
		if err == nil && sum != d.Outputs[name] {
			err = fmt.Errorf("%s was changed since stage %s wrote it", filepath.Join(dir, name), d.Name)
		}
		if err != nil {
			return fmt.Errorf("%w: put it back, or make it again with --restart=%s", err, d.Name)
		}
		if filepath.Base(name) == train {
			if err := verifyModel(filepath.Join(dir, name, "model")); err != nil {
				return fmt.Errorf("%w; or make it again with --restart=%s", err, d.Name)
			}
		}
	}
	return nil
}

// verifyModel compares a trained model with what its training said of it.
func verifyModel(dir string) error {
	m, err := modeldir.Open(dir, modeldir.Given{})
	if err == nil {
		_, err = m.Label()
	}
	return err
}

// changed names the first setting of a finished stage that is not as it was; "": none.
func (d *done) changed(now any) (string, error) {
	b, err := json.Marshal(now)
	return stage.Differing(d.Settings, b), err
}

// Stages of a round, in order. The names in state.json, and of Options.Stage and Options.Restart, have the round before them
// ("round-2/train"); without one the first is meant.
const (
	Check    = "check"
	generate = "generate"
	filter   = "filter"
	refine   = "refine"
	follow   = "follow"
	train    = "train"
	eval     = "eval"
	validate = "validate"
	base     = "base"
	held     = "held"
)

func ofRound() []string { return []string{generate, filter, refine, follow, train, eval, validate} }

func others() []string { return []string{Check, held, base, BT, Cloud} }

// stageName gives the full name of a stage that a person has named.
func stageName(name string) (string, error) {
	if slices.Contains(ofRound(), name) {
		return round(1, name), nil
	}
	k, what := split(name)
	if slices.Contains(others(), name) || k > 0 && slices.Contains(ofRound(), what) {
		return name, nil
	}
	return "", fmt.Errorf("stage: got %.40q, want one of %s, or round-2/train and the like", name, strings.Join(append(others(), ofRound()...), ", "))
}

func round(k int, what string) string { return fmt.Sprintf("round-%d/%s", k, what) }

// split takes a name apart; k is 0 for stages that belong to no round.
func split(name string) (k int, what string) {
	before, what, found := strings.Cut(name, "/")
	if _, err := fmt.Sscanf(before, "round-%d", &k); !found || err != nil || round(k, what) != name {
		return 0, name
	}
	return k, what
}

// needs are the stages whose outputs a stage reads.
func needs(name string) []string {
	switch k, what := split(name); what {
	case Check:
		return nil
	case generate:
		if k > 1 {
			return []string{round(k-1, train)}
		}
		return []string{Check}
	case follow:
		return append(needs(round(k, generate)), held)
	case filter:
		return []string{round(k, generate)}
	case refine:
		return []string{round(k, filter)}
	case train:
		return []string{round(k, refine), round(k, follow)}
	case eval, validate:
		return []string{round(k, train)}
	case Cloud:
		return []string{round(1, generate), round(1, follow)}
	case BT:
		return []string{Check, held}
	}
	return []string{Check} // base and held
}

// dependsOn says whether a stage is made of another's outputs, directly or not.
func dependsOn(name, on string) bool {
	if name == on {
		return true
	}
	return slices.ContainsFunc(needs(name), func(n string) bool { return dependsOn(n, on) })
}

// outputs of a stage, by path in the run: files, and directories that it fills.
func outputs(name string) []string {
	k, what := split(name)
	at := func(names ...string) (list []string) {
		for _, n := range names {
			list = append(list, filepath.Join(fmt.Sprintf("round-%d", k), n))
		}
		return list
	}
	switch what {
	case Check:
		return []string{DataFile, trainSplit, validSplit} // the splits only where there is one
	case held:
		return []string{held, HeldFile}
	case follow:
		return at(follow)
	case generate:
		return at("1-critiques.jsonl")
	case filter:
		return at("2-filtered.jsonl")
	case refine:
		return at("3-refined.jsonl")
	case train:
		return at("train")
	case eval:
		return at("eval.jsonl", "eval.json")
	case validate:
		return at("valid.jsonl", "valid.json")
	case base:
		return []string{"base/eval.jsonl", "base/eval.json"}
	}
	return []string{what + "/train", what + "/eval.jsonl", what + "/eval.json"}
}

// left is outputs, with the files of a directory of rows.
func (r *run) left(name string) (list []string) {
	for _, o := range outputs(name) {
		if base := filepath.Base(o); base != held && base != follow {
			list = append(list, o)
			continue
		}
		for _, f := range r.followed {
			list = append(list, filepath.Join(o, f.file+".jsonl"))
		}
	}
	return list
}

// forget removes what a stage has left, finished or not, and what was made of it.
func (s *state) forget(dir, from string) error {
	names := others()
	for k := 1; ; k++ {
		if _, err := os.Stat(filepath.Join(dir, fmt.Sprintf("round-%d", k))); err != nil {
			break
		}
		for _, what := range ofRound() {
			names = append(names, round(k, what))
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !dependsOn(n, from) })
	s.Stages = slices.DeleteFunc(s.Stages, func(d *done) bool { return slices.Contains(names, d.Name) })
	if err := writeJSON(filepath.Join(dir, StateFile), s); err != nil { // first: what is half removed is not done
		return err
	}
	gone := []string{ResultsFile, ModelLink, ReportFile}
	for _, n := range names {
		for _, o := range outputs(n) {
			gone = append(gone, o, stage.SidecarPath(o), record.BadPath(o))
		}
	}
	for _, name := range gone {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func readJSON(path string, v any) error {
	b, err := safefile.Read(path, maxState)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// StageDone is a finished stage of a run.
type StageDone struct {
	Name    string  // as Options.Stage has it
	Says    string  // what it came to, in a line
	Seconds float64 // of the attempt that finished it
}

// Finished lists the finished stages of a run directory, in the order in which they were made.
func Finished(dir string) (list []StageDone, err error) {
	s, err := readState(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range s.Stages {
		list = append(list, StageDone{d.Name, d.Says, d.Seconds})
	}
	return list, nil
}
