package hub

// Downloads from a server that misbehaves.

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"criticrm/hub/hubtest"
)

// misbehave runs a download of weights from a server that is as the test wants it.
func misbehave(t *testing.T, answer func(try int, w http.ResponseWriter, r *http.Request) bool) (h *Hub, s *hubtest.Hub, dir string, err error) {
	t.Helper()
	t.Chdir(t.TempDir())
	s = hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	try := 0
	s.Answer = func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		if !storage {
			return false
		}
		try++
		return answer(try, w, r)
	}
	h = quick(t, s)
	h.Token = "hf_secret"
	dir, err = h.Model(t.Context(), name(t, "org/tiny", Model), parts)
	if err != nil && strings.Contains(err.Error(), "hf_secret") {
		t.Error("the token is in the error")
	}
	return h, s, dir, err
}

func whole(t *testing.T, dir string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "model.safetensors") != small()["model.safetensors"] {
		t.Error("the weights differ")
	}
	left := names(t, filepath.Join(dir, "..", "..", "blobs"))
	if slices.ContainsFunc(left, func(name string) bool { return strings.Contains(name, "incomplete") }) {
		t.Errorf("something is left: %v", left)
	}
}

// cut sends a part of the weights and drops the connection.
func cut(w http.ResponseWriter, from, to int) {
	text := small()["model.safetensors"]
	w.Header().Set("Content-Length", fmt.Sprint(len(text)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(text)-1, len(text)))
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write([]byte(text[from:to]))
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// A connection that is cut goes on where it was.
func TestCut(t *testing.T) {
	_, s, dir, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		if try == 1 {
			cut(w, 0, 1000)
		}
		return false
	})
	whole(t, dir, err)
	ranges := []string{}
	for _, r := range s.Seen() {
		if r.Storage {
			ranges = append(ranges, r.Range)
		}
	}
	if !slices.Equal(ranges, []string{"", "bytes=1000-"}) {
		t.Error(ranges)
	}
}

// A process that was killed leaves a part, which the next one goes on with; where that is of something else, it begins again.
func TestResume(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		t.Run(fmt.Sprint(damaged), func(t *testing.T) {
			h, s, _, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool { cut(w, 0, 0); return true })
			if err == nil || !strings.Contains(err.Error(), "after 5 tries") {
				t.Fatal(err)
			}
			text := small()["model.safetensors"][:5000]
			if damaged {
				text = strings.Repeat("x", 5000)
			}
			blob := filepath.Join(h.Cache, "models--org--tiny", "blobs", s.Repos["models/org/tiny"].SHA256("model.safetensors"))
			if err := os.WriteFile(partial(blob), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(h.Cache, "models--org--tiny", "refs", "main")); err == nil {
				t.Error("the ref is there before the files")
			}
			s.Answer = nil
			s.Seen()
			dir, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts)
			whole(t, dir, err)
			var ranges []string
			for _, r := range s.Seen() {
				if r.Storage {
					ranges = append(ranges, r.Range)
				}
			}
			if want := map[bool][]string{false: {"bytes=5000-"}, true: {"bytes=5000-", ""}}[damaged]; !slices.Equal(ranges, want) {
				t.Error(ranges, want)
			}
		})
	}
}

// A server that knows no ranges sends all of it again; one that sends another range is not believed.
func TestRanges(t *testing.T) {
	_, _, dir, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		if try == 1 {
			cut(w, 0, 1000)
		}
		w.Write([]byte(small()["model.safetensors"]))
		return true
	})
	whole(t, dir, err)
	_, _, _, err = misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		if try == 1 {
			cut(w, 0, 1000)
		}
		cut(w, 2000, 3000)
		return true
	})
	if err == nil || !strings.Contains(err.Error(), `asked for bytes from 1000 on, it sends "bytes 2000-`) {
		t.Error(err)
	}
}

