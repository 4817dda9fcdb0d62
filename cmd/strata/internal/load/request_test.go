package load

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"testing"

	"github.com/gowebpki/jcs"
)

func TestEventsAreCanonicalUniqueAndReproducible(t *testing.T) {
	target, err := parseTarget("https://node-1.example/strata/")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{minEventBytes, minEventBytes + 1, DefaultEventBytes, 5000} {
		c := Config{Token: "secret", EventBytes: size, Timeout: DefaultTimeout, Seed: 42}
		a, b := newRequest(target, c), newRequest(target, c)
		seen := map[string]bool{}
		for seq := range uint64(1000) {
			a.set(seq)
			if len(a.event) != size {
				t.Fatalf("event of %d bytes, want %d", len(a.event), size)
			}
			if seen[a.hash()] {
				t.Fatalf("event %d is not unique", seq)
			}
			seen[a.hash()] = true
		}
		b.set(999)
		if !bytes.Equal(a.bytes, b.bytes) {
			t.Errorf("one seed gave two events:\n%s\n%s", a.event, b.event)
		}
		c.Seed++
		other := newRequest(target, c)
		if other.set(999); bytes.Equal(a.event, other.event) {
			t.Errorf("two seeds gave one event: %s", a.event)
		}
		canonical, err := jcs.Transform(a.event)
		if err != nil || !bytes.Equal(canonical, a.event) {
			t.Errorf("not canonical (%v): %s", err, a.event)
		}
	}
}

func TestRequestIsWellFormed(t *testing.T) {
	target, err := parseTarget("https://node-1.example/strata/")
	if err != nil {
		t.Fatal(err)
	}
	if target.address != "node-1.example:443" || !target.tls {
		t.Errorf("target: %+v", target)
	}
	r := newRequest(target, Config{Token: "secret", EventBytes: DefaultEventBytes, Timeout: DefaultTimeout, Seed: 42})
	r.set(255)
	reader := bufio.NewReader(bytes.NewReader(r.bytes))
	request, err := http.ReadRequest(reader)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"event":` + string(r.event) + `,"timeout_ms":1000}`
	if string(body) != want || reader.Buffered() != 0 {
		t.Errorf("body:\n%s\nwant:\n%s", body, want)
	}
	if !bytes.Contains(body, []byte(`"run":"000000000000002a","seq":"00000000000000ff"`)) {
		t.Errorf("seed and number are not in the event: %s", body)
	}
	if request.Host != "node-1.example" || request.URL.Path != "/strata/v1/witness/attest" ||
		request.Header.Get("Authorization") != "Bearer secret" ||
		request.Header.Get("Content-Type") != "application/json" {
		t.Errorf("request: %+v", request)
	}
}

// TestAnchorIsWellFormed reads an anchor's request, whose hash is that of the
// canonical form of what is anchored.
func TestAnchorIsWellFormed(t *testing.T) {
	r := newRequest(target{host: "a"}, Config{Token: "secret", Anchor: true, EventBytes: DefaultEventBytes, Timeout: DefaultTimeout, Seed: 42})
	r.set(255)
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.bytes)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil || request.URL.Path != anchorPath {
		t.Fatal(request.URL.Path, err)
	}
	before, after, ok := bytes.Cut(body, []byte(`,"timeout_ms":1000`))
	if !ok || string(after) != "}" {
		t.Fatalf("body: %s", body)
	}
	canonical, err := jcs.Transform(append(before, '}'))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(canonical)
	if want := "0x" + hex.EncodeToString(sum[:]); r.hash() != want || len(canonical) != DefaultEventBytes {
		t.Errorf("%d bytes, hash %s, want %s", len(canonical), r.hash(), want)
	}
}

// TestProposalIsWellFormed reads a proposal's request, and judges answers to it.
func TestProposalIsWellFormed(t *testing.T) {
	for _, size := range []int{minEventBytes, DefaultEventBytes} {
		c := Config{Token: "secret", Propose: true, EventBytes: size, Timeout: DefaultTimeout, Seed: 42}
		r := newRequest(target{host: "a"}, c)
		r.set(7)
		reader := bufio.NewReader(bytes.NewReader(r.bytes))
		request, err := http.ReadRequest(reader)
		if err != nil || request.URL.Path != proposePath {
			t.Fatalf("%v %v", request, err)
		}
		body, err := io.ReadAll(request.Body)
		if want := `{"action":` + string(r.event) + `,"timeout_ms":1000}`; err != nil || string(body) != want || reader.Buffered() != 0 || len(r.event) != size {
			t.Errorf("%v body:\n%s\nwant:\n%s", err, body, want)
		}
		canonical, err := jcs.Transform(r.event)
		if err != nil || !bytes.Equal(canonical, r.event) {
			t.Errorf("not canonical (%v): %s", err, r.event)
		}
		s := &sender{generator: &generator{Config: c}, request: r}
		s.Verify = 1
		for answer, want := range map[string]string{
			`{"id":"0x1","status":"accepted","body":{"action":` + string(r.event) + `}}`:                     "",
			`{"id":"0x1","status":"rejected","body":{"action":` + string(r.event) + `}}`:                     CodeNotAccepted,
			`{"id":"0x1","status":"accepted","body":{"action":{"payload":{"data":""},"type":"demo.bench"}}}`: CodeHashMismatch,
			`{"id":"0x1","status":"accepted"}`:                                                               CodeAnswerMalformed,
		} {
			if code, _ := s.judge(0, http.StatusOK, []byte(answer)); code != want {
				t.Errorf("%s is %q, want %q", answer, code, want)
			}
		}
		if code, _ := s.judge(0, http.StatusAccepted, []byte(`{"status":"open"}`)); code != CodeUndecided {
			t.Errorf("202 is %q", code)
		}
	}
}

// TestOneSubject has proposals of one subject judged: one wins a version.
func TestOneSubject(t *testing.T) {
	c := Config{Token: "secret", Propose: true, Subject: `a "b"`, EventBytes: DefaultEventBytes, Timeout: DefaultTimeout, Seed: 42}
	r := newRequest(target{host: "a"}, c)
	r.set(7)
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.bytes)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(request.Body)
	if want := `{"action":` + string(r.event) + `,"subject":"a \"b\"","timeout_ms":1000}`; err != nil || string(body) != want {
		t.Errorf("%v body:\n%s\nwant:\n%s", err, body, want)
	}
	s := &sender{generator: &generator{Config: c}, request: r}
	for _, answer := range []struct {
		status     int
		body, want string
	}{
		{http.StatusOK, `{"status":"accepted","version":3}`, ""},
		{http.StatusConflict, `{"error":{"code":"CONFLICT"}}`, codeBeaten},
		{http.StatusOK, `{"status":"accepted","version":4}`, ""},
		{http.StatusOK, `{"status":"accepted","version":3}`, CodeWonTwice},
		{http.StatusOK, `{"status":"accepted"}`, CodeWonTwice},
	} {
		if code, _ := s.judge(0, answer.status, []byte(answer.body)); code != answer.want {
			t.Errorf("%s is %q, want %q", answer.body, code, answer.want)
		}
	}
	rec := newRecorder(0)
	rec.finished(outcome{code: codeBeaten, beaten: true})
	rec.finished(outcome{})
	if got := rec.total.counts(); got.Sent != 2 || got.OK != 1 || got.Beaten != 1 || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
}
