package serve

// What other servers are asked and this one does not do. Left out, it would be another answer than the client takes it for.

import (
	"fmt"
	"strconv"

	"criticrm/strictjson"
)

// refusal is a member that is refused, but for the values with which it changes nothing.
type refusal struct {
	key, why string
	harmless []any
}

// Words of more than one refusal.
const (
	noLogProbs = "log-probabilities are not given"
	noLogits   = "logits are not changed"
	noPenalty  = "there are no penalties"
	noSchema   = "texts have no schema"
	noTools    = "this model is asked about texts, and calls no tools"
	noSampler  = "texts are sampled by temperature, top_p and top_k alone"
	noMedia    = "this model is asked about texts"
)

var none = []any{"", []any{}, map[string]any{}} // and null, which counts as nothing everywhere

// unwritten are refused on both of OpenAI's routes: its own members, and those of vLLM, SGLang and llama.cpp.
var unwritten = []refusal{
	{"logprobs", noLogProbs, []any{false}}, {"prompt_logprobs", noLogProbs, []any{false}}, {"top_logprobs", noLogProbs, []any{0}}, {"n_probs", noLogProbs, []any{0}},
	{"logit_bias", noLogits, none}, {"bad_words", noLogits, none}, {"allowed_token_ids", noLogits, none}, {"logits_processors", noLogits, none}, {"custom_logit_processor", noLogits, none},
	{"frequency_penalty", noPenalty, []any{0}}, {"presence_penalty", noPenalty, []any{0}}, {"repetition_penalty", noPenalty, []any{1}}, {"repeat_penalty", noPenalty, []any{1}},
	{"dry_multiplier", noPenalty, []any{0}}, {"no_repeat_ngram_size", noPenalty, []any{0}},
	{"min_p", noSampler, []any{0}}, {"typical_p", noSampler, []any{1}}, {"mirostat", noSampler, []any{0}}, {"dynatemp_range", noSampler, []any{0}}, {"xtc_probability", noSampler, []any{0}},
	{"top_n_sigma", noSampler, []any{-1, 0}}, {"samplers", noSampler, none}, {"use_beam_search", noSampler, []any{false}},
	{"min_tokens", "texts end where the model ends them", []any{0}}, {"ignore_eos", "texts end where the model ends them", []any{false}},
	{"stop_regex", "texts end at stop, and no pattern is looked for", none},
	{"include_stop_str_in_output", "stop strings are no part of texts", []any{false}}, {"no_stop_trim", "stop strings are no part of texts", []any{false}},
	{"skip_special_tokens", "control tokens are no part of texts", []any{true}},
	{"truncate_prompt_tokens", "prompts are not cut: one that is too long is an error", []any{-1}},
	{"n_predict", "send max_tokens", []any{-1}},
	{"response_format", noSchema, []any{map[string]any{"type": "text"}}}, {"guided_json", noSchema, none}, {"guided_regex", noSchema, none}, {"guided_choice", noSchema, none}, {"guided_grammar", noSchema, none},
	{"structured_outputs", noSchema, none}, {"json_schema", noSchema, none}, {"grammar", noSchema, none}, {"regex", noSchema, none}, {"ebnf", noSchema, none}, {"structural_tag", noSchema, none},
	{"lora_path", "model names an adapter", none},
}

// unchatted are refused on the route of conversations.
var unchatted = []refusal{
	{"tools", noTools, none}, {"functions", noTools, none}, {"tool_choice", noTools, []any{"none", "auto"}}, {"function_call", noTools, []any{"none", "auto"}}, {"web_search_options", noTools, nil},
	{"chat_template", "the model's own chat template is used and no other", nil}, {"chat_template_kwargs", "the model's own chat template is used, as it is", none},
	{"documents", "the model's own chat template is used, as it is", none},
	{"echo", "the prompt is not given back", []any{false}}, {"add_special_tokens", "the chat template writes all tokens that are read", []any{false}},
	{"modalities", noMedia, []any{[]any{"text"}}}, {"audio", noMedia, nil},
}

// uncompleted are refused on the route of texts.
var uncompleted = []refusal{
	{"echo", "the prompt is not given back", []any{false}}, {"suffix", "nothing is written between texts", none}, {"best_of", "all choices are given", []any{1}}, {"prompt_embeds", "prompts are texts or token ids", none},
}

// unread are refused where rewards are asked for.
var unread = []refusal{
	{"dimensions", "a reward has one", nil},
	{"chat_template", "the model's own chat template is used and no other", nil}, {"chat_template_kwargs", "the model's own chat template is used, as it is", none},
	{"add_generation_prompt", "a reward is read at the end of a response", []any{false}}, {"continue_final_message", "a reward is read at the end of a response", []any{false}},
	{"embed_dtype", "rewards are float32", []any{"float32"}}, {"endianness", "base64 has the lowest byte in front", []any{"native", "little"}},
	{"normalize", "rewards are given as they are", []any{false}}, {"softmax", "rewards are given as they are", []any{false}},
	{"image_data", noMedia, none}, {"audio_data", noMedia, none}, {"video_data", noMedia, none}, {"lora_path", "model names an adapter", none},
}

// unsaid are refused in messages.
var unsaid = []refusal{{"tool_calls", noTools, none}, {"function_call", noTools, none}, {"audio", noMedia, none}}

func refuseAll(b body, list []refusal) {
	for _, x := range list {
		b[x.key] = x.read
	}
}

// read reads the member, and refuses it unless it changes nothing.
func (x refusal) read(r *strictjson.Reader) error {
	v, err := r.Value()
	if err != nil {
		return err
	}
	for _, h := range x.harmless {
		if plainly(v) == plainly(h) {
			return nil
		}
	}
	return unserved("", "%s", x.why)
}

// plainly is a value as text, numbers by what they are worth.
func plainly(v any) string {
	if n, ok := v.(int); ok {
		return strconv.Itoa(n)
	}
	if n, ok := v.(interface{ Float64() (float64, error) }); ok {
		if f, err := n.Float64(); err == nil {
			return strconv.FormatFloat(f, 'g', -1, 64)
		}
	}
	return fmt.Sprintf("%T %[1]v", v)
}
