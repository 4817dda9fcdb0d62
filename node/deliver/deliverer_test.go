package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
)

const (
	secretText = "0123456789abcdef0123456789abcdef"
	network    = "strata.example/test"
)

var now = time.Unix(1_700_000_000, 0)

// bench is a node's store, and services that are told what it decides.
type bench struct {
	t       *testing.T
	secret  string // file
	genesis *protocol.Genesis
	dir     string
	db      *pebbleds.Datastore
	*store.Deliveries
	store    *store.Store
	handlers []Handler
	at       uint64          // the ledger's end
	time     protocol.Micros // the ledger's

	mu      sync.Mutex // guards what follows
	waits   []time.Duration
	reports []protocol.Report
	// reportFails and keepFails are how often these fail next.
	reportFails, keepFails int
	kept                   *sync.Cond // a position was kept
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), time: protocol.Micros(now.UnixMicro()), secret: filepath.Join(t.TempDir(), "secret"), genesis: &protocol.Genesis{Network: network, Params: protocol.DefaultParams()}}
	b.kept = sync.NewCond(&b.mu)
	if err := os.WriteFile(b.secret, []byte(secretText), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		name := fmt.Sprintf("node-%d", i+1)
		seed := sha256.Sum256([]byte(name))
		s, err := cosign.NewSigner(network+"/"+name, seed[:])
		if err != nil {
			t.Fatal(err)
		}
		b.genesis.Members = append(b.genesis.Members, protocol.Member{Name: name, PeerID: name, VKey: s.Verifier().String()})
	}
	b.open()
	t.Cleanup(func() {
		if err := b.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) open() {
	b.t.Helper()
	com, err := quorum.NewCommittee(b.genesis)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.db, err = pebbleds.Open(b.dir, pebbleds.Options{MemTableSize: 1 << 20}); err != nil {
		b.t.Fatal(err)
	}
	if b.store, err = store.Open(b.db, com, protocol.Hash{1}, "node-1"); err != nil {
		b.t.Fatal(err)
	}
	b.Deliveries = b.store.Deliveries()
}

// decide has a proposal of an action decided, by the first of the members, and
// returns where.
func (b *bench) decide(action string, s accord.Status, participants ...string) uint64 {
	b.t.Helper()
	if participants == nil {
		participants = []string{"node-1", "node-2"}
	}
	names, err := json.Marshal(participants)
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := protocol.ParseProposal(fmt.Appendf(nil, `{"action":{"payload":{"html":"<b>&"},"type":%q},"deadline":1800000000000,
		"nonce":"%d","participants":%s,"proposer":"node-2","threshold":1}`, action, b.at, names), 1<<16)
	if err != nil {
		b.t.Fatal(err)
	}
	b.at += 10
	c := accord.Case{Proposal: p, Position: b.at - 3, Status: s, DecidedAt: b.at, DecidedOn: b.time}
	c.Votes = []accord.Ballot{{Member: participants[0], Accept: s == accord.Accepted, Position: b.at - 1}}
	if err := b.store.Write([]machine.Record{accord.PutCase{Case: c}}, true); err != nil {
		b.t.Fatal(err)
	}
	return b.at
}

// SetPosition implements Positions, and fails as often as it is told to.
func (b *bench) SetPosition(ctx context.Context, handler string, position uint64, since protocol.Micros) error {
	b.mu.Lock()
	fails := b.keepFails > 0
	b.keepFails = max(b.keepFails-1, 0)
	b.mu.Unlock()
	if fails {
		return errors.New("the disk is full")
	}
	err := b.Deliveries.SetPosition(ctx, handler, position, since)
	b.mu.Lock()
	b.kept.Broadcast()
	b.mu.Unlock()
	return err
}

func (b *bench) report(_ context.Context, r protocol.Report) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reportFails > 0 {
		b.reportFails--
		return errors.New("the log is full")
	}
	b.reports = append(b.reports, r)
	return nil
}

// clock does not wait: it notes what it was to wait.
func (b *bench) clock() webhook.Clock {
	return webhook.Clock{
		Now:    func() time.Time { return now },
		Random: func() float64 { return 0 },
		Sleep: func(ctx context.Context, d time.Duration) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.waits = append(b.waits, d)
			return ctx.Err()
		},
	}
}

