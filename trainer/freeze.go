package trainer

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"criticrm/model"
)

// frozenPatterns are the patterns of freeze.
func (c *Config) frozenPatterns() (list []*regexp.Regexp, err error) {
	for _, text := range strings.Split(c.Freeze, ",") {
		switch text = strings.TrimSpace(text); text {
		case "":
			continue
		case "all":
			text = ""
		}
		p, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("trainer: config: freeze: %w", err)
		}
		list = append(list, p)
	}
	return list, nil
}

var layerName = regexp.MustCompile(`^model\.layers\.(\d+)\.`)

// frozen says of a model's parameters whether the recipe leaves them as they are; nil where it trains all.
func (c *Config) frozen(m model.Config) func(name string) bool {
	if c.LoraR > 0 {
		return func(string) bool { return true }
	}
	patterns, err := c.frozenPatterns()
	if err != nil || len(patterns) == 0 && c.LastLayers == 0 {
		return nil // an error is Validate's to tell
	}
	return func(name string) bool {
		if c.LastLayers > 0 {
			at := layerName.FindStringSubmatch(name)
			if at == nil {
				return true
			}
			if l, err := strconv.Atoi(at[1]); err != nil || l < m.NumHiddenLayers-c.LastLayers {
				return true
			}
		}
		return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
	}
}

// checkParams refuses a model that was opened otherwise than the recipe says, a pattern of freeze that names nothing, more layers than there are, and a run that
// has nothing to train.
func (r *run) checkParams() error {
	patterns, err := r.c.frozenPatterns()
	if err != nil {
		return err
	}
	if n := r.m.NumHiddenLayers; r.c.LastLayers > n {
		return fmt.Errorf("trainer: freeze_trainable_layers is %d, the model has %d layers", r.c.LastLayers, n)
	}
	for _, p := range patterns {
		if !slices.ContainsFunc(r.m.Params(), func(q *model.Param) bool { return q.Kind != model.Head && p.MatchString(q.Name) }) {
			return fmt.Errorf("trainer: freeze: no parameter's name has %q; they are called as %s and %s", p, r.m.Params()[0].Name, r.m.Params()[min(1, len(r.m.Params())-1)].Name)
		}
	}
	if r.m.HasAdapter() != (r.c.LoraR > 0) {
		return fmt.Errorf("trainer: lora_r is %d, but the model was opened otherwise (with an adapter: %v)", r.c.LoraR, r.m.HasAdapter())
	}
	if r.m.Quantised() != (r.c.LoadIn4bit || r.m.Config.Quantised()) {
		return fmt.Errorf("trainer: load_in_4bit is %v, but the model was opened otherwise", r.c.LoadIn4bit)
	}
	frozen := r.c.frozen(r.m.Config)
	trained := 0
	for _, p := range r.m.Params() {
		if err := r.c.trains(p); err != nil {
			return err
		}
		switch out := p.Kind != model.Head && p.Kind != model.Adapter && frozen != nil && frozen(p.Name); {
		case !out && stays(p):
			return fmt.Errorf("trainer: the model was opened without gradients (parameter %s)", p.Name)
		case out && !stays(p):
			return fmt.Errorf("trainer: freeze: the model was opened to train %s", p.Name)
		case !out:
			trained += p.Len()
		}
	}
	if trained == 0 {
		return fmt.Errorf("trainer: freeze: nothing is left to train")
	}
	if frozen != nil {
		r.report.say("%d of %d parameters are trained, the others stay as they are", trained, r.m.Size())
	}
	return nil
}
