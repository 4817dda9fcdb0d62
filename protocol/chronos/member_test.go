package chronos

import (
	"crypto/sha256"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// memory is what a member stores: the logs and the ledger.
type memory struct {
	witness.MemoryStorage
	ledgerStore
}

// ledgerStore lets memory embed both kinds of storage.
type ledgerStore struct{ ledger MemoryStorage }

func (s *ledgerStore) Node(log protocol.MemberID, size uint64) (PutNode, bool, error) {
	return s.ledger.Node(log, size)
}
func (s *ledgerStore) Case(id protocol.Hash) (accord.Case, bool, error) { return s.ledger.Case(id) }
func (s *ledgerStore) OpenCases() ([]accord.Case, error)                { return s.ledger.OpenCases() }
func (s *ledgerStore) Subject(name string) (accord.Subject, bool, error) {
	return s.ledger.Subject(name)
}
func (s *ledgerStore) State() (State, bool, error)             { return s.ledger.State() }
func (s *ledgerStore) Checkpoint() (quorum.Claim, bool, error) { return s.ledger.Checkpoint() }
func (s *ledgerStore) LedgerHashes() tlog.HashReader           { return s.ledger.LedgerHashes() }

// member hosts one machine. What the machine persists can be read once it is
// synced, not before, as with a slow disk.
type member struct {
	c        *cluster
	id       protocol.MemberID
	machine  *Machine
	pace     Pace
	store    memory
	unsynced []machine.Persist
	life     int // what was meant for an earlier life is lost
	skew     protocol.Micros
	liar     bool
	told     uint64 // how much of the ledger it has told of in this life
	author   author
	watch    func() // is called after every step
	// committee is the one that its witness machine works for, and later is what that
	// cannot take yet.
	committee *quorum.Committee
	later     []func()
	newest    map[protocol.MemberID]protocol.Micros // when certificates of logs come
	// cutOff says that what others have certified does not come, but gathers.
	cutOff  bool
	backlog []func()

	timers, ticks int
	advances      []Advance
	checkpoints   []Checkpointed
	alarms        []Alarm
	halts         []Halted
	blames        []machine.Blame
	begins        []EpochBegun
}

// author is what a witness machine does for the order.
type author struct {
	size, round uint64
	time        protocol.Micros
	pending     []wire.Item
	advance     Advance
	named       []uint64 // of each log, as a parent
	certified   []uint64 // of each log, as this member knows
	made        int
	silent      bool // authors nothing
	// claim, if set, is what a liar claims.
	claim func(honest uint64) uint64
	// parents, if set, are what a liar names.
	parents func(honest []protocol.Parent) []protocol.Parent
}

func (m *member) boot() {
	m.c.t.Helper()
	created, err := m.create()
	if err != nil {
		m.c.t.Fatalf("member %d does not start: %v", m.id, err)
	}
	m.machine = created
	m.author.advance = Advance{}
	m.enter(m.machine.committee)
	m.step(Start{})
}

// enter has the witness machine work for a committee.
func (m *member) enter(c *quorum.Committee) {
	m.committee = c
	if !c.Has(m.id) {
		m.author.pending = nil // they are refused
	}
	later := m.later
	m.later = nil
	for _, take := range later {
		m.c.after(0, take)
	}
}

func (m *member) create() (*Machine, error) {
	epochs, err := m.store.ledger.Epochs(m.c.Committee)
	if err != nil {
		return nil, err
	}
	return New(Config{
		Epochs: epochs, Self: m.self(epochs), Signer: m.c.Signers[m.id], Pace: m.pace, Seed: 1,
	}, &m.store)
}

// self is the member's number, if it has one by then.
func (m *member) self(epochs *quorum.Epochs) protocol.MemberID {
	if !epochs.Latest().Known(m.id) {
		return protocol.Nobody
	}
	return m.id
}

// crash stops the member. Of what was not synced, the first keep records are
// there when it starts again.
func (m *member) crash(keep int) {
	for _, p := range m.unsynced[:keep] {
		m.apply(p)
	}
	m.unsynced, m.machine = nil, nil
	m.life++
	m.told = 0
}

func (m *member) apply(p machine.Persist) {
	m.c.t.Helper()
	for _, r := range p.Records {
		if ours, err := m.store.ledger.Apply(r); err != nil || !ours {
			m.c.t.Fatalf("member %d: record %T: %v", m.id, r, err)
		}
	}
}

func (m *member) sync(seq uint64) {
	for len(m.unsynced) > 0 && m.unsynced[0].Seq <= seq {
		m.apply(m.unsynced[0])
		m.unsynced = m.unsynced[1:]
	}
	m.step(Persisted{Seq: seq})
}

func (m *member) step(in ...Input) []machine.Effect {
	m.c.t.Helper()
	if m.machine == nil {
		return nil
	}
	effects, err := m.machine.Step(m.c.now+m.skew, in...)
	if err != nil {
		m.c.t.Fatalf("member %d stops: %v", m.id, err)
	}
	effects = append([]machine.Effect(nil), effects...)
	for _, e := range effects {
		m.c.carryOut(m, e)
	}
	if err := m.machine.CheckBounds(); err != nil {
		m.c.t.Fatalf("member %d: %v", m.id, err)
	}
	if m.watch != nil {
		m.watch()
	}
	return effects
}

// submit has the member order an entry of a kind.
func (m *member) submit(kind protocol.Kind) {
	m.author.made++
	m.say(kind, fmt.Appendf(nil, `{"member":%d,"n":%d}`, m.id, m.author.made))
}

// say has the member order an entry with a body.
func (m *member) say(kind protocol.Kind, body []byte) {
	if !m.committee.Has(m.id) {
		return
	}
	m.author.pending = append(m.author.pending, wire.Item{Kind: kind, Body: body})
	life := m.life
	m.c.after(20, func() {
		if m.life == life {
			m.seal()
		}
	})
}

// seal makes a batch of what is pending, or that the order asks for.
func (m *member) seal() {
	a := &m.author
	must := a.advance.Seal && (a.advance.Due > a.round || a.size == 0)
	if m.machine == nil || a.silent || !m.committee.Has(m.id) || len(a.pending) == 0 && !must {
		return
	}
	round := max(a.round, a.advance.Due)
	urgent := false
	for _, it := range a.pending {
		urgent = urgent || it.Kind.Urgent()
	}
	if urgent {
		round = max(round, a.advance.Ready)
	}
	advanced := round > a.round
	if a.claim != nil {
		round = max(a.claim(round), a.round)
	}
	b := &wire.Batch{Author: m.id, Old: a.size, Epoch: m.committee.Epoch(), Round: round, Time: max(m.c.now+m.skew, a.time+1), Items: a.pending}
	b.Cert.Log = m.id
	if advanced {
		m.nameParents(b)
	}
	a.pending = nil
	a.size, a.round, a.time = b.Size(), round, b.Time
	if advanced {
		m.step(Advanced{Round: round})
	}
	m.certify(b, urgent)
}

// nameParents names the certified heads that are new to this member's log.
func (m *member) nameParents(b *wire.Batch) {
	a := &m.author
	var parents []protocol.Parent
	for i, size := range a.certified {
		if id := protocol.MemberID(i); id != m.id && size > a.named[i] {
			parents = append(parents, protocol.Parent{Member: id, Size: size})
			a.named[i] = size
		}
	}
	if a.parents != nil {
		parents = a.parents(parents)
	}
	for _, p := range parents {
		if parent, ok, err := ReadBatch(&m.store, p.Member, p.Size-1); ok && err == nil {
			b.Time = max(b.Time, parent.Time+1)
		}
	}
	b.Parents = parents
}

// certify has all members store a batch and take it for certified, the author
// first. Who is down then has it stored when it comes back.
func (m *member) certify(b *wire.Batch, urgent bool) {
	c := m.c
	record := putBatch(c.t, b)
	for _, to := range c.members {
		delay := c.certify
		if to != m {
			delay += c.travel
			if urgent {
				c.after(c.certify/2, func() { to.step(Heard{Round: b.Round}) })
			}
		}
		c.after(delay+to.jitter(b.Author, delay), func() {
			if to.cutOff {
				to.backlog = append(to.backlog, func() { to.extend(b, record) })
				return
			}
			to.extend(b, record)
		})
	}
}

// jitter is how much later a certificate of a log comes than after a time. It does
// not come before an earlier one of the log.
func (m *member) jitter(log protocol.MemberID, after protocol.Micros) protocol.Micros {
	c := m.c
	if c.jitter == 0 {
		return 0
	}
	at := max(c.now+after+protocol.Micros(c.rng.Int64N(int64(c.jitter))), m.newest[log]+1)
	m.newest[log] = at
	return at - c.now - after
}

// extend has a member store a certified batch.
func (m *member) extend(b *wire.Batch, record witness.PutBatch) {
	if b.Epoch > m.committee.Epoch() {
		m.later = append(m.later, func() { m.extend(b, record) })
		return
	}
	if err := m.store.MemoryStorage.Apply([]witness.Record{record, witness.PutCertificate{Claim: quorum.Claim{Log: b.Author, Size: b.Size()}}}); err != nil {
		m.c.t.Fatal(err)
	}
	m.author.certified[b.Author] = b.Size()
	m.step(Extended{Batches: []protocol.Extension{b.Extension()}})
}

// joinAgain has what has gathered come.
func (m *member) joinAgain() {
	m.cutOff = false
	for _, extend := range m.backlog {
		extend()
	}
	m.backlog = nil
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

// putBatch is the record of a batch. Its hashes are none that the order reads.
func putBatch(t fataler, b *wire.Batch) witness.PutBatch {
	t.Helper()
	encoded, err := wire.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	r := witness.PutBatch{Log: b.Author, Old: b.Old, Encoded: encoded, Entries: b.Extension().Entries}
	r.Hashes = make([]tlog.Hash, tlog.StoredHashCount(int64(b.Size()))-tlog.StoredHashCount(int64(b.Old)))
	for i := range r.Hashes {
		r.Hashes[i] = sha256.Sum256(encoded)
	}
	return r
}
