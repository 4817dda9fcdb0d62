// Package openapi has the contract of a node's HTTP API, an OpenAPI 3.1 document,
// and a page that shows it. The document is written by hand in openapi.yaml;
// openapi.json is made from that, and this package's tests hold it to it. Tests of
// package api hold the server to the document.
package openapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"strings"
	"sync"
)

//go:embed openapi.json
var document []byte

// Document is the contract as JSON. It must not be changed.
func Document() []byte { return document }

//go:embed page.css
var css string

//go:embed page.html
var layout string

// made makes the page, once.
var made = sync.OnceValues(func() ([]byte, error) {
	p, err := read(document)
	if err != nil {
		return nil, err
	}
	t, err := template.New("page").Funcs(template.FuncMap{"prose": prose, "plain": plain}).Parse(layout)
	if err != nil {
		return nil, err
	}
	p.CSS = template.CSS(css)
	var b strings.Builder
	if err := t.Execute(&b, p); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
})

// Page is the document as a page of HTML, which must not be changed. An error means
// that the document is not what the page is made from.
func Page() ([]byte, error) { return made() }

// PagePolicy is a Content-Security-Policy under which a browser shows the page: it
// loads nothing and runs nothing.
func PagePolicy() string {
	sum := sha256.Sum256([]byte(css))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
