package modeldir

// The keys of a directory's Hugging Face files: which are read, which change nothing here and why. Any other key is told to the user,
// because it may be a setting on which numbers depend.

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/model"
	"criticrm/safefile"
	"criticrm/strictjson"
	"criticrm/tokenizer"
)

// read marks a key whose value is honoured, or refused by name where it is not supported.
const read = "read"

// Why keys change nothing.
const (
	aboutFile     = "says where the file is from"
	runtime       = "how transformers computes, not what"
	outputs       = "what transformers gives back"
	given         = "sampling is as the command's own settings say"
	oneLabel      = "one label has no classes to choose between"
	ownCode       = "which code of transformers opens it; tokenizer.json decides here, and without that file legacy is read"
	batching      = "there is no padding here"
	notUsed       = "no class of this architecture reads it"
	decoding      = "cleans up decoded text; tokens are decoded byte by byte here"
	lengthOfOther = "limits are config.json's max_position_embeddings and max_length here"
)

// neutral are keys that change nothing while they have one of these values, written as JSON; null is always one.
type neutral struct {
	why    string
	values []string // nil: all
}

func all(why string, names ...string) map[string]neutral {
	m := map[string]neutral{}
	for _, n := range names {
		m[n] = neutral{why: why}
	}
	return m
}

func only(why string, values []string, names ...string) map[string]neutral {
	m := all(why, names...)
	for _, n := range names {
		m[n] = neutral{why, values}
	}
	return m
}

func union(tables ...map[string]neutral) map[string]neutral {
	out := map[string]neutral{}
	for _, t := range tables {
		maps.Copy(out, t)
	}
	return out
}

