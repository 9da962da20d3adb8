// Package remote is a server with OpenAI's routes as a [critic.Generator]: vLLM, SGLang, llama.cpp, Ollama, or criticrm itself, one or
// several of them.
//
// A sample is a function of the request and its number alone, as far as the server lets it be: sample j of a request has the seed
// [Seed](Sampling.Seed, Request.Key, j), whichever server writes it, whenever, and after however many tries. Every sample is taken exactly
// once; answers that nobody waits for any more (a lost connection, a deadline) are never seen.
//
// What a server does not say is not made up: without token ids a sample is text with a finish reason. Ids are kept where the model's
// own tokenizer is at hand and spells the text with them.
package remote

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"criticrm/tokenizer"
)

// Routes of OpenAI's API.
const (
	Chat        = "chat"        // /chat/completions: the server renders the conversation
	Completions = "completions" // /completions: the prompt is token ids, spelled here
)

// Routes lists them.
func Routes() []string { return []string{Chat, Completions} }

// Options say which servers are asked, and how.
type Options struct {
	BaseURLs   []string      // as https://host:8000/v1; a URL without a path gets /v1. They serve the same model
	KeyEnv     string        // name of the environment variable with the key; "": no key
	Model      string        // name of the model on the servers; "": the one that they serve
	Route      string        // one of Routes; "": Chat
	Concurrent int           // requests under way at each URL; 0: 32
	PerRequest int           // samples that one request asks for ("n"); 0: 1
	Retries    int           // further tries of a request that fails for a reason that may pass
	Timeout    time.Duration // of one try; 0: ten minutes
	Standard   bool          // send OpenAI's own fields alone, without top_k and those that switch off what a server may do by default
	LogProbs   bool          // ask for log-probabilities; only of use with Decode

	// Encode spells a conversation up to where the model writes, and Decode is the text of ids, control tokens left out; both are of the
	// model's own tokenizer. nil: it is not at hand.
	Encode func(messages []tokenizer.Message, generation bool) ([]int32, error)
	Decode func(ids []int32) string
	Ends   []int32 // tokens that end a text; for Encode and Decode

	Transport http.RoundTripper                    // nil: one of its own, with the environment's proxy
	Warn      func(line string)                    // gets what a person should know; nil: not
	pause     func(tries int) time.Duration        // before the next try; nil: backOff. Tests do not wait
	largest   int64                                // bytes of an answer; 0: maxAnswer
	getenv    func(string) (value string, ok bool) // nil: os.LookupEnv
}

const (
	// DefaultConcurrent is how many requests are under way at each URL.
	DefaultConcurrent = 32
	// DefaultTimeout is how long one try may take.
	DefaultTimeout = 10 * time.Minute
	// DefaultRetries is how often a request is tried again.
	DefaultRetries = 8
	maxConcurrent  = 4096
	maxAnswer      = 256 << 20
)

// complete checks the settings and fills what has a default.
func (o *Options) complete() error {
	o.Route = cmp.Or(o.Route, Chat)
	o.Concurrent, o.PerRequest = cmp.Or(o.Concurrent, DefaultConcurrent), cmp.Or(o.PerRequest, 1)
	o.Timeout, o.largest = cmp.Or(o.Timeout, DefaultTimeout), cmp.Or(o.largest, maxAnswer)
	if o.pause == nil {
		o.pause = backOff
	}
	if o.getenv == nil {
		o.getenv = os.LookupEnv
	}
	switch {
	case !slices.Contains(Routes(), o.Route):
		return fmt.Errorf("remote: route: got %.40q, want one of %s", o.Route, strings.Join(Routes(), ", "))
	case o.Route == Completions && o.Encode == nil:
		return errors.New("remote: the completions route needs the model's own tokenizer and chat template, which spell the prompt: give the model's directory, or take the chat route")
	case o.Concurrent < 1 || o.Concurrent > maxConcurrent:
		return fmt.Errorf("remote: concurrency: got %d, want 1 to %d", o.Concurrent, maxConcurrent)
	case o.PerRequest < 1 || o.PerRequest > maxPerRequest:
		return fmt.Errorf("remote: samples of one request: got %d, want 1 to %d", o.PerRequest, maxPerRequest)
	case o.Retries < 0 || o.Retries > 1000:
		return fmt.Errorf("remote: retries: got %d, want 0 to 1000", o.Retries)
	case o.Timeout < 0:
		return fmt.Errorf("remote: timeout: got %v, want more than 0", o.Timeout)
	case len(o.BaseURLs) == 0:
		return errors.New("remote: no base URL: want one as http://localhost:8000/v1")
	}
	return nil
}

// key is the value of the key's variable.
func (o *Options) key() (string, error) {
	if o.KeyEnv == "" {
		return "", nil
	}
	key, ok := o.getenv(o.KeyEnv)
	key = strings.TrimSpace(key)
	switch {
	case !ok || key == "":
		return "", fmt.Errorf("remote: the environment variable %s, which is to hold the key, is not set", o.KeyEnv)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("remote: the environment variable %s holds characters that no key has", o.KeyEnv)
	}
	return key, nil
}

// SplitURLs takes a list of base URLs by comma apart and checks each. Errors do not repeat what may be a password.
func SplitURLs(list string) (urls []string, err error) {
	for i, text := range strings.Split(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		u, err := baseURL(text)
		if err != nil {
			return nil, fmt.Errorf("remote: base URL %d: %w", i+1, err)
		}
		if slices.Contains(urls, u) {
			return nil, fmt.Errorf("remote: the base URL %s is given twice", u)
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// baseURL checks one and writes it without a last slash.
func baseURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return "", errors.New("want one as http://localhost:8000/v1")
	case u.User != nil:
		return "", errors.New("it holds a user or password, which would stand in logs: put the key into an environment variable and name that")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("it has a query or fragment, and routes are put behind it")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	for _, route := range []string{"/chat/completions", "/completions", "/models"} {
		if strings.HasSuffix(u.Path, route) {
			return "", fmt.Errorf("%s is a route: leave %s away", u.Redacted(), route)
		}
	}
	if u.Path == "" {
		u.Path = "/v1"
	}
	return u.String(), nil
}

// Label names the engine and its model for records: what a text depends on, but not where it was written.
func (e *Engine) Label() string {
	name := e.o.Model
	if strings.HasPrefix(name, "/") { // a path of the server's
		name = path.Base(name)
	}
	label := "openai:" + name
	if e.o.Route != Chat {
		label += "/" + e.o.Route
	}
	if e.o.PerRequest > 1 {
		label += fmt.Sprintf("/n%d", e.o.PerRequest)
	}
	if e.o.Standard {
		label += "/standard"
	}
	return label
}
