package load

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestFailuresOverTheNetworkAreClassified(t *testing.T) {
	raw := func(answer string) string {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = conn.Write([]byte(answer))
				conn.Close()
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		return "http://" + l.Addr().String()
	}
	handler := func(status int, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	tlsServer := httptest.NewUnstartedServer(http.HandlerFunc(attest))
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)

	tests := []struct{ name, url, code string }{
		{"node's code", handler(503, `{"error":{"code":"OVERLOADED","message":"full"}}`), "OVERLOADED"},
		{"no code", handler(502, `<html>bad gateway</html>`), "http_502"},
		{"not a code", handler(500, `{"error":{"code":"Something went wrong"}}`), "http_500"},
		{"no content", handler(204, ``), "http_204"},
		{"other event", handler(200, `{"hash":"0x00"}`), CodeHashMismatch},
		{"no hash", handler(200, `{}`), CodeAnswerMalformed},
		{"no JSON", handler(200, `hello`), CodeAnswerMalformed},
		{"too large", handler(200, strings.Repeat(" ", maxAnswerBytes+1)), CodeAnswerTooLarge},
		{"closed before the answer", raw(""), CodeConnectionClosed},
		{"closed within the answer", raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), CodeConnectionClosed},
		{"no HTTP", raw("SSH-2.0-OpenSSH_9.9\r\n\r\n"), CodeTransport},
		{"certificate unknown", tlsServer.URL, CodeTLS},
		{"no TLS", "https" + strings.TrimPrefix(handler(200, ""), "http"), CodeTLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Run(t.Context(), Config{
				URLs: []string{tt.url}, Token: "secret", Rate: 100, Duration: 10 * time.Millisecond, Verify: 1,
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Failed != 1 || r.FailedByCode[tt.code] != 1 {
				t.Errorf("%+v, want one %s", r.Counts, tt.code)
			}
		})
	}
}

func TestTransportCode(t *testing.T) {
	tests := []struct {
		err  error
		code string
	}{
		{&net.OpError{Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, CodeUnknownHost},
		{&net.DNSError{IsTimeout: true}, CodeTimeout},
		{context.DeadlineExceeded, CodeTimeout},
		{net.ErrClosed, CodeConnectionClosed},
		{errors.New("something else"), CodeTransport},
	}
	for _, tt := range tests {
		if got := transportCode(tt.err); got != tt.code {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.code)
		}
	}
}

func TestCodesAreBounded(t *testing.T) {
	total := newTally()
	for i := range 3 * maxCodes {
		total.countCode(strings.Repeat("A", i+1), 2)
	}
	if len(total.codes) != maxCodes+1 || total.codes[CodeOther] != 2*2*maxCodes {
		t.Errorf("%d codes, %d others", len(total.codes), total.codes[CodeOther])
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(500, []byte(`{"error":{"code":"OVERLOADED"}}`))
	f.Add(200, []byte(`{"hash":"0x00"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		code := answerCode(status, body)
		if (code == "") != (status == 200) || len(code) > 40 || strings.ContainsAny(code, " \r\n\x1b") {
			t.Errorf("status %d, body %q: code %q", status, body, code)
		}
		if code := verifyAnswer(body, "0x00"); code == "" && !strings.Contains(string(body), "0") {
			t.Errorf("accepted %q", body)
		}
	})
}
