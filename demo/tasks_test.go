package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/tokenizer"
	"criticrm/trainer"
)

// Every task has pairs whose prompts are in one split each, none of them read by a base model unless it is for training.
func TestTasksKeepSplitsApart(t *testing.T) {
	for _, task := range Tasks() {
		if again, err := TaskOf(task.Name); err != nil || again.Title != task.Title {
			t.Errorf("%s: %v", task.Name, err)
		}
		for split, n := range map[Split]int{Train: 300, Validation: 300, Evaluation: 300} {
			for i, p := range task.Pairs(4, n, split) {
				if splitOf(p.Question.Prompt) != split || p.Chosen.Text == p.Rejected.Text || !p.Chosen.Right || p.Rejected.Right || p.Question.Kind.Category() == "" {
					t.Fatalf("%s: pair %d: %+v", task.Name, i, p)
				}
			}
		}
	}
	dir := t.TempDir()
	if err := Extract(Base, dir); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	user, _ := tok.ID("<|user|>")
	assistant, _ := tok.ID("<|assistant|>")
	for _, task := range Tasks() {
		for _, s := range task.stages {
			for i := range 500 {
				ids := s.document(tok, 1000, i).IDs
				if prompt := tok.DecodeText(ids[slices.Index(ids, user)+1 : slices.Index(ids, assistant)]); splitOf(prompt) != Train {
					t.Fatalf("%s: the base model reads the held-out prompt %q in its %s", task.Name, prompt, s.name)
				}
			}
		}
	}
	if _, err := TaskOf("x"); err == nil || !strings.Contains(err.Error(), "want one of misread, mistaken, work") {
		t.Error(err)
	}
}

var (
	workStart = regexp.MustCompile(`^The lock shows (\d)\. (.*) What does it show\?$`)
	workStep  = regexp.MustCompile(`^(Mon|Tue|Wed|Thu) (add|sub|triple|flip) ?(\d?)$`)
)

// severity works a reply of the third task out from its text alone: faults, and their weight.
func severity(t *testing.T, prompt, reply string) (count, weight int) {
	t.Helper()
	m := workStart.FindStringSubmatch(prompt)
	if m == nil {
		t.Fatalf("prompt %q", prompt)
	}
	value, _ := strconv.Atoi(m[1])
	words := strings.Fields(strings.TrimSuffix(reply, "."))
	if words[0] != "Start="+m[1] {
		t.Fatalf("reply %q to %q", reply, prompt)
	}
	for i, s := range strings.Split(strings.TrimSuffix(m[2], "."), ". ") {
		op := workStep.FindStringSubmatch(s)
		if op == nil {
			t.Fatalf("step %q of %q", s, prompt)
		}
		k, _ := strconv.Atoi(op[3])
		due := map[string]int{"add": value + k, "sub": value + 10 - k, "triple": 3 * value, "flip": 9 - value}[op[2]] % 10
		day, says, _ := strings.Cut(words[i+1], "=")
		if day != op[1] {
			t.Fatalf("reply %q to %q", reply, prompt)
		}
		claim, err := strconv.Atoi(says)
		if err != nil {
			t.Fatal(err)
		}
		if claim != due {
			count, weight = count+1, weight+1
			if op[2] == "triple" || op[2] == "flip" {
				weight += 2
			}
		}
		value = claim
	}
	return count, weight
}

// The better reply of the third task has less weight of faults; it has fewer of them in pairs of the kind Agree alone.
func TestWorkPairsAreLabelledRightly(t *testing.T) {
	kinds := map[Kind]int{}
	for _, p := range WorkPairs(3, 2000, Evaluation) {
		fewer, light := severity(t, p.Question.Prompt, p.Chosen.Text)
		more, heavy := severity(t, p.Question.Prompt, p.Rejected.Text)
		if light >= heavy || (fewer < more) != (p.Question.Kind == Agree) {
			t.Fatalf("%s: %s has %d faults of weight %d, %s %d of %d", p.Question.Kind, p.Chosen.Text, fewer, light, p.Rejected.Text, more, heavy)
		}
		kinds[p.Question.Kind]++
	}
	if kinds[Weight] < 500 || kinds[Weight] > 700 {
		t.Errorf("%v, want about 600 of the kind weight", kinds)
	}
}

