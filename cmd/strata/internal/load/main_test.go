package load

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// attest answers as a node does: with the hash of the event as it was sent.
func attest(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Event     json.RawMessage `json:"event"`
		TimeoutMS int             `json:"timeout_ms"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != attestPath ||
		r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer secret" || body.TimeoutMS < 1 {
		http.Error(w, `{"error":{"code":"INVALID_REQUEST"}}`, http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256(body.Event)
	fmt.Fprintf(w, `{"hash":"0x%s","quorum":"3/4"}`, hex.EncodeToString(sum[:]))
}

// fakeNode answers on in-memory connections, so that a run can be tested on
// the virtual clock of testing/synctest, to the microsecond.
type fakeNode struct {
	dials atomic.Int64
	// answer returns the status and body for a request, when it likes.
	answer func(n int64) (int, string)
	count  atomic.Int64
}

func (f *fakeNode) dial(context.Context, target) (net.Conn, error) {
	f.dials.Add(1)
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		reader := bufio.NewReader(server)
		for {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil {
				return
			}
			status, body := f.answer(f.count.Add(1) - 1)
			if _, err := fmt.Fprintf(server, "HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body); err != nil {
				return
			}
		}
	}()
	return client, nil
}

// near reports whether a is b to the three digits that a histogram keeps.
func near(a, b float64) bool { return a >= b*0.999-0.002 && a <= b*1.001+0.002 }
