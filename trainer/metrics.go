package trainer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"criticrm/checkpoint"
	"criticrm/internal/progress"
	"criticrm/internal/tfevents"
	"criticrm/model"
	"criticrm/safefile"
)

// Metrics are the figures of one update, of its whole batch. Step counts from 1. Losses are before the update, GradNorm
// is before clipping.
type Metrics struct {
	Step            int
	Epoch           float64
	Loss            float64 // lambda·CritiqueLoss + (1-lambda)·RewardLoss
	CritiqueLoss    float64 // weighted mean over critique tokens; NaN if there are none
	RewardLoss      float64 // mean over pairs; NaN if there are none
	Lambda          float64
	Accuracy        float64 // share of pairs in the right order, ties count one half; NaN if there are none
	Margin          float64 // mean of chosen - rejected; NaN if there are none
	Ties            int     // equal rewards
	Rewards         model.Rewards
	LearningRate    float64
	GradNorm        float64
	NumTokens       int64 // since the run's start
	TokensPerSecond float64
	NormLimit       float64 // over which a gradient norm is a spike; 0: there is none
	Skipped         bool    // no update: the gradient was not finite, or a spike
}

// pair is a name and a value of a log line.
type pair struct {
	name  string
	value any // int, int64, float64, bool, *Histogram
}

// pairs are the fields of a log line under Hugging Face's names. What does not exist (NaN) is left out, except that the
// gradient norm is then null.
func (m Metrics) pairs() []pair {
	list := []pair{{"step", m.Step}, {"epoch", m.Epoch}, {"loss", m.Loss}}
	add := func(name string, v float64) {
		if !math.IsNaN(v) {
			list = append(list, pair{name, v})
		}
	}
	add("critique_loss", m.CritiqueLoss)
	add("reward_loss", m.RewardLoss)
	list = append(list, pair{"lambda", m.Lambda})
	add("accuracy", m.Accuracy)
	add("margin", m.Margin)
	if m.Ties > 0 {
		list = append(list, pair{"ties", m.Ties})
	}
	list = append(append(list, rewardPairs(m.Rewards)...), perplexity(m.CritiqueLoss)...)
	list = append(list, pair{"learning_rate", m.LearningRate}, pair{"grad_norm", m.GradNorm}, pair{"num_tokens", m.NumTokens}, pair{"tokens_per_second", m.TokensPerSecond})
	if m.NormLimit > 0 {
		list = append(list, pair{"grad_norm_limit", m.NormLimit})
	}
	if m.Skipped {
		list = append(list, pair{"skipped", true})
	}
	return list
}

// rewardPairs are statistics of rewards under TRL's names, if there are rewards.
func rewardPairs(r model.Rewards) []pair {
	if r.N == 0 {
		return nil
	}
	return []pair{{"min_reward", float64(r.Min)}, {"mean_reward", r.Mean()}, {"max_reward", float64(r.Max)}, {"std_reward", r.Std()}}
}

// perplexity is that of the critiques' tokens, by their weights, if there are any.
func perplexity(critiqueLoss float64) []pair {
	if math.IsNaN(critiqueLoss) {
		return nil
	}
	return []pair{{"critique_perplexity", math.Exp(critiqueLoss)}}
}

// jsonLine is one object with the pairs in order; a float64 has as many digits as it takes to read it back exactly, and is
// null if it is not finite.
func jsonLine(list []pair) []byte {
	b := []byte{'{'}
	for i, p := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(append(b, jsonText(p.name)...), ": "...)
		if f, ok := p.value.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			b = append(b, "null"...)
		} else if ok {
			b = strconv.AppendFloat(b, f, 'g', -1, 64)
		} else if h, ok := p.value.(*Histogram); ok {
			b = append(b, h.text()...)
		} else {
			b = fmt.Append(b, p.value)
		}
	}
	return append(b, "}\n"...)
}

// jsonText is a text as JSON.
func jsonText(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // texts do not fail
	}
	return b
}

