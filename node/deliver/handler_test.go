package deliver

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
)

func TestCheck(t *testing.T) {
	second := func(change func(*Handler)) []Handler {
		h := Handler{Name: "deploy", Action: "deploy.*", URL: "https://ops.example/run", SecretFile: "secret", TimeoutMS: 5000, From: FromEnd}
		first := h
		first.Name = "first"
		change(&h)
		return []Handler{first, h}
	}
	for _, c := range []struct {
		handlers []Handler
		field    string // "" is good
		want     string
	}{
		{nil, "", ""},
		{second(func(*Handler) {}), "", ""},
		{second(func(h *Handler) { h.URL, h.From = "http://127.0.0.1:9", FromStart }), "", ""},
		{make([]Handler, MaxHandlers+1), "accord.handlers", "65"},
		{second(func(h *Handler) { h.Name = "" }), "accord.handlers[1].name", "1 to 64"},
		{second(func(h *Handler) { h.Name = "a/b" }), "accord.handlers[1].name", "a/b"},
		{second(func(h *Handler) { h.Name = strings.Repeat("a", 65) }), "accord.handlers[1].name", "1 to 64"},
		{second(func(h *Handler) { h.Name = "first" }), "accord.handlers[1].name", "accord.handlers[0]"},
		{second(func(h *Handler) { h.Action = "" }), "accord.handlers[1].action", "1 to 256"},
		{second(func(h *Handler) { h.URL = "http://ops.internal" }), "accord.handlers[1].url", "allow_http"},
		{second(func(h *Handler) { h.SecretFile = "" }), "accord.handlers[1].secret_file", "missing"},
		{second(func(h *Handler) { h.TimeoutMS = 9 }), "accord.handlers[1].timeout_ms", "10 to 60000"},
		{second(func(h *Handler) { h.TimeoutMS = MaxTimeoutMS + 1 }), "accord.handlers[1].timeout_ms", "60001"},
		{second(func(h *Handler) { h.From = "" }), "accord.handlers[1].from", "end or start"},
	} {
		expectField(t, Check(c.handlers), c.field, c.want)
	}
	_, err := New(Config{Handlers: second(func(h *Handler) { h.SecretFile = "" })[:1]})
	expectField(t, err, "accord.handlers[0].secret_file", "openssl")
	_, err = New(Config{Handlers: []Handler{{Name: "a", Action: "a", URL: "http://127.0.0.1", SecretFile: filepath.Join(t.TempDir(), "none"), TimeoutMS: 10, From: FromEnd}}})
	expectField(t, err, "accord.handlers[0].secret_file", "no such file")
}

func expectField(t *testing.T, err error, field, want string) {
	t.Helper()
	if field == "" {
		if err != nil {
			t.Errorf("good handlers: %v", err)
		}
		return
	}
	var f *protocol.FieldError
	if !errors.As(err, &f) || f.Field != field || !strings.Contains(f.Problem, want) {
		t.Errorf("%v, want an error of %s about %s", err, field, want)
	}
}
