package trainer

// What a run tells other programs: TensorBoard's event files, and trainer_state.json as Hugging Face's Trainer leaves it. Both are made of the lines
// of metrics.jsonl.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/internal/tfevents"
	"criticrm/safefile"
)

// TensorBoard is a word of report_to.
const TensorBoard = "tensorboard"

// EventsDir is the directory of the event files in output_dir, where Hugging Face's Trainer has them.
const EventsDir = "runs"

// StateFile is the file of Hugging Face's Trainer.
const StateFile = "trainer_state.json"

// reportsTo says whether report_to has a word.
func (c Config) reportsTo(word string) bool {
	return slices.Contains(strings.Split(c.ReportTo, ","), word)
}

// checkReports refuses words of report_to that are not known.
func (c Config) checkReports() error {
	for _, word := range strings.Split(c.ReportTo, ",") {
		if !slices.Contains([]string{"", "none", TensorBoard}, word) {
			return fmt.Errorf("trainer: config: report_to: got %.40q, want none or tensorboard; for W&B, MLflow and Trackio there are a few lines each in docs/training.md that read output_dir/metrics.jsonl", word)
		}
	}
	return nil
}

// openReports begins what is made of the lines of metrics.jsonl, those that are there included.
func (r *run) openReports() (err error) {
	l := r.log
	l.history = &history{every: max(r.c.LoggingSteps, 1), perEpoch: r.plan.PerEpoch}
	if err := l.history.read(filepath.Join(r.c.OutputDir, "metrics.jsonl")); err != nil {
		return fmt.Errorf("trainer: metrics: %w", err)
	}
	if r.c.reportsTo(TensorBoard) {
		from := int64(0)
		if r.st.Step > 0 {
			from = int64(r.st.Step) + 1
		}
		if l.events, err = tfevents.Create(filepath.Join(r.c.OutputDir, EventsDir), from); err != nil {
			return fmt.Errorf("trainer: report_to: %w", err)
		}
	}
	return nil
}

// scalars are the figures of a line, and its histogram, under the tags that Hugging Face's TensorBoardCallback gives them.
func scalars(list []pair) (step int64, values []tfevents.Value) {
	for _, p := range list {
		name := "train/" + p.name
		if rest, ok := strings.CutPrefix(p.name, "eval_"); ok {
			name = "eval/" + rest
		} else if rest, ok := strings.CutPrefix(p.name, averagedPrefix); ok {
			name = "averaged/" + strings.TrimPrefix(rest, "eval_")
		}
		if p.name == "step" {
			step = int64(p.value.(int))
			continue
		}
		if h, ok := p.value.(*Histogram); ok {
			values = append(values, tfevents.Value{Tag: name, Histogram: h.event()})
		} else if v, ok := number64(p.value); ok {
			values = append(values, tfevents.Value{Tag: name, Value: v})
		}
	}
	return step, values
}

