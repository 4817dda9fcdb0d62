package actors

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// memory is a store that a lock protects; Write may be held up.
type memory struct {
	mu sync.Mutex
	storage
	hold chan struct{} // if not nil, Write waits for it
	err  error
}

// storage is what both machines store.
type storage struct {
	witness.MemoryStorage
	ledger   chronos.MemoryStorage
	founding *quorum.Committee
}

func (s *storage) Epochs() *quorum.Epochs {
	epochs, err := s.ledger.Epochs(s.founding)
	if err != nil {
		panic(err)
	}
	return epochs
}

func (s *storage) Apply(records []machine.Record) error {
	for i, r := range records {
		ours, err := s.ledger.Apply(r)
		if err == nil && !ours {
			err = s.MemoryStorage.Apply(records[i : i+1])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *storage) Node(log protocol.MemberID, size uint64) (chronos.PutNode, bool, error) {
	return s.ledger.Node(log, size)
}
func (s *storage) Case(id protocol.Hash) (accord.Case, bool, error) { return s.ledger.Case(id) }
func (s *storage) OpenCases() ([]accord.Case, error)                { return s.ledger.OpenCases() }
func (s *storage) Subject(name string) (accord.Subject, bool, error) {
	return s.ledger.Subject(name)
}
func (s *storage) State() (chronos.State, bool, error)     { return s.ledger.State() }
func (s *storage) Checkpoint() (quorum.Claim, bool, error) { return s.ledger.Checkpoint() }
func (s *storage) LedgerHashes() tlog.HashReader           { return s.ledger.LedgerHashes() }

// The store may be read while it is written.
func (m *memory) Case(id protocol.Hash) (accord.Case, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ledger.Case(id)
}

func (m *memory) OpenCases() ([]accord.Case, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ledger.OpenCases()
}

func (m *memory) Subject(name string) (accord.Subject, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ledger.Subject(name)
}

func (m *memory) BatchAt(log protocol.MemberID, leaf uint64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.storage.BatchAt(log, leaf)
}

func (m *memory) Node(log protocol.MemberID, size uint64) (chronos.PutNode, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.storage.Node(log, size)
}

func (m *memory) Size(log protocol.MemberID) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.storage.Size(log)
}

func (m *memory) Certificate(log protocol.MemberID, size uint64) (quorum.Claim, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.storage.Certificate(log, size)
}

func (m *memory) State() (chronos.State, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.storage.State()
}

func (m *memory) Checkpoint() (quorum.Claim, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.storage.Checkpoint()
}

func (m *memory) Epochs() *quorum.Epochs {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.storage.Epochs()
}

func (m *memory) Write(records []machine.Record, _ bool) error {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	return m.Apply(records)
}

// nowhere is a network of one, which watches that no size has two roots.
type nowhere struct{ t *testing.T }

func (n nowhere) Publish(wire.Message)                 {}
func (n nowhere) Send(protocol.MemberID, wire.Message) {}
func (n nowhere) Blame(m protocol.MemberID, reason string) {
	n.t.Errorf("member %d is blamed: %s", m, reason)
}

func newHost(t *testing.T, store *memory, fatal func(error), change ...func(*Config)) *Host {
	t.Helper()
	g := &protocol.Genesis{Network: "strata.example/test", Params: protocol.DefaultParams()}
	seed := sha256.Sum256([]byte("only"))
	signer, err := cosign.NewSigner(g.Network+"/only", seed[:])
	if err != nil {
		t.Fatal(err)
	}
	g.Members = []protocol.Member{{Name: "only", PeerID: "p", VKey: signer.Verifier().String()}}
	c, err := quorum.NewCommittee(g)
	if err != nil {
		t.Fatal(err)
	}
	store.founding = c
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Witness: witness.Config{Signer: signer},
		Chronos: chronos.Config{Signer: signer},
		Store:   store, Network: nowhere{t}, Metrics: metrics, Fatal: fatal,
		Clock:  func() protocol.Micros { return protocol.Micros(time.Now().UnixMicro()) },
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&cfg)
	}
	h := New(cfg)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func attest(h *Host, n int) (*Outcome, error) {
	e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"test","payload":{"n":%d}}`, n), 1<<16)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return h.Gateway().Submit(ctx, Submission{Kind: protocol.KindAttest, Body: e.Canonical, Hash: e.Hash})
}

func mustAttest(t *testing.T, h *Host, n int) *Outcome {
	t.Helper()
	out, err := attest(h, n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func noFatal(t *testing.T) func(error) { return func(err error) { t.Errorf("fatal: %v", err) } }

func TestAttest(t *testing.T) {
	h := newHost(t, &memory{}, noFatal(t))
	for n := range 20 {
		out := mustAttest(t, h, n)
		if out.Index >= out.Cert.Size() || out.Cert.Size() > out.Tree.Size() {
			t.Fatalf("leaf %d, certified %d, tree %d", out.Index, out.Cert.Size(), out.Tree.Size())
		}
	}
	if s := h.Status(); !s.Recovered || s.Logs[0].Certified < 40 {
		t.Errorf("%+v", s)
	}
}

// inject has the actor run something.
func inject(h *Host, f func()) { h.system.Root.Send(h.witness.pid.Load(), f) }

// TestPanicRestarts kills the actor while a batch is on its way to the disk.
// The new one must go on from that batch: the log has one root for each size.
func TestPanicRestarts(t *testing.T) {
	store := &memory{}
	h := newHost(t, store, noFatal(t))
	roots := map[uint64]protocol.Hash{}
	note := func(out *Outcome) {
		t.Helper()
		size := out.Cert.Size()
		if old, ok := roots[size]; ok && old != out.Cert.Root() {
			t.Fatalf("two roots at size %d", size)
		}
		roots[size] = out.Cert.Root()
	}
	for n := range 3 {
		note(mustAttest(t, h, n))
		before := h.Status().Logs[0].Stored
		hold := make(chan struct{})
		store.mu.Lock()
		store.hold = hold
		store.mu.Unlock()
		lost := make(chan error, 1)
		go func() {
			_, err := attest(h, 100+n)
			lost <- err
		}()
		// The submission has been sealed once the machine stores its batch.
		tick := time.NewTicker(time.Millisecond)
		for range 10_000 {
			if <-tick.C; h.Status().Logs[0].Stored > before {
				break
			}
		}
		tick.Stop()
		inject(h, func() { panic("injected") })
		store.mu.Lock()
		store.hold = nil
		store.mu.Unlock()
		close(hold)
		if err := <-lost; !errors.Is(err, ErrInterrupted) {
			t.Fatalf("what was under way is answered with %v", err)
		}
		out := mustAttest(t, h, 200+n)
		note(out)
		if want := before + 2; out.Index < want {
			t.Errorf("leaf %d takes the place of one that was signed before", out.Index)
		}
	}
}

func TestTooManyPanics(t *testing.T) {
	fatal := make(chan error, 1)
	h := newHost(t, &memory{}, func(err error) { fatal <- err })
	for range maxRestarts + 1 {
		inject(h, func() { panic("again") })
	}
	select {
	case err := <-fatal:
		if err == nil {
			t.Error("no reason is given")
		}
	case <-time.After(10 * time.Second):
		t.Error("an actor that keeps panicking does not stop the node")
	}
}

func TestStoreFails(t *testing.T) {
	fatal := make(chan error, 1)
	store := &memory{err: errors.New("disk gone")}
	h := newHost(t, store, func(err error) { fatal <- err })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	e, err := protocol.ParseEvent([]byte(`{"type":"a","payload":{}}`), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := h.Gateway().Submit(ctx, Submission{Kind: protocol.KindAttest, Body: e.Canonical, Hash: e.Hash})
		answered <- err
	}()
	if err := <-fatal; err == nil {
		t.Error("no reason is given")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-answered; !errors.Is(err, ErrClosed) {
		t.Errorf("what waits is answered with %v", err)
	}
}

func TestWait(t *testing.T) {
	h := newHost(t, &memory{}, noFatal(t))
	mustAttest(t, h, 1)
	certified := func(size uint64) func() bool {
		return func() bool { return h.Status().Logs[0].Certified >= size }
	}
	if err := h.Wait(context.Background(), certified(2)); err != nil {
		t.Error(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- h.Wait(context.Background(), certified(h.Status().Logs[0].Certified+1)) }()
	mustAttest(t, h, 2)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Wait(ctx, certified(1000)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestOrdered has an entry wait for its place in the ledger.
func TestOrdered(t *testing.T) {
	h := newHost(t, &memory{}, noFatal(t))
	for n := range uint64(5) {
		a, err := protocol.ParseAnchor(fmt.Appendf(nil, `{"anchor_type":"event","data":{"n":%d}}`, n), 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		out, err := h.Gateway().Submit(ctx, Submission{Kind: a.Kind, Body: a.Canonical, Hash: a.Hash, Ordered: true})
		cancel()
		if err != nil || !out.Ordered || out.Position != n {
			t.Fatalf("%+v %v", out, err)
		}
	}
	if err := h.Wait(context.Background(), func() bool { return h.Order().Size == 5 && h.Order().Unordered == 0 }); err != nil {
		t.Error(err)
	}
	// What must come after what nobody has seen waits, and says so.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := h.Gateway().Submit(ctx, Submission{Kind: protocol.KindAttest, Body: []byte(`{}`), After: []protocol.Seen{{Member: 0, Size: 1 << 30}}})
	if !errors.Is(err, ErrBehind) {
		t.Errorf("%v", err)
	}
}

// TestChronosRestarts kills the chronos actor, and the witness actor beside it:
// each goes on with what the other knows.
func TestChronosRestarts(t *testing.T) {
	h := newHost(t, &memory{}, noFatal(t))
	anchor := func(n uint64) uint64 {
		t.Helper()
		a, err := protocol.ParseAnchor(fmt.Appendf(nil, `{"anchor_type":"event","data":{"n":%d}}`, n), 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		out, err := h.Gateway().Submit(ctx, Submission{Kind: a.Kind, Body: a.Canonical, Hash: a.Hash, Ordered: true})
		if err != nil {
			t.Fatal(err)
		}
		return out.Position
	}
	for n := range uint64(3) {
		if p := anchor(2 * n); p != 2*n {
			t.Errorf("place %d, want %d", p, 2*n)
		}
		if n < 2 {
			h.system.Root.Send(h.chronos.pid.Load(), func() { panic("injected") })
		}
		if p := anchor(2*n + 1); p != 2*n+1 {
			t.Errorf("behind a restart: place %d, want %d", p, 2*n+1)
		}
	}
}

// TestSameLeaf has two requests wait for the place of one leaf.
func TestSameLeaf(t *testing.T) {
	g := NewGateway(nil, 10, func(witness.Input) {})
	answers := make(chan error, 2)
	for range 2 {
		go func() {
			out, err := g.Submit(context.Background(), Submission{Ordered: true, At: 7})
			if err == nil && (!out.Ordered || out.Position != 3) {
				err = fmt.Errorf("answered %+v", out)
			}
			answers <- err
		}()
	}
	for g.Waiting() < 2 {
		time.Sleep(time.Millisecond)
	}
	for id := range uint64(2) {
		if _, ok := g.certified(id+1, &Outcome{Index: 7}); ok {
			t.Fatal("answered before it is ordered")
		}
	}
	for id, out := range g.placed(place{7, 1, 3}) {
		g.settle(id, result{outcome: out})
	}
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if len(g.byIndex) != 0 || g.Waiting() != 0 {
		t.Errorf("%v is left", g.byIndex)
	}
}
