package openapi

import (
	"net/url"
	"strings"

	"github.com/strataos/strataos/protocol/jcs"
)

// curl is a request of a route, for a shell.
type curl struct {
	method, url, scope string
	query              []string
	body               *node
}

// param takes a parameter of the route, if it has an example.
func (c *curl) param(p *node) {
	name, example := p.at("name").text(), p.at("example")
	if !example.there() {
		return
	}
	value := string(example.raw)
	if example.kind == jcs.String {
		value = example.text()
	}
	switch p.at("in").text() {
	case "path":
		c.url = strings.ReplaceAll(c.url, "{"+name+"}", value)
	case "query":
		c.query = append(c.query, name+"="+url.QueryEscape(value))
	}
}

func (c *curl) text() string {
	var b strings.Builder
	address := c.url
	if len(c.query) > 0 {
		address += "?" + strings.Join(c.query, "&")
	}
	b.WriteString("curl -s " + quote(address))
	if c.scope != "" {
		b.WriteString(` -H "Authorization: Bearer $TOKEN"`)
	}
	switch {
	case c.body != nil && c.body.there():
		body := c.body.compact()
		if len(body) > 400 {
			b.WriteString(" -d @answer.json")
			break
		}
		b.WriteString(" \\\n  -d " + quote(body))
	case c.method == "POST":
		b.WriteString(" -X POST")
	}
	return b.String()
}

// quote makes a word of a shell of a text.
func quote(s string) string {
	if strings.ContainsAny(s, " '\"{}[]()&?*$\\|;<>#~!") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