// What is not what the hub has said does not stay.
func TestWrongHash(t *testing.T) {
	h, _, _, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		w.Write([]byte(strings.Repeat("WEIGHTS ", 1<<17)))
		return true
	})
	if err == nil || !strings.Contains(err.Error(), "its hash is") || !strings.Contains(err.Error(), "nothing is kept of it") {
		t.Error(err)
	}
	for _, file := range names(t, h.Cache) {
		if strings.Contains(file, "incomplete") || strings.HasSuffix(file, "model.safetensors") {
			t.Errorf("%s is left", file)
		}
	}
	_, _, dir, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		w.Write([]byte(strings.Repeat("weights ", 1<<17+1))) // more than there should be, but what is wanted is there
		return true
	})
	whole(t, dir, err)
}

// Trouble that passes is waited for, as long as the server says; not for ever.
func TestTrouble(t *testing.T) {
	for status, want := range map[int]string{500: "", 503: "", 429: "", 408: "", 403: "403 Forbidden, where 127.0.0.1", 404: "404 Not Found, where"} {
		_, _, dir, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
			if try > 2 && status != 403 && status != 404 {
				return false
			}
			w.WriteHeader(status)
			return true
		})
		if want == "" {
			whole(t, dir, err)
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
	}
	tried := 0
	_, _, _, err := misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		tried = try
		w.WriteHeader(502)
		return true
	})
	if err == nil || tried != tries || !strings.Contains(err.Error(), "502 Bad Gateway (after 5 tries)") {
		t.Error(tried, err)
	}
	_, _, _, err = misbehave(t, func(try int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(429)
		return true
	})
	if err == nil || !strings.Contains(err.Error(), "asked again in 1h0m0s") {
		t.Error(err)
	}
}

// A server that falls silent is left, and asked again.
func TestSilence(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	s.Add("models/org/tiny", small(), weights)
	done := make(chan struct{})
	silent := 0
	s.Answer = func(w http.ResponseWriter, r *http.Request, storage bool) bool {
		if silent++; !storage || silent > 100 {
			return false
		}
		silent = 100
		w.Write([]byte("weights "))
		w.(http.Flusher).Flush()
		select {
		case <-done:
		case <-r.Context().Done():
		}
		return true
	}
	defer close(done)
	h := quick(t, s)
	h.Stall = 100 * time.Millisecond
	dir, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts)
	whole(t, dir, err)
}

// What the hub itself refuses is said so that somebody can do something.
func TestRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	s := hubtest.New(t)
	h := quick(t, s)
	for _, x := range []struct {
		status            int
		code, token, want string
	}{
		{401, "", "", "there is no model of this name at http://127.0.0.1"},
		{401, "", "", "set HF_TOKEN, or log in with 'hf auth login'"},
		{401, "GatedRepo", "", "it is gated: accept its terms at " + s.URL + "/org/tiny with your account, and then set HF_TOKEN"},
		{403, "GatedRepo", "hf_x", "may not read it"},
		{401, "", "hf_x", "the token is wrong or has ended"},
		{404, "RepoNotFound", "hf_x", "or the token that is sent (HF_TOKEN, or the file token in HF_HOME) may not read it"},
		{403, "", "hf_x", "403 Forbidden: the token that is sent"},
		{429, "", "", "429 Too Many Requests: too many requests from here"},
		{418, "", "", "418 I'm a teapot"},
		{200, "", "", "no answer of a hub"},
	} {
		s.Answer = func(w http.ResponseWriter, r *http.Request, _ bool) bool {
			w.Header().Set("X-Error-Code", x.code)
			w.Header().Set("X-Error-Message", "because\u009b31m so")
			w.WriteHeader(x.status)
			fmt.Fprint(w, "<html>")
			return true
		}
		h.Token = x.token
		_, err := h.Model(t.Context(), name(t, "org/tiny", Model), parts)
		if err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "\u009b") {
			t.Errorf("%d %s: %v, want %s", x.status, x.code, err, x.want)
		}
		if x.status != 200 && !strings.Contains(err.Error(), "says: because") {
			t.Errorf("%v: the server's own words are missing", err)
		}
	}
	if left, err := os.ReadDir(h.Cache); err == nil && len(left) > 0 && left[0].Name() != ".locks" {
		t.Errorf("something is left: %v", left)
	}
}
