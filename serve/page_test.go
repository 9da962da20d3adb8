package serve

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"criticrm/report/reporttest"
)

//go:embed testdata/harness.html
var harness []byte

// looked is what the harness has seen.
type looked struct {
	Faults []string
	Seen   struct {
		Empty, Judged    int
		Verdict, Usage   string
		Rewards          []string
		Critiques, Tries []string
		Dots, Writing    int
		Again            []string
		Forgotten        bool
		Chosen           string // the model of the try
		Dark             bool
		Ratios           map[string]float64 // the least contrast of each kind of thing
	}
}

// visit opens a server's page in a frame of a width in a headless Chromium, and uses it as a person would: see testdata/harness.html.
func visit(t *testing.T, s http.Handler, width, height int, picture string, ask url.Values) looked {
	t.Helper()
	results := make(chan looked, 1)
	ready := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /harness", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(harness) })
	mux.HandleFunc("GET /wait", func(_ http.ResponseWriter, r *http.Request) { // the browser is done when this is
		select {
		case <-ready:
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
	})
	mux.HandleFunc("POST /result", func(_ http.ResponseWriter, r *http.Request) {
		var v looked
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			t.Error(err)
		}
		results <- v
		close(ready)
	})
	mux.Handle("/", framed(s))
	web := httptest.NewServer(mux)
	defer web.Close()
	ask.Set("width", fmt.Sprint(width))
	ask.Set("height", fmt.Sprint(height))
	out := filepath.Join(t.TempDir(), "page.png")
	scheme := 1 // light, as Chromium counts
	if ask.Get("dark") != "" {
		scheme = 0
	}
	flags := []string{fmt.Sprintf("--blink-settings=preferredColorScheme=%d", scheme), fmt.Sprintf("--window-size=%d,%d", max(width, 500), height), "--screenshot=" + out}
	if picture != "" {
		ask.Set("picture", "1")
	}
	reporttest.Visit(t, web.URL+"/harness?"+ask.Encode(), flags...)
	if picture != "" {
		b, err := os.ReadFile(out)
		if err == nil {
			err = os.WriteFile(picture, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case v := <-results:
		return v
	default:
		t.Fatal("the page was not looked at")
		return looked{}
	}
}

// framed lets the harness have the page in a frame; the policy holds otherwise.
func framed(s http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(&frameWriter{w}, r) })
}

type frameWriter struct{ http.ResponseWriter }

func (w *frameWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *frameWriter) WriteHeader(code int) {
	if p := w.Header().Get("Content-Security-Policy"); p != "" {
		w.Header().Set("Content-Security-Policy", strings.Replace(p, "frame-ancestors 'none'", "frame-ancestors 'self'", 1))
	}
	w.ResponseWriter.WriteHeader(code)
}