// consoleLine is Hugging Face's line: every value as a quoted number with four digits.
func consoleLine(list []pair) string {
	var parts []string
	for _, p := range list {
		if f, ok := p.value.(float64); ok {
			parts = append(parts, fmt.Sprintf("'%s': '%.4g'", p.name, f))
		} else if _, picture := p.value.(*Histogram); p.name != "step" && !picture {
			parts = append(parts, fmt.Sprintf("'%s': '%v'", p.name, p.value))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// Report says where a run's progress goes; the zero Report is silent.
type Report struct {
	Log      io.Writer     // lines for people, stderr as a rule; nil: none
	Terminal bool          // show a progress bar on Log in place of a line per logging_steps
	OnStep   func(Metrics) // called after each update; nil: not

	// Page makes a page about the training from the files in its output_dir: behind evaluations, and as often as it costs little, on a goroutine of its own with
	// running true; and at the end, or when the training is stopped, with running false. nil: there is none.
	Page func(dir string, running bool) error
}

func (r Report) say(format string, args ...any) {
	if r.Log != nil {
		fmt.Fprintf(r.Log, format+"\n", args...)
	}
}

// console writes to Report.Log.
type console struct {
	r      Report
	every  int // logging_steps
	total  int // updates of the run
	first  int // updates that were done at the start
	start  time.Time
	last   time.Time // of the last line
	bar    *progressbar.ProgressBar
	window []Metrics // since the last line
}

// quiet says whether nothing was said for long: ten seconds, at first two.
func (k *console) quiet() bool {
	since := time.Since(k.last)
	return since >= 10*time.Second || k.last.Equal(k.start) && since >= 2*time.Second
}

func newConsole(r Report, c Config, p Plan, done int) *console {
	k := &console{r: r, every: c.LoggingSteps, total: p.Total, first: done, start: time.Now()}
	k.last = k.start
	if r.Log != nil && r.Terminal {
		k.bar = progressbar.NewOptions(p.Total, progressbar.OptionSetWriter(r.Log), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("step"), progressbar.OptionFullWidth(), progressbar.OptionSetDescription("train"))
		_ = k.bar.Set(done) // a bar that cannot be drawn must not stop a run
	}
	return k
}

// say writes a line, above the bar if there is one.
func (k *console) say(format string, args ...any) {
	if k.r.Log == nil {
		return
	}
	if k.bar != nil {
		_ = k.bar.Clear()
	}
	fmt.Fprintf(k.r.Log, format+"\n", args...)
}

// within tells of an update that takes long how many of its micro-batches, with so many tokens, are behind.
func (k *console) within(step, done, of, tokens int, since time.Time) {
	if k.r.Log == nil || k.bar != nil || k.every <= 0 || !k.quiet() {
		return
	}
	k.last = time.Now()
	k.say("step %d of %d: %d of %d micro-batches, %.0f tokens/s", step, k.total, done, of, float64(tokens)/max(time.Since(since).Seconds(), 1e-9))
}

// left is the time for the updates behind step, at the speed of those so far.
func (k *console) left(step int) string {
	return progress.Round(time.Since(k.start) / time.Duration(max(step-k.first, 1)) * time.Duration(k.total-step))
}

// step reports an update, every so many of them and whenever it was quiet for long. A line has the means over the steps since the last one of losses, accuracy and margin, and the
// last step's other figures.
func (k *console) step(m Metrics) {
	if k.r.OnStep != nil {
		k.r.OnStep(m)
	}
	if k.r.Log == nil {
		return
	}
	if k.bar != nil {
		k.bar.Describe(fmt.Sprintf("loss %.4g acc %.3g %.0f tokens/s", m.Loss, m.Accuracy, m.TokensPerSecond))
		_ = k.bar.Set(m.Step)
		return
	}
	k.window = append(k.window, m)
	if k.every <= 0 || m.Step%k.every != 0 && !k.quiet() {
		return
	}
	k.last = time.Now()
	mean := func(f func(Metrics) float64) float64 {
		sum, n := 0.0, 0
		for _, x := range k.window {
			if v := f(x); !math.IsNaN(v) {
				sum, n = sum+v, n+1
			}
		}
		return sum / float64(n) // NaN without a value
	}
	m.Loss, m.CritiqueLoss = mean(func(x Metrics) float64 { return x.Loss }), mean(func(x Metrics) float64 { return x.CritiqueLoss })
	m.RewardLoss, m.Accuracy = mean(func(x Metrics) float64 { return x.RewardLoss }), mean(func(x Metrics) float64 { return x.Accuracy })
	m.Margin, m.TokensPerSecond = mean(func(x Metrics) float64 { return x.Margin }), mean(func(x Metrics) float64 { return x.TokensPerSecond })
	m.Rewards = model.Rewards{}
	for _, x := range k.window {
		m.Rewards.Join(x.Rewards)
	}
	k.window = k.window[:0]
	fmt.Fprintln(k.r.Log, consoleLine(append(m.pairs(), pair{"left", k.left(m.Step)})))
}

func (k *console) close() {
	if k.bar != nil {
		_ = k.bar.Exit()
		fmt.Fprintln(k.r.Log)
	}
}

// metricsLog is metrics.jsonl of a run: a line per update and per evaluation, written at once. What else is made of the lines hears of each.
type metricsLog struct {
	f       *os.File
	events  *tfevents.Writer // nil: none
	history *history
}

// openMetrics opens the file for appending, after cutting it back to lines of at most step: those after it belong to updates
// that a resumed run makes again. A nil log takes lines and drops them.
func openMetrics(path string, step int) (*metricsLog, error) {
	if err := truncateMetrics(path, step); err != nil {
		return nil, fmt.Errorf("trainer: metrics: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("trainer: metrics: %w", err)
	}
	return &metricsLog{f: f}, nil
}

// maxMetrics bounds what is read back of a run's metrics, in bytes.
const maxMetrics = 4 << 30

func truncateMetrics(path string, step int) error {
	b, err := safefile.Read(path, maxMetrics)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	keep := 0
	for r := bufio.NewReader(bytes.NewReader(b)); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break // the end, or a line that was cut off
		}
		var at struct{ Step *int }
		if json.Unmarshal(line, &at) != nil || at.Step == nil || *at.Step > step || step == 0 {
			break
		}
		keep += len(line)
	}
	if keep == len(b) {
		return nil
	}
	return checkpoint.WriteFileAtomic(path, b[:keep])
}

func (l *metricsLog) write(list []pair) error {
	if l == nil {
		return nil
	}
	if err := l.line(jsonLine(list)); err != nil {
		return err
	}
	l.history.add(list)
	if l.events == nil {
		return nil
	}
	if err := l.events.Scalars(scalars(list)); err != nil {
		return fmt.Errorf("trainer: report_to: %w", err)
	}
	return nil
}

// data writes what the files of a run gave, and how many updates it will make, as the line of step 0.
func (l *metricsLog) data(train Dataset, held []heldOut, p Plan) error {
	line := map[string]any{"step": 0, "max_steps": p.Total}
	for _, d := range append(held, heldOut{"train", train}) {
		if r, ok := d.data.(*Records); ok {
			line[d.use()] = r
		}
	}
	if line["train"] == nil {
		return nil
	}
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("trainer: metrics: %w", err)
	}
	return l.line(append(b, '\n'))
}

func (l *metricsLog) line(b []byte) error {
	if l == nil {
		return nil
	}
	if _, err := l.f.Write(b); err != nil {
		return fmt.Errorf("trainer: metrics: %w", err)
	}
	return nil
}

func (l *metricsLog) close() error {
	err := l.f.Close()
	if l.events != nil {
		err = errors.Join(err, l.events.Close())
	}
	return err
}
