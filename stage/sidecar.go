package stage

// The state beside an output: what it was made of, how far it is, and what it must be.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/record"
	"criticrm/safefile"
	"criticrm/strictjson"
)

// sidecar is the state next to the output.
type sidecar struct {
	Version  int             `json:"version"`
	Stage    string          `json:"stage"`
	Settings json.RawMessage `json:"settings"`
	MaxBad   int             `json:"max_bad"`
	Layout   record.Layout   `json:"layout"` // that was said of the input's rows
	Input    inputState      `json:"input"`
	Shard    *Shard          `json:"shard,omitempty"` // which part of the input's records; nil: all
	Done     int             `json:"done"`            // acknowledged rows
	Bytes    int64           `json:"bytes"`           // their length
	SHA256   string          `json:"sha256"`          // and hash
	Complete bool            `json:"complete"`
}

type inputState struct {
	Name    string `json:"name"` // for people; a moved file is still the same
	SHA256  string `json:"sha256"`
	Bytes   int64  `json:"bytes"`
	Records int    `json:"records"`
}

// maxSidecar bounds a sidecar, in bytes.
const maxSidecar = 1 << 20

// sidecarVersion is the format of the sidecar.
const sidecarVersion = 1

// SidecarPath is where the state of an output lies.
func SidecarPath(out string) string { return out + ".stage.json" }

// differs names the first thing that is not as it was; empty: all equal.
func (s *sidecar) differs(old *sidecar) string {
	switch {
	case old.Version != s.Version:
		return fmt.Sprintf("its format is %d, this program knows %d", old.Version, s.Version)
	case old.Stage != s.Stage:
		return fmt.Sprintf("it was written by stage %.40q", old.Stage)
	case old.Input.SHA256 != s.Input.SHA256 || old.Input.Bytes != s.Input.Bytes:
		return fmt.Sprintf("the input changed (sha256 %.12s… → %.12s…)", old.Input.SHA256, s.Input.SHA256)
	case old.Input.Records != s.Input.Records || old.MaxBad != s.MaxBad:
		return fmt.Sprintf("the number of bad rows allowed changed (%d → %d)", old.MaxBad, s.MaxBad)
	}
	if was, is := old.Shard.String(), s.Shard.String(); was != is {
		return fmt.Sprintf("it was made of %s, and %s is asked for", was, is)
	}
	if old.Layout != s.Layout {
		return fmt.Sprintf("schema, columns or ranked changed (%v → %v)", old.Layout, s.Layout)
	}
	return Differing(old.Settings, s.Settings)
}

func (r *execution) save() error {
	b, err := json.MarshalIndent(&r.side, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: sidecar: %w", r.Name, err)
	}
	if err := checkpoint.WriteFileAtomic(SidecarPath(r.Out), append(b, '\n')); err != nil {
		return fmt.Errorf("%s: sidecar: %w", r.Name, err)
	}
	return nil
}

func readSidecar(out string) (*sidecar, error) {
	b, err := safefile.Read(SidecarPath(out), maxSidecar)
	if err != nil {
		return nil, err
	}
	var s sidecar
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if strictjson.Read(b, (*strictjson.Reader).Skip) != nil || d.Decode(&s) != nil || s.Done < 0 || s.Bytes < 0 || s.Input.Records < 0 || s.Shard != nil && !s.Shard.valid() {
		return nil, fmt.Errorf("%s is not a stage's state", SidecarPath(out))
	}
	return &s, nil
}

// IsComplete reports whether a stage has finished the file. A file without a sidecar is not the work of a stage
// and counts as complete.
func IsComplete(path string) (bool, error) {
	s, err := readSidecar(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("stage: %w", err)
	}
	return s.Complete, nil
}

// Unfinished is an error if a stage writes a file of the input still, or was interrupted. Whoever reads an input asks before, and Altered
// behind the last row.
func Unfinished(input string) error {
	files, err := record.Files(input)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // who opens it says so
	}
	for _, f := range files {
		if f.Stream {
			continue
		}
		complete, err := IsComplete(f.Path)
		if err == nil && !complete {
			err = fmt.Errorf("%s is not complete: finish the stage that writes it first", f.Path)
		}
		if err != nil {
			return err
		}
	}
	return err
}

// Altered is an error if a file that in has read is not as the stage that wrote it has left it. A file without a sidecar is nobody's
// to compare.
func Altered(in *record.Reader) error {
	sums, err := in.Sums()
	if err != nil {
		return err
	}
	for _, f := range sums {
		s, err := readSidecar(f.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("stage: %w", err)
		}
		if beside := filepath.Base(SidecarPath(f.Name)); f.SHA256 != s.SHA256 || f.Bytes != s.Bytes {
			return fmt.Errorf("%s is not as stage %s has left it (sha256 %.12s…, %d bytes; %s says %.12s…, %d bytes): make it again, or remove %s if the change is meant",
				f.Name, s.Stage, f.SHA256, f.Bytes, beside, s.SHA256, s.Bytes, beside)
		}
	}
	return nil
}

// ReadFile reads all records of an input whose files stages may have written: they must be finished and unaltered. found is what else it
// holds.
func ReadFile(path string, o record.ReadOptions) (records []*record.Record, found record.Found, err error) {
	if err := Unfinished(path); err != nil {
		return nil, found, err
	}
	in, err := record.Open(path, o)
	if err != nil {
		return nil, found, err
	}
	defer in.Close()
	for rec, err := range in.Records() {
		if err != nil {
			return nil, found, err
		}
		records = append(records, rec)
	}
	return records, in.Found, Altered(in)
}

// Differing compares two JSON values key by key and names the first difference with both values; "": there is none.
func Differing(was, is json.RawMessage) string {
	var values [2]any
	for i, raw := range [...]json.RawMessage{was, is} {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber() // a seed may have more digits than a float64
		if d.Decode(&values[i]) != nil {
			return "the settings cannot be compared"
		}
	}
	return differing("", values[0], values[1])
}

func differing(path string, was, is any) string {
	a, aok := was.(map[string]any)
	b, bok := is.(map[string]any)
	if !aok || !bok {
		x, _ := json.Marshal(was) // they came from JSON
		y, _ := json.Marshal(is)
		if bytes.Equal(x, y) {
			return ""
		}
		name := strings.TrimPrefix(path, ".")
		if a, b := fmt.Sprint(was), fmt.Sprint(is); isSum(a) && isSum(b) {
			return fmt.Sprintf("the file of %s is not the one that it was (sha256 %.12s… → %.12s…)", name, a, b)
		}
		return fmt.Sprintf("%s was %.40s, now %.40s", name, x, y)
	}
	for _, key := range unionKeys(a, b) {
		if what := differing(path+"."+key, a[key], b[key]); what != "" {
			return what
		}
	}
	return ""
}

// isSum says whether a setting is the sha256 of a file.
func isSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

func unionKeys(a, b map[string]any) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
