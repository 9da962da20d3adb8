package modeldir

// Opening a directory: its own facts, what a caller wants instead, and defaults, in that order of trust.

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/critic"
	"criticrm/model"
	"criticrm/record"
	"criticrm/tokenizer"
)

// Given is what a caller wants; zero values want what the directory says. Something else than what the model was trained with is an
// error, unless Override is set.
type Given struct {
	Prompts      string // folder of prompt templates, or one of critic.PromptSets
	Examples     string // file of critiques that are shown before the question
	ScaleMin     *int   // lowest score
	ScaleMax     *int   // highest score
	HeadPosition string // end or content
	ChatTemplate string // file
	TemplateDate string // day, "2024-07-26"
	MaxLength    int    // tokens of a whole sequence
	Overlong     string // one of record.OverlongPolicies
	NoCritiques  bool   // the caller neither reads nor asks for any: defaults for them are not worth a note
	Override     bool   // use all this, and files that were changed since training, in spite of what the model was trained with
}

// Dir is a model directory, opened but for its weights.
type Dir struct {
	Path    string
	Base    string // where the weights and config.json are: Path, or the base of an adapter
	Texts   string // where the tokenizer and the chat template are
	Config  model.Config
	Tok     *tokenizer.Tokenizer
	Special tokenizer.Special
	Chat    *tokenizer.Chat // nil: ChatErr says why
	ChatErr error
	Facts   Facts // as the directory says them; without a method it says nothing
	Trained bool  // it says something

	// What holds: the directory's facts, or what was given.
	Prompts      *critic.Prompts
	Scale        critic.Scale
	At           model.RewardAt
	HeadPosition string
	EndTokens    []int32 // any of these ends a text; see Ends
	TemplateFile string  // that replaced the directory's own; ""
	TemplateDate string
	MaxTokens    int // of a critique
	MaxLength    int // 0: the model's context
	Overlong     string

	Notes []string // what a person should know: defaults that were taken, facts that were overridden

	overridden bool
	sums       map[string]string // of files, by name
}

// Open reads all of a model directory but its weights, and decides what it is used with.
func Open(path string, g Given) (*Dir, error) {
	d := &Dir{Path: path, overridden: g.Override, sums: map[string]string{}, MaxLength: g.MaxLength, Overlong: g.Overlong}
	var err error
	if d.Facts, d.Trained, err = ReadFacts(path); err != nil {
		return nil, err
	}
	if d.Base, err = BaseOf(path); err != nil {
		return nil, err
	}
	d.Texts = TextsOf(path, d.Base)
	if _, err = Files(path); err != nil { // a FIFO among them would stop a run behind its last step
		return nil, err
	}
	if err := d.check(func(name string) bool { return !isWeights(name) }); err != nil {
		return nil, err
	}
	if d.Config, err = model.LoadConfig(path); err != nil {
		return nil, err
	}
	if d.Tok, err = tokenizer.Load(d.Texts); err != nil {
		return nil, err
	}
	if n := d.Tok.VocabSize(); n > d.Config.VocabSize {
		return nil, fmt.Errorf("modeldir: %s: %s has ids up to %d, but vocab_size in %s is %d: the model has no embedding for the rest; take the tokenizer of this model",
			path, tokenizer.File, n-1, model.ConfigFile, d.Config.VocabSize)
	}
	if d.Special, err = tokenizer.LoadSpecial(d.Texts, d.Tok); err != nil {
		return nil, err
	}
	for _, note := range d.Special.Notes {
		d.note("%s", note)
	}
	for _, dir := range slices.Compact([]string{d.Texts, d.Base}) {
		unread, err := UnreadKeys(dir)
		if err != nil {
			return nil, err
		}
		d.Notes = append(d.Notes, unread...)
	}
	if err := errors.Join(d.choosePosition(g), d.chooseTemplate(g)); err != nil {
		return nil, err
	}
	if err := d.choosePrompts(g); err != nil {
		return nil, err
	}
	if err := d.chooseScale(g); err != nil {
		return nil, err
	}
	if err := d.chooseEnds(); err != nil {
		return nil, err
	}
	d.MaxTokens = cmp.Or(d.Facts.MaxTokens, record.DefaultSampling().MaxTokens)
	if d.MaxLength == 0 {
		d.MaxLength = d.Facts.MaxLength
	}
	if d.Overlong == "" {
		d.Overlong = d.Facts.Overlong
	}
	d.describe(g)
	return d, nil
}

