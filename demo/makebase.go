package demo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/render"
	"criticrm/tokenizer"
	"criticrm/trainer"
)

// BaseOptions say how the base model is made. The shipped one was made with DefaultBaseOptions.
type BaseOptions struct {
	Seed        uint64
	DrillSteps  int               // updates of the first stage
	LessonSteps int               // updates of the second
	Documents   int               // per update
	Report      func(line string) // progress, a line at a time

	making string // where the stages' checkpoints are until the model is made
}

// DefaultBaseOptions is the recipe of the shipped base model.
func DefaultBaseOptions() BaseOptions {
	return BaseOptions{Seed: 1, DrillSteps: 1200, LessonSteps: 800, Documents: 96}
}

// making is the folder of a base model's directory that holds checkpoints while it is made.
const making = ".making"

// MakeBase trains the demo's base model on a device from nothing and writes it to dir in Hugging Face layout. The same options give the same
// bytes on the same type of machine, whatever the number of threads and of interruptions: the same call goes on with what is in dir.
func MakeBase(ctx context.Context, dev *kernels.Device, dir string, o BaseOptions) error {
	if o.Report == nil {
		o.Report = func(string) {}
	}
	tok, err := trainTokenizer(o.Seed)
	if err != nil {
		return err
	}
	if tok.VocabSize() > baseVocab {
		return fmt.Errorf("demo: base: %d tokens for %d rows", tok.VocabSize(), baseVocab)
	}
	o.Report(fmt.Sprintf("tokenizer: %d tokens", tok.VocabSize()))
	m, err := model.New(dev, baseConfig(tok), model.Options{DType: kernels.F32, Train: true}, o.Seed)
	if err != nil {
		return err
	}
	defer m.Close()
	initialize(m, o.Seed)
	o.making = filepath.Join(dir, making)
	for _, s := range baseStages(tok, o) {
		if err := runBaseStage(ctx, m, tok, s, o, probe); err != nil {
			return err
		}
	}
	if err := saveBase(m, tok, dir); err != nil {
		return err
	}
	return os.RemoveAll(o.making)
}

// baseConfig is the base model's shape: 0.59 million parameters.
func baseConfig(t *tokenizer.Tokenizer) model.Config {
	id := func(token string) int32 { v, _ := t.ID(token); return v }
	pad, bos := id(tokenPad), id("<|user|>")
	return model.Config{
		VocabSize: baseVocab, HiddenSize: 128, IntermediateSize: 320, NumHiddenLayers: 3, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 32,
		RMSNormEps: 1e-5, Rope: model.Rope{Type: "default", Theta: 1e4}, MaxPositionEmbeddings: baseContext, TieWordEmbeddings: true,
		PadTokenID: &pad, BOSTokenID: &bos, EOSTokenIDs: []int32{id(tokenEnd)},
	}
}

// initialize draws matrices from N(0, 1/inputs), those that write to the residual stream smaller by the root of their number,
// and embeddings from N(0, 0.05²).
func initialize(m *model.Model, seed uint64) {
	for i, p := range m.Params() {
		if p.Kind == model.Norm || p.Kind == model.Head {
			continue
		}
		sd := .05
		if p.Kind == model.Matrix {
			sd = 1 / math.Sqrt(float64(p.Shape[1]))
			if strings.HasSuffix(p.Name, "o_proj.weight") || strings.HasSuffix(p.Name, "down_proj.weight") {
				sd /= math.Sqrt(2 * float64(m.Config.NumHiddenLayers))
			}
		}
		r := stream(seed, "initialize", i)
		w := make([]float32, p.W.Len())
		for j := range w {
			w[j] = float32(sd * r.NormFloat64())
		}
		m.Dev.Upload(p.W, w)
	}
}

// baseTraining is what all stages of all bases share.
func baseTraining(seed uint64) trainer.Config {
	c := trainer.Default()
	c.Method, c.DataOrder = trainer.LM, "sequential"
	c.Accumulation, c.Epochs = 1, 1
	c.Scheduler, c.MinLRRatio = "linear", .02
	c.Beta1, c.Beta2, c.WeightDecay = .9, .98, .1
	c.LoggingSteps, c.SaveSteps, c.Seed = 0, 0, seed
	return c
}

type baseStage struct {
	name     string
	config   trainer.Config
	document func(i int) document
}

func baseStages(tok *tokenizer.Tokenizer, o BaseOptions) []baseStage {
	c := baseTraining(o.Seed)
	c.BatchSize, c.WarmupSteps = o.Documents, 150
	drills, lessons := c, c
	drills.MaxSteps, drills.LearningRate, drills.StableFraction = o.DrillSteps, 3e-3, .8
	lessons.MaxSteps, lessons.LearningRate, lessons.StableFraction = o.LessonSteps, 2e-3, .3
	return []baseStage{
		{"drills", drills, func(i int) document { return drill(tok, o.Seed, i) }},
		{"lessons", lessons, func(i int) document { return lesson(tok, baseFaults, o.Seed, i) }},
	}
}

