package synth

// Rule lists: what a right answer to a prompt must and must not say.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"criticrm/safefile"
)

// Rule is one entry of a list. Patterns are regular expressions as Go has them.
type Rule struct {
	Name     string   `yaml:"name"`
	Applies  string   `yaml:"applies"`  // to prompts in which this is found; empty: to all
	Instruct string   `yaml:"instruct"` // system message behind which half of the answers are sampled
	Require  []string `yaml:"require"`  // one of these is found in a right answer; empty: nothing is required
	Forbid   []string `yaml:"forbid"`   // none of these is found in a right answer

	applies         *regexp.Regexp
	require, forbid []*regexp.Regexp
}

// Rules is a list of rules.
type Rules struct {
	List []*Rule
	Hash string // sha256 of the file, in hexadecimal
}

// maxRules bounds a list's file, in bytes.
const maxRules = 1 << 20

// LoadRules reads a list of rules, YAML. Errors name the file and the rule.
func LoadRules(path string) (*Rules, error) {
	text, err := safefile.Read(path, maxRules)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	r, err := ParseRules(text)
	if err != nil {
		return nil, fmt.Errorf("rules: %s: %w", path, err)
	}
	return r, nil
}

// ParseRules reads the text of a list.
func ParseRules(text []byte) (*Rules, error) {
	r := &Rules{}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&r.List); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(r.List) == 0 {
		return nil, errors.New("no rules: want a list of name, applies, instruct, require, forbid")
	}
	names := map[string]bool{}
	for i, rule := range r.List {
		if rule == nil || strings.TrimSpace(rule.Name) == "" {
			return nil, fmt.Errorf("rule %d has no name", i+1)
		}
		if names[rule.Name] {
			return nil, fmt.Errorf("two rules are called %q", rule.Name)
		}
		names[rule.Name] = true
		if len(rule.Require)+len(rule.Forbid) == 0 {
			return nil, fmt.Errorf("rule %q: neither require nor forbid: every answer would be right", rule.Name)
		}
		if err := rule.compile(); err != nil {
			return nil, fmt.Errorf("rule %q: %w", rule.Name, err)
		}
	}
	sum := sha256.Sum256(text)
	r.Hash = hex.EncodeToString(sum[:])
	return r, nil
}

func (r *Rule) compile() (err error) {
	if r.applies, err = regexp.Compile(r.Applies); err != nil {
		return err
	}
	for _, x := range []struct {
		texts []string
		into  *[]*regexp.Regexp
	}{{r.Require, &r.require}, {r.Forbid, &r.forbid}} {
		for _, text := range x.texts {
			p, err := regexp.Compile(text)
			if err != nil {
				return err
			}
			if p.MatchString("") {
				return fmt.Errorf("the pattern %q is found in every text", text)
			}
			*x.into = append(*x.into, p)
		}
	}
	return nil
}

// Of lists the rules that apply to a prompt.
func (r *Rules) Of(prompt string) (list []*Rule) {
	for _, rule := range r.List {
		if rule.applies.MatchString(prompt) {
			list = append(list, rule)
		}
	}
	return list
}

// Broken says why an answer breaks a rule; "": it does not.
func (r *Rule) Broken(answer string) string {
	for _, p := range r.forbid {
		if s := p.FindString(answer); s != "" {
			return fmt.Sprintf("%s: it says %.60q", r.Name, s)
		}
	}
	for _, p := range r.require {
		if p.MatchString(answer) {
			return ""
		}
	}
	if len(r.require) > 0 {
		return r.Name + ": nothing that is required is in it"
	}
	return ""
}
