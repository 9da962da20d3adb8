package serve

// Several models behind one address: requests say by name which one they ask.

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"criticrm/internal/spell"
	"criticrm/modeldir"
	"criticrm/render"
	"criticrm/strictjson"
)

// modelQuery is the parameter of an address that names the model, for clients whose bodies have no place for it.
const modelQuery = "model"

// Add serves one more model under a name, beside the first one, before Serve. Of the options those of the server are the first one's.
func (s *Server) Add(name string, dir *modeldir.Dir, r *render.Renderer, back Backend, o Options) error {
	for _, other := range s.all {
		if slices.Contains(other.names, name) {
			return fmt.Errorf("serve: two models are called %q: give other names", name)
		}
	}
	o.Set, o.Log, o.IsLost = s.Set, s.Log, s.IsLost
	added, err := of(dir, r, back, o, s.shared)
	if err != nil {
		return fmt.Errorf("%w (model %s)", err, name)
	}
	added.names = []string{name}
	return nil
}

// load is that of all models.
func (s *Server) load() (sum Load) {
	for _, m := range s.all {
		l := m.back.Load()
		sum.Running, sum.Waiting, sum.CachedTokens = sum.Running+l.Running, sum.Waiting+l.Waiting, sum.CachedTokens+l.CachedTokens
		sum.ReusedTokens, sum.ReadTokens, sum.WrittenTokens = sum.ReusedTokens+l.ReusedTokens, sum.ReadTokens+l.ReadTokens, sum.WrittenTokens+l.WrittenTokens
	}
	return sum
}

// named is the server of the model that a request names, in its address or its body; of the first one where it names none. A name that nobody has, in the body, is
// for whoever reads the body to refuse.
func (s *Server) named(r *http.Request, body []byte) (*Server, error) {
	if len(s.all) == 1 && r.URL.RawQuery == "" {
		return s, nil
	}
	inBody := modelOf(body)
	name := inBody
	asked, err := parameter(r.URL.RawQuery)
	if err != nil {
		return s, err
	}
	if asked != nil {
		if name = *asked; inBody != "" && inBody != name {
			return s, malformed("model", "the address names %s and the body %s", clip(name), clip(inBody))
		}
		if err := s.all[0].known(&name); err != nil {
			return s, err
		}
	}
	for _, m := range s.all {
		if slices.Contains(m.names, name) {
			return m, nil
		}
	}
	return s, nil
}

// parameter is the model that an address names; nil: none. Whatever else is there would be left out without a word, and another model asked.
func parameter(query string) (*string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, malformed("", "the address's parameters cannot be read (%s): want ?model=NAME, or none", clip(err.Error()))
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if key != modelQuery {
			return nil, &Error{Status: http.StatusBadRequest, Code: unknownField, Param: clip(key), Message: fmt.Sprintf("unknown parameter %q in the address%s: there is none but model, the body says the rest", clip(key), spell.Hint(key, []string{modelQuery}))}
		}
	}
	switch list := values[modelQuery]; len(list) {
	case 0:
		return nil, nil
	case 1:
		return &list[0], nil
	}
	return nil, malformed(modelQuery, "the address names it twice")
}

// modelOf is the model that a body names; "" of one that names none, or is no object.
func modelOf(body []byte) (name string) {
	var members []strictjson.Member
	if strictjson.Read(body, func(r *strictjson.Reader) (err error) { members, err = r.Members(); return err }) != nil {
		return "" // its reader says what is wrong
	}
	for _, m := range members {
		if m.Key == "model" {
			_ = strictjson.Read(m.Raw, func(r *strictjson.Reader) (err error) { name, err = r.String(); return err })
		}
	}
	return name
}

// known refuses a model that is none of the server's; nil and "" stand for the first one.
func (s *Server) known(model *string) error {
	var names []string
	for _, m := range s.all {
		if model == nil || *model == "" || slices.Contains(m.names, *model) {
			return nil
		}
		names = append(names, m.names[0])
	}
	if len(names) > 1 {
		return &Error{Status: http.StatusNotFound, Code: "model_not_found", Param: "model", Message: "there is no model " + clip(*model) + ", there are " + strings.Join(names, ", ")}
	}
	return &Error{Status: http.StatusNotFound, Code: "model_not_found", Param: "model", Message: "there is no model " + clip(*model) + ", this is " + s.names[0] + " (--served_model_name gives it more names)"}
}
