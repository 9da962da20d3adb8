package trainer

import (
	"fmt"
	"slices"
	"strings"
)

// foreign is a setting of other trainers that has no counterpart here. Values that mean what this trainer does anyway are understood, so
// that a command line or recipe can be taken over as it is; others are refused with what to do instead.
type foreign struct {
	name    string
	aliases []string
	fine    []string // values that change nothing; booleans make the flag a switch
	instead string   // VALUE stands for what was given
}

const (
	noQuantised = "weights of 8 bits are not built: load_in_4bit keeps the base of an adapter in 4"
	oneDevice   = "start several processes with nproc, or by mpirun and srun, and divide what they keep with zero_stage"
)

var (
	off      = []string{"false"}
	anything = []string{"*"} // it changes no result here, whatever it is
)

// foreigns is the table: Hugging Face's TrainingArguments, TRL's RewardConfig and ModelConfig, OpenRLHF and LLaMA-Factory.
var foreigns = []foreign{
	{"fp16", nil, off, "float16 is not built: use bf16, which needs no loss scaling"},
	{"tf32", nil, off, "products are in float32, or with bf16 in bfloat16 with float32 sums"},
	{"dtype", []string{"torch_dtype", "model_init_dtype"}, []string{"float32", "auto"}, "use bf16 for bfloat16 weights"},
	{"attn_implementation", []string{"flash_attn"}, anything, ""},
	{"use_liger_kernel", []string{"enable_liger_kernel"}, anything, ""},
	{"packing", []string{"packing_samples", "neat_packing"}, anything, ""},
	{"group_by_length", nil, off, "batches have no padding to save; use data_order"},
	{"remove_unused_columns", nil, anything, ""},
	{"do_train", nil, []string{"true"}, "train trains; use eval to measure"},
	{"do_eval", nil, []string{"true"}, "give eval_file to measure while training"},
	{"logging_strategy", nil, []string{"steps"}, "use logging_steps N"},
	{"dataloader_num_workers", []string{"preprocessing_num_workers", "dataset_num_proc", "dataloader_pin_memory"}, anything, ""},
	{"dataloader_drop_last", nil, off, "the last update of an epoch has what is left"},
	{"run_name", []string{"logging_dir", "per_device_eval_batch_size", "gradient_checkpointing_kwargs", "torch_compile", "logging_first_step", "hub_model_id", "project"}, anything, ""},
	{"lr_scheduler_kwargs", nil, []string{"{}"}, "use min_lr_ratio, stable_fraction and warmup_ratio"},
	{"data_seed", nil, nil, "seed is that of the data order, too"},
	{"overwrite_output_dir", nil, off, "give another output_dir, or resume: a run is never overwritten"},
	{"push_to_hub", nil, off, "the model is a Hugging Face directory with its card: upload output_dir/model yourself (hf upload)"},
	{"disable_dropout", nil, []string{"true"}, "there is no dropout"},
	{"use_peft", nil, off, "give lora_r, the rank, which trains an adapter"},
	{"finetuning_type", nil, []string{"full"}, "give lora_r for an adapter, freeze or freeze_trainable_layers for a part of the parameters"},
	{"lora_dropout", nil, []string{"0", "0.0", "0."}, "adapters have no dropout: leave it out, or give 0"},
	{"lora_task_type", nil, anything, ""},
	{"lora_modules_to_save", []string{"additional_target"}, []string{"score", "classifier", "[]"}, "the reward head is trained and saved beside the adapter, nothing else is"},
	{"use_dora", []string{"use_qalora", "pissa_init"}, off, "plain and rank-stabilised LoRA are built"},
	{"lora_bias", nil, []string{"none", "false"}, "biases are not trained beside an adapter"},
	{"load_in_8bit", nil, off, noQuantised},
	{"quantization_bit", nil, nil, "use load_in_4bit"},
	{"bnb_4bit_quant_type", nil, []string{"nf4"}, "weights of 4 bits are NF4"},
	{"use_bnb_nested_quant", []string{"bnb_4bit_use_double_quant"}, []string{"true"}, "maxima of blocks are always quantised, too"},
	{"bnb_4bit_compute_dtype", nil, anything, ""},
	{"deepspeed", []string{"fsdp", "fsdp_config", "ddp_timeout", "ddp_find_unused_parameters", "local_rank"}, nil, oneDevice},
	{"prompt_key", []string{"data.prompt_key"}, []string{"prompt", "none"}, "use columns prompt=VALUE"},
	{"chosen_key", []string{"data.chosen_key"}, []string{"chosen"}, "use columns chosen=VALUE"},
	{"rejected_key", []string{"data.rejected_key"}, []string{"rejected"}, "use columns rejected=VALUE"},
	{"dataset_config", []string{"dataset_train_split", "dataset_test_split", "dataset_dir"}, nil, "train_file names the split: owner/name/train on the hub, or its files, as data/train*.parquet"},
	{"trust_remote_code", nil, off, "no code of a model directory is ever run"},
	{"model_revision", nil, []string{"main"}, "write it behind the model's name: owner/name@revision"},
}

// Foreign says whether a key is a setting of other trainers; err tells what is to be done instead.
func (*Config) Foreign(name, value string) (known bool, err error) {
	for _, f := range foreigns {
		if f.name != name && !slices.Contains(f.aliases, name) {
			continue
		}
		if slices.Contains([]string{"", "null", "~"}, strings.ToLower(value)) || slices.Contains(f.fine, "*") || slices.Contains(f.fine, strings.ToLower(value)) {
			return true, nil
		}
		return true, fmt.Errorf("%s: got %q, which is not done here: %s", name, value, strings.ReplaceAll(f.instead, "VALUE", value))
	}
	return false, nil
}

// ForeignNames are the keys that Foreign knows; those of switches are true.
func (*Config) ForeignNames() map[string]bool {
	names := map[string]bool{}
	for _, f := range foreigns {
		isSwitch := slices.Contains(f.fine, "false") || slices.Contains(f.fine, "true")
		for _, name := range append([]string{f.name}, f.aliases...) {
			names[name] = isSwitch
		}
	}
	return names
}
