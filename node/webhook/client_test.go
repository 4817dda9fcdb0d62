package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve answers on loopback until the test ends.
func serve(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s
}

func newTestClient(t *testing.T) *Client {
	c := NewClient(func() time.Time { return now })
	t.Cleanup(c.Close)
	return c
}

func TestPost(t *testing.T) {
	secret, body := testSecret(t), `{"q":1}`
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || string(got) != body || r.Method != http.MethodPost || r.URL.Path != "/vote" {
			t.Errorf("%s %s %q: %v", r.Method, r.URL, got, err)
		}
		if err := secret.Verify(r.Header.Get(SignatureHeader), got, now, 0); err != nil {
			t.Error(err)
		}
		if r.Header.Get(DeliveryHeader) != "id-1" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", r.Header)
		}
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "answer")
	})
	a, err := newTestClient(t).Post(t.Context(), &Hook{URL: s.URL + "/vote", Secret: secret, Timeout: 10 * time.Second}, "id-1", []byte(body))
	if err != nil || string(a.Body) != "answer" || a.Cut {
		t.Errorf("%+v %v", a, err)
	}
}

func TestPostFails(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   Failure
	}{
		{"500", status(500), Failure{Status: 500, Reason: "answered 500"}},
		{"503", status(503), Failure{Status: 503, Reason: "answered 503"}},
		{"429", status(429), Failure{Status: 429, Reason: "answered 429"}},
		{"408", status(408), Failure{Status: 408, Reason: "answered 408"}},
		{"400", status(400), Failure{Status: 400, Final: true, Reason: "answered 400 Bad Request"}},
		{"404", status(404), Failure{Status: 404, Final: true, Reason: "answered 404"}},
		{"307", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, Failure{Status: 307, Final: true, Reason: "answered 307"}},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "short")
		}, Failure{Reason: "unexpected EOF"}},
		{"huge headers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeaderBytes))
		}, Failure{Reason: "header"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.answer)
			_, err := newTestClient(t).Post(t.Context(), &Hook{URL: s.URL + "?token=hidden", Secret: testSecret(t), Timeout: 10 * time.Second}, "id", []byte("{}"))
			expectFailure(t, err, c.want)
		})
	}
}

func expectFailure(t *testing.T, err error, want Failure) {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) || f.Status != want.Status || f.Final != want.Final || !strings.Contains(f.Reason, want.Reason) {
		t.Errorf("%#v, want %#v", err, want)
		return
	}
	if strings.Contains(f.Reason, "hidden") {
		t.Errorf("the reason tells the URL: %s", f.Reason)
	}
}

// TestPostIsBounded posts to one that never answers, one that is not there, and
// one that never stops.
func TestPostIsBounded(t *testing.T) {
	client, body := newTestClient(t), []byte(`{}`)
	hook := func(url string, timeout time.Duration) *Hook {
		return &Hook{URL: url, Secret: testSecret(t), Timeout: timeout}
	}
	silent := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // so that the server notices who leaves
		<-r.Context().Done()
	})
	_, err := client.Post(t.Context(), hook(silent.URL, 20*time.Millisecond), "id", body)
	expectFailure(t, err, Failure{Reason: "no answer within 20ms"})

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Post(ctx, hook(silent.URL, time.Minute), "id", body)
	expectFailure(t, err, Failure{Reason: "canceled"})

	gone := httptest.NewServer(nil)
	gone.Close()
	_, err = client.Post(t.Context(), hook(gone.URL+"?token=hidden", 10*time.Second), "id", body)
	expectFailure(t, err, Failure{Reason: "refused"})

	endless := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	a, err := client.Post(t.Context(), hook(endless.URL, 10*time.Second), "id", body)
	if err != nil || !a.Cut || len(a.Body) != MaxAnswerBytes {
		t.Errorf("%v %v", a, err)
	}
}
