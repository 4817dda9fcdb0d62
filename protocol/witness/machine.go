package witness

import (
	"fmt"
	"math/rand/v2"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Config is what a machine is made of.
type Config struct {
	// Epochs are those until now; the machine begins in the newest one.
	Epochs *quorum.Epochs
	// Self is this member, or Nobody for who is none yet: it follows the logs, and
	// votes and authors from the epoch on whose roster has the signer's key.
	Self protocol.MemberID
	// Signer signs as Self; its key is the one the roster names.
	Signer *cosign.Signer
	// Pace sets how batches gather. The zero value means DefaultPace.
	Pace Pace
	// Seed drives the jitter of re-sending and the choice of peers.
	Seed uint64
}

// Machine is the witness protocol of one member. It is not safe for
// concurrent use, and does nothing but in Step.
type Machine struct {
	epochs    *quorum.Epochs
	committee *quorum.Committee // of the newest epoch
	params    protocol.Params   // of the newest epoch
	self      protocol.MemberID
	signer    *cosign.Signer
	store     Storage
	rng       *rand.Rand

	logs []*logState
	// own is this member's log. Who has none has an empty one here, which is not
	// among the logs.
	own      *logState
	author   author
	repair   repair
	handover handover

	now     protocol.Micros
	seq     uint64
	timer   protocol.Micros
	waiting []awaited
	votes   []wire.Vote // for authors
	shared  []wire.Vote // for everybody
	effects []Effect
}

// awaited is a batch whose durability the machine waits for.
type awaited struct {
	seq  uint64
	log  protocol.MemberID
	size uint64
	// batch is set for a batch of this member's own, which is then published.
	batch *wire.Batch
}

// New returns a machine that goes on from what is stored.
func New(cfg Config, store Storage) (*Machine, error) {
	committee := cfg.Epochs.Latest()
	if committee.Known(cfg.Self) && cfg.Signer.Verifier().String() != committee.Verifier(cfg.Self).String() {
		return nil, fmt.Errorf("the signing key %s is not the one that the network has for %s",
			cfg.Signer.Verifier(), committee.Name(cfg.Self))
	}
	if cfg.Pace == (Pace{}) {
		cfg.Pace = DefaultPace()
	}
	m := &Machine{
		epochs: cfg.Epochs.Clone(),
		self:   cfg.Self,
		signer: cfg.Signer,
		store:  store,
		rng:    rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.Self))),
		repair: repair{source: protocol.Nobody},
	}
	m.author.pacer.Pace = cfg.Pace
	if err := m.join(committee); err != nil {
		return nil, err
	}
	return m, m.loadHandover()
}

// Step takes inputs that came in this order, at a time in Unix microseconds,
// and returns what the host must do. Submissions of one Step share a batch.
// The clock may jump, both ways. An error is a broken invariant or a damaged
// store: the machine must not be used again, and the node must stop. The
// effects are valid until the next Step.
func (m *Machine) Step(now protocol.Micros, inputs ...Input) ([]Effect, error) {
	m.now = now
	m.effects = m.effects[:0]
	for _, in := range inputs {
		if err := m.dispatch(in); err != nil {
			return nil, err
		}
	}
	m.unhold()
	if err := m.seal(); err != nil {
		return nil, err
	}
	m.tellDue()
	m.flushVotes()
	m.release()
	m.schedule()
	return m.effects, nil
}

func (m *Machine) dispatch(in Input) error {
	switch in := in.(type) {
	case Start:
		return m.start()
	case Tick:
		m.timer = 0
		return m.tick()
	case Submit:
		if in.At != 0 {
			return m.reopen(in)
		}
		m.submit(in)
		return nil
	case Withdraw:
		m.withdraw(in.ID)
		return nil
	case Receive:
		return m.receive(in.From, in.Msg)
	case Persisted:
		return m.persisted(in.Seq)
	case PeerUp:
		m.greet(in.Member)
		return nil
	case Advance:
		m.author.advance = in
		return nil
	case Enter:
		return m.enter(in.Committee)
	default:
		return fmt.Errorf("unknown input %T", in)
	}
}

