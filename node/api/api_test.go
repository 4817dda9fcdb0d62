package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/auth"
	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
	"golang.org/x/mod/sumdb/tlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a server of node-1 of a network of four, whose log this test
// writes and has the others cosign.
type fixture struct {
	t       testing.TB
	dir     string
	genesis *protocol.Genesis
	com     *quorum.Committee
	signers []*cosign.Signer
	db      *pebbleds.Datastore
	store   *store.Store
	tokens  *auth.Tokens
	token   string
	server  *Server

	mu        sync.Mutex
	clock     time.Time
	tail      merkle.Tail
	calls     int
	last      actors.Submission
	patience  time.Duration // of the last
	fail      error         // what Attest answers, if not nil
	failAfter bool          // the event goes into the log all the same
	reachable []bool
	self      protocol.MemberID
	status    actors.Status
	broken    bool // lookups and records fail
	found     int  // how many attestations a lookup finds, if not 0
	seen      *coverage
	// submit, if not nil, puts what is submitted on record in the place of Submit.
	submit func(s actors.Submission) (*actors.Outcome, error)
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), clock: time.Unix(1_700_000_000, 0), reachable: []bool{true, true, true, true}}
	f.status = actors.Status{Recovered: true, Ready: true, Logs: make([]witness.LogStatus, 4)}
	var plan []setup.Node
	for i := range 4 {
		plan = append(plan, setup.Node{Name: fmt.Sprintf("node-%d", i+1), PeerAddr: fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", 9001+i), HTTPListen: fmt.Sprintf("127.0.0.1:%d", 8001+i)})
	}
	net := filepath.Join(f.dir, "net")
	var err error
	if f.genesis, err = setup.Create(net, "strata.example/test", plan); err != nil {
		t.Fatal(err)
	}
	if f.com, err = quorum.NewCommittee(f.genesis); err != nil {
		t.Fatal(err)
	}
	for _, n := range plan {
		s, err := setup.LoadSigner(filepath.Join(net, n.Name, setup.SigningKeyFile))
		if err != nil {
			t.Fatal(err)
		}
		f.signers = append(f.signers, s)
	}
	if f.token, _, err = auth.Create(f.tokenFile(), auth.Spec{Name: "test", Tier: auth.Production}); err != nil {
		t.Fatal(err)
	}
	f.open()
	t.Cleanup(func() {
		if err := f.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) tokenFile() string { return filepath.Join(f.dir, "tokens.json") }

// open opens the store and makes a server on it, as a node's start does.
func (f *fixture) open() {
	f.t.Helper()
	id, err := f.genesis.ID()
	if err != nil {
		f.t.Fatal(err)
	}
	if f.db, err = pebbleds.Open(filepath.Join(f.dir, "store"), pebbleds.Options{MemTableSize: 1 << 20}); err != nil {
		f.t.Fatal(err)
	}
	if f.store, err = store.Open(f.db, f.com, id, "node-1"); err != nil {
		f.t.Fatal(err)
	}
	if f.tokens, err = auth.Open(f.tokenFile(), slog.New(slog.DiscardHandler)); err != nil {
		f.t.Fatal(err)
	}
	f.server, err = New(Deps{
		Genesis: f.genesis, Epochs: f.store.Epochs, Self: func() protocol.MemberID { return f.self }, Name: "node-1", Submitter: f, Lookup: lookups{f.store, f}, Records: records{f.store.Records(), f}, Ledger: f.store, Accord: f.store,
		Status:    func() *actors.Status { return &f.status },
		Order:     func() *chronos.Status { return &chronos.Status{Size: 9, Checkpoint: 7} },
		Reachable: func() []bool { return f.reachable },
		Wait: func(ctx context.Context, condition func() bool) error {
			for !condition() {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Millisecond):
				}
			}
			return nil
		},
		Tokens: f.tokens, Version: "test", Now: f.now,
		Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// restart closes the store and opens it again under a new server.
func (f *fixture) restart() {
	f.t.Helper()
	if err := f.db.Close(); err != nil {
		f.t.Fatal(err)
	}
	f.open()
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock = f.clock.Add(time.Millisecond)
	return f.clock
}

// Submit implements Submitter: the event goes into the log in a batch of its
// own, which the first three members cosign.
func (f *fixture) Submit(ctx context.Context, s actors.Submission) (*actors.Outcome, error) {
	now := protocol.Micros(f.now().UnixMicro())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.last = s
	if end, ok := ctx.Deadline(); ok {
		f.patience = time.Until(end)
	}
	if f.fail != nil && (!f.failAfter || s.At != 0) {
		return nil, f.fail
	}
	if f.submit != nil {
		return f.submit(s)
	}
	if s.At != 0 {
		return f.certified(s, f.entryAt(s.At), s.At)
	}
	old := f.tail.Size()
	b := &wire.Batch{Old: old, Time: now, Items: []wire.Item{{Kind: s.Kind, TTL: s.TTL, Body: s.Body}}}
	entry := protocol.Entry{Kind: s.Kind, Hash: s.Hash, Time: now, TTL: s.TTL}
	f.tail.Append(tlog.RecordHash(b.Header().Append(nil)))
	leaf, _ := entry.LeafHash(nil)
	f.tail.Append(leaf)
	b.Root = f.tail.Root()
	signed := f.signers[0].Cosign(f.com.Checkpoint(0, b.Size(), b.Root), now.Seconds())
	b.CosignTime, b.Cosignature = signed.Time, signed.Bytes
	encoded, err := wire.Encode(b)
	if err != nil {
		return nil, err
	}
	put := witness.PutBatch{Old: old, Encoded: encoded, Hashes: f.tail.HashesFrom(old), Entries: []protocol.Entry{entry}}
	if err := f.store.Write([]witness.Record{put}, true); err != nil {
		return nil, err
	}
	f.status.Logs[0].Stored = b.Size()
	if f.fail != nil {
		return nil, f.fail
	}
	return f.certified(s, entry, old+1)
}

// certified has as many members cosign the log as a submission asks for, and
// those that it names.
func (f *fixture) certified(s actors.Submission, entry protocol.Entry, index uint64) (*actors.Outcome, error) {
	cp := f.com.Checkpoint(0, f.tail.Size(), protocol.Hash(f.tail.Root()))
	claim := quorum.Claim{Size: cp.Size, Root: cp.Root}
	for i := range protocol.MemberID(4) {
		if int(i) >= max(s.Need, 3) && !slices.Contains(s.Attestors, i) {
			continue
		}
		sig := f.signers[i].Cosign(cp, entry.Time.Seconds())
		claim.Cosigs = append(claim.Cosigs, quorum.Cosignature{Member: i, Time: sig.Time, Sig: sig.Bytes})
	}
	if err := f.store.Write([]witness.Record{witness.PutCertificate{Claim: claim}}, true); err != nil {
		return nil, err
	}
	cert, err := f.com.Verify(claim)
	if err != nil {
		return nil, err
	}
	view := f.tail.Snapshot()
	return &actors.Outcome{Entry: entry, Index: index, Batch: index + 1, Cert: cert, Checkpoint: proof.NewCheckpoint(f.com, cert), Tree: &view}, nil
}

// entryAt reads the entry of a leaf from the batch that has it alone.
func (f *fixture) entryAt(leaf uint64) protocol.Entry {
	f.t.Helper()
	encoded, err := f.store.BatchAt(0, leaf)
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := wire.DecodeBatch(encoded, wire.MaxMessage(f.genesis.Params))
	if err != nil {
		f.t.Fatal(err)
	}
	return b.Items[0].Entry(b.Time)
}

// lookups and records fail when the fixture is broken.
type lookups struct {
	Lookup
	f *fixture
}

func (l lookups) Find(hash protocol.Hash) (store.Found, int, error) {
	if l.f.broken {
		return store.Found{}, 0, io.ErrUnexpectedEOF
	}
	found, n, err := l.Lookup.Find(hash)
	if l.f.found > 0 {
		n = l.f.found
	}
	return found, n, err
}

type records struct {
	Records
	f *fixture
}

func (r records) Put(ctx context.Context, key string, value []byte, made time.Time) error {
	if r.f.broken {
		panic("a record that nobody expected")
	}
	return r.Records.Put(ctx, key, value, made)
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (f *fixture) do(method, path, body string, headers ...string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+f.token)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	f.server.ServeHTTP(w, r)
	a := answer{w.Code, w.Header(), w.Body.Bytes()}
	if name := theContract(f.t).hold(f.t, r, body, a); f.seen != nil && name != "" {
		f.seen.note(name, a)
	}
	return a
}

// apiFailure is an error as clients read it.
type apiFailure struct {
	Error struct {
		Code      string         `json:"code"`
		Message   string         `json:"message"`
		Details   map[string]any `json:"details"`
		RequestID string         `json:"request_id"`
		Timestamp int64          `json:"timestamp"`
	} `json:"error"`
}

// failure demands that an answer is a well-made error.
func (a answer) failure(t testing.TB) apiFailure {
	t.Helper()
	var e apiFailure
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	if e.Error.Code == "" || e.Error.Message == "" || e.Error.Timestamp == 0 || e.Error.RequestID == "" {
		t.Errorf("an error lacks something: %s", a.body)
	}
	if e.Error.RequestID != a.header.Get("X-Request-Id") {
		t.Errorf("request_id is %q, X-Request-Id %q", e.Error.RequestID, a.header.Get("X-Request-Id"))
	}
	if _, ok := e.Error.Details["definite"].(bool); !ok {
		t.Errorf("an error does not say whether it is definite: %s", a.body)
	}
	if a.header.Get("Content-Type") != "application/json" {
		t.Errorf("Content-Type %q", a.header.Get("Content-Type"))
	}
	return e
}

const attestPath = "/v1/witness/attest"

func eventBody(n int) string {
	return fmt.Sprintf(`{"event":{"type":"test.event","payload":{"n":%d}}}`, n)
}

func (f *fixture) mustAttest(body string, headers ...string) answer {
	f.t.Helper()
	a := f.do("POST", attestPath, body, headers...)
	if a.status != 200 {
		f.t.Fatalf("%d %s", a.status, a.body)
	}
	return a
}

func decode[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return v
}
