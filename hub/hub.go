// Package hub finds what is named as on Hugging Face's hub: models (owner/name) and data sets, in the cache that huggingface_hub keeps,
// and over HTTP where they are not there.
//
// [Parse] tells a name from a path, and a path that is there is never a name. [FromEnv] reads the same variables as huggingface_hub, and
// what is downloaded lies where that library looks for it: blobs by their hash, snapshots that link to them, refs, the list of a commit's
// files. A file that is there is not asked for again, and one that is there in part goes on where it ended. Nothing is written outside
// of the cache, and no network is used for what the cache has.
package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"criticrm/safefile"
)

// Kind is what a name stands for, spelled as in the hub's addresses and in the cache's folders.
type Kind string

// Kinds of things on the hub.
const (
	Model   Kind = "models"
	Dataset Kind = "datasets"
)

// what is the kind in a sentence.
func (k Kind) what() string {
	if k == Dataset {
		return "data set"
	}
	return "model"
}

// DefaultEndpoint is the hub itself.
const DefaultEndpoint = "https://huggingface.co"

// Hub is where things are looked for. The zero values of what tells progress are fine.
type Hub struct {
	Cache    string // folder of the cache
	Endpoint string // URL of the hub, without a slash at its end
	Token    string // sent to the endpoint alone; "": none
	Offline  string // the variable that forbids the network; "": it is allowed

	HeaderTimeout time.Duration // longest wait for an answer's first byte
	Stall         time.Duration // longest silence inside an answer

	Say      func(line string)                    // gets lines for people
	Progress func(what string, done, total int64) // is told the bytes of what is being downloaded, from one goroutine at a time

	wait func(d time.Duration) <-chan time.Time // time.After, but for tests
}

// waits of huggingface_hub, which are short for weak lines.
const (
	headerTimeout = 30 * time.Second
	stallTimeout  = 30 * time.Second
)

// FromEnv gives the hub that the variables of huggingface_hub name: HF_HOME, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, XDG_CACHE_HOME, HF_ENDPOINT,
// HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE, HF_HUB_ETAG_TIMEOUT and
// HF_HUB_DOWNLOAD_TIMEOUT (seconds).
func FromEnv(getenv func(string) string) (*Hub, error) {
	h := &Hub{Endpoint: DefaultEndpoint, HeaderTimeout: headerTimeout, Stall: stallTimeout}
	home, err := homeFolder(getenv)
	if err != nil {
		return nil, err
	}
	h.Cache = filepath.Join(home, "hub")
	for _, name := range [...]string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if value := getenv(name); value != "" {
			h.Cache = expand(value, getenv)
			break
		}
	}
	if value := getenv("HF_ENDPOINT"); value != "" {
		h.Endpoint = strings.TrimRight(value, "/")
		if u, err := url.Parse(h.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, errors.New("hub: HF_ENDPOINT: want a URL as " + DefaultEndpoint + ", without a user, a password or a query")
		}
	}
	for _, name := range [...]string{"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		if value := getenv(name); value != "" { // the first one that is set decides
			if isTrue(value) {
				h.Offline = name
			}
			break
		}
	}
	for name, to := range map[string]*time.Duration{"HF_HUB_ETAG_TIMEOUT": &h.HeaderTimeout, "HF_HUB_DOWNLOAD_TIMEOUT": &h.Stall} {
		if value := getenv(name); value != "" {
			seconds, err := strconv.Atoi(value)
			if err != nil || seconds < 1 || seconds > 24*3600 {
				return nil, fmt.Errorf("hub: %s: got %.40q, want seconds, 1 or more", name, value)
			}
			*to = time.Duration(seconds) * time.Second
		}
	}
	if h.Token, err = token(home, getenv); err != nil {
		return nil, err
	}
	return h, nil
}

// homeFolder is where everything of huggingface_hub lies.
func homeFolder(getenv func(string) string) (string, error) {
	if value := getenv("HF_HOME"); value != "" {
		return expand(value, getenv), nil
	}
	cache := getenv("XDG_CACHE_HOME")
	if cache == "" {
		user := getenv("HOME")
		if user == "" {
			return "", errors.New("hub: neither HF_HOME nor HOME is set, so the cache of models and data sets has no place: set HF_HOME")
		}
		cache = filepath.Join(user, ".cache")
	}
	return filepath.Join(expand(cache, getenv), "huggingface"), nil
}

// expand puts values in the place of ~ and of variables.
func expand(path string, getenv func(string) string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') {
		path = getenv("HOME") + rest
	}
	return os.Expand(path, getenv)
}

func isTrue(value string) bool {
	switch strings.ToUpper(value) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// maxToken bounds a token and its file, in bytes.
const maxToken = 4096

// token is what the user is known by.
func token(home string, getenv func(string) string) (string, error) {
	if isTrue(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return "", nil
	}
	for _, name := range [...]string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if value := strings.TrimSpace(getenv(name)); value != "" {
			return checkToken(value, name)
		}
	}
	path := filepath.Join(home, "token")
	if value := getenv("HF_TOKEN_PATH"); value != "" {
		path = expand(value, getenv)
	}
	b, err := safefile.Read(path, maxToken)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("hub: the token's file: %w", err)
	}
	return checkToken(strings.TrimSpace(string(b)), path)
}

// checkToken refuses what is none, and never shows it.
func checkToken(token, from string) (string, error) {
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("hub: %s: is no token: it has white space or other characters inside", from)
		}
	}
	if len(token) > maxToken {
		return "", fmt.Errorf("hub: %s: is no token: it is over %d bytes long", from, maxToken)
	}
	return token, nil
}

func (h *Hub) say(format string, a ...any) {
	if h.Say != nil {
		h.Say(fmt.Sprintf(format, a...))
	}
}

func (h *Hub) after(d time.Duration) <-chan time.Time {
	if h.wait != nil {
		return h.wait(d)
	}
	return time.After(d)
}