// AskScore is what is done with critiques that end without a score, where nobody says: as with those that the model has learned from.
func (d *Dir) AskScore() string {
	if d.Facts.AskScore == "" && d.Facts.Prompts != nil { // an older program has trained it
		return critic.AskOff
	}
	return cmp.Or(d.Facts.AskScore, critic.DefaultAsk)
}

// conflict refuses something else than the model was trained with, or takes note of it if the caller insists.
func (d *Dir) conflict(what, trained, given, by string) error {
	if !d.overridden {
		return fmt.Errorf("modeldir: %s was trained with the %s %s, %s gives %s: leave it out to use the model's own, or insist with override",
			d.Path, what, trained, by, given)
	}
	d.note("%s: %s in place of %s, which it was trained with", what, given, trained)
	return nil
}

func (d *Dir) note(format string, a ...any) {
	d.Notes = append(d.Notes, d.Path+": "+fmt.Sprintf(format, a...))
}

func (d *Dir) choosePosition(g Given) (err error) {
	d.HeadPosition = g.HeadPosition
	switch {
	case !d.Trained && g.HeadPosition == "":
		d.HeadPosition = "end"
	case g.HeadPosition == "":
		d.HeadPosition = d.Facts.HeadPosition
	case d.Trained && g.HeadPosition != d.Facts.HeadPosition && d.Facts.rewards():
		if err := d.conflict("head position", d.Facts.HeadPosition, g.HeadPosition, "head_position"); err != nil {
			return err
		}
	}
	d.At, err = model.ParseRewardAt(d.HeadPosition)
	return err
}

// ReadAs checks how rewards are to be read: at the end of responses (plain), or behind critiques. A head that was trained for the other gives
// numbers that look like rewards.
func (d *Dir) ReadAs(plain bool) error {
	if !d.Trained || !d.Facts.rewards() || plain == (d.Facts.Method == BT) {
		return nil
	}
	names := map[bool]string{false: "behind critiques", true: "at the end of the response"}
	return d.conflict("rewards read", names[!plain], names[plain], "plain")
}

// rewards says whether the method trains a reward head.
func (f *Facts) rewards() bool { return f.Method == Critic || f.Method == BT || f.Method == Cloud }

func (d *Dir) chooseTemplate(g Given) error {
	d.TemplateFile, d.TemplateDate = g.ChatTemplate, g.TemplateDate
	switch {
	case g.TemplateDate == "":
		d.TemplateDate = d.Facts.TemplateDate
	case d.Trained && d.Facts.Version > 0 && g.TemplateDate != d.Facts.TemplateDate:
		was := d.Facts.TemplateDate
		if was == "" {
			was = "none"
		}
		if err := d.conflict("template date", was, g.TemplateDate, "template_date"); err != nil {
			return err
		}
	}
	d.Chat, d.ChatErr = tokenizer.LoadChat(d.Texts, d.Tok, tokenizer.ChatOptions{File: g.ChatTemplate, Date: d.TemplateDate})
	if d.ChatErr != nil {
		d.Chat = nil
		if errors.Is(d.ChatErr, tokenizer.ErrNoTemplate) && d.Facts.ChatTemplate == "" {
			return nil // documents may do without
		}
		return d.ChatErr
	}
	if was, is := d.Facts.ChatTemplate, d.TemplateHash(); was != "" && is != was {
		by := tokenizer.TemplateFile
		if g.ChatTemplate != "" {
			by = g.ChatTemplate
		}
		return d.conflict("chat template", short(was), short(is), by)
	}
	return nil
}

