// Package reporttest looks at reports in a real browser.
package reporttest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The widths at which a page is looked at, in pixels: a desk and a phone.
var widths = []int{1200, 400}

//go:embed layout.js
var layoutJS string

// Layout is red where a page runs off its side at 1200 or 400 pixels, where a label of a plot touches another label, a dot or a curve or
// leaves its picture, or where a legend stands on a plot. It needs a headless Chromium, and skips the test where there is none. With
// CRITICRM_SCREENSHOTS=DIR it leaves pictures named after the test there.
func Layout(t *testing.T, page []byte) {
	t.Helper()
	for _, fault := range Faults(t, page) {
		t.Error(fault)
	}
	if dir := os.Getenv("CRITICRM_SCREENSHOTS"); dir != "" {
		for _, w := range widths {
			screenshot(t, page, w, filepath.Join(dir, fmt.Sprintf("%s-%d.png", strings.ReplaceAll(t.Name(), "/", "-"), w)))
		}
	}
}

// Faults lists what Layout finds.
func Faults(t *testing.T, page []byte) []string {
	t.Helper()
	var frames strings.Builder
	for _, w := range widths {
		frames.WriteString(frame(page, w))
	}
	out := browser(t, frames.String()+"<pre id=out></pre><script>"+layoutJS+"</script>", "--dump-dom", "--window-size=1400,1000")
	_, rest, _ := bytes.Cut(out, []byte(`<pre id="out">`))
	text, _, found := bytes.Cut(rest, []byte("</pre>"))
	var result struct {
		Frames, Plots int
		Faults        []string
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(string(text))), &result); !found || err != nil {
		t.Fatalf("the browser did not answer: %v: %.300s", err, out)
	}
	if result.Frames != len(widths) {
		t.Fatalf("%d frames were looked at, want %d", result.Frames, len(widths))
	}
	if want := len(widths) * bytes.Count(page, []byte(`<figure class="plot">`)); result.Plots != want {
		t.Fatalf("%d plots were looked at, want %d", result.Plots, want)
	}
	return result.Faults
}

// frame holds a page in a window of its own width: a browser's window itself is never as narrow as a phone.
func frame(page []byte, width int) string {
	return fmt.Sprintf(`<iframe style="border:0;width:%dpx;height:900px" srcdoc="%s"></iframe>`, width, html.EscapeString(string(page)))
}

// browser opens a document and gives what the browser prints.
func browser(t *testing.T, document string, flags ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(`<!doctype html><meta charset="utf-8"><body style="margin:0">`+document), 0o644); err != nil {
		t.Fatal(err)
	}
	return Visit(t, "file://"+path, flags...)
}

// Visit opens an address in a headless Chromium with more flags, and gives what it prints when the page has loaded. It skips the test where there is
// no Chromium.
func Visit(t *testing.T, url string, flags ...string) []byte {
	t.Helper()
	name := find()
	if name == "" {
		t.Skip("no Chromium: scripts/chromium.sh installs one, or CHROME names it; the page is not looked at")
	}
	dir := t.TempDir()
	args := []string{"--headless", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1", "--user-data-dir=" + filepath.Join(dir, "profile")}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium refuses to run as root otherwise
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, append(append(args, flags...), url)...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, 5*time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %.500s", name, err, stderr.String())
	}
	return stdout.Bytes()
}

// find gives the browser, or nothing.
func find() string {
	if name := os.Getenv("CHROME"); name != "" {
		return name
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func screenshot(t *testing.T, page []byte, width int, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	height := 3200
	full := strings.Replace(frame(page, width), "height:900px", fmt.Sprintf("height:%dpx", height), 1)
	browser(t, full, fmt.Sprintf("--window-size=%d,%d", max(width, 500), height), "--screenshot="+path)
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Fatalf("no screenshot: %v", err)
	}
}