// number64 is the value of a pair as a number.
func number64(value any) (float64, bool) {
	switch v := value.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// history is log_history of trainer_state.json: an entry for every so many updates, and one for each evaluation.
type history struct {
	every    int // logging_steps
	perEpoch int
	entries  []map[string]any
	window   []map[string]float64 // updates since the last entry
}

// clockFigures depend on the machine's mood, and are left out: equal runs have equal files.
var clockFigures = []string{"tokens_per_second", "runtime"}

// meanFigures are means over the updates of an entry; of others the last value counts, but for the smallest and the largest reward.
var meanFigures = []string{"loss", "critique_loss", "reward_loss", "accuracy", "margin", "mean_reward", "std_reward", "critique_perplexity"}

// add takes a line.
func (h *history) add(list []pair) {
	line, step, train := map[string]float64{}, 0, false
	for _, p := range list {
		v, ok := number64(p.value)
		if p.name == "step" {
			step = int(v)
			continue
		}
		if !ok || math.IsNaN(v) || math.IsInf(v, 0) || slices.ContainsFunc(clockFigures, func(end string) bool { return strings.HasSuffix(p.name, end) }) {
			continue
		}
		line[p.name] = v
		train = train || p.name == "loss"
	}
	if !train {
		h.put(step, line)
		return
	}
	if h.window = append(h.window, line); step%h.every == 0 {
		h.flush(step)
	}
}

// flush makes an entry of the updates since the last one.
func (h *history) flush(step int) {
	if len(h.window) == 0 {
		return
	}
	entry, n := map[string]float64{}, map[string]float64{}
	for _, line := range h.window {
		for name, v := range line {
			was, seen := entry[name]
			switch {
			case !seen:
				entry[name] = v
			case slices.Contains(meanFigures, name):
				entry[name] = was + v
			case name == "min_reward":
				entry[name] = min(was, v)
			case name == "max_reward":
				entry[name] = max(was, v)
			default:
				entry[name] = v
			}
			n[name]++
		}
	}
	for _, name := range meanFigures {
		if n[name] > 0 {
			entry[name] /= n[name]
		}
	}
	h.window = nil
	h.put(step, entry)
}

func (h *history) put(step int, line map[string]float64) {
	if len(line) == 0 {
		return
	}
	entry := map[string]any{"step": step, "epoch": float64(step) / float64(max(h.perEpoch, 1))}
	for name, v := range line {
		entry[name] = v
	}
	h.entries = append(h.entries, entry)
}

// read takes the lines of a run that goes on.
func (h *history) read(path string) error {
	b, err := safefile.Read(path, maxMetrics)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		var values map[string]any
		if err := json.Unmarshal(line, &values); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if values["train"] != nil { // what the files gave
			continue
		}
		var list []pair
		for name, v := range values {
			list = append(list, pair{name, v})
		}
		h.add(list)
	}
	return nil
}

// stateJSON is trainer_state.json of the run as it stands, with the fields of transformers.TrainerState.
func (r *run) stateJSON() ([]byte, error) {
	h := r.log.history
	rest := history{every: h.every, perEpoch: h.perEpoch, entries: slices.Clip(h.entries), window: slices.Clone(h.window)}
	rest.flush(r.st.Step)
	x := map[string]any{
		"best_global_step": nil, "best_metric": nil, "best_model_checkpoint": nil,
		"epoch": float64(r.st.Step) / float64(r.plan.PerEpoch), "global_step": r.st.Step, "max_steps": r.plan.Total, "num_train_epochs": (r.plan.Total + r.plan.PerEpoch - 1) / r.plan.PerEpoch,
		"eval_steps": r.c.evalEvery(r.plan.PerEpoch), "save_steps": r.c.savesEvery(r.plan), "logging_steps": r.c.LoggingSteps, "train_batch_size": r.c.BatchSize,
		"num_input_tokens_seen": r.st.Tokens, "is_hyper_param_search": false, "is_local_process_zero": true, "is_world_process_zero": true,
		"trial_name": nil, "trial_params": nil, "stateful_callbacks": map[string]any{}, "log_history": append([]map[string]any{}, rest.entries...),
	}
	if b := r.st.Best; b != nil && b.Best != nil && r.c.Picks() != "" {
		x["best_global_step"], x["best_metric"] = b.Best.Step, b.Best.Value
	}
	if b := r.st.Best; b != nil && b.Saved != nil && r.savesBest() {
		x["best_model_checkpoint"] = filepath.Join(r.checkpoints(), fmt.Sprintf("step-%08d", b.Saved.Step))
	}
	if r.c.Patience > 0 && r.st.Best != nil {
		x["stateful_callbacks"] = map[string]any{"EarlyStoppingCallback": map[string]any{
			"args":       map[string]any{"early_stopping_patience": r.c.Patience, "early_stopping_threshold": r.c.Threshold},
			"attributes": map[string]any{"early_stopping_patience_counter": r.st.Best.Waited}}}
	}
	b, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("trainer: %s: %w", StateFile, err)
	}
	return append(b, '\n'), nil
}

// writeState writes trainer_state.json into a directory.
func (r *run) writeState(dir string) error {
	if r.log == nil {
		return nil
	}
	b, err := r.stateJSON()
	if err != nil {
		return err
	}
	if err := checkpoint.WriteFileAtomic(filepath.Join(dir, StateFile), b); err != nil {
		return fmt.Errorf("trainer: %w", err)
	}
	return nil
}
