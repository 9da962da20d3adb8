package modeldir

import (
	"slices"

	"criticrm/checkpoint"
	"criticrm/hub"
	"criticrm/model"
)

// Parts are the names of the files that a model on Hugging Face's hub is taken with: all that is read of a directory, adapters and heads of
// other trainers included, which are converted or refused by name, and the card, which has the licence.
func Parts() hub.Parts {
	return hub.Parts{
		Sealed:  FactsFile,
		Config:  model.ConfigFile,
		Adapter: model.AdapterConfigFile,
		Whole:   checkpoint.WholeFile,
		Index:   checkpoint.IndexFile,
		Others: slices.Concat(copied(), []string{CardFile, FactsFile, model.HeadFile, model.AdapterConfigFile, model.AdapterFile,
			"value_head.safetensors"}),
	}
}