// knownKeys gives the keys of each file.
func knownKeys() map[string]map[string]neutral {
	zero, one, off := []string{"0", "0.0"}, []string{"1", "1.0"}, []string{"false"}
	sampling := union(
		all(given, "do_sample", "temperature", "top_k", "top_p", "max_length", "max_new_tokens", "num_return_sequences"),
		all(runtime, "use_cache", "cache_implementation", "cache_config", "max_cache_len", "low_memory", "disable_compile", "compile_config", "prefill_chunk_size",
			"is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind",
			"target_lookbehind", "max_matching_ngram_size", "continuous_batching_config"),
		all(outputs, "output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "return_dict"),
		only("switched off", slices.Concat(zero, off), "min_length", "min_new_tokens", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "diversity_penalty", "min_p", "epsilon_cutoff", "eta_cutoff",
			"early_stopping", "renormalize_logits", "remove_invalid_values", "token_healing"),
		only("switched off", one, "num_beams", "num_beam_groups", "repetition_penalty", "encoder_repetition_penalty", "length_penalty", "typical_p", "guidance_scale"),
	)
	return map[string]map[string]neutral{
		model.ConfigFile: union(
			all(read, "architectures", "model_type", "auto_map", "trust_remote_code", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
				"head_dim", "intermediate_size", "vocab_size", "max_position_embeddings", "rms_norm_eps", "initializer_range", "tie_word_embeddings",
				"bos_token_id", "eos_token_id", "pad_token_id", "rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "rope_interleaved",
				"attention_bias", "mlp_bias", "hidden_act", "quantization_config", "compression_config", "sliding_window", "layer_types", "num_labels", "id2label",
				"is_encoder_decoder", "add_cross_attention", "use_bidirectional_attention", "pruned_heads"),
			// It counts with the rope types that stretch from it, and is read there.
			all(read, "original_max_position_embeddings"),
			sampling,
			all(aboutFile, "transformers_version", "_name_or_path", "name_or_path", "_commit_hash", "unsloth_version", "unsloth_fixed", "is_llama_config", "is_decoder",
				"base_model_name_or_path", "finetuning_task"),
			all(runtime, "torch_dtype", "dtype", "use_bfloat16", "torchscript", "gradient_checkpointing", "_attn_implementation", "_attn_implementation_autoset",
				"attn_implementation", "pretraining_tp", "chunk_size_feed_forward", "tf_legacy_loss"),
			all(oneLabel, "label2id", "problem_type"),
			all(notUsed, "max_window_layers", "_sliding_window_pattern", "attn_logit_softcapping", "tokenizer_class", "prefix", "cross_attention_hidden_size", "tie_encoder_decoder", "decoder_start_token_id", "sep_token_id"),
			only(notUsed, off, "use_sliding_window"),
			only("nothing is dropped at random here", zero, "attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "classifier_dropout", "hidden_dropout_prob"),
			only("switched off", []string{"{}", "[]"}, "task_specific_params", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens"),
		),
		model.GenerationFile: union(
			all(read, "eos_token_id"),
			sampling,
			all(aboutFile, "transformers_version", "_from_model_config", "_name_or_path"),
			all(batching, "pad_token_id"),
			all("templates write what begins a text", "bos_token_id"),
			all(notUsed, "decoder_start_token_id"),
		),
		tokenizer.ConfigFile: union(
			all(read, "auto_map", "trust_remote_code", "chat_template", "bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token",
				"additional_special_tokens", "extra_special_tokens", "added_tokens_decoder", "tokenizer_class", "split_special_tokens", "add_prefix_space"),
			all("its post_processor in tokenizer.json decides, as in transformers; without that file add_bos_token is read", "add_bos_token", "add_eos_token"),
			all(ownCode, "backend", "use_fast", "legacy", "processor_class", "from_slow"),
			all(aboutFile, "name_or_path", "is_local", "local_files_only", "special_tokens_map_file", "tokenizer_file", "vocab_file", "merges_file", "sp_model_kwargs", "unsloth_version"),
			all(lengthOfOther, "model_max_length", "max_length", "stride", "truncation_strategy", "truncation_side", "truncation"),
			all(batching, "padding_side", "padding", "pad_to_multiple_of", "pad_token_type_id", "pad_token_id", "model_input_names", "return_token_type_ids"),
			all(decoding, "clean_up_tokenization_spaces", "spaces_between_special_tokens", "errors"),
			all("prompts are criticrm's own", "response_schema", "use_default_system_prompt"),
			all("the normalizer of tokenizer.json decides, as in transformers", "do_lower_case"),
		),
		tokenizer.SpecialFile: all(read, "bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token", "additional_special_tokens", "extra_special_tokens"),
	}
}

// UnreadKeys tells of every key in a directory's files that nothing reads and that may change what the model computes.
func UnreadKeys(dir string) (notes []string, err error) {
	known := knownKeys()
	config, configErr := model.LoadConfig(dir) // what is wrong with it is told by those who open it
	for _, file := range slices.Sorted(maps.Keys(known)) {
		path := filepath.Join(dir, file)
		b, err := safefile.Read(path, tokenizer.MaxConfigFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = strictjson.Read(b, func(r *strictjson.Reader) error {
				return r.Object(func(key string) error {
					raw, err := r.Raw()
					if value := string(bytes.TrimSpace(raw)); err == nil && !known[file][key].covers(value) && !tokenName(file, key) &&
						!(file == model.ConfigFile && configErr == nil && config.Reads(key)) {
						notes = append(notes, fmt.Sprintf("%s: warning: nothing here reads %.60q (%.60s)", path, key, value))
					}
					return err
				})
			})
			if err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("modeldir: %w", err)
		}
	}
	return notes, nil
}

func (n neutral) covers(value string) bool {
	return value == "null" || n.why != "" && (n.values == nil || slices.Contains(n.values, value))
}

// tokenName tells names of special tokens beside the usual ones: they are variables of templates.
func tokenName(file, key string) bool {
	return (file == tokenizer.ConfigFile || file == tokenizer.SpecialFile) && strings.HasSuffix(key, "_token")
}
