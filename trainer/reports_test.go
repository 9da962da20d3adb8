package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/internal/tfevents/tfeventstest"
)

func TestReportTo(t *testing.T) {
	for recipe, want := range map[string]string{
		"report_to: none\n":                 "",
		"report_to: []\n":                   "",
		"report_to: [tensorboard]\n":        "",
		"report_to: tensorboard\n":          "",
		"report_to: wandb\n":                `report_to: got "wandb", want none or tensorboard; for W&B, MLflow and Trackio`,
		"report_to: [tensorboard, comet]\n": `report_to: got "comet"`,
	} {
		c := Default()
		err := ParseRecipe([]byte(recipe), &c)
		if err == nil {
			err = c.Validate()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", recipe, err, want)
		}
		if strings.Contains(recipe, "tensorboard") != c.reportsTo(TensorBoard) {
			t.Errorf("%q: %v", recipe, c.reportsTo(TensorBoard))
		}
	}
}

// TensorBoard shows the figures of metrics.jsonl under transformers' tags, of a run that was interrupted each once.
func TestTensorBoardShowsTheRun(t *testing.T) {
	c := testConfig(t.TempDir())
	c.ReportTo, c.EvalSteps, c.EvalOnStart, c.SaveSteps = TensorBoard, 5, true, 4
	data, held := pairs(27), WithEval(pairs(33)[27:])
	for _, stop := range []int{7, 11, 0} {
		ctx, at := stopAfter(stop)
		if _, err := Train(ctx, tiny(t, c, 1), data, c, held, at); err != nil && !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		c.Resume = "latest"
		if stop == 11 { // as after a kill, whose events lie behind the checkpoint that the run goes on from
			newest, _, err := checkpoint.Latest(filepath.Join(c.OutputDir, "checkpoints"))
			if err == nil {
				err = os.RemoveAll(newest)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	got := tfeventstest.Read(t, filepath.Join(c.OutputDir, EventsDir))
	for tag, key := range map[string]string{"train/loss": "loss", "train/accuracy": "accuracy", "train/learning_rate": "learning_rate", "train/lambda": "lambda", "train/min_reward": "min_reward",
		"eval/loss": "eval_loss", "eval/accuracy": "eval_accuracy", "eval/runtime": "eval_runtime"} {
		lines := metricLines(t, c.OutputDir, key)
		if len(lines) == 0 || len(got[tag]) != len(lines) {
			t.Errorf("%s: %d events, %d lines", tag, len(got[tag]), len(lines))
			continue
		}
		for i, line := range lines {
			if e := got[tag][i]; e[0] != line["step"] || float32(e[1]) != float32(line[key].(float64)) {
				t.Errorf("%s: %v, want %v at step %v", tag, e, line[key], line["step"])
			}
		}
	}
}

// stateOf reads trainer_state.json.
func stateOf(t *testing.T, dir string) (x map[string]any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, StateFile))
	if err == nil {
		err = json.Unmarshal(b, &x)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// trainer_state.json has what the lines of metrics.jsonl say, beside the run and in the model, whatever interruptions there were.
func TestTrainerState(t *testing.T) {
	c := bestConfig(filepath.Join(t.TempDir(), "straight"))
	c.LoggingSteps = 4
	data, held := pairs(27), WithEval(pairs(33)[27:])
	if _, err := Train(context.Background(), tiny(t, c, 1), data, c, held); err != nil {
		t.Fatal(err)
	}
	got := stateOf(t, c.OutputDir)
	if !reflect.DeepEqual(got, stateOf(t, filepath.Join(c.OutputDir, "model"))) {
		t.Error("the model has another state than the run")
	}
	for key, want := range map[string]any{"global_step": 20.0, "max_steps": 20.0, "num_train_epochs": 3.0, "best_global_step": 3.0, "logging_steps": 4.0, "eval_steps": 3.0,
		"best_model_checkpoint": filepath.Join(c.OutputDir, "checkpoints", "step-00000003"), "train_batch_size": 2.0, "is_world_process_zero": true, "trial_name": nil} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	var steps []string
	losses := metricLines(t, c.OutputDir, "loss")
	for _, e := range got["log_history"].([]any) {
		entry := e.(map[string]any)
		step := int(entry["step"].(float64))
		kind := "eval"
		if loss, ok := entry["loss"]; ok {
			kind = "train"
			mean := 0.0
			for _, line := range losses[step-4 : step] {
				mean += line["loss"].(float64) / 4
			}
			if math.Abs(loss.(float64)-mean) > 1e-12 || entry["learning_rate"] != losses[step-1]["learning_rate"] {
				t.Errorf("step %d: %v, want the mean loss %v", step, entry, mean)
			}
		}
		if entry["epoch"] != float64(step)/7 || entry["eval_runtime"] != nil || kind == "eval" && entry["eval_loss"] == nil {
			t.Errorf("%v", entry)
		}
		steps = append(steps, fmt.Sprint(kind, step))
	}
	if want := "eval3 train4 eval6 train8 eval9 train12 eval12 eval15 train16 eval18 train20 eval20"; strings.Join(steps, " ") != want {
		t.Errorf("%v, want %s", steps, want)
	}
	broken := c
	broken.OutputDir = filepath.Join(filepath.Dir(c.OutputDir), "broken")
	for _, stop := range []int{6, 13, 0} {
		ctx, at := stopAfter(stop)
		if _, err := Train(ctx, tiny(t, broken, 1), data, broken, held, at); err != nil && !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		if s := stateOf(t, broken.OutputDir); stop > 0 && s["global_step"] != float64(stop) {
			t.Errorf("stopped at %d: %v", stop, s["global_step"])
		}
		broken.Resume = "latest"
	}
	again := stateOf(t, broken.OutputDir)
	delete(again, "best_model_checkpoint")
	delete(got, "best_model_checkpoint")
	if !reflect.DeepEqual(again, got) {
		t.Errorf("with interruptions %v, want %v", again, got)
	}
}