// A critique of the third task that checks everything says of each step what is true; what the base's critic finds is read back.
func TestWorkCritiques(t *testing.T) {
	for i := range 500 {
		r := stream(6, "work test", i)
		q := drawWork(r, Train)
		claims := drawClaims(r, &q)
		c := writeFindings(r, &q, claims, drawFindings(r, &q, claims, true), 1)
		faults, _ := q.faultsOf(claims)
		if !c.sound || strings.Count(c.String(), " Wrong.") != faults || strings.Contains(c.String(), "nothing") || c.score < 1 || c.score > 9 {
			t.Fatalf("%d faults: %s", faults, c.String())
		}
		found := drawFindings(r, &q, claims, false)
		c = writeFindings(r, &q, claims, found, 1)
		for k, f := range readFindings(c.String()) {
			if f != found[k] {
				t.Fatalf("finding %d is read as %d, was %d", k, f, found[k])
			}
		}
	}
}

// An imitator of the second task's critic is wrong about reasoning however often it is asked: its most frequent reading is wrong.
func TestMistakenModeIsWrong(t *testing.T) {
	right, n := 0., 0.
	for i, p := range simulatePairs(1500) {
		if p.Question.Kind.Category() != "Reasoning" {
			continue
		}
		r := stream(2, "imitate", i)
		mean := func(reply Reply) (s float64) {
			for range 100 {
				c := drawCritique(r, &p.Question, &reply, mistakenFaults, 1)
				s += float64(c.score)
			}
			return s
		}
		n++
		if a, b := mean(p.Chosen), mean(p.Rejected); a > b {
			right++
		} else if a == b {
			right += .5
		}
	}
	if a := right / n; a < .38 || a > .58 {
		t.Errorf("an imitator that is asked a hundred times is right in %.3f of reasoning, want about one half", a)
	}
}

// shortTask is a task whose base takes few documents.
func shortTask(t *testing.T, name string) *Task {
	t.Helper()
	task, err := TaskOf(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range task.stages {
		task.stages[i].steps, task.stages[i].batch = 2, 4
	}
	return task
}

// interruptedBase makes the base of the third task, stopped in both stages; what is left behind is of use for the same base alone.
func interruptedBase(t *testing.T) []byte {
	t.Helper()
	task, dir := shortTask(t, "work"), filepath.Join(t.TempDir(), "base")
	for _, at := range []string{"drills     1/2", "lessons     1/2"} {
		ctx, stop := context.WithCancel(t.Context())
		err := task.MakeBase(ctx, devicetest.CPU(t, 1), dir, 0, func(line string) {
			if strings.HasPrefix(line, at) {
				stop()
			}
		})
		stop()
		if !errors.Is(err, trainer.ErrInterrupted) {
			t.Fatalf("%s: %v", at, err)
		}
		other := shortTask(t, "mistaken")
		other.stages[0].name = "drills"
		if err := other.MakeBase(t.Context(), devicetest.CPU(t, 1), dir, 0, func(string) {}); err == nil || !strings.Contains(err.Error(), "cannot resume") {
			t.Errorf("went on with another task's documents: %v", err)
		}
	}
	if err := task.MakeBase(t.Context(), devicetest.CPU(t, 2), dir, 0, func(line string) {
		if strings.HasPrefix(line, "drills") || strings.Contains(line, " 1/2 ") {
			t.Errorf("again: %s", line)
		}
	}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bases of tasks are made from the shipped one; the same seed gives the same bytes on any number of threads, another seed others.
func TestTaskBases(t *testing.T) {
	make := func(name string, threads int, seed uint64) []byte {
		task := shortTask(t, name)
		dir := filepath.Join(t.TempDir(), "base")
		var lines []string
		if err := task.MakeBase(t.Context(), devicetest.CPU(t, threads), dir, seed, func(line string) { lines = append(lines, line) }); err != nil {
			t.Fatal(err)
		}
		if len(lines) == 0 {
			t.Error("nothing is said")
		}
		if _, err := tokenizer.Load(dir); err != nil {
			t.Error(err)
		}
		left, err := filepath.Glob(filepath.Join(dir, ".*"))
		if err != nil || len(left) > 0 {
			t.Errorf("%v left behind, %v", left, err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if a, b := make("mistaken", 1, 0), make("mistaken", 2, 0); !bytes.Equal(a, b) || bytes.Equal(a, make("mistaken", 2, 1)) {
		t.Error("a base depends on threads, or not on the seed")
	}
	if !bytes.Equal(make("work", 2, 0), interruptedBase(t)) {
		t.Error("a base whose making was interrupted differs")
	}
	for _, task := range Tasks() {
		if !task.Embedded(0) {
			continue
		}
		dir := filepath.Join(t.TempDir(), "base")
		if err := task.WriteBase(t.Context(), nil, dir, 0, nil); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "model.safetensors")); err != nil {
			t.Error(err)
		}
	}
}
