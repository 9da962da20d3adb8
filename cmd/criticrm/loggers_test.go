package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readBack are programs that print, as JSON, the points that a logger has of a figure: [[step, value], …].
var readBack = map[string]string{
	"wandb": `
import glob, json, struct
from wandb.proto import wandb_internal_pb2 as pb

def records(path):  # LevelDB's log format: blocks of 32 KiB, records in parts behind a head of 7 bytes; the file's own head has as many
    data, at, whole = open(path, "rb").read(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield whole
            whole = b""

points = []
for path in glob.glob("wandb/offline-run-*/run-*.wandb"):
    for data in records(path):
        record = pb.Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            row = {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            if FIGURE in row:
                points.append([record.history.step.num if record.history.HasField("step") else row["_step"], row[FIGURE]])
print(json.dumps(points))
`,
	"mlflow": `
import json, mlflow
client = mlflow.MlflowClient()
runs = mlflow.search_runs(output_format="list")
print(json.dumps([[m.step, m.value] for r in runs for m in client.get_metric_history(r.info.run_id, FIGURE)]))
`,
	"trackio": `
import json
from trackio.sqlite_storage import SQLiteStorage
points = []
for run in SQLiteStorage.get_runs("my-project"):
    points += [[row["step"], row[FIGURE]] for row in SQLiteStorage.get_logs("my-project", run) if FIGURE in row]
print(json.dumps(points))
`,
}

// The lines of docs/training.md give W&B, MLflow and Trackio every figure of a training, each of which is read back from what the logger has stored on this machine. A logger
// that is not installed is skipped; CRITICRM_PYTHON says which Python has them.
func TestLoggers(t *testing.T) {
	python := cmp.Or(os.Getenv("CRITICRM_PYTHON"), "python3")
	lines := loggerLines(t)
	if len(lines) != len(readBack) {
		t.Fatalf("the page has lines for %d loggers", len(lines))
	}
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "in.jsonl"), sumPairs(8))
	must(t, "train", "--model", tinyModel(t), "--method", "bt", "--train_file", in, "--eval_file", in, "--output_dir", filepath.Join(dir, "run"), "--max_steps", "4", "--eval_steps", "2",
		"--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "1", "--save_steps", "2", "--average_checkpoints", "2")
	want := map[string][][2]float64{}
	for _, line := range strings.Split(strings.TrimSpace(readFile(t, filepath.Join(dir, "run", "metrics.jsonl"))), "\n") {
		var x map[string]any
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatal(err)
		}
		for _, figure := range []string{"loss", "eval_accuracy", "averaged_eval_margin"} {
			if v, ok := x[figure].(float64); ok {
				want[figure] = append(want[figure], [2]float64{x["step"].(float64), v})
			}
		}
	}
	for name, script := range lines {
		t.Run(name, func(t *testing.T) {
			run := func(text string) string {
				t.Helper()
				cmd := exec.Command(python, "-c", text)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "WANDB_MODE=offline", "WANDB_SILENT=true", "WANDB_DIR="+dir, "MLFLOW_TRACKING_URI=sqlite:///"+filepath.Join(dir, "mlflow.db"), "TRACKIO_DIR="+filepath.Join(dir, "trackio"),
					"HF_HUB_OFFLINE=1", "GRADIO_ANALYTICS_ENABLED=False", "HOME="+dir)
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%v\n%s\n%s", err, text, stderr.String())
				}
				return string(out)
			}
			if out, err := exec.Command(python, "-c", "import "+name).CombinedOutput(); err != nil {
				t.Skipf("%s is not installed (CRITICRM_PYTHON says which Python has it): %v %.200s", name, err, out)
			}
			run(script)
			for figure, points := range want {
				out := run(fmt.Sprintf("FIGURE = %q\n", figure) + readBack[name])
				rows := strings.Split(strings.TrimSpace(out), "\n")
				var got [][2]float64
				if err := json.Unmarshal([]byte(rows[len(rows)-1]), &got); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				slices.SortFunc(got, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
				if !slices.Equal(got, points) {
					t.Errorf("%s: %v, want %v", figure, got, points)
				}
			}
		})
	}
}

// loggerLines are the page's programs, by logger.
func loggerLines(t *testing.T) map[string]string {
	t.Helper()
	page := readFile(t, filepath.Join(repository, "docs", "training.md"))
	_, rest, found := strings.Cut(page, "```python\nimport json\nlines = ")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("training.md has no lines for loggers")
	}
	common, each, _ := strings.Cut("import json\nlines = "+code, "\n\n")
	list := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(each), "\n") {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "import "), ";")
		list[name] = common + "\n" + line + "\n"
	}
	return list
}
