package modeldir

// The model card: README.md beside the weights, which Hugging Face's hub shows.

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"criticrm/checkpoint"
	"criticrm/hub"
	"criticrm/model"
	"criticrm/safefile"
)

// CardFile is the model card.
const CardFile = "README.md"

// cardMark is the line of a card that this program has written, and may write again: one without it is a person's, and stays.
const cardMark = "<!-- Written by criticrm, and again whenever it writes the model. Remove this line to keep the text as it is. -->"

// Parts of a card that are put in by themselves.
const (
	useMark = "<!-- use -->"
	endMark = "<!-- end -->"
)

// Card is what a card says beside the facts of the model.
type Card struct {
	Facts
	Name     string   // of the model, for people
	Base     string   // path of the model that it was trained from
	From     []string // paths of the data
	Settings []string // name: value, of those that are no defaults
	Results  string   // a table in Markdown; "": nothing was measured
}

// front is the beginning of a card, as the hub has it.
type front struct {
	Library     string   `yaml:"library_name"`
	License     string   `yaml:"license,omitempty"`
	LicenseName string   `yaml:"license_name,omitempty"`
	LicenseLink string   `yaml:"license_link,omitempty"`
	Base        string   `yaml:"base_model,omitempty"`
	Relation    string   `yaml:"base_model_relation,omitempty"`
	Datasets    []string `yaml:"datasets,omitempty"`
	Pipeline    string   `yaml:"pipeline_tag"`
	Tags        []string `yaml:"tags"`
}

// Write puts the card into dir, unless the directory that it takes the place of, or dir itself, has one that a person has written: that one
// stays. Names of folders of this machine are not in it.
func (c Card) Write(dir, replaces string) error {
	for _, at := range [...]string{dir, replaces} {
		b, ok, err := readCard(at)
		if err != nil {
			return err
		}
		if ok && !bytes.Contains(b, []byte(cardMark)) {
			if at == dir {
				return nil
			}
			return writeCard(dir, b)
		}
	}
	form := Causal
	if model.IsAdapter(dir) {
		form = PEFT
	}
	text, err := c.text(form)
	if err != nil {
		return err
	}
	return writeCard(dir, text)
}

func writeCard(dir string, text []byte) error {
	if err := checkpoint.WriteFileAtomic(filepath.Join(dir, CardFile), text); err != nil {
		return fmt.Errorf("modeldir: %w", err)
	}
	return nil
}

// maxCard bounds a card, in bytes.
const maxCard = 4 << 20

func readCard(dir string) (b []byte, found bool, err error) {
	b, err = safefile.Read(filepath.Join(dir, CardFile), maxCard)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("modeldir: %w", err)
	}
	return b, true, nil
}

// inForm is what the beginning of a card says of a form: program, tag and how the model is related to its base.
func inForm(form string) (library, pipeline, relation string) {
	switch form {
	case PEFT:
		return "peft", "text-generation", "adapter"
	case Classifier:
		return "transformers", "text-classification", "finetune"
	}
	return "transformers", "text-generation", "finetune"
}

