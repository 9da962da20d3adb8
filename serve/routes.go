package serve

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// route is one thing that can be asked.
type route struct {
	method, path string
	errors       shape
	open         bool // without a key
	works        bool // it asks the model: it has a body, a place in the queue and a deadline
	answer       func(s *Server, c *call) error
}

// table is all that can be asked, by path and method. The next route is a line here and a function in the file of its family.
func table() map[string]map[string]*route {
	const get, post = http.MethodGet, http.MethodPost
	all := map[string]map[string]*route{}
	for _, r := range []route{
		{get, "/", ours, false, false, (*Server).servePage},
		{get, "/health", ours, true, false, (*Server).health},
		{get, "/ready", ours, false, false, (*Server).ready},
		{get, "/metrics", ours, false, false, (*Server).serveMetrics},

		{post, "/v1/reward", ours, false, true, (*Server).reward},

		{post, "/get_reward", openAI, false, true, (*Server).openRLHF},
		{post, "/classify", openAI, false, true, (*Server).classify}, // vLLM's and SGLang's: they differ by what is in the body
		{post, "/pooling", openAI, false, true, (*Server).pooling},
		{post, "/v1/classify", openAI, false, true, (*Server).classify},
		{post, "/v1/embeddings", openAI, false, true, (*Server).embeddings},
		{post, "/v1/score/evaluation", openAI, false, true, (*Server).llamaFactory},
		{post, "/slime", openAI, false, true, (*Server).slime},

		{get, "/v1/models", openAI, false, false, (*Server).models},
		{post, "/v1/chat/completions", openAI, false, true, (*Server).chat},
		{post, "/v1/completions", openAI, false, true, (*Server).completions},
	} {
		if all[r.path] == nil {
			all[r.path] = map[string]*route{}
		}
		all[r.path][r.method] = &r
	}
	return all
}

// find is the route of a request. A path counts as it is written: nothing is cleaned, unescaped or redirected.
func (s *Server) find(r *http.Request) (*route, error) {
	path := r.URL.EscapedPath()
	methods, ok := s.routes[path]
	if !ok {
		return nil, &Error{Status: http.StatusNotFound, Code: "unknown_route", Message: "there is no such route: GET /v1/models and docs/serving.md say what there is"}
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if got, ok := methods[method]; ok {
		return got, nil
	}
	names := slices.Sorted(maps.Keys(methods))
	return nil, &Error{Status: http.StatusMethodNotAllowed, Code: "wrong_method", Message: "want " + strings.Join(names, " or "), Allow: strings.Join(names, ", ")}
}
