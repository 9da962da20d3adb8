package modeldir

// The facts that a model's rewards depend on, as critic_rm.json says them.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/hub"
	"criticrm/model"
	"criticrm/record"
	"criticrm/safefile"
	"criticrm/strictjson"
)

// FactsFile says how a trained model is to be read; it lies beside the weights.
const FactsFile = "critic_rm.json"

// factsVersion is the format of the file. Files of programs before it name method and head_position only.
const factsVersion = 1

// NF4 is the one way in which a base may have been quantised (model.Options.NF4).
const NF4 = "nf4"

// maxFacts bounds the file, in bytes: it holds three prompts.
const maxFacts = 8 << 20

// Methods of training. Critic is Critic-RM's joint loss with a weight that moves from the critiques to the rewards; BT is a scalar
// Bradley–Terry model, whose reward is read at the end of the response; Cloud takes every critique and a constant weight;
// SFT and LM are language modelling, SFT on critiques or answers, LM on whole documents.
const (
	Critic = "critic"
	BT     = "bt"
	Cloud  = "cloud"
	SFT    = "sft"
	LM     = "lm"
)

// Methods lists them.
func Methods() []string { return []string{Critic, BT, Cloud, SFT, LM} }

// Facts are what a model's rewards and critiques depend on beside its weights.
type Facts struct {
	Version      int               `json:"version,omitempty"` // of the format; 0: of a program that wrote method and head_position only
	Program      string            `json:"program,omitempty"` // that wrote it
	Method       string            `json:"method"`
	HeadPosition string            `json:"head_position"`          // where a reward is read: end or content
	Prompts      map[string]string `json:"prompts,omitempty"`      // by file name, as critic.Prompts.Texts; none: the model saw no critiques
	PromptsHash  string            `json:"prompts_hash,omitempty"` // of them, as records have it
	Scale        *critic.Scale     `json:"scale,omitempty"`        // of the scores that the prompts ask for
	MaxTokens    int               `json:"max_tokens,omitempty"`   // that the critiques it was trained on could have at most; 0: they do not say
	AskScore     string            `json:"ask_score,omitempty"`    // what was done with the critiques it learned from that ended without a score; "": nothing
	MaxLength    int               `json:"max_length,omitempty"`   // tokens of the longest sequence that training allowed
	Overlong     string            `json:"overlong,omitempty"`     // what it did with longer ones
	ChatTemplate string            `json:"chat_template_sha256,omitempty"`
	TemplateDate string            `json:"template_date,omitempty"` // the day that the template's strftime_now gives; "": it has none
	EndTokens    []int32           `json:"end_tokens,omitempty"`    // any of these ends a critique
	EndOfTurn    int32             `json:"end_of_turn,omitempty"`   // the one that training puts behind texts
	Averaged     []int             `json:"averaged,omitempty"`      // the updates whose weights' mean it is; none: it is of one update
	Best         *Best             `json:"best,omitempty"`          // the evaluation by which its update was chosen; nil: it is the last one
	Data         []Data            `json:"data,omitempty"`
	Warning      string            `json:"warning,omitempty"`        // what a reader of this form of the model should know
	Files        map[string]string `json:"files,omitempty"`          // sha256 of the model's files, by name
	Base         map[string]string `json:"base,omitempty"`           // of an adapter: sha256 of the base's weights and config.json, by name
	Quantised    string            `json:"base_quantised,omitempty"` // how the projections of the base were kept in training: NF4, or "" as they are stored
	SHA256       string            `json:"sha256,omitempty"`         // of this file with the value empty, so that no change goes unseen
}

// Best is the evaluation that a training has chosen its model by.
type Best struct {
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Update int     `json:"update"` // whose model it is
	Of     int     `json:"of"`     // updates that were made
}

// String says it for people.
func (b Best) String() string {
	return fmt.Sprintf("of update %d of %d: %s %.4g is the best", b.Update, b.Of, b.Metric, b.Value)
}

// Data is a file that the model was trained or evaluated on.
type Data struct {
	Use    string `json:"use"`            // train or eval
	Name   string `json:"name,omitempty"` // for people; "": examples in memory
	SHA256 string `json:"sha256"`         // of the file's bytes and of the tokens they became, or of the examples
	Rows   int    `json:"rows,omitempty"` // of the file
	Used   int    `json:"used"`           // that became examples
}

// Position is where rewards are read.
func (f *Facts) Position() (model.RewardAt, error) { return model.ParseRewardAt(f.HeadPosition) }

