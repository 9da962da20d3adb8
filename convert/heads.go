package convert

// Directories whose reward head lies where other trainers put it: OpenRLHF (config.json names it), LLaMA-Factory and TRL (a value head, in
// a file of its own or among the weights), CLoud (cloud.go). The head becomes score.weight, or reward_head.safetensors beside an LM head; nothing else changes.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/model"
	"criticrm/modeldir"
)

const (
	scoreName   = "score.weight"
	lmHead      = "lm_head.weight"
	valueFile   = "value_head.safetensors" // LLaMA-Factory's
	summaryName = "v_head.summary"         // TRL's, with .weight and .bias
	trlBase     = "pretrained_model."      // before TRL's, in some versions
)

// head is a reward head as it was found.
type head struct {
	name string // of the tensor, without .weight; of a head with a hidden layer what its tensors begin with
	file *checkpoint.SafetensorsFile
	bias float32
	deep bool // it has a hidden layer, see model.DeepHead
}

// fromDir converts a directory.
func fromDir(ctx context.Context, from, to string, o Options) (*Report, error) {
	if o.DType != "" {
		return nil, fmt.Errorf("convert: %s: weights of a directory keep their types: the type is for GGUF files", from)
	}
	config, err := readObject(filepath.Join(from, model.ConfigFile), maxJSON)
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	if _, err := os.Stat(filepath.Join(from, "value_head.bin")); err == nil {
		return nil, fmt.Errorf("convert: %s: this is a PyTorch pickle file, which can run code when loaded: save the value head with safetensors, as %s", filepath.Join(from, "value_head.bin"), valueFile)
	}
	weights, err := checkpoint.OpenModelDir(from)
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	defer weights.Close()
	var rep *Report
	if sees(config) {
		if err = o.noHeads(); err != nil {
			return nil, fmt.Errorf("convert: %s: of a model that sees images the text part is taken, without a reward head: %w", from, err)
		}
		rep, err = importText(ctx, from, to, config, weights)
	} else {
		rep, err = importHead(ctx, from, to, config, weights, o)
	}
	if err != nil {
		return nil, fmt.Errorf("convert: %s: %w", from, err)
	}
	return rep, nil
}

func importHead(ctx context.Context, from, to string, config *object, weights *checkpoint.ModelDir, o Options) (*Report, error) {
	rep := &Report{What: "a model directory", DType: "stored"}
	cloud, config, err := readCloud(config, weights, o)
	if err != nil {
		return nil, err
	}
	h, err := findHead(from, config, weights, o, rep)
	if err != nil {
		return nil, err
	}
	if h != nil && h.file != nil {
		defer h.file.Close()
	}
	renamed := map[string]string{} // what is written, and what it is called in the source
	var infos []checkpoint.TensorInfo
	for _, t := range weights.Tensors() {
		was := t.Name
		if strings.HasPrefix(was, cloudHead) || h != nil && h.file == nil && strings.HasPrefix(was, h.name+".") {
			continue
		}
		t.Name = strings.TrimPrefix(strings.TrimPrefix(was, cloudBase), trlBase)
		if renamed[t.Name] != "" {
			return nil, fmt.Errorf("tensors %q and %q would both be %q", renamed[t.Name], was, t.Name)
		}
		renamed[t.Name] = was
		infos = append(infos, t)
		n := int64(1)
		for _, d := range t.Shape {
			n *= d
		}
		rep.Parameters += n
	}
	family, classifier, err := kindOf(config)
	if err != nil {
		return nil, err
	}
	_, hasLM := renamed[lmHead]
	if h != nil && h.deep && classifier {
		return nil, errors.New("the base model's config.json is that of a classifier, and CLoud's is a causal model")
	}
	asClassifier := h != nil && !h.deep && (classifier || !hasLM && !config.flag("tie_word_embeddings"))
	if h == nil && classifier {
		return nil, errors.New("it is a classifier without a reward head")
	}
	if asClassifier && hasLM {
		return nil, errors.New("it is a classifier, and has an LM head: say which it is in architectures of config.json")
	}
	kind := family + "ForCausalLM"
	for _, k := range []string{"num_labels", "id2label", "label2id", "problem_type", "value_head_prefix", "mean", "std"} {
		delete(config.m, k)
	}
	if asClassifier {
		kind = family + "ForSequenceClassification"
		config.m["num_labels"], config.m["problem_type"] = 1, "regression"
		config.m["id2label"], config.m["label2id"] = map[string]string{"0": "LABEL_0"}, map[string]int{"LABEL_0": 0}
	}
	config.m["architectures"] = []string{kind}
	if config.err != nil {
		return nil, config.err
	}
	return rep, modeldir.Publish(to, func(dir string) error {
		var score []float32
		if h != nil && h.deep {
			if err := h.copyDeep(weights, dir); err != nil {
				return err
			}
		} else if h != nil {
			if score, err = h.values(weights); err != nil {
				return err
			}
			info := checkpoint.TensorInfo{Name: scoreName, DType: F32, Shape: []int64{1, int64(len(score))}}
			if asClassifier {
				infos = append(infos, info)
			} else if err := checkpoint.WriteSafetensors(filepath.Join(dir, model.HeadFile), []checkpoint.TensorData{{TensorInfo: info, Data: checkpoint.F32Bytes(score)}}, nil); err != nil {
				return err
			}
		}
		content := func(name string) ([]byte, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if name == scoreName {
				return checkpoint.F32Bytes(score), nil
			}
			return weights.ReadRaw(renamed[name])
		}
		if err := checkpoint.WriteModelDirFrom(dir, infos, content, shardBytes); err != nil {
			return err
		}
		if err := modeldir.Copy(from, dir, ""); err != nil {
			return err
		}
		if err := writeFiles(dir, []textFile{{model.ConfigFile, configText(config.m)}}); err != nil {
			return err
		}
		if err := model.Check(dir); err != nil {
			return notSo(err, dir, "what comes of it does not open")
		}
		return cloud.finish(dir, rep)
	})
}

