package corpus

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"criticrm/record"
)

// rows streams n rows of made-up pairs, all different.
func rows(n, promptWords, answerWords int) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(w, 1<<16)
		rng := rand.New(rand.NewPCG(3, 4))
		pool := words(rng, 5000)
		text := func(n int) string {
			var b strings.Builder
			for range n {
				b.WriteString(pool[rng.IntN(len(pool))])
				b.WriteByte(' ')
			}
			return b.String()
		}
		for i := range n {
			_, err := fmt.Fprintf(out, `{"id":"made-%d","prompt":"%s","chosen":"%s","rejected":"%s","category":"%c"}`+"\n", i, text(promptWords), text(answerWords), text(answerWords), 'a'+i%7)
			if err != nil {
				return
			}
		}
		out.Flush()
		w.Close()
	}()
	return r
}

func file(t *testing.T, name string, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// perRecord bounds what is kept of a record, in bytes: with distinct prompts, ids and labels, which is the most.
const perRecord = 400

// What is kept of a record does not depend on its texts, and stays below the bound that the package's documentation speaks of.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("60,000 rows")
	}
	kept := func(n, promptWords int) float64 {
		var before, after runtime.MemStats
		x := index(t, 1)
		runtime.GC()
		runtime.ReadMemStats(&before)
		f, err := Scan(t.Context(), "-", Options{Index: x, Read: record.ReadOptions{Stdin: rows(n, promptWords, 4), MaxBad: AnyBad}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(f)
		runtime.KeepAlive(x)
		if f.Rows != n || f.Prompts != n {
			t.Fatalf("%d rows, %d prompts", f.Rows, f.Prompts)
		}
		return float64(after.HeapAlloc-before.HeapAlloc) / float64(n)
	}
	short, long := kept(30000, 4), kept(30000, 80)
	t.Logf("%.0f bytes a record, %.0f with long prompts", short, long)
	if short > perRecord || long > perRecord {
		t.Errorf("%.0f and %.0f bytes a record, want at most %d", short, long, perRecord)
	}
}

func TestLengths(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 3, 19, 20, 21, 1000} {
		var l Lengths
		var all []int
		sum := 0
		for range n {
			v := rng.IntN(3 + rng.IntN(1000))
			l.Add(v)
			all = append(all, v)
			sum += v
		}
		slices.Sort(all)
		got := l.Spread()
		if got.Median != all[min(n-1, n/2)] || got.P95 != all[min(n-1, int(.95*float64(n)))] || got.Max != all[n-1] || got.Mean-float64(sum)/float64(n) > .006 || float64(sum)/float64(n)-got.Mean > .006 {
			t.Errorf("%d lengths: %+v", n, got)
		}
		bins := l.Bins()
		counted := 0
		for i, b := range bins {
			counted += b.N
			if b.From >= b.To || i > 0 && b.From != bins[i-1].To {
				t.Fatalf("bin %d: %+v", i, bins)
			}
			want := 0
			for _, v := range all {
				if v >= b.From && v < b.To {
					want++
				}
			}
			if want != b.N {
				t.Errorf("bin %+v, want %d", b, want)
			}
		}
		if counted != n || bins[0].N == 0 || bins[len(bins)-1].N == 0 {
			t.Errorf("bins of %d lengths: %+v", n, bins)
		}
	}
	if (&Lengths{}).Spread() != (Spread{}) || (&Lengths{}).Bins() != nil {
		t.Error("no lengths")
	}
}

