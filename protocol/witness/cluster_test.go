package witness

import (
	"container/heap"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// A cluster hosts machines on a virtual clock and a seeded scheduler, with a
// network and disks that fail as its knobs say, and checks what must always
// hold. The seed is its whole input.
type cluster struct {
	t         *testing.T
	rng       *rand.Rand
	committee *quorum.Committee // the founding one
	params    protocol.Params
	epochs    *quorum.Epochs
	// ends are how much of each log must be certified for an epoch to begin.
	ends    [][]uint64
	signers []*cosign.Signer
	nodes   []*host
	now     protocol.Micros
	queue   eventQueue
	order   int

	loss, duplicate float64
	cut             func(from, to protocol.MemberID) bool
	certified       map[string]protocol.Hash // by log and size
	voted           map[string]protocol.Hash // by voter, log and size
	resolved        map[uint64]Resolved
	items           map[uint64]ResolvedItem
	refused         map[uint64]Effect
	blamed          []Blame
	nextID          uint64
}

type host struct {
	id       protocol.MemberID
	machine  *Machine
	store    *MemoryStorage
	unsynced []Persist
	epochs   *quorum.Epochs // those that it knows of
	votes    uint64         // the newest epoch that it has been handed over
	life     int            // counts restarts: what was meant for an earlier life is lost
	down     bool
	skew     protocol.Micros
	accused  map[protocol.MemberID]bool
}

type event struct {
	at    protocol.Micros
	order int
	run   func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any     { old := *q; e := old[len(old)-1]; *q = old[:len(old)-1]; return e }

// seeds is how many seeds to run: as many as STRATA_SEEDS says, or few or many.
func seeds(t *testing.T, many, few int) int {
	if s := os.Getenv("STRATA_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("STRATA_SEEDS is %q, want a number", s)
		}
		return n
	}
	if testing.Short() {
		return few
	}
	return many
}

const testStart = 1_700_000_000 * protocol.Second

func testGenesis(t testing.TB, n int) (*protocol.Genesis, []*cosign.Signer) {
	t.Helper()
	g := &protocol.Genesis{Network: "strata.example/test", Params: protocol.DefaultParams()}
	var signers []*cosign.Signer
	for i := range n {
		name := fmt.Sprintf("node-%d", i+1)
		seed := sha256.Sum256([]byte(name))
		s, err := cosign.NewSigner(g.Network+"/"+name, seed[:])
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, s)
		g.Members = append(g.Members, protocol.Member{
			Name: name, PeerID: "peer-" + name, VKey: s.Verifier().String(),
		})
	}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return g, signers
}

func newCluster(t *testing.T, n int, seed uint64) *cluster {
	g, signers := testGenesis(t, n)
	committee, err := quorum.NewCommittee(g)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), committee: committee, params: g.Params,
		signers: signers, now: testStart,
		cut:       func(from, to protocol.MemberID) bool { return false },
		certified: map[string]protocol.Hash{}, voted: map[string]protocol.Hash{},
		resolved: map[uint64]Resolved{}, items: map[uint64]ResolvedItem{}, refused: map[uint64]Effect{},
	}
	c.epochs = quorum.NewEpochs(committee)
	for range n {
		c.newHost()
	}
	for _, h := range c.nodes {
		c.boot(h)
	}
	return c
}

// newHost adds a host that has nothing and knows the founding epoch only.
func (c *cluster) newHost() *host {
	h := &host{
		id: protocol.MemberID(len(c.nodes)), store: &MemoryStorage{}, down: true,
		epochs: quorum.NewEpochs(c.committee), accused: map[protocol.MemberID]bool{},
	}
	c.nodes = append(c.nodes, h)
	return h
}

func (c *cluster) boot(h *host) {
	self := h.id
	if !h.epochs.Latest().Known(self) {
		self = protocol.Nobody
	}
	m, err := New(Config{
		Epochs: h.epochs, Self: self,
		Signer: c.signers[h.id], Seed: c.rng.Uint64(),
	}, h.store)
	if err != nil {
		c.t.Fatalf("node %d does not start: %v", h.id, err)
	}
	h.machine, h.down = m, false
	h.life++
	c.step(h, Start{})
}

// crash stops a node; what was not synced is lost, some of it perhaps not.
func (c *cluster) crash(h *host) {
	keep := c.rng.IntN(len(h.unsynced) + 1)
	for _, p := range h.unsynced[:keep] {
		c.apply(h, p)
	}
	h.unsynced, h.down = nil, true
	h.life++
}

func (c *cluster) apply(h *host, p Persist) {
	if err := h.store.Apply(p.Records); err != nil {
		c.t.Fatalf("node %d: %v", h.id, err)
	}
}

func (c *cluster) after(d protocol.Micros, run func()) {
	c.order++
	heap.Push(&c.queue, event{c.now + d, c.order, run})
}

// run goes on until a time, or until done answers true.
func (c *cluster) run(d protocol.Micros, done func() bool) bool {
	end := c.now + d
	for len(c.queue) > 0 && c.queue[0].at <= end {
		if done != nil && done() {
			return true
		}
		e := heap.Pop(&c.queue).(event)
		c.now = max(c.now, e.at)
		e.run()
	}
	c.now = end
	return done != nil && done()
}

