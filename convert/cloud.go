package convert

// CLoud's models (Ankner et al. 2024): a causal model under names of its own, a reward head with a hidden layer, and a config.json that says how
// critiques are asked for, but not what the model is made of.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/critic"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/tokenizer"
)

const (
	cloudClass = "CLoudRewardModel"
	cloudBase  = "reward_base_model." // before the tensors of the causal model
	cloudHead  = "reward_head."       // before those of the head
	cloudEnd   = "<|eot_id|>"         // what its code ends critiques with, whatever the files say

	feedbackTeacher = "teacher" // rewards are read behind critiques
	feedbackVanilla = "vanilla" // rewards are read at the end of the response
)

// cloud is what CLoud's config.json says; nil of other models.
type cloud struct{ feedback string }

func hasCloudHead(weights *checkpoint.ModelDir) bool {
	return slices.ContainsFunc(weights.Names(), func(n string) bool { return strings.HasPrefix(n, cloudHead) })
}

// readCloud takes CLoud's config.json, and gives that of the model it was made of in its place. Any other is given back.
func readCloud(config *object, weights *checkpoint.ModelDir, o Options) (*cloud, *object, error) {
	if list := config.list("architectures"); len(list) != 1 || list[0] != cloudClass {
		switch {
		case o.BaseConfig != "":
			return nil, nil, errors.New("base_config is for models whose config.json is CLoud's")
		case hasCloudHead(weights) && !o.DropHead:
			return nil, nil, fmt.Errorf("it has CLoud's reward head (%s*), and its config.json is not CLoud's, which says where rewards are read (feedback_method): restore it, and give the base model's with base_config", cloudHead)
		}
		return nil, config, nil
	}
	c := &cloud{config.text("feedback_method")}
	base := config.text("base_model_name_or_path")
	switch {
	case config.err != nil:
		return nil, nil, config.err
	case o.BaseConfig == "":
		return nil, nil, fmt.Errorf("config.json is that of a CLoud model, which says nothing of the model in it: give the config.json of its base model %q with base_config", base)
	case c.feedback != feedbackTeacher && c.feedback != feedbackVanilla:
		return nil, nil, fmt.Errorf("config.json: feedback_method: got %.40q, want %s or %s", c.feedback, feedbackTeacher, feedbackVanilla)
	}
	of, err := readObject(o.BaseConfig, maxJSON)
	return c, of, err
}

// copyDeep writes the head, whose tensors keep their types, as model.Load reads it.
func (h *head) copyDeep(weights *checkpoint.ModelDir, dir string) error {
	var tensors []checkpoint.TensorData
	for _, name := range model.DeepHead {
		from := h.name + "." + name
		info, ok := weights.Info(from)
		if !ok {
			return fmt.Errorf("want a tensor %q", from)
		}
		raw, err := weights.ReadRaw(from)
		if err != nil {
			return err
		}
		info.Name = name
		tensors = append(tensors, checkpoint.TensorData{TensorInfo: info, Data: raw})
	}
	return checkpoint.WriteSafetensors(filepath.Join(dir, model.HeadFile), tensors, nil)
}

// finish writes what CLoud's code decides into a directory that is whole otherwise: the token that ends a critique, and how rewards are asked for.
func (c *cloud) finish(dir string, rep *Report) error {
	if c == nil {
		return nil
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	if id, ok := tok.ID(cloudEnd); ok {
		if err := endWith(dir, id); err != nil {
			return err
		}
		rep.Notes = append(rep.Notes, fmt.Sprintf("critiques end with %s, as CLoud's code has it: %s says so now", cloudEnd, model.GenerationFile))
	} else if c.feedback == feedbackTeacher {
		return fmt.Errorf("its tokenizer has no token %s, with which CLoud's code ends critiques and behind which it reads rewards: they would be read elsewhere", cloudEnd)
	}
	f := modeldir.Facts{Program: "CLoud", Method: modeldir.BT, HeadPosition: "end"}
	if c.feedback == feedbackTeacher {
		p, err := critic.LoadPrompts("cloud", "")
		if err != nil {
			return err
		}
		f.Method, f.Prompts, f.PromptsHash, f.AskScore = modeldir.Cloud, p.Texts(), p.Hash(), critic.AskOff
		if err := tellSpace(dir, tok, rep); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, model.HeadFile)); errors.Is(err, os.ErrNotExist) {
		f.Method = modeldir.SFT
	}
	return f.Write(dir)
}

// tellSpace notes where CLoud's code would ask with a space behind the words, which Llama 3's template trims and a prompt here never ends in.
func tellSpace(dir string, tok *tokenizer.Tokenizer, rep *Report) error {
	chat, err := tokenizer.LoadChat(dir, tok, tokenizer.ChatOptions{})
	if errors.Is(err, tokenizer.ErrNoTemplate) {
		rep.Notes = append(rep.Notes, "it has no chat template, with which critiques are asked for: give one with --chat_template")
		return nil
	}
	if err != nil {
		return err
	}
	text, err := chat.Text([]tokenizer.Message{{Role: "user", Content: "question: "}}, false)
	if err == nil && strings.Contains(text, "question: ") {
		rep.Notes = append(rep.Notes, "warning: its chat template keeps the space that CLoud's code writes behind the words that ask; it is left out here, so critiques and rewards are others")
	}
	return err
}

// endWith puts a token before the end tokens of generation_config.json.
func endWith(dir string, id int32) error {
	path := filepath.Join(dir, model.GenerationFile)
	config, err := readObject(path, maxJSON)
	if errors.Is(err, os.ErrNotExist) {
		config, err = &object{m: map[string]any{}}, nil
	}
	if err != nil {
		return err
	}
	ids := []any{id}
	switch was := config.m["eos_token_id"].(type) {
	case nil:
	case []any:
		ids = append(ids, was...)
	default:
		ids = append(ids, was)
	}
	config.m["eos_token_id"] = ids
	return writeFiles(dir, []textFile{{model.GenerationFile, configText(config.m)}})
}
