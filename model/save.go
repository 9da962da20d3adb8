package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"criticrm/checkpoint"
	"criticrm/kernels"
)

// shardBytes is the size of a weight file from which on a model is split.
const shardBytes = 5 << 30

// SaveCausalLMAs is SaveCausalLM with weights of another type than the model has them in memory: as BF16 they are rounded to the nearest, as F32
// those of a bfloat16 model are its masters, where it has any. The reward head stays F32.
func (m *Model) SaveCausalLMAs(dir string, t kernels.DType) error {
	if !m.HasLM() {
		return errors.New("model: save: a sequence classifier has no LM head: use SaveSequenceClassification")
	}
	return m.save(dir, false, t)
}

// SaveCausalLM writes dir as transformers' …ForCausalLM: config.json and model.safetensors (shards above 5 GB). A reward head goes to
// reward_head.safetensors beside it ("score.weight", (1, H), F32), where Load finds it. Tokenizer files are the caller's.
func (m *Model) SaveCausalLM(dir string) error { return m.SaveCausalLMAs(dir, m.opt.DType) }

// SaveSequenceClassification writes dir as transformers' …ForSequenceClassification with one label, whose score.weight is the reward head.
// An LM head of its own is left out. The pad token in its config is one that is never the last token of a text, because
// transformers pools at the last token that is not the pad token.
func (m *Model) SaveSequenceClassification(dir string) error {
	if !m.hasReward {
		return errors.New("model: save: the model has no reward head")
	}
	if familyOf(m.ModelType).architecture(true) == "" {
		return fmt.Errorf("model: save: transformers has no sequence classifier for model_type %q: save the model as a language model with a reward head", m.ModelType)
	}
	return m.save(dir, true, m.opt.DType)
}

func (m *Model) save(dir string, classifier bool, t kernels.DType) error {
	if m.quantised {
		return errors.New("model: save: the weights are stored in 4 bits, which are not written: keep the directory")
	}
	if m.opt.NF4 {
		return errors.New("model: save: the weights are of 4 bits: open the model as it is stored")
	}
	if m.deep != nil {
		return fmt.Errorf("model: save: %w", errDeepHead)
	}
	if m.HasAdapter() {
		return errors.New("model: save: the model is a base with an adapter: merge it, or use SaveAdapter")
	}
	if err := m.writeDir(dir, classifier, t); err != nil {
		return fmt.Errorf("model: save %s: %w", dir, err)
	}
	return nil
}

func (m *Model) writeDir(dir string, classifier bool, t kernels.DType) error {
	config, err := m.configFile(classifier, t)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var tensors []checkpoint.TensorInfo
	var head []checkpoint.TensorData
	var host []float32 // used again
	named := map[string]*Param{}
	for _, p := range m.params {
		switch {
		case p.Kind == Head && !classifier:
			head = append(head, m.tensorData(p, &host))
		case p.Name == lmName && classifier:
		default:
			tensors, named[p.Name] = append(tensors, p.info(t)), p
		}
	}
	if err := m.Dev.Sync(); err != nil {
		return err
	}
	content := func(name string) ([]byte, error) { // one after the other
		b := m.bytesAs(named[name], t, &host)
		return b, m.Dev.Sync()
	}
	// Without its config no directory loads: nobody takes the weights of two models, half of each written, for one.
	configPath := filepath.Join(dir, ConfigFile)
	if err := os.Remove(configPath); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := checkpoint.WriteModelDirFrom(dir, tensors, content, shardBytes); err != nil {
		return err
	}
	headPath := filepath.Join(dir, HeadFile)
	if len(head) > 0 {
		err = checkpoint.WriteSafetensors(headPath, head, map[string]string{"format": "pt"})
	} else if err = os.Remove(headPath); errors.Is(err, os.ErrNotExist) { // of another model that was here
		err = nil
	}
	if err != nil {
		return err
	}
	return checkpoint.WriteFileAtomic(configPath, config) // last
}

// info is how a parameter stands in a file of weights of a type; the reward head is always F32.
func (p *Param) info(t kernels.DType) checkpoint.TensorInfo {
	info := checkpoint.TensorInfo{Name: p.Name, DType: "F32"}
	if t == kernels.BF16 && p.Kind != Head {
		info.DType = "BF16"
	}
	for _, n := range p.Shape {
		info.Shape = append(info.Shape, int64(n))
	}
	return info
}

// tensorData downloads a parameter in its own type, by way of host.
func (m *Model) tensorData(p *Param, host *[]float32) checkpoint.TensorData {
	return checkpoint.TensorData{TensorInfo: p.info(p.W.Type()), Data: m.bytesAs(p, p.W.Type(), host)}
}

