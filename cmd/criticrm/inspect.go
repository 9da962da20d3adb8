package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"criticrm/checkpoint"
	"criticrm/convert"
	"criticrm/corpus"
	"criticrm/critic"
	"criticrm/model"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/tokenizer"
)

func newInspect() *cobra.Command {
	var text string
	var generation, verify bool
	var layout record.Layout
	cmd := &cobra.Command{
		Use:   "inspect PATH",
		Short: "Show what a model, checkpoint, safetensors or records file holds",
		Long: `inspect tells by content what PATH is:
  model directory      architecture, tokenizer, tensors; with --text the token ids of a rendered conversation
  checkpoint           a step directory (every hash is verified), or a directory of steps or a run: the list of them
  .safetensors         tensors and metadata
  GGUF file            metadata and tensors
  file of rows         records per category, critiques, what is kept, duplicates and contradictory labels; JSON Lines, JSON, CSV, TSV or
                       Parquet, a folder of them, a pattern, a list, or - for standard input`,
		Example: `  criticrm inspect run/model
  criticrm inspect run/model --text 'What is 12 + 30?'
  criticrm inspect run/model --text '[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]' --generation=false
  criticrm inspect run/checkpoints
  criticrm inspect 2.jsonl`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return inputError{fmt.Errorf("want one PATH, got %d (see '%s --help')", len(args), cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path, w := args[0], cmd.OutOrStdout()
			if err := asEither(cmd, &path); err != nil {
				return err
			}
			info, err := os.Stat(path)
			if path == "-" || err == nil && !info.Mode().IsRegular() && !info.IsDir() || errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(path, ",:*?[") {
				return begin(showRecords(cmd.Context(), w, path, layout, cmd.InOrStdin()))
			}
			if err != nil {
				return inputError{err}
			}
			if text != "" {
				if err := asModelDir(cmd, &path); err != nil {
					return err
				}
			}
			has := func(name string) bool { _, err := os.Stat(filepath.Join(path, name)); return err == nil }
			switch {
			case text != "":
				err = showConversation(w, path, text, generation)
			case !info.IsDir() && strings.HasSuffix(path, ".safetensors"):
				err = showSafetensors(w, path)
			case convert.IsGGUF(path):
				err = showGGUF(w, path)
			case !info.IsDir():
				err = showRecords(cmd.Context(), w, path, layout, cmd.InOrStdin())
			case has("manifest.json"):
				err = showStep(w, path)
			case has(model.ConfigFile), model.IsAdapter(path):
				err = showModel(w, path)
			case has("checkpoints"):
				err = showSteps(w, filepath.Join(path, "checkpoints"), verify)
			default:
				if steps, listed := checkpoint.List(path); listed == nil && len(steps) == 0 && record.HasData(path) {
					err = showRecords(cmd.Context(), w, path, layout, cmd.InOrStdin())
				} else {
					err = showSteps(w, path, verify)
				}
			}
			return begin(err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&text, "text", "", "model directory: print the ids of this user message, or of a JSON array of messages")
	f.BoolVar(&generation, "generation", true, "with --text: up to where the model is to write")
	bindTable(cmd, &layout)
	f.BoolVar(&verify, "verify", false, "directory of steps: read every file and verify its hash")
	return cmd
}

func showModel(w io.Writer, dir string) error {
	c, err := model.LoadConfig(dir)
	if err != nil {
		return err
	}
	c = c.WithDefaults()
	base, err := modeldir.BaseOf(dir)
	if err != nil {
		return err
	}
	d, err := checkpoint.OpenModelDir(base)
	if err != nil {
		return err
	}
	defer d.Close()
	tensors := d.Tensors()
	texts := modeldir.TextsOf(dir, base)
	fmt.Fprintf(w, "model %s: %s, %d layers, hidden %d, ffn %d, %d heads on %d key heads, vocabulary %d, %d positions, tied %v\n", dir, c.ModelType,
		c.NumHiddenLayers, c.HiddenSize, c.IntermediateSize, c.NumAttentionHeads, c.NumKeyValueHeads, c.VocabSize, c.MaxPositionEmbeddings, c.TieWordEmbeddings)
	head := "none"
	if d.Has("score.weight") {
		head = "score.weight"
	}
	if f, err := checkpoint.OpenSafetensors(filepath.Join(dir, model.HeadFile)); err == nil {
		head = model.HeadFile
		if f.Has(model.DeepHead[0]) {
			head += " (a hidden layer: read, not trained)"
		}
		tensors = append(tensors, f.Tensors()...)
		f.Close()
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if base != dir {
		f, err := checkpoint.OpenSafetensors(filepath.Join(dir, model.AdapterFile))
		if err != nil {
			return err
		}
		tensors = append(tensors, f.Tensors()...)
		f.Close()
		l, err := model.ReadAdapter(dir)
		if err != nil {
			return err
		}
		if f.Has("base_model.model.score.weight") {
			head = model.AdapterFile
		}
		fmt.Fprintf(w, "adapter: LoRA of rank %d, alpha %g, on %s; its base is %s\n", l.Rank, l.Alpha, l.Targets, base)
	}
	fmt.Fprintf(w, "reward head: %s\n", head)
	if err := showFacts(w, dir); err != nil {
		return err
	}
	notes, err := modeldir.UnreadKeys(texts)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(w, note)
	}
	t, err := tokenizer.Load(texts)
	if err != nil {
		fmt.Fprintf(w, "tokenizer: %v\n", err)
	} else {
		if err := showEnds(w, texts, c, t); err != nil {
			return err
		}
		if _, err := tokenizer.LoadChat(texts, t, tokenizer.ChatOptions{}); err != nil {
			fmt.Fprintf(w, "chat template: %v\n", err)
		} else {
			fmt.Fprintln(w, "chat template: yes")
		}
	}
	return showTensors(w, tensors)
}

// showEnds tells what ends a text, and which file says so.
func showEnds(w io.Writer, dir string, c model.Config, t *tokenizer.Tokenizer) error {
	special, err := tokenizer.LoadSpecial(dir, t)
	if err != nil {
		return err
	}
	ends, err := modeldir.Ends(dir, c, t, special)
	if err != nil {
		return err
	}
	for _, note := range special.Notes {
		fmt.Fprintf(w, "%s: %s\n", dir, note)
	}
	var list []string
	for _, e := range ends {
		list = append(list, fmt.Sprintf("%d %s (%s)", e.ID, t.Token(e.ID), strings.Join(e.From, ", ")))
	}
	_, err = fmt.Fprintf(w, "tokenizer: %d tokens; end tokens: %s\n", t.VocabSize(), strings.Join(list, "; "))
	return err
}

// showFacts tells what a trained model says of itself.
func showFacts(w io.Writer, dir string) error {
	f, found, err := modeldir.ReadFacts(dir)
	if err != nil || !found {
		return err
	}
	fmt.Fprintf(w, "trained by %s: method %s, rewards at the %s", cmp.Or(f.Program, "an older criticrm"), f.Method, f.HeadPosition)
	if f.PromptsHash != "" {
		fmt.Fprintf(w, ", prompts %s", f.PromptsHash)
	}
	if f.Scale != nil {
		fmt.Fprintf(w, ", scores from %d to %d", f.Scale.Min, f.Scale.Max)
	}
	if f.MaxTokens > 0 {
		fmt.Fprintf(w, ", critiques of at most %d tokens", f.MaxTokens)
	}
	if f.MaxLength > 0 {
		fmt.Fprintf(w, ", at most %d tokens (%s)", f.MaxLength, f.Overlong)
	}
	fmt.Fprintln(w)
	if f.Warning != "" {
		fmt.Fprintf(w, "warning: %s\n", f.Warning)
	}
	for _, d := range f.Data {
		fmt.Fprintf(w, "data (%s): %s, %d of %d rows, sha256 %.12s…\n", d.Use, d.Name, d.Used, d.Rows, d.SHA256)
	}
	return nil
}

func showTensors(w io.Writer, tensors []checkpoint.TensorInfo) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	var elements, bytes int64
	what := "parameters"
	for _, x := range tensors {
		n := int64(1)
		for _, d := range x.Shape {
			n *= d
		}
		elements += n
		if x.DType == "U8" { // bits of weights, and their parameters are others
			what = "numbers as they are stored"
		}
		size, err := x.Bytes()
		if err != nil {
			return err
		}
		bytes += size
		fmt.Fprintf(t, "%s\t%s\t%v\n", x.Name, x.DType, x.Shape)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d tensors, %d %s, %d bytes\n", len(tensors), elements, what, bytes)
	return err
}

func showSafetensors(w io.Writer, path string) error {
	f, err := checkpoint.OpenSafetensors(path)
	if err != nil {
		return err
	}
	defer f.Close()
	meta := f.Metadata()
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		fmt.Fprintf(w, "metadata %q: %q\n", k, meta[k])
	}
	return showTensors(w, f.Tensors())
}

// showStep reads a whole checkpoint, so that what it prints is known to be intact.
func showStep(w io.Writer, path string) error {
	var m *checkpoint.Manifest
	keep := func(read *checkpoint.Manifest) error { m = read; return nil }
	if err := checkpoint.LoadEach(path, keep, nil); err != nil {
		return err
	}
	stored, raw := m.Sizes()
	fmt.Fprintf(w, "checkpoint of step %d: %d files, %d bytes stored, %d raw (%.1f %%); every hash is right\n", m.Step, len(m.Files), stored, raw, 100*float64(stored)/float64(max(raw, 1)))
	var state map[string]json.RawMessage
	if json.Unmarshal(m.Meta, &state) == nil {
		for _, k := range []string{"updates", "consumed", "examples", "tokens", "skipped", "data_hash"} {
			if v, ok := state[k]; ok {
				fmt.Fprintf(w, "%s: %s\n", k, v)
			}
		}
	}
	var infos []checkpoint.TensorInfo
	for _, f := range m.Files {
		for _, p := range f.Tensors {
			if p.Begin == 0 {
				infos = append(infos, checkpoint.TensorInfo{Name: p.Name, DType: p.DType, Shape: p.Shape})
			}
		}
	}
	return showTensors(w, infos)
}

func showSteps(w io.Writer, dir string, verify bool) error {
	list, err := checkpoint.List(dir)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("%s: neither a model directory nor checkpoints: no config.json, no step-…", dir)
	}
	for _, e := range list {
		what := "complete"
		if err := e.Err; err != nil {
			what = err.Error()
		} else if verify {
			if what = "verified"; checkpoint.Verify(e.Path) != nil {
				what = checkpoint.Verify(e.Path).Error()
			}
		}
		fmt.Fprintf(w, "%s: step %d, %d bytes, %s\n", e.Path, e.Step, e.Stored, what)
	}
	return nil
}

// maxBad is how many bad rows inspect passes over.
const maxBad = 1000

func showRecords(ctx context.Context, w io.Writer, path string, layout record.Layout, stdin io.Reader) error {
	drops, stats := critic.NewDropStats(), critic.NewCritiqueStats(critic.DefaultScale())
	given, rewards := 0, 0
	read := record.ReadOptions{MaxLine: 1 << 30, MaxBad: maxBad, Layout: layout, Stdin: stdin}
	f, err := corpus.Scan(ctx, path, corpus.Options{Read: read}, func(rec *record.Record) error {
		drops.Observe(rec)
		stats.Observe(rec)
		for _, side := range rec.Sides() {
			if *rec.SideReward(side) != nil {
				rewards++
			}
			for _, c := range *rec.SideCritiques(side) {
				if c.Origin == record.OriginGiven {
					given++
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintf(w, "%s: %v\n", path, f.Schema)
	for _, err := range f.Unsound {
		fmt.Fprintf(w, "warning: %v\n", err)
	}
	if n := f.BadRows; n > 0 {
		fmt.Fprintf(w, "rows: %d, of which %d are bad and counted nowhere below\n", drops.Records+n, n)
	}
	fmt.Fprintf(w, "records: %v\n", drops)
	if stats.Critiques > 0 || given > 0 {
		fmt.Fprintf(w, "critiques: %v; %d given\n", stats, given)
	}
	if rewards > 0 {
		fmt.Fprintf(w, "rewards: %d of %d responses\n", rewards, stats.Responses)
	}
	for _, g := range slices.Sorted(maps.Keys(f.Categories)) {
		fmt.Fprintf(w, "category %q: %d\n", g, f.Categories[g])
	}
	for _, kind := range slices.Sorted(maps.Keys(f.Duplicates)) {
		fmt.Fprintf(w, "%s: %d\n", kind, f.Duplicates[kind])
	}
	for i, issue := range f.Issues {
		if i == 10 {
			fmt.Fprintln(w, "  …")
			break
		}
		fmt.Fprintf(w, "  %v\n", issue)
	}
	for _, n := range f.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	for _, n := range f.Found.BadLines(path, "") {
		fmt.Fprintln(w, n)
	}
	return nil
}

// showConversation prints text and ids of a conversation as training and scoring see it.
func showConversation(w io.Writer, dir, text string, generation bool) error {
	d, err := modeldir.Open(dir, modeldir.Given{})
	if err != nil {
		return err
	}
	if d.Chat == nil {
		return d.ChatErr
	}
	t, chat := d.Tok, d.Chat
	messages := []tokenizer.Message{{Role: "user", Content: text}}
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		if messages, err = record.ParseMessages([]byte(text)); err != nil {
			return fmt.Errorf("--text: want a JSON array of {role, content}: %w", err)
		}
	}
	rendered, err := chat.Text(messages, generation)
	if err != nil {
		return err
	}
	ids, err := chat.Encode(messages, generation)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "text: %q\nids: %s\n", rendered, strings.Join(strings.Fields(fmt.Sprint(ids)), ", "))
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for i, id := range ids {
		kind := ""
		if t.IsSpecial(id) {
			kind = "special"
		}
		fmt.Fprintf(tw, "%d\t%d\t%q\t%s\n", i, id, t.Token(id), kind)
	}
	return tw.Flush()
}