// Facts do not depend on which goroutine is faster, and rows come in their order.
func TestScanInOrder(t *testing.T) {
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf(`{"prompt":"question %d","chosen":"%s","rejected":"b","category":"c%d"}`, i%400, strings.Repeat("a", 1+i%97), i%3))
	}
	path := file(t, "p.jsonl", lines...)
	var first []byte
	for range 3 {
		at := 0
		f, err := Scan(t.Context(), path, Options{Draws: 50, Level: .9, Seed: 1}, func(r *record.Record) error {
			if at++; r.Line != at {
				return fmt.Errorf("line %d at place %d", r.Line, at)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if string(b) != string(first) || at != 1000 {
			t.Fatalf("%d rows\n%s\n%s", at, b, first)
		}
	}
}

// An error of a record's owner, of the file or of the context ends a scan at once, without a goroutine that is left.
func TestScanEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	stop := errors.New("enough")
	in := rows(5000, 3, 3)
	if _, err := Scan(t.Context(), "-", Options{Read: record.ReadOptions{Stdin: in}}, func(r *record.Record) error {
		if r.Line == 100 {
			return r.Fault("%v", stop)
		}
		return nil
	}); err == nil || !strings.Contains(err.Error(), `standard input:100: record "made-99": enough`) {
		t.Error(err)
	}
	in.Close()
	ctx, cancel := context.WithCancel(t.Context())
	in = rows(5000, 3, 3)
	if _, err := Scan(ctx, "-", Options{Read: record.ReadOptions{Stdin: in}}, func(r *record.Record) error {
		if r.Line == 100 {
			cancel()
		}
		return nil
	}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	in.Close()
	if _, err := Scan(t.Context(), file(t, "bad.jsonl", `{"prompt":"p","chosen":"a","rejected":"b"}`, `{`), Options{}, nil); err == nil || !strings.Contains(err.Error(), "bad.jsonl:2") {
		t.Error(err)
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

// A small file of everything that can be wrong.
func TestCheck(t *testing.T) {
	train := file(t, "train.jsonl",
		`{"id":"1","prompt":"Name a colour of the rainbow, please, and say where it stands.","chosen":"Red, outside.","rejected":"Pink","category":"a"}`,
		`{"id":"1","prompt":"Name a colour of the rainbow, please, and say where it stands!","chosen":"Red, outside.","rejected":"Grey","category":"b"}`,
		`{"prompt":"What is the capital of Peru?","chosen":"Lima","rejected":"Cusco, I think"}`,
		`{"prompt":"What is the capital of Peru?","chosen":"Cusco, I think","rejected":"Lima"}`,
		`{"prompt":"What is the capital of Peru?","chosen":"Lima","rejected":"Cusco, I think"}`,
		`{"prompt":"x","chosen":"same","rejected":"same"}`,
		`{"prompt":"y","chosen":"","rejected":"b"}`,
		`{"prompt":"z","chosen":"","rejected":"b"}`,
		`{"prompt":"q","rejected":"b"}`,
		`{"prompt":"who","chosen":"m","rejected":"n"}`,
	)
	held := file(t, "held.jsonl",
		`{"prompt":"what is the CAPITAL of Peru?","chosen":"Lima","rejected":"Quito"}`,
		`{"prompt":"What is the capital of Peru?","chosen":"Cusco, I think","rejected":"Lima"}`,
		`{"prompt":"Name a colour of the rainbow, please, and say where it stands?","chosen":"Red","rejected":"Black"}`,
		`{"prompt":"Nothing of this kind.","chosen":"Yes","rejected":"No"}`,
	)
	tokens := Counter{Text: func(s string) int { return len(strings.Fields(s)) }, Whole: func(r *record.Record) (int, error) {
		if r.Prompt.Text == "who" {
			return 0, r.Fault("the template does not like it")
		}
		return len(strings.Fields(r.Prompt.String())) + 2, nil
	}}
	r, err := Check(t.Context(), []string{train}, []string{held}, Options{Tokens: tokens, MaxLength: 10, Draws: 100, Level: .95})
	if err != nil {
		t.Fatal(err)
	}
	f := r.Files[0]
	for what, got := range map[string][2]any{
		"rows":       {f.Rows, 6},
		"bad":        {f.BadRows, 3},
		"reasons":    {f.Reasons, map[string]int{`"chosen" is empty`: 2, `key "chosen" is missing, the nearest layout is prompt/chosen/rejected`: 1}},
		"aside":      {f.Aside, map[string]int{"with two equal responses": 1}},
		"prompts":    {f.Prompts, 4},
		"duplicates": {f.Duplicates, map[string]int{"duplicate id": 1, "duplicate row": 1, "contradiction": 1}},
		"longer":     {f.Longer, .5833}, // 13:4, 13:4, 4:14, 14:4, 4:14, 1:1
		"over":       {f.Over, 2},
		"unrendered": {f.Unrendered, 1},
		"near":       {f.Repeated, 1},
		"tokens":     {f.Tokens["prompt"].Max, 12},
		"whole":      {f.Tokens["whole"].Max, 14},
		"pairs":      {len(r.Pairs), 1},
		"overlap":    {r.Pairs[0].Overlap, Overlap{Prompts: 1, Rows: 1, Swapped: 1}},
		"shared":     {r.Pairs[0].Shared, Shared{Prompts: 1, Rows: 2, Near: 1}},
		"benchmarks": {len(r.Benchmarks), 0},
		"bias":       {f.Bias.N, 6},
	} {
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Errorf("%s: %v, want %v", what, got[0], got[1])
		}
	}
	text := strings.Join(r.Lines(), "\n")
	for _, want := range []string{
		"6 pairs of 4 prompts, 1 × a, 4 × all, 1 × b",
		"train.jsonl:7: \"chosen\" is empty",
		"bad: 2 × \"chosen\" is empty",
		"the longer response is the chosen one in 58.3 % (95 % interval by prompt: ",
		"wrong: " + train + ": 3 rows are bad",
		"wrong: " + train + ": 1 × contradiction",
		"wrong: " + train + ": 2 of 6 records are longer than 10 tokens",
		"wrong: " + train + ": 1 records cannot be rendered",
		"wrong: " + held + ": 1 rows are in " + train + " the other way round",
		"wrong: " + held + ": 1 prompts (2 rows) are also in " + train + ", and 1 more nearly are",
		"note: " + train + ": 1 of 4 prompts nearly repeat an earlier one",
		"not looked up, since their prompts are not known here: RewardBench 2; ",
		"held against " + held + ": 4 pairs of 4 prompts",
		"near duplicates: " + train + ":1 and " + train + ":2 (0.9",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if r.Wrong() != 8 {
		t.Errorf("%d findings are wrong:\n%s", r.Wrong(), text)
	}
	good, err := Check(t.Context(), []string{held}, nil, Options{})
	if err != nil || good.Wrong() != 0 {
		t.Errorf("%v, %+v", err, good.Findings)
	}
}

// Rows that say which of two responses is preferred tell where it stood.
func TestShownFirst(t *testing.T) {
	var lines []string
	for i := range 120 {
		lines = append(lines, fmt.Sprintf(`{"input":"question %d","output_1":"a","output_2":"b","label":%d}`, i, 1+i%40/39))
	}
	r, err := Check(t.Context(), []string{file(t, "llmbar.jsonl", lines...)}, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Files[0].First; !reflect.DeepEqual(got, map[string]int{"chosen": 117, "rejected": 3}) {
		t.Errorf("%v", got)
	}
	if text := strings.Join(r.Lines(), "\n"); !strings.Contains(text, "shown first: 117 × chosen, 3 × rejected") || !strings.Contains(text, "the response that was shown first is the chosen one in 98 % of the pairs that say it") {
		t.Error(text)
	}
}

// 100,000 pairs of some 80 words a prompt and 300 an answer. SetBytes is of the rows' text.
func BenchmarkCheck(b *testing.B) {
	const n = 100_000
	dir := b.TempDir()
	path := filepath.Join(dir, "pairs.jsonl")
	out, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	size, err := io.Copy(out, rows(n, 80, 150))
	if err != nil || out.Close() != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		r, err := Check(b.Context(), []string{path}, nil, Options{Draws: 1000, Level: .95, Seed: 1})
		if err != nil || r.Files[0].Rows != n {
			b.Fatal(err)
		}
	}
}

// Near duplicates of an input of several files are told by their files; they were told by the list's title, which has no lines.
func TestNearOfSeveralFiles(t *testing.T) {
	words := "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
	row := func(last string) string {
		return fmt.Sprintf(`{"prompt":"%s %s","chosen":"a","rejected":"b"}`, words, last)
	}
	first, second := file(t, "first.jsonl", row("x")), file(t, "second.jsonl", `{"prompt":"else","chosen":"a","rejected":"b"}`, row("y"))
	r, err := Check(t.Context(), []string{first + "," + second}, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(r.Lines(), "\n")
	if want := "near duplicates: " + first + ":1 and " + second + ":2 ("; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

// Progress is of all bytes that are read, of several files too, and ends at them.
func TestProgress(t *testing.T) {
	var lines []string
	for i := range 500 {
		lines = append(lines, fmt.Sprintf(`{"prompt":"p%d","chosen":"a","rejected":"b"}`, i))
	}
	a, b := file(t, "a.jsonl", lines...), file(t, "b.jsonl", lines[:300]...)
	sizes := record.Size(a) + record.Size(b)
	if sizes == 0 || record.Size(a+","+b) != sizes || record.Size("-") != 0 {
		t.Fatal(sizes)
	}
	dir := t.TempDir()
	for name, c := range map[string]struct {
		of   int64
		rows int
		run  func(o Options) error
	}{
		"check": {sizes, 800, func(o Options) error { _, err := Check(t.Context(), []string{a, b}, nil, o); return err }},
		"list":  {sizes, 800, func(o Options) error { _, err := Check(t.Context(), []string{a + "," + b}, nil, o); return err }},
		"convert": {sizes, 800, func(o Options) error {
			_, err := Convert(t.Context(), a+","+b, filepath.Join(dir, "c.jsonl"), nil, form(t, "trl"), o)
			return err
		}},
		"split": {2 * record.Size(a), 1000, func(o Options) error {
			_, err := Split(t.Context(), a, filepath.Join(dir, "t.jsonl"), filepath.Join(dir, "e.jsonl"), SplitOptions{Share: .1}, o)
			return err
		}},
	} {
		var last Position
		err := c.run(Options{Progress: func(at Position) {
			if at.Rows < last.Rows || at.Read < last.Read || at.Of != c.of || at.Read > at.Of {
				t.Errorf("%s: %+v behind %+v, want %d bytes", name, at, last, c.of)
			}
			last = at
		}})
		if err != nil || last.Read != c.of || last.Rows < c.rows-often {
			t.Errorf("%s: %+v, %v", name, last, err)
		}
	}
}
