package trainer

// The model card of the final model.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/hub"
	"criticrm/internal/settings"
	"criticrm/modeldir"
	"criticrm/record"
	"criticrm/safefile"
	"criticrm/version"
)

// card writes the card of the final model, that of update step, into dir, which becomes output_dir/model.
func (in input) card(c Config, dir string, step int) error {
	f := in.facts(c)
	f.Method, f.Program = c.Method, "criticrm "+version.String()
	card := modeldir.Card{Facts: f, Name: hub.Title(c.Model) + ", " + c.Method, Base: c.Model, Settings: settings.Section{Into: &c}.Differing(Default())}
	inputs := []string{c.TrainFile}
	held, err := c.EvalFiles()
	for _, f := range held {
		inputs = append(inputs, f.Path)
	}
	for _, input := range inputs {
		files, _ := record.Files(input) // one that is gone by now costs the card the data set's name, not the run its model
		for _, file := range files {
			card.From = append(card.From, file.Path)
		}
	}
	if err != nil {
		return err
	}
	prefix := ""
	if c.Average > 0 {
		prefix = averagedPrefix
	}
	if card.Results, err = evaluated(filepath.Join(c.OutputDir, "metrics.jsonl"), step, prefix); err != nil {
		return err
	}
	return card.Write(dir, filepath.Join(c.OutputDir, "model"))
}

// evaluated is the last evaluation up to an update in a run's metrics, of figures with a prefix, as a table; "": there is none. It is read from there since the process that
// has made it may not be the one that writes the model.
func evaluated(path string, last int, prefix string) (string, error) {
	f, err := safefile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("trainer: metrics: %w", err)
	}
	defer f.Close()
	var rows [][2]string
	at := -1.0
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break
		}
		var values map[string]any
		if !strings.Contains(string(line), `"`+prefix+`eval_`) || json.Unmarshal(line, &values) != nil {
			continue
		}
		step, _ := values["step"].(float64)
		if step > float64(last) {
			break
		}
		if step != at {
			rows, at = nil, step
		}
		var names []string
		for name := range values {
			if strings.HasPrefix(name, prefix+"eval_") && !strings.HasSuffix(name, "_runtime") { // which is no result
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			if v, ok := values[name].(float64); ok {
				rows = append(rows, [2]string{name, fmt.Sprintf("%.4g", v)})
			}
		}
	}
	if len(rows) == 0 {
		return "", nil
	}
	text := fmt.Sprintf("On the held-out data, after %.0f updates:\n\n| figure | value |\n|---|---|\n", at)
	for _, row := range rows {
		text += fmt.Sprintf("| `%s` | %s |\n", row[0], row[1])
	}
	return text, nil
}
