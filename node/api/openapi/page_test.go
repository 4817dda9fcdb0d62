package openapi

import (
	"encoding/xml"
	"io"
	"regexp"
	"strings"
	"testing"
)

// TestPage demands that the page has every route, and every schema and error that
// anything refers to, loads nothing, and is well formed.
func TestPage(t *testing.T) {
	text, err := Page()
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("the page has %s twice", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(` href="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if id, ok := strings.CutPrefix(m[1], "#"); ok && !ids[id] {
			t.Errorf("there is no %s", m[1])
		}
	}
	doc, err := parse(document, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range doc.at("paths").keys {
		for _, method := range doc.at("paths", path).keys {
			if id := doc.at("paths", path, method, "operationId").text(); id == "" || !ids[id] {
				t.Errorf("the page has no %s %s", method, path)
			}
		}
	}
	for _, name := range doc.at("components", "schemas").keys {
		if !ids["schema-"+name] {
			t.Errorf("the page has no %s", name)
		}
	}
	for _, bad := range []string{"<script", "<link", "<img", "@import", "url(", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	dec := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(page, "<!doctype html>\n")))
	dec.Strict, dec.AutoClose, dec.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestProse(t *testing.T) {
	for text, want := range map[string]string{
		"a `b<c` & **d** *e*.":              "<p>a <code>b&lt;c</code> &amp; <strong>d</strong> <em>e</em>.</p>\n",
		"a\n\nb":                            "<p>a</p>\n<p>b</p>\n",
		"`order.*`, *x*":                    "<p><code>order.*</code>, <em>x</em></p>\n",
		"[a](https://b.example/c) <script>": `<p><a href="https://b.example/c" rel="noreferrer">a</a> &lt;script&gt;</p>` + "\n",
	} {
		if got := string(prose(text)); got != want {
			t.Errorf("%q gives %q", text, got)
		}
	}
}
