// Package golden finds the files that hold what Hugging Face transformers and tokenizers compute, for the tests of all packages, and
// says how far a result may lie from them. testdata/golden/README.md describes the files.
package golden

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Set is a folder of golden files and what stands in it.
type Set struct {
	Root       string
	Causal     []string // language models
	Reward     []string // classifiers with one label
	Tokenizers []string // with strings.jsonl
	Chats      []string // with a chat template and chats.jsonl
	Kinds      []string // with many tokenizers, each a .json and a .jsonl
	Adapters   []string // of PEFT, with rewards and the losses of a training

	Stored []string // bases in 4 bits, as bitsandbytes stores them
	Seeing []string // models that see images, of whose text part a model is made

	SentencePiece []string // with many directories that have a tokenizer.model
}

// Dir gives a folder of the set.
func (s Set) Dir(name string) string { return filepath.Join(s.Root, name) }

// repository is what testdata/golden has.
var repository = Set{
	Causal: []string{"llama", "llama_tied", "llama_linear", "llama_dynamic", "llama_yarn", "llama_longrope", "llama_bias", "smollm3", "mistral", "mistral_window", "ministral", "ministral3",
		"qwen2", "qwen3", "gemma2", "gemma3", "phi3", "olmo2", "olmo3", "granite"},
	Reward: []string{"llama_reward", "smollm3_reward", "ministral_reward", "ministral3_reward", "qwen2_reward", "qwen3_reward", "gemma2_reward", "gemma3_reward", "phi3_reward", "olmo2_reward",
		"olmo3_reward"},
	Tokenizers: []string{"tokenizer_llama3", "tokenizer_chatml"},
	Chats:      []string{"tokenizer_llama3", "tokenizer_chatml"},
	Kinds:      []string{"kinds"},
	Adapters:   []string{"lora_llama", "lora_qwen2", "lora_phi3", "lora_embedding", "lora_scaled_embedding"},

	Stored: []string{"nf4_llama"},
	Seeing: []string{"seeing_mistral3", "seeing_gemma3"},

	SentencePiece: []string{"spm"},
}

// shared is a larger set in the same form, which is not part of the repository.
var shared = Set{
	Causal:     []string{"llama", "llama_tied", "mistral", "llama_text"},
	Reward:     []string{"llama_reward"},
	Tokenizers: []string{"tokenizer_llama3"},
	Chats:      []string{"llama_text"},
}

// Each runs a test on the repository's set and, where there is one, on the shared set.
func Each(t *testing.T, test func(t *testing.T, s Set)) {
	t.Helper()
	t.Run("repository", func(t *testing.T) { test(t, Repository(t)) })
	t.Run("shared", func(t *testing.T) {
		s := shared
		s.Root = filepath.Join(Shared(t, "golden"), "golden")
		test(t, s)
	})
}

// Repository gives the set that is part of the repository.
func Repository(t testing.TB) Set {
	t.Helper()
	s := repository
	s.Root = filepath.Join(root(t), "testdata", "golden")
	return s
}

// Shared gives the folder named by CRITICRM_SHARED, by default the folder "shared" beside the checkout, and skips the test where one
// of the names is missing there.
func Shared(t testing.TB, names ...string) string {
	t.Helper()
	dir := os.Getenv("CRITICRM_SHARED")
	if dir == "" {
		dir = filepath.Join(root(t), "..", "shared")
	}
	for _, n := range names {
		if _, err := os.Stat(filepath.Join(dir, n)); err != nil {
			t.Skipf("only with further files, in the folder that CRITICRM_SHARED names: %v", err)
		}
	}
	return dir
}

// Python gives the Python that "make golden" installs, or the one that CRITICRM_PYTHON names, and skips the test where it lacks one of the
// modules.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	python := os.Getenv("CRITICRM_PYTHON")
	if python == "" {
		python = filepath.Join(root(t), "build", "golden", "bin", "python")
	}
	if err := exec.Command(python, "-c", "import "+strings.Join(modules, ", ")).Run(); err != nil {
		t.Skipf("only with Python's %s ('make golden' installs transformers, or CRITICRM_PYTHON names a Python that has it): %v", strings.Join(modules, ", "), err)
	}
	return python
}

// root is where go.mod is: tests run in the folder of their package.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the folder of the test")
		}
		dir = parent
	}
}

// Tolerance reads a model's error.json: how far each kind of value may lie from the stored one, in parts of the largest stored value.
// A stored value is off by at most the error e of plain implementations in float32, and so may ours be off by 2e: 3e in float32. In
// bfloat16 that of the stored value is nothing beside ours: 2e.
func Tolerance(t testing.TB, dir, precision string) map[string]float64 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "error.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e map[string]map[string]float64
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	factor := map[string]float64{"float32": 3, "bfloat16": 2}[precision]
	if factor == 0 || len(e[precision]) == 0 {
		t.Fatalf("%s: error.json has no errors of %s", dir, precision)
	}
	tol := map[string]float64{}
	for kind, v := range e[precision] {
		tol[kind] = factor * v
	}
	return tol
}

// Near wants |got - want| ≤ tol·max|want|, everything finite.
func Near(t testing.TB, name string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	var most, worst float64
	at := 0
	for i := range want {
		most = max(most, math.Abs(float64(want[i])))
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if !(d <= math.MaxFloat64) { // neither NaN nor an infinity, on either side
			t.Errorf("%s[%d]: got %v, want %v", name, i, got[i], want[i])
			return
		}
		if d > worst {
			worst, at = d, i
		}
	}
	if worst > tol*most {
		t.Errorf("%s[%d]: got %v, want %v: off by %.3g of the largest value, tolerance %.3g", name, at, got[at], want[at], worst/most, tol)
	}
}
