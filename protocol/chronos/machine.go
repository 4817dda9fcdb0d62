package chronos

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/quorum"
)

// Config is what a machine is made of.
type Config struct {
	// Epochs are those until now: the ones that PutEpoch has kept.
	Epochs *quorum.Epochs
	// Self is this member, or Nobody for who is none yet: it follows the order, and
	// cosigns and claims rounds from the epoch on whose roster has the signer's key.
	Self protocol.MemberID
	// Signer signs as Self; its key is the one the roster names.
	Signer *cosign.Signer
	// Pace sets how rounds follow one another. The zero value means DefaultPace.
	Pace Pace
	// Seed drives the choice of peers.
	Seed uint64
}

// Machine keeps the order and the ledger of one member. It is not safe for
// concurrent use, and does nothing but in Step.
type Machine struct {
	epochs    *quorum.Epochs
	committee *quorum.Committee // of the newest epoch
	params    protocol.Params   // of the newest epoch
	self      protocol.MemberID
	signer    *cosign.Signer
	store     Storage
	rng       *rand.Rand

	order  *order.Order
	feeds  []feed
	pace   pacer
	ledger ledger
	book   *accord.Book
	heads  heads
	halted bool

	now     protocol.Micros
	seq     uint64
	timer   protocol.Micros
	more    bool             // there is more to take than one Step takes
	records []machine.Record // to be persisted with the next decision
	syncing []syncing
	turns   []awaitedEpoch
	synced  uint64 // the round of the newest state that is waited for
	effects []Effect
}

// New returns a machine that goes on from what is stored.
func New(cfg Config, store Storage) (*Machine, error) {
	if cfg.Pace == (Pace{}) {
		cfg.Pace = DefaultPace()
	}
	m := &Machine{
		epochs: cfg.Epochs.Clone(), self: cfg.Self, signer: cfg.Signer, store: store,
		rng:   rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.Self))),
		pace:  pacer{Pace: cfg.Pace, claim: -1, taken: -1},
		heads: newHeads(),
	}
	if err := m.enter(m.epochs.Latest()); err != nil {
		return nil, err
	}
	if err := m.load(); err != nil {
		return nil, fmt.Errorf("the stored ledger is damaged: %w", err)
	}
	return m, nil
}

// load goes on from the stored state, and from what has been certified since.
func (m *Machine) load() error {
	st, ok, err := m.store.State()
	if err != nil {
		return err
	}
	if st.Epoch != m.committee.Epoch() {
		return fmt.Errorf("it is of epoch %d, and epochs up to %d are stored", st.Epoch, m.committee.Epoch())
	}
	if m.book, err = accord.NewBook(m.store, st.Accord, m.committee); err != nil {
		return err
	}
	if !ok {
		m.order = order.New(m.committee.N(), past{m.store})
		m.ledger.tail = &merkle.Tail{}
	} else {
		if m.order, err = order.Resume(st.Order, past{m.store}); err != nil {
			return err
		}
		if !slices.Equal(st.Order.Members, m.committee.Members()) || len(st.Order.Base) != m.committee.Logs() {
			return fmt.Errorf("its order is one of members %v and %d logs", st.Order.Members, len(st.Order.Base))
		}
		if err := m.loadLedger(st); err != nil {
			return err
		}
	}
	if err := m.loadHeads(); err != nil {
		return err
	}
	for i := range m.feeds {
		if err := m.loadFeed(protocol.MemberID(i), st); err != nil {
			return err
		}
	}
	return m.loadPace()
}

// Step takes inputs that came in this order, at a time in Unix microseconds,
// and returns what the host must do; see package machine. The effects are valid
// until the next Step.
func (m *Machine) Step(now protocol.Micros, inputs ...Input) ([]Effect, error) {
	m.now = now
	m.effects = m.effects[:0]
	for _, in := range inputs {
		if m.halted {
			return m.effects, nil
		}
		if err := m.dispatch(in); err != nil {
			return nil, err
		}
	}
	if !m.halted {
		if err := m.grow(); err != nil {
			return nil, err
		}
	}
	if m.halted {
		return m.effects, nil
	}
	m.advance()
	m.schedule()
	return m.effects, nil
}

func (m *Machine) dispatch(in Input) error {
	switch in := in.(type) {
	case Start:
		return nil
	case Tick:
		m.timer = 0
		m.tick()
	case Extended:
		for _, b := range in.Batches {
			m.take(b)
		}
	case Heard:
		m.pace.heard(in.Round)
	case Advanced:
		m.pace.advanced(in.Round)
	case Rejoined:
		return m.rejoin()
	case Receive:
		return m.onHead(in.From, in.Msg)
	case Persisted:
		if err := m.forget(in.Seq); err != nil {
			return err
		}
		m.book.Durable(in.Seq)
		m.begun(in.Seq)
		m.persisted(in.Seq)
	case PeerUp:
		if m.committee.Known(in.Member) && in.Member != m.self {
			m.emit(machine.Send{To: in.Member, Msg: m.head(true)})
		}
	default:
		return fmt.Errorf("unknown input %T", in)
	}
	return nil
}

func (m *Machine) emit(e Effect) { m.effects = append(m.effects, e) }

func (m *Machine) persist(lazy bool, records ...machine.Record) uint64 {
	m.seq++
	m.emit(machine.Persist{Seq: m.seq, Records: records, Lazy: lazy})
	return m.seq
}

// schedule asks for a Tick at the earliest time at which something is due.
func (m *Machine) schedule() {
	next := m.heads.againAt
	sooner := func(at protocol.Micros) {
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	sooner(m.pace.dueAt)
	if m.more {
		sooner(m.now)
	}
	if next == 0 {
		return
	}
	next = max(next, m.now+1)
	if next != m.timer {
		m.timer = next
		m.emit(machine.Timer{At: next})
	}
}

// Status is where the order and the ledger of a member stand.
type Status struct {
	// Size and Time are the ledger's, and Root its root.
	Size uint64
	Time protocol.Micros
	Root protocol.Hash
	// Checkpoint is the size up to which a quorum has cosigned the ledger.
	Checkpoint uint64
	// Epoch is the one that the order has come to, and Round its first round that
	// is not decided.
	Epoch, Round uint64
	// Seen is how much of each log is ordered.
	Seen order.Clock
	// Unordered is how many certified entries wait to be ordered.
	Unordered int
	// Open is how many proposals of the ledger are open.
	Open int
	// Halted says that there is a fork alarm.
	Halted bool
}

// Status tells where the order and the ledger stand.
func (m *Machine) Status() Status {
	st := m.order.State()
	return Status{
		Size: m.ledger.tail.Size(), Time: m.time(), Root: m.ledger.tail.Root(), Checkpoint: m.heads.cert.Size(),
		Epoch: m.committee.Epoch(), Round: st.Round, Seen: st.Emitted, Unordered: m.pace.entries,
		Open: m.book.Open(), Halted: m.halted,
	}
}
