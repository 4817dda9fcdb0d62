package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	verrors "github.com/pb33f/libopenapi-validator/errors"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/strataos/strataos/node/api/openapi"
)

// contractOf is the document, as a library reads it that has nothing to do with us.
// Every answer that a test of this package gets is held to it, and so is every
// request that the server takes.
type contractOf struct {
	validate validator.Validator
	model    *v3.Document
	doc      map[string]any

	mu sync.Mutex // the library's caches are not made for several
}

var readContract = sync.OnceValues(func() (*contractOf, error) {
	document, err := libopenapi.NewDocument(openapi.Document())
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(document)
	if errs != nil {
		return nil, errs[0]
	}
	model, err := document.BuildV3Model()
	if err != nil {
		return nil, err
	}
	c := &contractOf{validate: v, model: &model.Model}
	return c, json.Unmarshal(openapi.Document(), &c.doc)
})

func theContract(t testing.TB) *contractOf {
	t.Helper()
	c, err := readContract()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// documented is a route's path as the document has it.
func documented(pattern string) string { return strings.ReplaceAll(pattern, "...}", "}") }

// refusals are the statuses of requests that need not be what the document says.
var refusals = []int{400, 401, 404, 405, 413, 415, 422}

// hold holds a request that the server has routed, and its answer, to the document.
// It returns the operation's name, or nothing where no route was found.
func (c *contractOf) hold(t testing.TB, r *http.Request, body string, a answer) string {
	t.Helper()
	method, path, routed := strings.Cut(r.Pattern, " ")
	if !routed {
		c.holdStray(t, r, a)
		return ""
	}
	path = documented(path)
	item, ok := c.model.Paths.PathItems.Get(path)
	if !ok {
		t.Errorf("%s is not in the document", path)
		return ""
	}
	if r.Method == http.MethodHead {
		return method + " " + path
	}
	again := c.again(r, path, body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(refusals, a.status) {
		if ok, errs := c.validate.ValidateHttpRequestSyncWithPathItem(again, item, path); !ok {
			t.Errorf("%s %s %.300s is answered with %d, and not what the document takes: %s", method, r.URL, body, a.status, reasons(errs))
		}
	}
	response := &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: again}
	if ok, errs := c.validate.GetResponseBodyValidator().ValidateResponseBodyWithPathItem(again, response, item, path); !ok {
		t.Errorf("%s %s: %d %.600s is not what the document says: %s", method, r.URL, a.status, a.body, reasons(errs))
	}
	c.holdHeaders(t, method, path, a)
	return method + " " + path
}

// again is the request once more, as the library wants it: slashes in the value of a
// parameter are escaped, and a body says that it is JSON.
func (c *contractOf) again(r *http.Request, path, body string) *http.Request {
	target := path
	for _, part := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			target = strings.ReplaceAll(target, part, url.PathEscape(r.PathValue(name)))
		}
	}
	if r.URL.RawQuery != "" {
		target += "?" + strings.ReplaceAll(r.URL.RawQuery, " ", "+")
	}
	again := httptest.NewRequest(r.Method, target, strings.NewReader(body))
	again.Header = r.Header.Clone()
	if body != "" {
		again.Header.Set("Content-Type", "application/json")
	}
	return again
}

// holdStray holds the answer to a request that no route takes to what the document
// says of such.
func (c *contractOf) holdStray(t testing.TB, r *http.Request, a answer) {
	t.Helper()
	want := map[int]string{http.StatusNotFound: "NotFoundError", http.StatusMethodNotAllowed: "MethodNotAllowedError"}[a.status]
	if want == "" {
		t.Errorf("%s %s: %d %s", r.Method, r.URL, a.status, a.body)
		return
	}
	code := a.failure(t).Error.Code
	said, _ := c.at("components", "schemas", want, "properties", "error", "properties", "code", "const").(string)
	if code != said {
		t.Errorf("%s %s: %s, the document says %s", r.Method, r.URL, code, said)
	}
}

// ownHeaders are those that HTTP itself has.
var ownHeaders = []string{"Content-Type", "Content-Length", "Content-Encoding", "Vary", "Date", "X-Content-Type-Options"}

// holdHeaders demands that an answer has the headers that it must have, and no others
// than it may have.
func (c *contractOf) holdHeaders(t testing.TB, method, path string, a answer) {
	t.Helper()
	response := c.follow(c.at("paths", path, strings.ToLower(method), "responses", fmt.Sprint(a.status)))
	headers, _ := response["headers"].(map[string]any)
	known := map[string]bool{}
	for name, h := range headers {
		known[http.CanonicalHeaderKey(name)] = true
		if required, _ := c.follow(h)["required"].(bool); required && a.header.Get(name) == "" {
			t.Errorf("%s %s: %d has no header %s", method, path, a.status, name)
		}
	}
	for name := range a.header {
		if name = http.CanonicalHeaderKey(name); !known[name] && !slices.Contains(ownHeaders, name) {
			t.Errorf("%s %s: the document does not say that %d has the header %s", method, path, a.status, name)
		}
	}
}

// at is what stands in the document.
func (c *contractOf) at(path ...string) any {
	var v any = c.doc
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// follow is an object of the document, or what it refers to.
func (c *contractOf) follow(v any) map[string]any {
	m, _ := v.(map[string]any)
	for {
		ref, ok := m["$ref"].(string)
		if !ok {
			return m
		}
		m, _ = c.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...).(map[string]any)
	}
}

func reasons(errs []*verrors.ValidationError) string {
	var b strings.Builder
	for _, e := range errs {
		fmt.Fprintf(&b, "\n  %s: %s", e.Message, e.Reason)
		for _, s := range e.SchemaValidationErrors {
			fmt.Fprintf(&b, "\n    %s: %s", s.KeywordLocation, s.Reason)
		}
	}
	return b.String()
}

// TestContractIsValid holds the document to the specification of such documents.
func TestContractIsValid(t *testing.T) {
	if ok, errs := theContract(t).validate.ValidateDocument(); !ok {
		t.Error(reasons(errs))
	}
}

// TestRoutesAreDocumented compares the route table with the document: each has the
// routes of the other, with the same scopes.
func TestRoutesAreDocumented(t *testing.T) {
	c := theContract(t)
	table := map[string]string{}
	for _, rt := range routeTable {
		table[rt.method+" "+documented(rt.path)] = string(rt.scope)
	}
	document := map[string]string{}
	for path, item := range c.at("paths").(map[string]any) {
		for method, op := range item.(map[string]any) {
			scope := ""
			for _, needs := range op.(map[string]any)["security"].([]any) {
				scope = needs.(map[string]any)["token"].([]any)[0].(string)
			}
			document[strings.ToUpper(method)+" "+path] = scope
		}
	}
	for name, scope := range table {
		if said, ok := document[name]; !ok || said != scope {
			t.Errorf("%s needs the scope %q; the document says %q (%v)", name, scope, said, ok)
		}
	}
	for name := range document {
		if _, ok := table[name]; !ok {
			t.Errorf("%s is in the document, and no route", name)
		}
	}
}

// TestCodesAreDocumented compares the errors that the server has with the document's.
func TestCodesAreDocumented(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, m := range regexp.MustCompile(`code\{"([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		has[m[1]] = true
	}
	c, said := theContract(t), map[string]bool{}
	for name := range c.at("components", "schemas").(map[string]any) {
		if code, ok := c.at("components", "schemas", name, "properties", "error", "properties", "code", "const").(string); ok {
			said[code] = true
		}
	}
	if len(has) < 20 || !maps.Equal(has, said) {
		t.Errorf("the server has the errors %v, the document %v", has, said)
	}
}
