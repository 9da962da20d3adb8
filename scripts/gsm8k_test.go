package scripts

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fetchText runs the script that fetches the files of `make text`, and gives what it says.
func (m *machine) fetchText(from string) (string, error) {
	c := exec.Command("sh", "scripts/gsm8k.sh")
	c.Dir, c.Env = m.root, []string{"PATH=" + m.path, "HOME=" + m.root, "GITHUB_RAW=" + from}
	out, err := c.CombinedOutput()
	return string(out), err
}

// The files come from where GITHUB_RAW says, once, and only as they should be.
func TestTextIsFetched(t *testing.T) {
	m := newMachine(t, "curl")
	files := map[string]string{"train": "the answers\n", "solutions": "the solutions\n", "harmless": "the others\n"}
	names := map[string]string{"train": "train.jsonl", "solutions": "example_model_solutions.jsonl", "harmless": "harmless.jsonl.gz"}
	script := m.read("scripts/gsm8k.sh")
	for name, text := range files {
		sum := sha256.Sum256([]byte(text))
		with := regexp.MustCompile(`(?m)^`+name+`_sha256=[0-9a-f]{64}$`).ReplaceAllString(script, name+"_sha256="+hex.EncodeToString(sum[:]))
		if with == script {
			t.Fatalf("the script has no checksum of %s", name)
		}
		script = with
	}
	m.write(filepath.Join(m.root, "scripts", "gsm8k.sh"), script)
	var asked []string
	altered := "solutions"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		for name, end := range map[string]string{"train": "/data/train.jsonl", "solutions": "/data/example_model_solutions.jsonl", "harmless": "/harmless-base/test.jsonl.gz"} {
			if strings.HasSuffix(r.URL.Path, end) {
				text := files[name]
				if name == altered {
					text = strings.ToUpper(text)
				}
				_, _ = w.Write([]byte(text))
				return
			}
		}
		http.NotFound(w, r)
	}))
	defer s.Close()

	want := func(from string, words ...string) {
		t.Helper()
		out, err := m.fetchText(from)
		if err == nil {
			t.Errorf("it ends well, saying\n%s", out)
		}
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("it does not say %q, but\n%s", w, out)
			}
		}
		if strings.Contains(out, "secret") {
			t.Errorf("it shows a password:\n%s", out)
		}
		if left, _ := filepath.Glob(filepath.Join(m.root, "build/gsm8k/fetching*")); left != nil {
			t.Errorf("%v is left", left)
		}
	}
	want("http://user:secret@127.0.0.1:1", "train.jsonl cannot be fetched", "GITHUB_RAW", "Or fetch it yourself: as train.jsonl it belongs into build/gsm8k")
	want(s.URL+"/none", "gsm8k: fetching example_model_solutions.jsonl", "is not what it should be, and is thrown away")
	if _, err := os.Stat(filepath.Join(m.root, "build/gsm8k", names["solutions"])); err == nil {
		t.Error("the file with another checksum is there")
	}
	altered, asked = "", nil
	if out, err := m.fetchText(s.URL + "/"); err != nil || len(asked) != 2 || strings.Contains(out, "train.jsonl (") {
		t.Errorf("%v, asked for %v:\n%s", err, asked, out)
	}
	for name, text := range files {
		if got := m.read("build/gsm8k/" + names[name]); got != text {
			t.Errorf("%s is %q", names[name], got)
		}
	}
	if out, err := m.fetchText("http://127.0.0.1:1"); err != nil || out != "" {
		t.Errorf("a second time there is more to do: %v, %s", err, out)
	}
	m.write(filepath.Join(m.root, "build/gsm8k", names["train"]), "cut")
	want(s.URL, "is not what was fetched: remove it")
}