// documents is the stage's training data: document i is drawn when it is asked for.
type documents struct {
	n  int
	at func(i int) document
}

func (d documents) Len() int { return d.n }

func (d documents) Example(i int) (render.Example, error) {
	doc := d.at(i)
	return render.Example{ID: fmt.Sprint(i), Document: render.Branch{IDs: doc.IDs, Weight: doc.Weights}}, nil
}

// Hash tells the documents of one stage from those of another, by the first of them.
func (d documents) Hash() (string, error) {
	h := sha256.New()
	for i := range min(d.n, 64) {
		doc := d.at(i)
		if err := errors.Join(binary.Write(h, binary.LittleEndian, doc.IDs), binary.Write(h, binary.LittleEndian, doc.Weights)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func saveBase(m *model.Model, tok *tokenizer.Tokenizer, dir string) error {
	if err := m.SaveCausalLM(dir); err != nil {
		return err
	}
	if err := tok.Save(filepath.Join(dir, "tokenizer.json")); err != nil {
		return err
	}
	if err := checkpoint.WriteFileAtomic(filepath.Join(dir, "chat_template.jinja"), []byte(chatTemplate)); err != nil {
		return err
	}
	config := `{
  "tokenizer_class": "PreTrainedTokenizerFast",
  "bos_token": "<|user|>",
  "eos_token": "<|end|>",
  "pad_token": "<|pad|>",
  "model_max_length": 512,
  "clean_up_tokenization_spaces": false
}
`
	return checkpoint.WriteFileAtomic(filepath.Join(dir, "tokenizer_config.json"), []byte(config))
}

// prober says in words how far a base model is.
type prober func(ctx context.Context, m *model.Model, tok *tokenizer.Tokenizer, seed uint64) (string, error)

// runBaseStage trains one stage, or goes on with it, and reports a probe at every tenth of it.
func runBaseStage(ctx context.Context, m *model.Model, tok *tokenizer.Tokenizer, s baseStage, o BaseOptions, probe prober) error {
	n := s.config.MaxSteps
	s.config.OutputDir, s.config.Resume, s.config.SaveSteps, s.config.SaveTotalLimit = filepath.Join(o.making, s.name), "auto", max(n/10, 1), 1
	var failed error
	report := trainer.Report{OnStep: func(t trainer.Metrics) {
		if t.Step%max(n/10, 1) != 0 && t.Step != n {
			return
		}
		line, err := probe(ctx, m, tok, o.Seed)
		if err != nil {
			failed = err
			return
		}
		o.Report(fmt.Sprintf("%s %5d/%d  loss %.4f  %.2fM tokens  %.0f tokens/s  %s", s.name, t.Step, n, t.CritiqueLoss, float64(t.NumTokens)/1e6, t.TokensPerSecond, line))
	}}
	if _, err := trainer.Train(ctx, m, documents{n * o.Documents, s.document}, s.config, trainer.WithReport(report)); err != nil {
		return err
	}
	return failed
}

// probe asks for the likeliest critique of validation replies: the share whose reasoning, up to the verdict, is without a fault,
// and the share with the right verdict, for each kind.
func probe(ctx context.Context, m *model.Model, tok *tokenizer.Tokenizer, seed uint64) (string, error) {
	const each = 60
	kinds := []Kind{Chat, Safety, Count, Track}
	var reqs []model.GenRequest
	var want []critique
	for k, kind := range kinds {
		for i := range each {
			r := stream(seed, "probe "+string(kind), i)
			q := drawQuestion(r, kind, -1, Validation)
			p := drawReply(r, &q, i%2 == 0, r.IntN(2) == 0)
			w := writer{tok: tok}
			w.exchange(&q, &p)
			w.special("<|critique|>", 0)
			reqs = append(reqs, model.GenRequest{Prefix: w.doc.IDs, N: 1, Key: uint64(k*each + i)})
			want = append(want, drawCritique(r, &q, &p, noFaults, 1))
		}
	}
	sound, verdict := make([]int, len(kinds)), make([]int, len(kinds))
	err := m.Generate(ctx, reqs, model.GenOptions{MaxTokens: 60, Stop: m.Config.EOSTokenIDs, MaxSequences: 512}, func(i int, s []model.GenSample) {
		text, truth := tok.DecodeText(s[0].IDs), want[i].String()
		reasoning, _, _ := strings.Cut(truth, map[bool]string{true: "Right", false: "Wrong"}[want[i].verdict])
		if strings.HasPrefix(text, reasoning) {
			sound[i/each]++
		}
		if strings.Contains(text, "Right") == want[i].verdict && strings.Contains(text, "Wrong") != want[i].verdict {
			verdict[i/each]++
		}
	})
	if err != nil {
		return "", err
	}
	line := "sound/right verdict"
	for k, kind := range kinds {
		line += fmt.Sprintf("  %s %.2f/%.2f", kind, float64(sound[k])/each, float64(verdict[k])/each)
	}
	return line, nil
}