func (m *Machine) receive(from protocol.MemberID, msg wire.Message) error {
	// Those that have left still have what others need.
	if !m.committee.Known(from) || from == m.self {
		return nil
	}
	switch msg := msg.(type) {
	case *wire.Batch:
		return m.onBatch(from, msg)
	case *wire.Votes:
		return m.onVotes(from, msg)
	case *wire.Certificate:
		return m.onClaim(from, msg.Claim)
	case *wire.Heads:
		return m.onHeads(from, msg)
	case *wire.RangeRequest:
		if m.committee.Known(msg.Log) {
			m.emit(SendRange{To: from, Request: *msg, Durable: m.logs[msg.Log].durable})
		}
		return nil
	case *wire.Range:
		return m.onRange(from, msg)
	case *wire.Evidence:
		return m.onEvidence(from, msg)
	}
	return nil
}

func (m *Machine) emit(e Effect) { m.effects = append(m.effects, e) }

// persist emits a Persist that somebody waits for and returns its number.
func (m *Machine) persist(records ...Record) uint64 {
	m.seq++
	m.emit(Persist{Seq: m.seq, Records: records})
	return m.seq
}

// persistLazy emits a Persist that nobody waits for.
func (m *Machine) persistLazy(records ...Record) {
	m.seq++
	m.emit(Persist{Seq: m.seq, Records: records, Lazy: true})
}

// release tells the order of what has become certified and durable.
func (m *Machine) release() {
	for _, l := range m.logs {
		if batches := l.release(); len(batches) > 0 {
			m.emit(Extended{Batches: batches})
		}
	}
}

// persisted publishes and votes for what has become durable.
func (m *Machine) persisted(seq uint64) error {
	n := 0
	for n < len(m.waiting) && m.waiting[n].seq <= seq {
		w := m.waiting[n]
		n++
		l := m.logs[w.log]
		l.durable = max(l.durable, w.size)
		act := func() error { return m.vote(l, w.size) }
		if w.batch != nil {
			act = func() error { return m.publish(l, w.batch) }
		}
		if err := act(); err != nil {
			return err
		}
	}
	m.waiting = append(m.waiting[:0], m.waiting[n:]...)
	if err := m.handoverStored(seq); err != nil {
		return err
	}
	// Batches may have waited because too many were not durable.
	for _, l := range m.logs {
		if len(l.later) > 0 {
			if err := m.advance(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkpoint is the tree head of a log at one of its marks.
func (m *Machine) checkpoint(log protocol.MemberID, s wire.Signed) cosign.Checkpoint {
	return m.committee.Checkpoint(log, s.Size, s.Root)
}

// signedBy reports whether an author signed a tree head of its log.
func (m *Machine) signedBy(author protocol.MemberID, s wire.Signed) bool {
	return m.signed(author, author, s)
}

// signed reports whether a member signed a tree head of a log.
func (m *Machine) signed(member, log protocol.MemberID, s wire.Signed) bool {
	return m.committee.Verifier(member).Verify(m.checkpoint(log, s), cosign.Signature{Time: s.Time, Bytes: s.Sig})
}

// after returns a time that lies d, and up to a quarter more, ahead.
func (m *Machine) after(d protocol.Micros) protocol.Micros {
	return m.now + d + protocol.Micros(m.rng.Int64N(int64(d)/4+1))
}

func recordHash(leaf []byte) tlog.Hash { return tlog.RecordHash(leaf) }

func bodyHashes(b *wire.Batch) []protocol.Hash {
	out := make([]protocol.Hash, len(b.Items))
	for i := range b.Items {
		out[i] = b.Items[i].Hash()
	}
	return out
}

// Ready reports whether this member knows its own log and may author.
func (m *Machine) Ready() bool {
	return m.author.recovered && m.own.evidence == nil && m.voting() && m.open(m.own)
}

// Epoch is the newest epoch, and whether this member votes in it.
func (m *Machine) Epoch() (number uint64, votes bool) { return m.committee.Epoch(), m.voting() }

// LogStatus is where a log stands at this member.
type LogStatus struct {
	Log       protocol.MemberID
	Stored    uint64
	Certified uint64
	Frozen    bool
}

// Status tells where every log stands, in member order.
func (m *Machine) Status() []LogStatus {
	out := make([]LogStatus, len(m.logs))
	for i, l := range m.logs {
		out[i] = LogStatus{Log: l.id, Stored: l.size(), Certified: l.cert.Size(), Frozen: l.evidence != nil}
	}
	return out
}
