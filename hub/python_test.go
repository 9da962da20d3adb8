package hub

// The real huggingface_hub reads our cache, and we read the one that it makes.

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"criticrm/hub/hubtest"
)

// python runs a program with huggingface_hub, on this cache and hub; it skips the test where there is none.
func python(t *testing.T, h *Hub, offline bool, program string) string {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("CRITICRM_PYTHON"), "python3"))
	if err != nil {
		t.Skip("there is no python3: huggingface_hub is not asked")
	}
	cmd := exec.Command(path, "-c", "try:\n import huggingface_hub\nexcept ImportError:\n print('none')\nelse:\n"+" "+strings.ReplaceAll(strings.TrimSpace(program), "\n", "\n "))
	cmd.Env = append(os.Environ(), "HF_HUB_CACHE="+h.Cache, "HF_ENDPOINT="+h.Endpoint, "HF_HOME="+filepath.Dir(h.Cache), "HF_HUB_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_PROGRESS_BARS=1",
		"HF_HUB_DISABLE_XET=1", "HF_HUB_OFFLINE="+map[bool]string{true: "1"}[offline])
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if text == "none" {
		t.Skip("python3 has no huggingface_hub (pip install huggingface_hub; CRITICRM_PYTHON names another python3)")
	}
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return text
}

// What is downloaded here is found there, without a network, with nothing missing that is ours.
func TestPythonReadsOurs(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	s.Add("datasets/org/d", map[string]string{"train.jsonl": "{}", "test.jsonl": "{}"}, ".jsonl")
	h := quick(t, s)
	dir, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts)
	if err != nil {
		t.Fatal(err)
	}
	data, err := h.Data(t.Context(), name(t, "org/d/train", Dataset), rows)
	if err != nil {
		t.Fatal(err)
	}
	s.Seen()
	got := python(t, h, true, `
from huggingface_hub import hf_hub_download, snapshot_download, scan_cache_dir, try_to_load_from_cache
print(hf_hub_download("org/tiny", "model.safetensors", local_files_only=True))
print(snapshot_download("org/tiny", local_files_only=True, allow_patterns=["*.json", "model.safetensors"]))
print(hf_hub_download("org/d", "train.jsonl", repo_type="dataset", local_files_only=True))
info = scan_cache_dir()
print(len(info.warnings), sorted((r.repo_id, r.repo_type, r.nb_files, [sorted(v.refs) for v in r.revisions]) for r in info.repos))`)
	want := []string{filepath.Join(dir, "model.safetensors"), dir, data[0], "0 [('org/d', 'dataset', 1, [['main']]), ('org/tiny', 'model', 3, [['main']])]"}
	if lines := strings.Split(got, "\n"); !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if seen := s.Seen(); len(seen) > 0 {
		t.Errorf("the hub was asked: %v", seen)
	}
	// with a network it sees that nothing has to be fetched
	if got := python(t, h, false, `
from huggingface_hub import hf_hub_download
print(hf_hub_download("org/tiny", "model.safetensors"))`); got != want[0] {
		t.Error(got)
	}
	for _, r := range s.Seen() {
		if r.Storage {
			t.Errorf("it was fetched again: %v", r)
		}
	}
}

// What huggingface_hub has downloaded, file by file or as a whole, is found here.
func TestWeReadPythons(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	repo := s.Add("models/org/tiny", small(), weights)
	for _, x := range []struct {
		program string
		asked   bool // that is asked for what the cache does not say
	}{
		{`
from huggingface_hub import hf_hub_download
for file in ["config.json", "tokenizer.json", "model.safetensors"]:
    print(hf_hub_download("org/tiny", file))`, true},
		{`
from huggingface_hub import snapshot_download
print(snapshot_download("org/tiny"))`, false},
	} {
		h := quick(t, s)
		made := python(t, h, false, x.program)
		dir := filepath.Join(h.Cache, "models--org--tiny", "snapshots", repo.Commit)
		if !strings.Contains(made, dir) {
			t.Fatal(made)
		}
		s.Seen()
		h.Offline = "HF_HUB_OFFLINE"
		if got, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts); err != nil || got != dir {
			t.Error(got, err)
		}
		h.Offline = ""
		for _, asks := range []bool{x.asked, false} {
			if got, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts); err != nil || got != dir {
				t.Error(got, err)
			}
			for _, r := range s.Seen() {
				if !asks || !strings.HasPrefix(r.Path, "/api/") {
					t.Errorf("asked for %v", r)
				}
			}
		}
	}
}