// bytesAs downloads a parameter in the type that it has in a file, by way of host.
func (m *Model) bytesAs(p *Param, t kernels.DType, host *[]float32) []byte {
	if p.Kind == Head {
		t = kernels.F32
	}
	if m.shards != nil && m.shards.alone && t == kernels.F32 && !m.flatMaster.IsNil() && p.W.Type() != t && !p.G.IsNil() {
		*host = slices.Grow((*host)[:0], p.Len())[:p.Len()]
		m.downloadMaster(*host, p)
		return checkpoint.F32Bytes(*host)
	}
	if p.Blocks != nil {
		*host = slices.Grow((*host)[:0], p.Len())[:p.Len()]
		m.unpackBlocks(*host, p)
		if t == kernels.F32 {
			return checkpoint.F32Bytes(*host)
		}
		return checkpoint.BF16Bytes(*host)
	}
	from := m.use(p)
	if from.Type() != t && !p.Master.IsNil() { // more than its bfloat16 has
		from = p.Master
	}
	if from.Type() == t {
		b := make([]byte, from.Bytes())
		m.Dev.DownloadBytes(b, from)
		return b
	}
	*host = slices.Grow((*host)[:0], from.Len())[:from.Len()]
	m.Dev.Download(*host, from.View(from.Len()))
	if t == kernels.F32 {
		return checkpoint.F32Bytes(*host)
	}
	return checkpoint.BF16Bytes(*host)
}

// configFile is config.json: the one the model was read from, with what this model decides put in.
func (m *Model) configFile(classifier bool, t kernels.DType) ([]byte, error) {
	c := &m.Config
	file := map[string]any{}
	if c.raw != nil {
		var err error
		if file, err = parseObject(c.raw); err != nil {
			return nil, err
		}
	} else {
		c.describe(file)
	}
	c.describeTokens(file)
	delete(file, "quantization_config") // what is written is not in blocks
	for _, k := range []string{"id2label", "label2id", "num_labels", "problem_type"} {
		delete(file, k)
	}
	if classifier {
		file["num_labels"] = 1
		file["id2label"] = map[string]string{"0": "LABEL_0"}
		file["label2id"] = map[string]int{"LABEL_0": 0}
		file["problem_type"] = "regression" // else pipelines and servers put a sigmoid behind the reward
		file["pad_token_id"] = c.classifierPad()
	}
	file["architectures"] = []string{familyOf(c.ModelType).architecture(classifier)}
	file["dtype"], file["torch_dtype"] = t.String(), t.String() // transformers 5, and before
	b, err := json.MarshalIndent(file, "", "  ")
	return append(b, '\n'), err
}

// describe spells a Config that did not come from a file, with the rope fields in the form that all versions of transformers read.
func (c *Config) describe(file map[string]any) {
	file["model_type"] = c.ModelType
	file["vocab_size"] = c.VocabSize
	file["hidden_size"] = c.HiddenSize
	file["intermediate_size"] = c.IntermediateSize
	file["num_hidden_layers"] = c.NumHiddenLayers
	file["num_attention_heads"] = c.NumAttentionHeads
	file["num_key_value_heads"] = c.NumKeyValueHeads
	file["head_dim"] = c.HeadDim
	file["max_position_embeddings"] = c.MaxPositionEmbeddings
	file["rms_norm_eps"] = c.RMSNormEps
	file["initializer_range"] = c.InitializerRange
	file["tie_word_embeddings"] = c.TieWordEmbeddings
	file["use_cache"] = true
	fam := familyOf(c.ModelType)
	c.describeNumbers(file, fam)
	c.describeLayers(file, fam)
	c.describeRopes(file, fam)
}

// describeTokens spells the special tokens, which a caller may have changed since the file was read.
func (c *Config) describeTokens(file map[string]any) {
	file["bos_token_id"], file["pad_token_id"] = c.BOSTokenID, c.PadTokenID
	file["eos_token_id"] = nil
	switch len(c.EOSTokenIDs) {
	case 0:
	case 1:
		file["eos_token_id"] = c.EOSTokenIDs[0]
	default:
		file["eos_token_id"] = c.EOSTokenIDs
	}
}

// classifierPad chooses the pad token of an exported classifier: the model's own if no text ends with it (it is not an end token),
// else the begin-of-text token, which no text ends with, else the highest id that is not an end token.
func (c *Config) classifierPad() int32 {
	for _, id := range []*int32{c.PadTokenID, c.BOSTokenID} {
		if id != nil && !slices.Contains(c.EOSTokenIDs, *id) {
			return *id
		}
	}
	id := int32(c.VocabSize - 1)
	for id > 0 && slices.Contains(c.EOSTokenIDs, id) {
		id--
	}
	return id
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