func (c *cluster) step(h *host, in Input) {
	effects, err := h.machine.Step(c.now+h.skew, in)
	if err != nil {
		c.t.Fatalf("node %d stops: %v", h.id, err)
	}
	for _, e := range append([]Effect(nil), effects...) {
		c.carryOut(h, e)
	}
}

func (c *cluster) carryOut(h *host, e Effect) {
	life := h.life
	alive := func(run func()) func() {
		return func() {
			if h.life == life && !h.down {
				run()
			}
		}
	}
	switch e := e.(type) {
	case Persist:
		h.unsynced = append(h.unsynced, e)
		delay := 300 + protocol.Micros(c.rng.Int64N(500))
		if e.Lazy {
			delay += 5 * protocol.Millisecond
		}
		c.after(delay, alive(func() { c.sync(h, e.Seq) }))
	case Publish:
		for _, to := range c.nodes {
			c.deliver(h.id, to, e.Msg)
		}
	case Send:
		c.deliver(h.id, c.nodes[e.To], e.Msg)
	case SendRange:
		r, err := ReadRange(h.store, e.Request, e.Durable, c.params)
		if err != nil {
			c.t.Fatal(err)
		}
		c.deliver(h.id, c.nodes[e.To], r)
	case Timer:
		c.after(max(e.At-h.skew-c.now, 0), alive(func() { c.step(h, Tick{}) }))
	case Resolved:
		for _, it := range e.Items {
			c.resolved[it.ID], c.items[it.ID] = e, it
		}
	case Refused:
		c.refused[e.ID] = e
	case Withdrawn:
		c.refused[e.ID] = e
	case Certified:
		c.unique(c.certified, fmt.Sprintf("%d/%d", e.Cert.Log(), e.Cert.Size()), e.Cert.Root(), "two certificates")
	case HandedOver:
		h.votes = e.Epoch
	case Accused:
		h.accused[e.Evidence.Author] = true
	case Blame:
		c.blamed = append(c.blamed, e)
	}
}

// sync makes every Persist up to seq durable, in order, and says so.
func (c *cluster) sync(h *host, seq uint64) {
	for len(h.unsynced) > 0 && h.unsynced[0].Seq <= seq {
		c.apply(h, h.unsynced[0])
		h.unsynced = h.unsynced[1:]
	}
	c.step(h, Persisted{Seq: seq})
}

func (c *cluster) unique(seen map[string]protocol.Hash, key string, root protocol.Hash, what string) {
	if old, ok := seen[key]; ok && old != root {
		c.t.Fatalf("%s: %s has roots %s and %s", what, key, old, root)
	}
	seen[key] = root
}

// deliver carries a message over the network, through the real codec.
func (c *cluster) deliver(from protocol.MemberID, to *host, msg wire.Message) {
	if to.id == from {
		return
	}
	if votes, ok := msg.(*wire.Votes); ok && int(from) == int(votes.Voter) {
		for _, v := range votes.Votes {
			c.unique(c.voted, fmt.Sprintf("%d/%d/%d", from, v.Log, v.Size), v.Root, "one member cosigned two roots")
		}
	}
	data, err := wire.Encode(msg)
	if err != nil {
		c.t.Fatal(err)
	}
	copies := 1
	if c.rng.Float64() < c.duplicate {
		copies++
	}
	for range copies {
		if c.rng.Float64() < c.loss || c.cut(from, to.id) {
			continue
		}
		c.after(100+protocol.Micros(c.rng.Int64N(400)), func() {
			if to.down {
				return
			}
			m, err := wire.Decode(data, wire.MaxMessage(c.params))
			if err != nil {
				c.t.Fatalf("own message does not decode: %v", err)
			}
			c.step(to, Receive{From: from, Msg: m})
		})
	}
}

// submit hands a new event to a node and returns the submission's number.
func (c *cluster) submit(h *host, attestors ...protocol.MemberID) uint64 {
	c.nextID++
	e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"test.event","payload":{"n":%d}}`, c.nextID), 1<<16)
	if err != nil {
		c.t.Fatal(err)
	}
	c.step(h, Submit{ID: c.nextID, Kind: protocol.KindAttest, Body: e.Canonical, Hash: e.Hash, Attestors: attestors})
	return c.nextID
}

// attest submits an event and waits until it is answered.
func (c *cluster) attest(h *host, d protocol.Micros) bool {
	id := c.submit(h)
	return c.run(d, func() bool { _, ok := c.resolved[id]; return ok })
}

// converged reports whether all running nodes store and have certified the
// same, and everything that is stored.
func (c *cluster) converged() bool {
	var first []LogStatus
	for _, h := range c.nodes {
		if h.down {
			continue
		}
		s := h.machine.Status()
		if first == nil {
			first = s
		}
		for i := range s {
			if s[i].Certified != first[i].Certified || !s[i].Frozen && s[i].Stored != s[i].Certified {
				return false
			}
		}
	}
	return true
}
