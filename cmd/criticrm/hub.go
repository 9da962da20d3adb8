package main

// Names on Hugging Face's hub in the place of paths: every model and every file of rows may be one.

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/convert"
	"criticrm/hub"
	"criticrm/internal/progress"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
)

func newFetch() *cobra.Command {
	kind := "model"
	cmd := &cobra.Command{
		Use:   "fetch NAME…",
		Short: "Get models and data sets from Hugging Face's hub, and print where they are",
		Long: `fetch puts models and data sets into the cache that huggingface_hub has, too (HF_HOME, HF_HUB_CACHE), and prints their paths. Every command does the
same with a name in the place of a path; but what the cache has, they use as it is, while fetch asks for the newest. So a machine without a network
gets what it needs from one that has it: fetch it there, and copy the cache.

Of a model come config.json, the tokenizer, the chat template and the safetensors, or the GGUF file that is named; of a data set the files of one split:
  owner/name              a model, or a data set with one split
  owner/name@revision     a branch, tag or commit
  owner/name/file.gguf    a file of a model
  owner/name/test         a split, a configuration, a folder, a file, or a pattern of files of a data set

HF_TOKEN, or the file that 'hf auth login' writes, is sent to the hub alone; HF_ENDPOINT is another hub; HF_HUB_OFFLINE=1 forbids the network. A
download that was interrupted goes on where it was, and every file is held against its hash.`,
		Example: `  criticrm fetch HuggingFaceTB/SmolLM2-135M-Instruct
  criticrm fetch bartowski/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q8_0.gguf
  criticrm fetch --repo_type dataset trl-lib/ultrafeedback_binarized/train`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return inputError{fmt.Errorf("want a NAME or several (see '%s --help')", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			kinds := map[string]hub.Kind{"model": hub.Model, "dataset": hub.Dataset}
			if kinds[kind] == "" {
				return inputError{fmt.Errorf("--repo_type: got %q, want model or dataset", kind)}
			}
			for _, arg := range args {
				paths, err := fetch(cmd, arg, kinds[kind])
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), strings.Join(paths, "\n"))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&kind, "repo_type", kind, "what the names are of: model or dataset")
	return cmd
}

// fetch gets the newest of what is named.
func fetch(cmd *cobra.Command, arg string, kind hub.Kind) (paths []string, err error) {
	n, ok := hub.Parse(arg, kind)
	if !ok {
		if _, err := os.Stat(arg); err == nil {
			return nil, inputError{fmt.Errorf("%s: is a path here, and needs no fetching (hf://%s is the name)", arg, arg)}
		}
		return nil, inputError{fmt.Errorf("%q: want a name as owner/name (see '%s --help')", arg, cmd.CommandPath())}
	}
	err = withHub(cmd, func(h *hub.Hub) error {
		if n.Kind == hub.Dataset {
			paths, err = h.RefreshData(cmd.Context(), n, record.HubRows())
			return err
		}
		path, err := h.Refresh(cmd.Context(), n, modeldir.Parts())
		if paths = []string{path}; err != nil {
			return err
		}
		return findBase(cmd, path, modeldir.Parts())
	})
	return paths, err
}

// withHub does something with the hub that the environment names, and shows how far downloads are.
func withHub(cmd *cobra.Command, do func(h *hub.Hub) error) error {
	h, err := hub.FromEnv(os.Getenv)
	if err != nil {
		return inputError{err}
	}
	w := cmd.ErrOrStderr()
	meter := progress.New(w)
	defer meter.Close()
	h.Say = func(line string) { fmt.Fprintln(w, line) }
	h.Progress = func(what string, done, total int64) { meter.Bytes("downloading "+what, done, total) }
	return begin(do(h))
}

// asModelDir puts the directory of a model on the hub, or of a converted GGUF file, in the place of its name.
func asModelDir(cmd *cobra.Command, path *string) error {
	return asModelWith(cmd, path, modeldir.Parts())
}

// asLightDir is asModelDir for who reads no weights: where they are not in the cache, they are not fetched.
func asLightDir(cmd *cobra.Command, path *string) error {
	light := modeldir.Parts()
	light.Light = true
	return asModelWith(cmd, path, light)
}

func asModelWith(cmd *cobra.Command, path *string, parts hub.Parts) error {
	if err := asPath(cmd, path, parts); err != nil {
		return err
	}
	dir, err := convert.Dir(cmd.Context(), *path, func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
	if err != nil {
		return begin(err)
	}
	*path = dir
	return nil
}

// asLocal puts the folder or GGUF file of a model on the hub in the place of its name.
func asLocal(cmd *cobra.Command, path *string) error { return asPath(cmd, path, modeldir.Parts()) }

// asPath is asLocal for those parts of the model. Of an adapter its base is looked for, too.
func asPath(cmd *cobra.Command, path *string, parts hub.Parts) error {
	n, ok := hub.Parse(*path, hub.Model)
	if !ok {
		return findBase(cmd, *path, parts)
	}
	if n.Kind != hub.Model {
		return inputError{fmt.Errorf("%s: is the name of a data set, want a model", *path)}
	}
	err := withHub(cmd, func(h *hub.Hub) error {
		found, err := h.Model(cmd.Context(), n, parts)
		if err == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", *path, found)
			*path = found
		}
		return err
	})
	if err != nil {
		return err
	}
	return findBase(cmd, *path, parts)
}

// findBase has the base of an adapter be in the cache, where it is a name on the hub.
func findBase(cmd *cobra.Command, dir string, parts hub.Parts) error {
	if !model.IsAdapter(dir) {
		return nil
	}
	n, ok, err := model.HubBase(dir)
	if err != nil || !ok {
		return begin(err)
	}
	return withHub(cmd, func(h *hub.Hub) error {
		_, err := h.Model(cmd.Context(), n, parts)
		return err
	})
}

// asRows puts the files of data sets on the hub in the place of their names.
func asRows(cmd *cobra.Command, input *string) error {
	found, err := record.Named(*input, func(n hub.Name) (files []string, err error) {
		if n.Kind != hub.Dataset {
			return nil, inputError{fmt.Errorf("%s: is the name of a model, want a data set", n)}
		}
		err = withHub(cmd, func(h *hub.Hub) error {
			files, err = h.Data(cmd.Context(), n, record.HubRows())
			return err
		})
		return files, err
	})
	if err != nil {
		return begin(err)
	}
	*input = found
	return nil
}

// findInputs is asModelDir of a model, and asRows of files.
func findInputs(cmd *cobra.Command, model *string, files ...*string) error {
	if err := asModelDir(cmd, model); err != nil {
		return err
	}
	return findFiles(cmd, files...)
}

func findFiles(cmd *cobra.Command, files ...*string) error {
	for _, input := range files {
		if err := asRows(cmd, input); err != nil {
			return err
		}
	}
	return nil
}

// asEither is asRows for what may be a model, too.
func asEither(cmd *cobra.Command, path *string) error {
	n, ok := hub.Parse(*path, hub.Model)
	if ok && n.Kind == hub.Model {
		err := asLocal(cmd, path)
		var none *hub.NotFoundError
		if err == nil || !errors.As(err, &none) {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: no model, so perhaps a data set\n", *path)
	}
	return asRows(cmd, path)
}

// namesRows marks a flag as one that names files of rows.
func namesRows(f *pflag.FlagSet, name string) {
	flag := f.Lookup(name)
	if flag.Annotations == nil {
		flag.Annotations = map[string][]string{}
	}
	flag.Annotations[rowsNote] = []string{}
}

const rowsNote = "names files of rows"

// findRows has a command look for the files of the flags that name rows before it begins.
func findRows(cmd *cobra.Command) {
	var marked []*pflag.Flag
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, ok := f.Annotations[rowsNote]; ok {
			marked = append(marked, f)
		}
	})
	run := cmd.RunE
	if len(marked) == 0 || run == nil {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, f := range marked {
			if err := findFlag(cmd, f); err != nil {
				return err
			}
		}
		return run(cmd, args)
	}
}

// findFlag puts files in the place of the names in a flag's value.
func findFlag(cmd *cobra.Command, f *pflag.Flag) error {
	value := f.Value
	if in, ok := value.(*inputs); ok { // to set it again would add to it
		value = in.Value
	}
	if several, ok := value.(pflag.SliceValue); ok {
		list := several.GetSlice()
		for i := range list {
			if err := asRows(cmd, &list[i]); err != nil {
				return err
			}
		}
		return several.Replace(list)
	}
	was := value.String()
	is := was
	if err := asRows(cmd, &is); err != nil || is == was {
		return err
	}
	return value.Set(is)
}