// notSo says what is wrong with a directory that was written, whose name will be gone.
func notSo(err error, dir, what string) error {
	return fmt.Errorf("%s: %s", what, strings.TrimPrefix(strings.ReplaceAll(strings.TrimPrefix(err.Error(), "model: "), dir+string(filepath.Separator), ""), dir+": "))
}

// findHead finds the one reward head of a directory; nil where it is left out on purpose.
func findHead(from string, config *object, weights *checkpoint.ModelDir, o Options, rep *Report) (*head, error) {
	if hasCloudHead(weights) {
		if o.DropHead {
			rep.Notes = append(rep.Notes, "the head of CLoud (reward_head.*) is left out: the model writes critiques and has no rewards")
			return nil, nil
		}
		rep.Notes = append(rep.Notes, "its reward head has a hidden layer, which is read and not trained: --drop_head leaves a model that a new head can be trained on")
		return &head{name: strings.TrimSuffix(cloudHead, "."), deep: true}, nil
	}
	if o.DropHead {
		return nil, errors.New("drop_head is for models whose head has another form")
	}
	prefix := config.text("value_head_prefix")
	if prefix == "" {
		prefix = "value_head"
	}
	var found []head
	for _, name := range []string{strings.TrimSuffix(scoreName, ".weight"), prefix, summaryName} {
		if weights.Has(name+".weight") && !slices.ContainsFunc(found, func(h head) bool { return h.name == name }) {
			found = append(found, head{name: name})
		}
	}
	f, err := checkpoint.OpenSafetensors(filepath.Join(from, valueFile))
	if err == nil && !f.Has(summaryName+".weight") {
		f.Close()
		return nil, fmt.Errorf("%s: want a tensor %q", filepath.Join(from, valueFile), summaryName+".weight")
	} else if err == nil {
		found = append(found, head{name: summaryName, file: f})
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if len(found) != 1 {
		if f != nil {
			f.Close()
		}
		var names []string
		for _, h := range found {
			names = append(names, h.name)
		}
		if len(found) == 0 {
			return nil, errors.New("there is no reward head that would have to be converted: a model directory opens as it is")
		}
		return nil, fmt.Errorf("it has several reward heads, %s: remove all but one", strings.Join(names, ", "))
	}
	h := &found[0]
	if err := h.readBias(weights, o, rep); err != nil {
		if h.file != nil {
			h.file.Close()
		}
		return nil, err
	}
	if h.name == "score" && h.bias == 0 && !config.has("value_head_prefix") && isClassifier(config) {
		return nil, errors.New("its reward head is where it belongs: it opens as it is")
	}
	if config.has("mean") || config.has("std") {
		rep.Notes = append(rep.Notes, fmt.Sprintf("mean %v and std %v of config.json are left out: rewards are not normalised, as in OpenRLHF without normalize_reward", config.m["mean"], config.m["std"]))
	}
	return h, nil
}

// readBias reads what the head adds to every reward. A reward head here adds nothing.
func (h *head) readBias(weights *checkpoint.ModelDir, o Options, rep *Report) error {
	name := h.name + ".bias"
	has, read := weights.Has, weights.ReadF32
	if h.file != nil {
		has, read = h.file.Has, h.file.ReadF32
	}
	if !has(name) {
		return nil
	}
	b, err := read(name)
	if err != nil {
		return err
	}
	if len(b) != 1 {
		return fmt.Errorf("tensor %q has %d elements, a reward head has 1", name, len(b))
	}
	switch h.bias = b[0]; {
	case h.bias == 0:
	case !o.DropBias:
		return fmt.Errorf("the head adds %v to every reward (%s), which a reward head here cannot: without it all rewards are lower by that number, and their order and differences are the same. Convert with drop_bias if that will do", h.bias, name)
	default:
		rep.Notes = append(rep.Notes, fmt.Sprintf("the head's bias of %v is left out: every reward is lower by it, order and differences are the same", h.bias))
	}
	return nil
}

// values are the head's weights.
func (h *head) values(weights *checkpoint.ModelDir) ([]float32, error) {
	if h.file != nil {
		return h.file.ReadF32(h.name + ".weight")
	}
	return weights.ReadF32(h.name + ".weight")
}

func isClassifier(config *object) bool {
	_, classifier, err := kindOf(config)
	return err == nil && classifier
}

// kindOf takes the class of a config.json apart.
func kindOf(config *object) (family string, classifier bool, err error) {
	var class string
	if list := config.list("architectures"); len(list) == 1 {
		class, _ = list[0].(string)
	}
	for _, suffix := range []string{"ForCausalLM", "ForSequenceClassification", "Model"} {
		if f, ok := strings.CutSuffix(class, suffix); ok && f != "" {
			return f, suffix == "ForSequenceClassification", config.err
		}
	}
	return "", false, fmt.Errorf("config.json: architectures: got %q, want …ForCausalLM or …ForSequenceClassification", class)
}
