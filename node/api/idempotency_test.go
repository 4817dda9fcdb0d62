package api

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/auth"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/proof"
)

func TestSameKeySameAnswer(t *testing.T) {
	f := newFixture(t)
	first := f.mustAttest(eventBody(1), "Idempotency-Key", "k")
	again := f.mustAttest(eventBody(1), "Idempotency-Key", "k")
	if !bytes.Equal(first.body, again.body) || again.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%s\n%s", first.body, again.body)
	}
	f.restart()
	if again := f.mustAttest(eventBody(1), "Idempotency-Key", "k"); !bytes.Equal(first.body, again.body) {
		t.Errorf("after a restart: %s", again.body)
	}
	a := f.do("POST", attestPath, eventBody(2), "Idempotency-Key", "k")
	if e := a.failure(t).Error; a.status != 409 || e.Code != "IDEMPOTENCY_CONFLICT" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if f.calls != 1 {
		t.Errorf("attested %d times", f.calls)
	}
	if other := f.mustAttest(eventBody(1), "Idempotency-Key", "k2"); bytes.Equal(other.body, first.body) {
		t.Error("another key, the same answer")
	}
}

func TestKeysOfTwoTokens(t *testing.T) {
	f := newFixture(t)
	other, _, err := auth.Create(f.tokenFile(), auth.Spec{Name: "other", Tier: auth.Production})
	if err != nil {
		t.Fatal(err)
	}
	f.restart()
	f.mustAttest(eventBody(1), "Idempotency-Key", "k")
	if a := f.do("POST", attestPath, eventBody(2), "Idempotency-Key", "k", "Authorization", "Bearer "+other); a.status != 200 {
		t.Errorf("the key of another token: %d %s", a.status, a.body)
	}
}

func TestKeyExpires(t *testing.T) {
	f := newFixture(t)
	first := f.mustAttest(eventBody(1), "Idempotency-Key", "k")
	f.clock = f.clock.Add(IdempotencyLife - time.Hour)
	if again := f.mustAttest(eventBody(1), "Idempotency-Key", "k"); !bytes.Equal(first.body, again.body) {
		t.Error("forgotten too soon")
	}
	f.clock = f.clock.Add(2 * time.Hour)
	if again := f.mustAttest(eventBody(2), "Idempotency-Key", "k"); again.header.Get("Idempotent-Replayed") != "" {
		t.Error("a key is good for ever")
	}
}

// TestConcurrentKey sends the same request many times at once.
func TestConcurrentKey(t *testing.T) {
	f := newFixture(t)
	answers := make([]answer, 16)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = f.do("POST", attestPath, eventBody(1), "Idempotency-Key", "k") })
	}
	wg.Wait()
	for _, a := range answers {
		if a.status != 200 || !bytes.Equal(a.body, answers[0].body) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if f.calls != 1 {
		t.Errorf("attested %d times", f.calls)
	}
}

// TestRetryAfterTimeout retries a request whose outcome was open, both when
// the event is in the log and when it is not.
func TestRetryAfterTimeout(t *testing.T) {
	f := newFixture(t)
	f.fail = &actors.TimeoutError{}
	if a := f.do("POST", attestPath, eventBody(1), "Idempotency-Key", "k"); a.status != 504 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	f.fail = nil
	f.mustAttest(eventBody(1), "Idempotency-Key", "k")
	if f.calls != 2 || f.tail.Size() != 2 {
		t.Errorf("%d calls, %d leaves", f.calls, f.tail.Size())
	}

	f.fail, f.failAfter = &actors.TimeoutError{InLog: true, Signers: []protocol.MemberID{0, 1}}, true
	for range 2 { // the second waits for the first one's certificate
		a := f.do("POST", attestPath, eventBody(2), "Idempotency-Key", "k2")
		if e := a.failure(t).Error; a.status != 504 || e.Details["definite"] != false || e.Details["achieved"] != 2. {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if f.calls != 4 || f.tail.Size() != 4 {
		t.Errorf("%d calls, %d leaves: a retry attests an event again that is in the log", f.calls, f.tail.Size())
	}
	f.fail = nil
	f.restart()
	f.mustAttest(eventBody(2), "Idempotency-Key", "k2")
	if f.calls != 5 || f.tail.Size() != 4 || f.last.At != 3 {
		t.Errorf("%d calls, %d leaves, again at %d", f.calls, f.tail.Size(), f.last.At)
	}
}

// TestRetryAsksForTheSame demands of a retry what the first request asked for.
func TestRetryAsksForTheSame(t *testing.T) {
	f := newFixture(t)
	f.fail, f.failAfter = &actors.TimeoutError{InLog: true}, true
	for i, asks := range []string{`"quorum_requirement":4`, `"attestors":["node-4"]`} {
		key := asks[:2]
		body := strings.Replace(eventBody(i), "}}}", "}},"+asks+"}", 1)
		if a := f.do("POST", attestPath, body, "Idempotency-Key", key); a.status != 504 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		f.fail = nil
		p := decode[struct{ Proof proof.Proof }](t, f.mustAttest(body, "Idempotency-Key", key)).Proof
		if n := len(p.Witnesses); n != 4 || p.Witnesses[n-1].Name != "node-4" {
			t.Errorf("%s: a retry is answered with %+v", asks, p.Witnesses)
		}
		f.fail = &actors.TimeoutError{InLog: true}
	}
}

// TestRetryTakesNoOther demands that a retry is not answered with what another
// request has attested before it, in the same second.
func TestRetryTakesNoOther(t *testing.T) {
	f := newFixture(t)
	first := f.mustAttest(eventBody(1))
	f.fail = &actors.TimeoutError{}
	if a := f.do("POST", attestPath, eventBody(1), "Idempotency-Key", "k"); a.status != 504 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	f.fail = nil
	again := f.mustAttest(eventBody(1), "Idempotency-Key", "k")
	type located struct{ Proof struct{ Index uint64 } }
	if a, b := decode[located](t, first).Proof.Index, decode[located](t, again).Proof.Index; a == b || f.tail.Size() != 4 {
		t.Errorf("leaves %d and %d of %d", a, b, f.tail.Size())
	}
}

// TestRetryErrors demands that an error of a retry is told as what it is, and
// never as if the event were in no log.
func TestRetryErrors(t *testing.T) {
	for err, want := range map[error]string{
		actors.ErrOverloaded: "OVERLOADED", actors.ErrLogStopped: "LOG_STOPPED",
		actors.ErrClosed: "INTERRUPTED", io.ErrUnexpectedEOF: "INTERNAL",
	} {
		f := newFixture(t)
		f.fail, f.failAfter = &actors.TimeoutError{InLog: true}, true
		f.do("POST", attestPath, eventBody(1), "Idempotency-Key", "k")
		f.fail = err
		e := f.do("POST", attestPath, eventBody(1), "Idempotency-Key", "k").failure(t).Error
		if e.Code != want || e.Details["definite"] != false {
			t.Errorf("%v: %+v", err, e)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	text, err := json.Marshal(keyRecord{Body: [32]byte{1}, Start: 2, Size: 3, Answer: []byte("x")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		rec, err := parseKey(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := parseKey(again); err != nil || same.Body != rec.Body || same.Start != rec.Start ||
			same.Size != rec.Size || !bytes.Equal(same.Answer, rec.Answer) {
			t.Errorf("%q is read as %+v and kept as %+v, %v", text, rec, same, err)
		}
	})
}
