package model

// What an adapter is, as PEFT's adapter_config.json says it.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/hub"
	"criticrm/safefile"
)

// The files of an adapter of PEFT.
const (
	AdapterConfigFile = "adapter_config.json"
	AdapterFile       = "adapter_model.safetensors"
)

// AllLinear are all projections of the layers, as LoRA.Targets names them.
const AllLinear = "all-linear"

// MaxRank bounds the rank of an adapter.
const MaxRank = 1024

// LoRA is an adapter: which projections have one, and of which rank. What is not in it stays as it is in the base; the reward head is trained and
// saved always.
type LoRA struct {
	Rank    int     // r, 1 to MaxRank
	Alpha   float64 // B·A is scaled by Alpha/Rank
	RSLoRA  bool    // … by Alpha/√Rank (Kalajdzievski 2023)
	Targets string  // AllLinear; names of modules or their ends, separated by commas; or a regular expression for the whole name
	Base    string  // directory of the base, as it is written to adapter_config.json
	Seed    uint64  // of new matrices A

	revision      string    // of a base on a hub
	ranks, alphas []pattern // PEFT's rank_pattern and alpha_pattern
	expression    *regexp.Regexp
}

type pattern struct {
	name  string
	match *regexp.Regexp
	value float64
}

// isExpression tells a regular expression from names.
func isExpression(targets string) bool { return strings.ContainsAny(targets, `*+?[](){}|^$\`) }

// names are the targets that are no expression.
func (l *LoRA) names() (list []string) {
	for _, name := range strings.Split(l.Targets, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	return list
}

// Check says what is wrong with the numbers and the targets as such, and makes the LoRA ready for use.
func (l *LoRA) Check() error {
	switch {
	case l.Rank < 1 || l.Rank > MaxRank:
		return fmt.Errorf("rank: got %d, want 1..%d", l.Rank, MaxRank)
	case !(l.Alpha > 0) || math.IsInf(l.Alpha, 0):
		return fmt.Errorf("alpha: got %v, want a number above 0", l.Alpha)
	case len(l.names()) == 0:
		return fmt.Errorf("target modules: none are named; want %s, names as q_proj, or a regular expression", AllLinear)
	}
	if !isExpression(l.Targets) {
		return nil
	}
	p, err := regexp.Compile(`^(?:` + l.Targets + `)$`)
	if err != nil {
		return fmt.Errorf("target modules: %w", err)
	}
	l.expression = p
	return nil
}

// targets says whether a module, such as model.layers.0.self_attn.q_proj, has an adapter: by PEFT's rules.
func (l *LoRA) targets(module string) bool {
	switch {
	case l.Targets == AllLinear:
		return true
	case l.expression != nil:
		return l.expression.MatchString(module)
	}
	return slices.ContainsFunc(l.names(), func(name string) bool { return ends(module, name) })
}

func ends(module, name string) bool { return module == name || strings.HasSuffix(module, "."+name) }

// of gives the rank of a module's adapter, 0 if it has none, and its scale.
func (l *LoRA) of(module string) (rank int, scale float32) {
	if !l.targets(module) {
		return 0, 0
	}
	r, alpha := float64(l.Rank), l.Alpha
	for _, p := range l.ranks {
		if p.match.MatchString(module) {
			r = p.value
			break
		}
	}
	for _, p := range l.alphas {
		if p.match.MatchString(module) {
			alpha = p.value
			break
		}
	}
	if l.RSLoRA {
		return int(r), float32(alpha / math.Sqrt(r))
	}
	return int(r), float32(alpha / r)
}

// checkModules wants every target to be a module.
func (l *LoRA) checkModules(modules []string) error {
	shown := strings.Join(modules[:min(len(modules), 7)], ", ")
	wanted := []string{l.Targets}
	if l.expression == nil && l.Targets != AllLinear {
		wanted = l.names()
	}
	for _, want := range wanted {
		if !slices.ContainsFunc(modules, func(m string) bool {
			if l.expression != nil || l.Targets == AllLinear {
				return l.targets(m)
			}
			return ends(m, want)
		}) {
			return fmt.Errorf("target modules: no projection is called %q; they are %s, and so on or embed_tokens (an adapter of the LM head is not built)", want, shown)
		}
	}
	return nil
}

// adapterFile is adapter_config.json as PEFT writes it, as far as it decides something here.
type adapterFile struct {
	PEFTType     string             `json:"peft_type"`
	Task         *string            `json:"task_type"`
	Base         string             `json:"base_model_name_or_path"`
	R            int                `json:"r"`
	Alpha        float64            `json:"lora_alpha"`
	Dropout      float64            `json:"lora_dropout"`
	RSLoRA       bool               `json:"use_rslora"`
	Targets      any                `json:"target_modules"`
	Bias         string             `json:"bias"`
	FanInFanOut  bool               `json:"fan_in_fan_out"`
	Inference    bool               `json:"inference_mode"`
	Init         any                `json:"init_lora_weights"`
	Save         []string           `json:"modules_to_save"`
	RankPattern  map[string]float64 `json:"rank_pattern"`
	AlphaPattern map[string]float64 `json:"alpha_pattern"`
	Revision     string             `json:"revision,omitempty"` // of a base that is a name on the hub
}

// otherKeys of adapter_config.json change nothing about what an adapter computes.
var otherKeys = []string{"auto_mapping", "revision", "peft_version", "loftq_config", "megatron_core", "runtime_config", "eva_config", "corda_config", "arrow_config", "lora_dropout", "init_lora_weights", "inference_mode", "qalora_group_size",
	"ensure_weight_tying"}

// headModules are what PEFT calls the head of a sequence classifier that is trained beside the adapter.
var headModules = []string{"score", "classifier"}

// IsAdapter says whether a directory holds an adapter, and not a model.
func IsAdapter(dir string) bool { return exists(filepath.Join(dir, AdapterConfigFile)) }

// HubBase is the base of an adapter's directory, if that is a name on Hugging Face's hub and no path here.
func HubBase(dir string) (n hub.Name, ok bool, err error) {
	path := filepath.Join(dir, AdapterConfigFile)
	raw, err := safefile.Read(path, maxConfigBytes)
	if err != nil {
		return n, false, fmt.Errorf("model: %w", err)
	}
	l, err := parseAdapter(raw)
	if err != nil {
		return n, false, fmt.Errorf("model: %s: %w", path, err)
	}
	if exists(filepath.Join(dir, l.Base)) {
		return n, false, nil
	}
	n, ok = l.hubBase()
	return n, ok, nil
}

func (l *LoRA) hubBase() (hub.Name, bool) {
	text := l.Base
	if l.revision != "" && !strings.Contains(text, "@") {
		text += "@" + l.revision
	}
	n, ok := hub.Parse(text, hub.Model)
	return n, ok && n.Path == ""
}

// ReadAdapter reads the adapter_config.json of a directory. What is not computed here (other methods than LoRA, DoRA, trained biases, modules beside the reward
// head) is refused by name. The base is a path: one that does not exist as it is written is looked for beside the adapter, and, if it could be a name on
// Hugging Face's hub, in the cache of that.
func ReadAdapter(dir string) (*LoRA, error) {
	path := filepath.Join(dir, AdapterConfigFile)
	raw, err := safefile.Read(path, maxConfigBytes)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	l, err := parseAdapter(raw)
	if err != nil {
		return nil, fmt.Errorf("model: %s: %w", path, err)
	}
	if exists(filepath.Join(dir, "model.safetensors")) || exists(filepath.Join(dir, checkpoint.IndexFile)) {
		return nil, fmt.Errorf("model: %s: there are whole weights beside it, too: it is one model or the other: remove the adapter, or the weights", path)
	}
	if !exists(filepath.Join(dir, AdapterFile)) {
		return nil, fmt.Errorf("model: %s: %s is not there (adapter_model.bin is a pickle, which can run code: load it with PEFT where its origin is trusted, and save it again)", path, AdapterFile)
	}
	if !filepath.IsAbs(l.Base) && !exists(l.Base) {
		if beside := filepath.Join(dir, l.Base); exists(beside) {
			l.Base = beside
		}
	}
	if n, ok := l.hubBase(); ok {
		if l.Base, err = hub.Local(n); err != nil {
			return nil, fmt.Errorf("model: %s: its base: %w", path, err)
		}
	}
	if info, err := os.Stat(l.Base); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("model: %s: base_model_name_or_path is %q, which is no directory here: write the path of the base there", path, l.Base)
	}
	if IsAdapter(l.Base) {
		return nil, fmt.Errorf("model: %s: its base %s is an adapter itself: merge that first ('criticrm export --format causal-lm' does)", path, l.Base)
	}
	return l, nil
}

func parseAdapter(raw []byte) (*LoRA, error) {
	m, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	var f adapterFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	known := []string{"peft_type", "task_type", "base_model_name_or_path", "r", "lora_alpha", "use_rslora", "target_modules", "bias", "fan_in_fan_out", "modules_to_save", "rank_pattern", "alpha_pattern"}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if slices.Contains(known, key) || slices.Contains(otherKeys, key) || empty(m[key]) {
			continue
		}
		return nil, fmt.Errorf("%s: got %.80v, which is not supported: merge the adapter with PEFT (merge_and_unload)", key, m[key])
	}
	switch {
	case f.PEFTType != "LORA":
		return nil, fmt.Errorf("peft_type: got %.40q, only LORA is supported: merge the adapter with PEFT (merge_and_unload)", f.PEFTType)
	case f.Bias != "" && f.Bias != "none":
		return nil, fmt.Errorf("bias: got %.40q, only none is supported: merge the adapter with PEFT (merge_and_unload)", f.Bias)
	case f.FanInFanOut:
		return nil, errors.New("fan_in_fan_out: got true, and no projection here has its weights turned")
	case f.Base == "":
		return nil, errors.New("base_model_name_or_path: is missing")
	}
	for _, name := range f.Save {
		if !slices.Contains(headModules, name) {
			return nil, fmt.Errorf("modules_to_save: got %.80q, only the reward head (score) is supported: merge the adapter with PEFT (merge_and_unload)", name)
		}
	}
	l := &LoRA{Rank: f.R, Alpha: f.Alpha, RSLoRA: f.RSLoRA, Base: f.Base, revision: f.Revision}
	switch t := f.Targets.(type) {
	case string:
		l.Targets = t
		if t != AllLinear && !isExpression(t) { // PEFT takes any text for an expression
			l.Targets = "(?:" + t + ")"
		}
	case []any:
		var names []string
		for _, name := range t {
			s, ok := name.(string)
			if !ok || s == "" || strings.Contains(s, ",") || isExpression(s) {
				return nil, fmt.Errorf("target_modules: got %.80v, want names", name)
			}
			names = append(names, s)
		}
		slices.Sort(names)
		l.Targets = strings.Join(names, ",")
	default:
		return nil, fmt.Errorf("target_modules: got %.40v, want an array of names or a string", f.Targets)
	}
	if l.ranks, err = patterns("rank_pattern", f.RankPattern, 1, MaxRank); err != nil {
		return nil, err
	}
	if l.alphas, err = patterns("alpha_pattern", f.AlphaPattern, math.SmallestNonzeroFloat64, math.MaxFloat64); err != nil {
		return nil, err
	}
	if err := l.Check(); err != nil {
		return nil, err
	}
	if tied, _ := m["ensure_weight_tying"].(bool); tied && l.embeds() {
		return nil, errors.New("ensure_weight_tying: got true with an adapter of embed_tokens: the LM head has it, too, which is not supported: merge the adapter with PEFT (merge_and_unload)")
	}
	return l, nil
}

// patterns are those of rank_pattern and alpha_pattern: names, or expressions, that a module's name ends with.
func patterns(key string, values map[string]float64, least, most float64) (list []pattern, err error) {
	for name, v := range values {
		p, err := regexp.Compile(`^(?:.*\.)?(?:` + name + `)$`)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if !(v >= least && v <= most) || key == "rank_pattern" && v != math.Trunc(v) {
			return nil, fmt.Errorf("%s: got %v for %.80q", key, v, name)
		}
		list = append(list, pattern{name, p, v})
	}
	slices.SortFunc(list, func(a, b pattern) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// file is adapter_config.json. classifier says that the reward head is among the adapter's tensors, as PEFT has that of a sequence classifier;
// modules are all that there are.
func (l *LoRA) file(classifier bool, modules []string) []byte {
	f := adapterFile{PEFTType: "LORA", Base: l.Base, R: l.Rank, Alpha: l.Alpha, RSLoRA: l.RSLoRA, Bias: "none", Inference: true, Init: true, RankPattern: map[string]float64{}, AlphaPattern: map[string]float64{}}
	if n, ok := hub.Of(l.Base); ok && n.Path == "" { // elsewhere it is known by its name
		f.Base, f.Revision = n.Repo, n.Revision
	}
	task := "CAUSAL_LM"
	if classifier {
		task, f.Save = "SEQ_CLS", headModules[:1]
	}
	f.Task = &task
	switch {
	case l.Targets == AllLinear: // by name, because what PEFT takes for all depends on the class of the base
		var names []string
		for _, m := range modules {
			names = append(names, m[strings.LastIndex(m, ".")+1:])
		}
		slices.Sort(names)
		f.Targets = slices.Compact(names)
	case l.expression != nil:
		f.Targets = l.Targets
	default:
		f.Targets = l.names()
	}
	for to, list := range map[*map[string]float64][]pattern{&f.RankPattern: l.ranks, &f.AlphaPattern: l.alphas} {
		for _, p := range list {
			(*to)[p.name] = p.value
		}
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		panic("model: an adapter's settings are strings and numbers")
	}
	return append(b, '\n')
}

// before a module's name in the files of PEFT.
const peftPrefix = "base_model.model."

// SaveAdapter writes dir as PEFT's save_pretrained does: adapter_config.json, and the adapter in float32 in adapter_model.safetensors. A reward
// head goes to reward_head.safetensors beside it or, for a classifier, among the adapter's tensors, where PEFT has the score of a sequence classifier.
// The base is not written.
func (m *Model) SaveAdapter(dir string, classifier bool) error {
	if m.opt.LoRA == nil {
		return errors.New("model: save: the model has no adapter")
	}
	if classifier && !m.hasReward {
		return errors.New("model: save: the model has no reward head")
	}
	if err := m.writeAdapter(dir, classifier); err != nil {
		return fmt.Errorf("model: save %s: %w", dir, err)
	}
	return nil
}

func (m *Model) writeAdapter(dir string, classifier bool) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var tensors, head []checkpoint.TensorData
	var host []float32
	for _, p := range m.params {
		switch {
		case p.Kind == Head && !classifier:
			head = append(head, m.tensorData(p, &host))
		case p.Kind == Head || p.Kind == Adapter:
			t := p.turnedData(m.tensorData(p.full(), &host))
			t.Name = peftPrefix + t.Name
			tensors = append(tensors, t)
		case !p.G.IsNil():
			return fmt.Errorf("%s was trained, too, which an adapter does not hold", p.Name)
		}
	}
	if err := m.Dev.Sync(); err != nil {
		return err
	}
	config := filepath.Join(dir, AdapterConfigFile)
	if err := os.Remove(config); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	meta := map[string]string{"format": "pt"}
	if err := checkpoint.WriteSafetensors(filepath.Join(dir, AdapterFile), tensors, meta); err != nil {
		return err
	}
	if len(head) > 0 {
		if err := checkpoint.WriteSafetensors(filepath.Join(dir, HeadFile), head, meta); err != nil {
			return err
		}
	}
	return checkpoint.WriteFileAtomic(config, m.opt.LoRA.file(classifier, m.modules())) // last
}

// adapterHasHead says whether the reward head is among an adapter's tensors.
func adapterHasHead(dir string) (bool, error) {
	f, err := checkpoint.OpenSafetensors(filepath.Join(dir, AdapterFile))
	if err != nil {
		return false, fmt.Errorf("model: %w", err)
	}
	defer f.Close()
	return f.Has(peftPrefix + headName), nil
}

// full is the parameter with its values in float32 where there are such.
func (p *Param) full() *Param {
	q := *p
	if !p.Master.IsNil() {
		q.W = p.Master
	}
	return &q
}

// readAdapter fills the adapter, and the reward head if it is among its tensors, from a directory. Every tensor must have its place, and every
// place its tensor.
func (m *Model) readAdapter(dir string) error {
	path := filepath.Join(dir, AdapterFile)
	f, err := checkpoint.OpenSafetensors(path)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer f.Close()
	taken := map[string]bool{}
	for _, p := range m.params {
		name := peftPrefix + p.Name
		switch {
		case p.Kind == Head && f.Has(name):
		case p.Kind != Adapter:
			continue
		}
		info, ok := f.Info(name)
		if !ok {
			return fmt.Errorf("model: %s: no tensor %q, which %s asks for: it is of another base, or was cut", path, name, AdapterConfigFile)
		}
		if want := p.stored(); !slices.Equal(info.Shape, want) {
			return fmt.Errorf("model: %s: tensor %q has shape %v, want %v: it is of another base, or another rank", path, name, info.Shape, want)
		}
		x, err := f.ReadF32(name)
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		if p.turned() {
			x = turn(x, p.Shape[1], p.Shape[0])
		}
		m.set(p, 0, x)
		taken[name] = true
	}
	for _, name := range f.Names() {
		if m.opt.LoRA.storedEmbedding(name) {
			if err := m.sameEmbedding(f, path, name); err != nil {
				return err
			}
			continue
		}
		if !taken[name] {
			return fmt.Errorf("model: %s: tensor %q has no place in the model that %s and the base's %s describe", path, name, AdapterConfigFile, ConfigFile)
		}
	}
	return m.Dev.Sync()
}

func shape64(shape []int) []int64 {
	out := make([]int64, len(shape))
	for i, n := range shape {
		out[i] = int64(n)
	}
	return out
}
