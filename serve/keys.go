package serve

// Who may ask: API keys, as a bearer token or, for browsers, as the password of basic authentication.

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"

	"criticrm/safefile"
)

const (
	minKey     = 16 // characters
	maxKeyFile = 1 << 20
)

// readKeys reads a file of keys, one a line; empty lines and those that begin with # are none. Only their hashes are kept.
func readKeys(path string) ([][32]byte, error) {
	b, err := safefile.Read(path, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("serve: api_key_file: %w", err)
	}
	var keys [][32]byte
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
			continue
		case len(line) < minKey:
			return nil, fmt.Errorf("serve: %s:%d: a key of %d characters, want at least %d", path, i+1, len(line), minKey)
		case strings.ContainsAny(line, " \t"):
			return nil, fmt.Errorf("serve: %s:%d: a key with a space in it", path, i+1)
		case strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }): // each client would send it in its own way, or not at all
			return nil, fmt.Errorf("serve: %s:%d: a key with a character that is none of ASCII's visible ones (a byte order mark in front of the file counts as one): write another", path, i+1)
		}
		keys = append(keys, sha256.Sum256([]byte(line)))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("serve: %s has no key", path)
	}
	return keys, nil
}

// permit refuses a request without a key where one is needed. It takes the same time for every wrong key.
func (s *Server) permit(r *http.Request) error {
	if s.Set.KeyFile == "" {
		return s.sameHost(r)
	}
	given := sha256.Sum256([]byte(keyOf(r.Header.Get("Authorization"))))
	found := 0
	for _, key := range *s.keys.Load() {
		found |= subtle.ConstantTimeCompare(given[:], key[:])
	}
	if found == 0 {
		return &Error{Status: http.StatusUnauthorized, Code: "unauthorized", Message: "want an API key: Authorization: Bearer KEY"}
	}
	return nil
}

// keyOf is the key in an Authorization header.
func keyOf(header string) string {
	kind, rest, _ := strings.Cut(header, " ")
	switch {
	case strings.EqualFold(kind, "Bearer"):
		return strings.TrimSpace(rest)
	case strings.EqualFold(kind, "Basic"):
		if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest)); err == nil {
			_, password, _ := strings.Cut(string(b), ":")
			return password
		}
	}
	return ""
}

// sameHost keeps pages of other sites from asking a server that has no key through the browser of somebody on its machine: a name of theirs may
// lead to this machine's address, but the request still has the name.
func (s *Server) sameHost(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if !s.Set.local() || host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil {
		return nil
	}
	return &Error{Status: http.StatusMisdirectedRequest, Code: "wrong_host", Message: fmt.Sprintf("the server has no key and answers to this machine's addresses alone, not to the name %q: start it with --api_key_file", clip(host))}
}
