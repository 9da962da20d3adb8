package convert

// Models that see images: what reads and writes text in them is a model of a family, in a config and under names of its own.

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/model"
	"criticrm/modeldir"
)

// seeing are the classes whose text part is taken out.
var seeing = []string{"Mistral3ForConditionalGeneration", "Gemma3ForConditionalGeneration"}

// textClasses are the classes of the text part, by its model_type; with what transformers' own takes for keys that published files leave out.
var textClasses = map[string]struct {
	class string
	like  map[string]any
}{
	"mistral":     {"MistralForCausalLM", nil},
	"ministral3":  {"Ministral3ForCausalLM", nil},
	"gemma3_text": {"Gemma3ForCausalLM", map[string]any{"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}},
}

// Names in the files: the parts that see, and the text part as transformers 4 and 5 have written it.
var (
	seen      = []string{"vision_tower.", "multi_modal_projector."}
	textNames = []struct{ from, to string }{{"language_model.lm_head.", "lm_head."}, {"language_model.model.", "model."}, {"model.language_model.", "model."}, {"lm_head.", "lm_head."}}
)

// sees says whether a config.json is that of a model whose text part can be taken out.
func sees(config *object) bool {
	list := config.list("architectures")
	return len(list) == 1 && slices.Contains(seeing, fmt.Sprint(list[0]))
}

// importText writes the text part of a model that sees images.
func importText(ctx context.Context, from, to string, config *object, weights *checkpoint.ModelDir) (*Report, error) {
	rep := &Report{What: "the text part of a model that sees images", DType: "stored"}
	source, infos, left, err := textTensors(weights)
	if err != nil {
		return nil, err
	}
	for _, t := range infos {
		n := int64(1)
		for _, d := range t.Shape {
			n *= d
		}
		rep.Parameters += n
	}
	text, err := textConfig(config, source, weights)
	if err != nil {
		return nil, err
	}
	rep.Notes = append(rep.Notes, fmt.Sprintf("%d tensors that see images are left out: the model reads text alone", left))
	return rep, modeldir.Publish(to, func(dir string) error {
		content := func(name string) ([]byte, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return weights.ReadRaw(source[name])
		}
		if err := checkpoint.WriteModelDirFrom(dir, infos, content, shardBytes); err != nil {
			return err
		}
		if err := modeldir.Copy(from, dir, ""); err != nil {
			return err
		}
		if err := writeFiles(dir, []textFile{{model.ConfigFile, configText(text)}}); err != nil {
			return err
		}
		if err := model.Check(dir); err != nil {
			return notSo(err, dir, "its text part does not open")
		}
		return nil
	})
}

// textTensors gives the tensors of the text part under their own names, what each is called in the files, and how many others there are.
func textTensors(weights *checkpoint.ModelDir) (source map[string]string, infos []checkpoint.TensorInfo, left int, err error) {
	source = map[string]string{}
	for _, t := range weights.Tensors() {
		was, name := t.Name, ""
		for _, x := range textNames {
			if rest, ok := strings.CutPrefix(was, x.from); ok && name == "" {
				name = x.to + rest
			}
		}
		switch bare := strings.TrimPrefix(was, "model."); {
		case name != "" && source[name] != "":
			return nil, nil, 0, fmt.Errorf("tensors %q and %q would both be %q", source[name], was, name)
		case name != "":
			source[name], t.Name = was, name
			infos = append(infos, t)
		case slices.ContainsFunc(seen, func(p string) bool { return strings.HasPrefix(bare, p) }):
			left++
		default:
			return nil, nil, 0, fmt.Errorf("tensor %q is neither of the text part nor of what sees images", was)
		}
	}
	return source, infos, left, nil
}

// textConfig makes the config.json of the text part.
func textConfig(config *object, source map[string]string, weights *checkpoint.ModelDir) (map[string]any, error) {
	part, _ := config.m["text_config"].(map[string]any)
	if part == nil {
		return nil, fmt.Errorf("%stext_config: missing, or no object", config.at)
	}
	for _, m := range []map[string]any{config.m, part} {
		if m["quantization_config"] != nil {
			return nil, fmt.Errorf("%squantization_config: quantised weights are not supported; use the bfloat16 model", config.at)
		}
	}
	kind, _ := part["model_type"].(string)
	known, ok := textClasses[kind]
	if !ok {
		return nil, fmt.Errorf("%stext_config.model_type: got %q, supported: %q", config.at, kind, slices.Sorted(maps.Keys(textClasses)))
	}
	text := maps.Clone(part)
	for k, v := range known.like {
		if text[k] == nil {
			text[k] = v
		}
	}
	for _, k := range []string{"eos_token_id", "dtype", "torch_dtype", "transformers_version"} { // of the whole model
		if v := config.m[k]; v != nil {
			text[k] = v
		}
	}
	embed, ok := weights.Info(source["model.embed_tokens.weight"])
	if !ok || len(embed.Shape) != 2 {
		return nil, fmt.Errorf("there is no tensor \"language_model.model.embed_tokens.weight\" with two dimensions")
	}
	if text["vocab_size"] == nil {
		text["vocab_size"] = embed.Shape[0]
	}
	text["architectures"] = []string{known.class}
	text["tie_word_embeddings"] = source["lm_head.weight"] == "" // the whole and its part may say different things of it
	return text, nil
}