// TemplateHash is the sha256 of the chat template's text; "" without one.
func (d *Dir) TemplateHash() string {
	if d.Chat == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(d.Chat.Source()))
	return hex.EncodeToString(sum[:])
}

func short(sum string) string { return sum[:min(12, len(sum))] + "…" }

func (d *Dir) choosePrompts(g Given) (err error) {
	if d.Facts.Prompts != nil {
		if d.Prompts, err = critic.ParsePrompts(filepath.Join(d.Path, FactsFile), d.Facts.Prompts); err != nil {
			return err
		}
		if g.Prompts == "" && g.Examples == "" {
			return nil
		}
	}
	own := d.Prompts
	if own != nil && g.Prompts == "" {
		d.Prompts, err = own.WithExamples(g.Examples)
	} else {
		d.Prompts, err = critic.LoadPrompts(g.Prompts, g.Examples)
	}
	if err != nil {
		return err
	}
	if own != nil && own.Hash() != d.Prompts.Hash() {
		return d.conflict("prompts", own.Hash(), d.Prompts.Hash(), cmp.Or(g.Prompts, g.Examples))
	}
	return nil
}

func (d *Dir) chooseScale(g Given) error {
	d.Scale = critic.DefaultScale()
	if d.Facts.Scale != nil {
		d.Scale = *d.Facts.Scale
	}
	if g.ScaleMin != nil {
		d.Scale.Min = *g.ScaleMin
	}
	if g.ScaleMax != nil {
		d.Scale.Max = *g.ScaleMax
	}
	if err := errors.Join(d.Scale.Validate(), d.Prompts.CheckScale(d.Scale)); err != nil {
		return err
	}
	if was := d.Facts.Scale; was != nil && *was != d.Scale {
		text := func(s critic.Scale) string { return fmt.Sprintf("%d to %d", s.Min, s.Max) }
		return d.conflict("score scale", text(*was), text(d.Scale), "scale_min, scale_max")
	}
	return nil
}

// describe notes which defaults hold where the directory says nothing.
func (d *Dir) describe(g Given) {
	var open []string
	critiques := !g.NoCritiques && d.Facts.Method != BT
	if critiques && d.Facts.Prompts == nil && d.Prompts.Hash() == critic.DefaultPrompts().Hash() {
		open = append(open, fmt.Sprintf("the built-in prompts (%s)", d.Prompts.Hash()))
	}
	if critiques && d.Facts.Scale == nil && d.Scale == critic.DefaultScale() && d.Prompts.NamesScale() {
		open = append(open, fmt.Sprintf("scores from %d to %d", d.Scale.Min, d.Scale.Max))
	}
	_, err := os.Stat(filepath.Join(d.Path, model.HeadFile))
	if !d.Trained && err == nil {
		open = append(open, "rewards at the "+d.HeadPosition)
	}
	switch {
	case len(open) == 0:
	case d.Trained && d.Facts.Version == 0:
		d.note("warning: %s is of an older criticrm and does not say what the model was trained with: %s are assumed", FactsFile, strings.Join(open, ", "))
	case !d.Trained && err == nil:
		d.note("warning: there is a reward head and no %s: %s are assumed", FactsFile, strings.Join(open, ", "))
	default:
		d.note("it does not say what critiques are asked with: %s", strings.Join(open, ", "))
	}
}

// settings is what text and rewards depend on beside the files, the prompts and the scale.
func (d *Dir) settings() string {
	return fmt.Sprintf("template %s date %q head %s", d.TemplateHash(), d.TemplateDate, d.HeadPosition)
}

// Use gives the facts of a model that is trained from this directory as it was opened; the trainer adds what it knows itself.
// Prompts and scale are left out for methods that see no critiques.
func (d *Dir) Use(critiques bool) Facts {
	f := Facts{HeadPosition: d.HeadPosition, EndTokens: d.EndTokens, ChatTemplate: d.TemplateHash(), TemplateDate: d.TemplateDate}
	if critiques {
		scale := d.Scale
		f.Prompts, f.PromptsHash, f.Scale = d.Prompts.Texts(), d.Prompts.Hash(), &scale
	}
	return f
}
