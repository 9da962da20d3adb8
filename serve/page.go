package serve

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
)

// The page is one document: style and script are put into it, and the browser is told to run these and nothing else.
var (
	//go:embed page/page.html
	pageHTML []byte
	//go:embed page/page.css
	pageCSS []byte
	//go:embed page/page.js
	pageJS []byte
)

// page gives the document and its content security policy.
func page() (document []byte, policy string) {
	document = bytes.Replace(pageHTML, []byte("/*style*/"), pageCSS, 1)
	document = bytes.Replace(document, []byte("/*script*/"), pageJS, 1)
	hash := func(b []byte) string {
		sum := sha256.Sum256(b)
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return document, fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		hash(pageJS), hash(pageCSS))
}

// servePage is GET /.
func (s *Server) servePage(c *call) error {
	h := c.w.Header()
	h.Set("Content-Security-Policy", s.policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	return c.bytes(http.StatusOK, "text/html; charset=utf-8", s.page)
}