// Write hashes the model's files in dir, which must all be there, and of an adapter those of its base, and writes the facts beside them.
func (f Facts) Write(dir string) error {
	f.Version, f.Files, f.Base = factsVersion, map[string]string{}, nil
	names, err := Files(dir)
	if err == nil {
		err = hashInto(f.Files, dir, names)
	}
	if err != nil {
		return err
	}
	base, err := BaseOf(dir)
	if err != nil {
		return err
	}
	if base != dir {
		f.Base = map[string]string{}
		if names, err = baseFiles(base); err == nil {
			err = hashInto(f.Base, base, names)
		}
		if err != nil {
			return err
		}
	}
	f.SHA256 = f.digest()
	if err := checkpoint.WriteFileAtomic(filepath.Join(dir, FactsFile), f.text()); err != nil {
		return fmt.Errorf("modeldir: %w", err)
	}
	return nil
}

func hashInto(sums map[string]string, dir string, names []string) (err error) {
	for _, name := range names {
		if sums[name], err = hashFile(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (f Facts) text() []byte {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		panic("modeldir: facts are strings and numbers")
	}
	return append(b, '\n')
}

func (f Facts) digest() string {
	f.SHA256 = ""
	sum := sha256.Sum256(f.text())
	return hex.EncodeToString(sum[:])
}

// ReadFacts reads what a directory says of itself. One without critic_rm.json gives no facts and no error.
func ReadFacts(dir string) (f Facts, found bool, err error) {
	path := filepath.Join(dir, FactsFile)
	b, err := safefile.Read(path, maxFacts)
	if errors.Is(err, fs.ErrNotExist) {
		if _, e := os.Stat(dir); e != nil {
			return f, false, fmt.Errorf("modeldir: %w (want the directory of a Hugging Face model)", hub.Hint(e, dir, hub.Model))
		}
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("modeldir: %w", err)
	}
	if f, err = parseFacts(b); err != nil {
		return f, false, fmt.Errorf("modeldir: %s: %w", path, err)
	}
	return f, true, nil
}

// parseFacts is strict: a file that is damaged or of another program must not turn a reward into another one.
func parseFacts(b []byte) (f Facts, err error) {
	known := factKeys()
	err = strictjson.Read(b, func(r *strictjson.Reader) error {
		members, err := r.Members()
		for _, m := range members {
			if !slices.Contains(known, m.Key) {
				return fmt.Errorf("key %.40q is not known: written by a newer criticrm, or damaged", m.Key)
			}
		}
		return err
	})
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, err
	}
	switch {
	case f.Version > factsVersion:
		return f, fmt.Errorf("its format is %d, this program knows %d: use a newer criticrm", f.Version, factsVersion)
	case !slices.Contains(Methods(), f.Method):
		return f, fmt.Errorf("method: got %.40q, want one of %s", f.Method, strings.Join(Methods(), ", "))
	case f.Version == 0 && (f.Prompts != nil || f.Scale != nil || f.SHA256 != ""):
		return f, errors.New("version is missing: the file is damaged")
	case f.Version > 0 && f.SHA256 != f.digest():
		return f, fmt.Errorf("it was changed since training wrote it (sha256 %.12s…, it says %.12s…): restore it", f.digest(), f.SHA256)
	case f.AskScore != "" && !slices.Contains(critic.AskModes(), f.AskScore):
		return f, fmt.Errorf("ask_score: got %.40q, want one of %s", f.AskScore, strings.Join(critic.AskModes(), ", "))
	case f.Quantised != "" && f.Quantised != NF4:
		return f, fmt.Errorf("base_quantised: got %.40q, want %s", f.Quantised, NF4)
	case f.Overlong != "" && !slices.Contains(record.OverlongPolicies(), f.Overlong):
		return f, fmt.Errorf("overlong: got %.40q", f.Overlong)
	}
	for key, files := range map[string]map[string]string{"files": f.Files, "base": f.Base} {
		for name := range files {
			if name != filepath.Base(name) {
				return f, fmt.Errorf("%s: %.40q: want a name without a folder", key, name)
			}
		}
	}
	if _, err := f.Position(); err != nil {
		return f, err
	}
	if f.Scale != nil {
		return f, f.Scale.Validate()
	}
	return f, nil
}

// factKeys are the names of the fields.
func factKeys() (keys []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Facts]()) {
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	return keys
}