// The page at the width of a desk, light, and of a phone, dark: critiques come while they are written, both rewards with their spread, the winner and
// the tokens are told; nothing runs off its side, everything has a name and can be reached by keys, and is legible: letters, hints, edges, the focus
// and plots have the contrasts of WCAG 2.2 AA, from the styles as the browser computes them; tries come back. With CRITICRM_SCREENSHOTS=DIR it leaves
// pictures there.
func TestPage(t *testing.T) {
	slow := func(o *Options, f *fake) {
		f.before = func(context.Context) error { time.Sleep(20 * time.Millisecond); return nil }
		f.pause = 3 * time.Millisecond
	}
	values := url.Values{"prompt": {"What is 2 + 2?"}, "a": {"It is 4."}, "b": {"It is 5, " + strings.Repeat("unbroken", 40)}, "samples": {"4"}}
	for width, dark := range map[int]bool{1200: false, 400: true} { // contrasts do not depend on the width
		s, _ := newServer(t, slow)
		values.Del("dark")
		if dark {
			values.Set("dark", "1")
		}
		got := visit(t, s, width, 900, "", values)
		for _, fault := range got.Faults {
			t.Errorf("dark %t: %s", dark, fault)
		}
		v := got.Seen
		if v.Dark != dark || len(v.Ratios) != 6 {
			t.Errorf("the browser shows the page dark: %t, want %t; contrasts %v", v.Dark, dark, v.Ratios)
		}
		t.Logf("dark %t, %d px: least contrasts %v", dark, width, v.Ratios)
		if v.Empty < 10 || v.Judged <= v.Empty || len(v.Rewards) != 2 || len(v.Critiques) != 8 || v.Dots != 8 || v.Writing != 0 || len(v.Tries) != 1 || !v.Forgotten {
			t.Errorf("%d px: %+v", width, v)
		}
		want := ask(t, s, "/v1/reward", fmt.Sprintf(`{"prompt":"What is 2 + 2?","responses":["It is 4.",%q],"samples":4}`, values.Get("b")))
		for i, c := range v.Critiques {
			if w := dig(want, "data", i/4, "critiques", i%4, "text"); c != w {
				t.Errorf("critique %d: %q, want %q", i, c, w)
			}
		}
		if !strings.Contains(v.Verdict, " wins by ") || !strings.Contains(v.Verdict, "of 16 pairs of critiques") || !strings.Contains(v.Usage, "tokens read") {
			t.Errorf("%d px: %q, %q", width, v.Verdict, v.Usage)
		}
		if strings.Join(v.Again, "|") != values.Get("prompt")+"|"+values.Get("a")+"|"+values.Get("b") {
			t.Errorf("%d px: the try came back as %q", width, v.Again)
		}
	}
	plain, _ := newServer(t, func(o *Options, f *fake) { o.Plain = true })
	if got := visit(t, plain, 400, 900, "", url.Values{"prompt": {"a"}, "a": {"b"}, "plain": {"1"}}); len(got.Faults) > 0 || !strings.HasPrefix(got.Seen.Verdict, "Reward ") || len(got.Seen.Rewards) != 1 {
		t.Errorf("a scalar model: %+v", got)
	}
	more := withMore(t)
	for model, length := range map[string]int{"a": 2, "b": 0} { // the second reads rewards alone
		got := visit(t, more, 400, 900, "", url.Values{"prompt": {"What is 1 + 1?"}, "a": {"2"}, "model": {model}, "samples": {"2"}, "plain": {"1"}})
		want := ask(t, more, "/v1/reward", fmt.Sprintf(`{"model":%q,"prompt":"What is 1 + 1?","responses":["2"]%s}`, model, map[string]string{"a": `,"samples":2`}[model]))
		reward, err := dig(want, "data", 0, "reward").(json.Number).Float64()
		shown := fmt.Sprintf("%.2f ", reward)
		if math.Abs(reward) < 10 {
			shown = fmt.Sprintf("%.3f ", reward)
		}
		if v := got.Seen; err != nil || len(got.Faults) > 0 || v.Chosen != model || len(v.Critiques) != length || len(v.Rewards) != 1 || !strings.HasPrefix(strings.Replace(v.Rewards[0], "−", "-", 1), shown) || !strings.Contains(v.Tries[0], "· "+model+" · What") {
			t.Errorf("model %s, reward %v: %+v", model, reward, got)
		}
	}
	full, _ := newServer(t, func(o *Options, f *fake) { f.before = func(context.Context) error { return ErrBusy } })
	if got := visit(t, full, 400, 900, "", url.Values{"prompt": {"a"}, "a": {"b"}, "plain": {"1"}, "picture": {"1"}}); !strings.Contains(got.Seen.Verdict, "Not judged: the queue is full") {
		t.Errorf("a full server: %+v", got)
	}
	if dir := os.Getenv("CRITICRM_SCREENSHOTS"); dir != "" {
		for _, width := range []int{1200, 400} {
			s, _ := newServer(t, slow)
			visit(t, s, width, 1400, filepath.Join(dir, fmt.Sprintf("page-%d.png", width)), values)
		}
	}
}

// TestPagePicture makes the picture of docs/serving.md, of a server that is running: CRITICRM_PICTURE is where it goes, and CRITICRM_SERVER a server
// of the demo's model.
func TestPagePicture(t *testing.T) {
	file, server := os.Getenv("CRITICRM_PICTURE"), os.Getenv("CRITICRM_SERVER")
	if file == "" || server == "" {
		t.Skip("no picture is wanted: CRITICRM_PICTURE and CRITICRM_SERVER name none")
	}
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	got := visit(t, httputil.NewSingleHostReverseProxy(to), 1200, 1000, file, url.Values{
		"prompt": {os.Getenv("CRITICRM_PROMPT")}, "a": {os.Getenv("CRITICRM_A")}, "b": {os.Getenv("CRITICRM_B")}, "samples": {"4"}, "plain": {"1"}})
	if len(got.Faults) > 0 {
		t.Error(got.Faults)
	}
}

// The page asks nobody but its server, runs nothing but its own script, and is in nobody's frame.
func TestPagePolicy(t *testing.T) {
	s, _ := newServer(t, nil)
	w := send(s, http.MethodGet, "/", "")
	for _, want := range []string{"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), want) {
			t.Errorf("%q has no %s", w.Header().Get("Content-Security-Policy"), want)
		}
	}
	for _, foreign := range []string{"http://", "https://", "src=", "@import", "/*style*/", "/*script*/", "innerHTML", "style=\"", " onclick"} {
		if text := strings.ReplaceAll(w.Body.String(), "http://www.w3.org/2000/svg", ""); strings.Contains(text, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
}