// told is a notice as it came in.
type told struct {
	notice
	body      string
	signature string
	header    string
}

// handle adds a handler, whose posts are answered by a function that gets the
// number of the post, from 1 on. What was posted can be read from the channel.
func (b *bench) handle(name, action, from string, answer func(post int, w http.ResponseWriter, r *http.Request)) <-chan told {
	b.t.Helper()
	posts := make(chan told, 1000)
	var mu sync.Mutex
	count := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		n := told{body: string(body), signature: r.Header.Get(webhook.SignatureHeader), header: r.Header.Get(webhook.DeliveryHeader)}
		if err := errors.Join(err, json.Unmarshal(body, &n.notice)); err != nil {
			b.t.Errorf("%s: %v", body, err)
		}
		mu.Lock()
		count++
		post := count
		mu.Unlock()
		if answer != nil {
			answer(post, w, r)
		}
		posts <- n
	}))
	b.t.Cleanup(server.Close)
	b.handlers = append(b.handlers, Handler{Name: name, Action: action, URL: server.URL, SecretFile: b.secret, TimeoutMS: 10_000, From: from})
	return posts
}

// run delivers until stop is called, which returns when all is at rest.
func (b *bench) run() (d *Deliverer, stop func()) {
	b.t.Helper()
	d, err := New(Config{
		Network: network, Member: "node-1", Handlers: b.handlers, Source: b.Deliveries, Positions: b,
		Report: b.report, Clock: b.clock(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	b.t.Cleanup(stop)
	return d, stop
}

// expect reads notices, and wants their positions to be these.
func expect(t *testing.T, posts <-chan told, want ...uint64) []told {
	t.Helper()
	var got []uint64
	var all []told
	for range want {
		select {
		case n := <-posts:
			got, all = append(got, n.Position), append(all, n)
		case <-time.After(20 * time.Second):
			t.Fatalf("told of %v and no more, want %v", got, want)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("told of %v, want %v", got, want)
	}
	return all
}

func (b *bench) expectPosition(handler string, want uint64) {
	b.t.Helper()
	if got, _, ok, err := b.Position(b.t.Context(), handler); err != nil || !ok || got != want {
		b.t.Errorf("%s is at %d %v %v, want %d", handler, got, ok, err, want)
	}
}

func none(t *testing.T, posts <-chan told) {
	t.Helper()
	if len(posts) > 0 {
		t.Errorf("told of %d too", (<-posts).Position)
	}
}

// settle waits until all handlers are kept at a position.
func (b *bench) settle(want uint64) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for slices.ContainsFunc(b.handlers, func(h Handler) bool {
		at, _, ok, err := b.Position(b.t.Context(), h.Name)
		if err != nil {
			b.t.Fatal(err)
		}
		return !ok || at != want
	}) {
		b.kept.Wait()
	}
}

func TestInOrder(t *testing.T) {
	b := newBench(t)
	var want, narrow []uint64
	for i := range 150 { // more than a page
		switch i % 5 {
		case 0:
			b.decide("deploy.app", accord.Rejected)
		case 1:
			b.decide("other.thing", accord.Accepted)
		case 2:
			at := b.decide("deploy.db", accord.Accepted)
			want, narrow = append(want, at), append(narrow, at)
		case 3:
			b.decide("deploy.db", accord.Expired)
		default:
			want = append(want, b.decide("deploy.app", accord.Accepted))
		}
	}
	last := b.decide("deploy.app", accord.Conflict)
	all := b.handle("all", "deploy.**", FromStart, nil)
	some := b.handle("some", "deploy.db", FromStart, nil)
	_, stop := b.run()
	expect(t, all, want...)
	expect(t, some, narrow...)
	b.settle(last)
	stop()
	none(t, all)
	none(t, some)
	b.expectPosition("all", last)
	b.expectPosition("some", last)
}

func TestNotice(t *testing.T) {
	b := newBench(t)
	at := b.decide("deploy.app", accord.Accepted)
	posts := b.handle("deploy", "**", FromStart, nil)
	b.run()
	n := expect(t, posts, at)[0]
	secret, err := webhook.NewSecret([]byte(secretText))
	if err != nil {
		t.Fatal(err)
	}
	if err := secret.Verify(n.signature, []byte(n.body), now, 0); err != nil {
		t.Error(err)
	}
	page, err := b.Next(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	c := page[0]
	if n.Type != "accord.decision" || n.Handler != "deploy" || n.Member != "node-1" || n.Network != network || n.DecidedAt != now.UnixMilli() ||
		n.ID != c.Proposal.ID || n.Delivery != n.header || len(n.Delivery) != 32 {
		t.Errorf("told %s", n.body)
	}
	if sha256.Sum256(n.Proposal) != c.Proposal.ID || sha256.Sum256(n.Decision) != c.Decision.Hash() {
		t.Errorf("told %s, which does not have the hashes of the ledger", n.body)
	}
}

func TestWhereNewHandlersBegin(t *testing.T) {
	b := newBench(t)
	early := b.handle("early", "**", FromEnd, nil)
	d, stop := b.run() // with an empty ledger
	b.settle(0)
	first := b.decide("a", accord.Accepted)
	d.Wake()
	expect(t, early, first)
	b.settle(first)
	stop()

	late := b.handle("late", "**", FromEnd, nil)
	start := b.handle("start", "**", FromStart, nil)
	_, stop = b.run()
	expect(t, start, first)
	b.settle(first)
	stop()
	// What is decided while the node is down is behind where they have begun.
	second := b.decide("b", accord.Accepted)
	_, stop = b.run()
	for _, posts := range []<-chan told{early, late, start} {
		expect(t, posts, second)
	}
	b.settle(second)
	stop()
	for _, posts := range []<-chan told{early, late, start} {
		none(t, posts)
	}
}

// TestBeginsBeforeCatchingUp has a handler met by a node whose ledger is empty,
// because it is new or has lost its disk: what was decided long ago is carried out
// already.
func TestBeginsBeforeCatchingUp(t *testing.T) {
	b := newBench(t)
	posts := b.handle("h", "**", FromEnd, nil)
	d, stop := b.run()
	b.settle(0)
	b.time -= protocol.Micros(time.Hour.Microseconds())
	b.decide("a", accord.Accepted)
	old := b.decide("b", accord.Accepted)
	d.Wake()
	b.settle(old)
	stop()
	// It stays so when the node starts again meanwhile.
	d, stop = b.run()
	b.decide("c", accord.Accepted)
	b.time += protocol.Micros(time.Hour.Microseconds())
	fresh := b.decide("d", accord.Accepted)
	d.Wake()
	expect(t, posts, fresh)
	b.settle(fresh)
	stop()
	none(t, posts)
}

// TestNeverSkips has a service fail in every way before it takes a decision, and
// wants the next one only then.
func TestNeverSkips(t *testing.T) {
	b := newBench(t)
	one, two := b.decide("a", accord.Accepted), b.decide("a", accord.Accepted)
	codes := []int{500, 503, 429, 400, 401, 404, 410, 302}
	posts := b.handle("h", "**", FromStart, func(post int, w http.ResponseWriter, _ *http.Request) {
		if post <= len(codes) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(codes[post-1])
		}
	})
	d, stop := b.run()
	var want []uint64
	for range codes {
		want = append(want, one)
	}
	all := expect(t, posts, append(want, one, two)...)
	for _, n := range all[:len(codes)+1] {
		if n.Delivery != all[0].Delivery {
			t.Errorf("a delivery has the ids %s and %s", all[0].Delivery, n.Delivery)
		}
	}
	if all[len(all)-1].Delivery == all[0].Delivery {
		t.Error("two deliveries have one id")
	}
	b.settle(two)
	stop()
	if s := d.Status()[0]; s != (Status{Name: "h", Action: "**", Position: two, Delivered: 2}) {
		t.Errorf("%+v", s)
	}
	if len(b.waits) != len(codes) || b.waits[0] != backoff.First/2 || b.waits[1] != backoff.First || b.waits[7] != backoff.Most/2 {
		t.Errorf("waited %v", b.waits)
	}
}

// TestStatusTellsFailures looks at a handler whose service is down.
func TestStatusTellsFailures(t *testing.T) {
	b := newBench(t)
	one := b.decide("a", accord.Accepted)
	b.decide("a", accord.Accepted)
	release := make(chan struct{})
	down := b.handle("down", "**", FromStart, func(post int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		if post == 4 {
			<-release
		}
	})
	up := b.handle("up", "**", FromStart, nil)
	d, stop := b.run()
	expect(t, up, 10, 20) // one that is down holds up no other
	expect(t, down, one, one, one)
	s := d.Status()[0]
	if s.Position != 0 || s.Delivered != 0 || s.Failures < 2 || !s.Since.Equal(now) || s.Error != "the decision at 10 cannot be delivered: answered 502 Bad Gateway" {
		t.Errorf("%+v", s)
	}
	close(release)
	stop()
	b.expectPosition("down", 0)
}

// TestCrashAfterTaking ends the node between a service's answer and the position's
// being kept: the decision comes again, under the same id.
func TestCrashAfterTaking(t *testing.T) {
	b := newBench(t)
	one, two := b.decide("a", accord.Accepted), b.decide("a", accord.Accepted)
	posts := b.handle("h", "**", FromStart, func(post int, _ http.ResponseWriter, _ *http.Request) {
		if post == 1 {
			b.mu.Lock()
			b.keepFails = 1 << 30
			b.mu.Unlock()
		}
	})
	_, stop := b.run()
	first := expect(t, posts, one)[0]
	stop()
	none(t, posts)
	b.expectPosition("h", 0)
	b.keepFails = 0
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	b.open()
	_, stop = b.run()
	again := expect(t, posts, one, two)[0]
	if again.Delivery != first.Delivery || again.body != first.body {
		t.Errorf("told %s, then %s", first.body, again.body)
	}
	b.settle(two)
	stop()
	b.expectPosition("h", two)
}

// TestStopWhilePosting ends the node while a service has not answered.
func TestStopWhilePosting(t *testing.T) {
	b := newBench(t)
	one := b.decide("a", accord.Accepted)
	arrived := make(chan struct{}, 1)
	posts := b.handle("h", "**", FromStart, func(post int, _ http.ResponseWriter, r *http.Request) {
		if post == 1 {
			arrived <- struct{}{}
			<-r.Context().Done()
		}
	})
	_, stop := b.run()
	<-arrived
	stop()
	b.expectPosition("h", 0)
	_, stop = b.run()
	expect(t, posts, one, one)
	b.settle(one)
	stop()
}

func TestReports(t *testing.T) {
	b := newBench(t)
	answers := []string{`{"report":"done"}`, `{"report":"failed","note":"no space"}`, `OK`, `{"report":"maybe"}`, `{"report":"done"}`, `{"report":"done","note":"last"}`}
	var at []uint64
	for i := range answers {
		if i == 4 { // not this node's to report
			at = append(at, b.decide("a", accord.Accepted, "node-2", "node-3"))
			continue
		}
		at = append(at, b.decide("a", accord.Accepted))
	}
	b.reportFails = 3
	posts := b.handle("h", "**", FromStart, func(post int, w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, answers[post-1])
	})
	_, stop := b.run()
	all := expect(t, posts, at...)
	b.settle(at[len(at)-1])
	stop()
	none(t, posts) // a report that fails is tried again without another post
	want := []protocol.Report{{Proposal: all[0].ID}, {Proposal: all[1].ID, Failed: true, Note: "no space"}, {Proposal: all[5].ID, Note: "last"}}
	if !slices.Equal(b.reports, want) {
		t.Errorf("reported %+v, want %+v", b.reports, want)
	}
	if len(b.waits) != 3 {
		t.Errorf("waited %v", b.waits)
	}
}

// badSource tells decisions out of their order, once.
type badSource struct {
	Source
	bad bool
}

func (s *badSource) Next(ctx context.Context, after uint64) ([]accord.Case, error) {
	page, err := s.Source.Next(ctx, after)
	if !s.bad && len(page) > 1 {
		s.bad = true
		slices.Reverse(page)
	}
	return page, err
}

func TestSourceOutOfOrder(t *testing.T) {
	b := newBench(t)
	one, two := b.decide("a", accord.Accepted), b.decide("a", accord.Accepted)
	posts := b.handle("h", "**", FromStart, nil)
	d, err := New(Config{
		Handlers: b.handlers, Source: &badSource{Source: b.Deliveries}, Positions: b,
		Report: b.report, Clock: b.clock(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { d.Run(ctx) })
	expect(t, posts, one, two)
	b.settle(two)
	cancel()
	wg.Wait()
}