// text is the card.
func (c Card) text(form string) ([]byte, error) {
	f := front{Tags: []string{"reward-model", "criticrm"}}
	var relation string
	f.Library, f.Pipeline, relation = inForm(form)
	if c.Prompts != nil {
		f.Tags = append(f.Tags, "critique", "critic-rm")
	}
	base := f.from(c.Base)
	if f.Base != "" {
		f.Relation = relation
	}
	for _, path := range c.From {
		if n, ok := hub.Of(path); ok && n.Kind == hub.Dataset && !slices.Contains(f.Datasets, n.Repo) {
			f.Datasets = append(f.Datasets, n.Repo)
		}
	}
	head, err := yaml.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("modeldir: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "---\n%s---\n%s\n\n# %s\n\n%s\n\n", head, cardMark, c.Name, c.about(base))
	fmt.Fprintf(&b, "## Use\n\n%s\n%s%s\n\n", useMark, c.use(form), endMark)
	fmt.Fprintf(&b, "## Results\n\n")
	if c.Results == "" {
		fmt.Fprintf(&b, "Nothing was measured on held-out data.\n\n")
	} else {
		fmt.Fprintf(&b, "%s\n", c.Results)
	}
	fmt.Fprintf(&b, "## Data\n\n| use | file | rows | examples | sha256 |\n|---|---|---|---|---|\n")
	for _, d := range c.Data {
		name := d.Name
		if name == "" {
			name = "examples in memory"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | `%s` |\n", d.Use, inTable(name), d.Rows, d.Used, d.SHA256)
	}
	fmt.Fprintf(&b, "\n## Training\n\n%s, method `%s`", c.Program, c.Method)
	if len(c.Settings) == 0 {
		b.WriteString(", with the settings that are defaults.\n")
	} else {
		fmt.Fprintf(&b, "; settings that are no defaults:\n\n```yaml\n%s\n```\n", strings.Join(c.Settings, "\n"))
	}
	if f.License == "" {
		b.WriteString("\n## Licence\n\nThe model it was trained from does not say in its card what its licence is. It binds this one too: write it into `license` above.\n")
	}
	return []byte(b.String()), nil
}

// from fills in what the card of the base model says, and gives the base's name.
func (f *front) from(dir string) (name string) {
	if dir == "" {
		return ""
	}
	if n, ok := hub.Of(dir); ok {
		f.Base = n.Repo
	}
	var base front
	b, _, _ := readCard(dir) // it is told what is not known
	if head, ok := hub.FrontMatter(b); ok {
		var said struct {
			License     yaml.Node `yaml:"license"`
			LicenseName yaml.Node `yaml:"license_name"`
			LicenseLink yaml.Node `yaml:"license_link"`
			Base        yaml.Node `yaml:"base_model"`
		}
		if yaml.Unmarshal(head, &said) == nil {
			base.License, base.LicenseName, base.LicenseLink = said.License.Value, said.LicenseName.Value, said.LicenseLink.Value // "" of lists
			if bytes.Contains(b, []byte(cardMark)) {                                                                              // of a round before
				base.Base = said.Base.Value
			}
		}
	}
	f.License, f.LicenseName, f.LicenseLink = base.License, base.LicenseName, base.LicenseLink
	if f.Base == "" && base.Base != "" {
		f.Base = base.Base
	}
	if f.Base != "" {
		return f.Base
	}
	return hub.Title(dir)
}

// about says in a paragraph what the model is.
func (c Card) about(base string) string {
	what := map[string]string{
		Critic: "A reward model that writes a critique of a response before it scores it (Critic-RM, [arXiv 2411.16646](https://arxiv.org/abs/2411.16646)).",
		Cloud:  "A reward model that writes a critique of a response before it scores it (CLoud, [arXiv 2408.11791](https://arxiv.org/abs/2408.11791)).",
		BT:     "A scalar reward model (Bradley–Terry), whose reward is read at the end of the response.",
		SFT:    "A model that was fine-tuned on answers or critiques. It has no rewards of its own.",
		LM:     "A language model that was trained further on documents. It has no rewards of its own.",
	}[c.Method]
	if base != "" {
		what += " Trained from `" + base + "`."
	}
	if c.rewards() {
		what += " Only differences between rewards of responses to the same prompt mean something."
	}
	if c.Prompts != nil && c.Scale != nil {
		what += fmt.Sprintf(" Its critiques end in a score from %d to %d; the prompts that it is asked with are in `%s`.", c.Scale.Min, c.Scale.Max, FactsFile)
	}
	return what
}

// use says how the model is used in one of its forms.
func (c Card) use(form string) string {
	var b strings.Builder
	switch {
	case form == Classifier:
		b.WriteString("transformers, TRL and vLLM load it as `AutoModelForSequenceClassification` with one label: its logit is the reward, read at the end of the conversation that the chat template renders.\n")
		if warning := c.classifierWarning(); warning != "" {
			fmt.Fprintf(&b, "\nWarning: %s.\n", warning)
		}
	case c.Method == BT:
		b.WriteString("```sh\ncriticrm score --model MODEL --plain --in answers.jsonl\n```\n\n")
	case c.rewards():
		b.WriteString("```sh\ncriticrm score --model MODEL --in answers.jsonl --samples 8\n```\n\n")
	}
	if form == PEFT {
		b.WriteString("It is an adapter: PEFT loads it over its base, which `adapter_config.json` names; `criticrm export` merges the two.\n")
	}
	if form == Causal {
		b.WriteString("transformers loads it as `AutoModelForCausalLM`")
		if c.rewards() {
			b.WriteString(", without its reward head, which is in `reward_head.safetensors`; `criticrm export` writes it as a classifier with one label")
		}
		b.WriteString(".\n")
	}
	return b.String()
}

// copyCard takes a card over to another form of the model; one that a person has written is not taken, and listed by otherFiles.
func copyCard(from, to, form string, facts Facts) error {
	b, _, err := readCard(from)
	if err != nil || !bytes.Contains(b, []byte(cardMark)) {
		return err
	}
	before, rest, _ := strings.Cut(string(b), useMark+"\n")
	_, after, whole := strings.Cut(rest, endMark)
	if !whole {
		return nil
	}
	library, pipeline, relation := inForm(form)
	for key, value := range map[string]string{"library_name": library, "pipeline_tag": pipeline, "base_model_relation": relation} {
		before = regexp.MustCompile(`(?m)^`+key+`: .*$`).ReplaceAllString(before, key+": "+value)
	}
	return writeCard(to, []byte(before+useMark+"\n"+Card{Facts: facts}.use(form)+endMark+after))
}

// isOurCard says whether a file of a directory is a card that this program has written.
func isOurCard(dir, name string) bool {
	if name != CardFile {
		return false
	}
	b, _, err := readCard(dir)
	return err == nil && bytes.Contains(b, []byte(cardMark))
}

// inTable is a text in a cell of a table.
func inTable(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}
