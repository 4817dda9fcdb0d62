package chronos

import (
	"errors"
	"math"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/order"
	"github.com/strataos/strataos/protocol/quorum"
)

var errRead = errors.New("the disk cannot be read")

// failing is a storage that fails at one read, and may change what it answers.
type failing struct {
	*memory
	left  int // reads until one fails
	state func(*State)
	node  func(*PutNode)
	batch func([]byte) []byte
	claim func(*quorum.Claim)
}

func (f *failing) read() error {
	if f.left--; f.left == 0 {
		return errRead
	}
	return nil
}

func (f *failing) Size(log protocol.MemberID) (uint64, error) {
	if err := f.read(); err != nil {
		return 0, err
	}
	return f.memory.Size(log)
}

func (f *failing) BatchAt(log protocol.MemberID, leaf uint64) ([]byte, error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	data, err := f.memory.BatchAt(log, leaf)
	if err == nil && f.batch != nil {
		data = f.batch(data)
	}
	return data, err
}

func (f *failing) Certificate(log protocol.MemberID, size uint64) (quorum.Claim, bool, error) {
	if err := f.read(); err != nil {
		return quorum.Claim{}, false, err
	}
	return f.memory.Certificate(log, size)
}

func (f *failing) Node(log protocol.MemberID, size uint64) (PutNode, bool, error) {
	if err := f.read(); err != nil {
		return PutNode{}, false, err
	}
	n, ok, err := f.memory.Node(log, size)
	if f.node != nil {
		n.Clock = append(order.Clock(nil), n.Clock...)
		n.Rounds = append([]uint64(nil), n.Rounds...)
		f.node(&n)
	}
	return n, ok, err
}

func (f *failing) State() (State, bool, error) {
	if err := f.read(); err != nil {
		return State{}, false, err
	}
	st, ok, err := f.memory.State()
	if f.state != nil {
		st.Order.Emitted = append(order.Clock(nil), st.Order.Emitted...)
		st.Order.Inserted = append(order.Clock(nil), st.Order.Inserted...)
		f.state(&st)
	}
	return st, ok, err
}

func (f *failing) Checkpoint() (quorum.Claim, bool, error) {
	if err := f.read(); err != nil {
		return quorum.Claim{}, false, err
	}
	claim, ok, err := f.memory.Checkpoint()
	if f.claim != nil {
		claim.Cosigs = append([]quorum.Cosignature(nil), claim.Cosigs...)
		f.claim(&claim)
	}
	return claim, ok, err
}

func (f *failing) LedgerHashes() tlog.HashReader {
	inner := f.memory.LedgerHashes()
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		if err := f.read(); err != nil {
			return nil, err
		}
		return inner.ReadHashes(indexes)
	})
}

// worked returns a member that has worked for a while and stopped.
func worked(t testing.TB) *member {
	t.Helper()
	c := newCluster(t, 4)
	c.busy(2 * second)
	c.must("settled", 3*second, c.settled)
	m := c.members[0]
	m.crash(len(m.unsynced))
	return m
}

func (m *member) startOn(s Storage) (*Machine, error) {
	return New(Config{Epochs: quorum.NewEpochs(m.c.Committee), Self: m.id, Signer: m.c.Signers[m.id], Seed: 1}, s)
}

// TestReadErrors has every read of storage fail in turn: those of New, and
// those of the steps behind it. Each error is returned.
func TestReadErrors(t *testing.T) {
	m := worked(t)
	for _, o := range m.c.members[1:] { // what is certified while it is down
		o.submit(protocol.KindAnchorEvent)
	}
	m.c.run(second, nil)
	old := m.store.ledger.Runs()[0]
	for at := 1; ; at++ {
		store := &failing{memory: &m.store, left: at}
		machine, err := m.startOn(store)
		if err == nil {
			_, err = machine.Step(m.c.now, Start{})
		}
		if err == nil {
			_, size := machine.order.Tip(1)
			b := protocol.Extension{Log: 1, Old: size, Size: size + 1, Time: m.c.now + second}
			if old.Log != 1 {
				b.Parents = []protocol.Parent{{Member: old.Log, Size: old.Old + 1 + uint64(len(old.Entries))}}
			}
			_, err = machine.Step(m.c.now, Extended{Batches: []protocol.Extension{b}})
		}
		if store.left > 0 {
			if err != nil {
				t.Fatal(err)
			}
			if at < 20 {
				t.Errorf("%d reads: the test proves nothing", at-1)
			}
			return
		}
		if !errors.Is(err, errRead) {
			t.Fatalf("read %d fails, and the error is %v", at, err)
		}
	}
}

// TestDamagedState starts machines from states, nodes, batches and certificates
// that don't belong together. New returns an error, or at least goes on.
func TestDamagedState(t *testing.T) {
	m := worked(t)
	must := map[string]func(f *failing){
		"another root":        func(f *failing) { f.state = func(s *State) { s.Root = other(s.Root) } },
		"larger than it is":   func(f *failing) { f.state = func(s *State) { s.Size += 1000 } },
		"much larger":         func(f *failing) { f.state = func(s *State) { s.Size = math.MaxInt64 } },
		"a size of no int64":  func(f *failing) { f.state = func(s *State) { s.Size = math.MaxUint64 } },
		"empty":               func(f *failing) { f.state = func(s *State) { *s = State{} } },
		"too few logs":        func(f *failing) { f.state = func(s *State) { s.Order.Emitted = s.Order.Emitted[:2] } },
		"too many logs":       func(f *failing) { f.state = func(s *State) { s.Order.Inserted = append(s.Order.Inserted, 1) } },
		"emits the future":    func(f *failing) { f.state = func(s *State) { s.Order.Emitted[1] = s.Order.Inserted[1] + 1 } },
		"a checkpoint's root": func(f *failing) { f.state = func(s *State) { s.Cut.Root = other(s.Cut.Root) } },
		"far more inserted":   func(f *failing) { f.state = func(s *State) { s.Order.Inserted[2] = math.MaxUint64 } },
		"index beyond":        func(f *failing) { f.state = func(s *State) { s.Order.Index = 4 } },
		"index before":        func(f *failing) { f.state = func(s *State) { s.Order.Index = -1 } },
		"a checkpoint beyond": func(f *failing) { f.state = func(s *State) { s.Cut.Size = s.Size + 1 } },
		"node too short":      func(f *failing) { f.node = func(n *PutNode) { n.Clock = n.Clock[:1] } },
		"node without rounds": func(f *failing) { f.node = func(n *PutNode) { n.Rounds = nil } },
		"node empty":          func(f *failing) { f.node = func(n *PutNode) { *n = PutNode{} } },
		"node of round 2^60":  func(f *failing) { f.node = func(n *PutNode) { n.Round = 1 << 60; n.Rounds[n.Log] = 1 << 60 } },
		"batch cut":           func(f *failing) { f.batch = func(b []byte) []byte { return b[:len(b)/2] } },
		"batch gone":          func(f *failing) { f.batch = func(b []byte) []byte { return nil } },
		"forged certificate":  func(f *failing) { f.claim = func(c *quorum.Claim) { c.Root = other(c.Root) } },
		"few cosignatures":    func(f *failing) { f.claim = func(c *quorum.Claim) { c.Cosigs = c.Cosigs[:1] } },
	}
	for name, damage := range must {
		t.Run(name, func(t *testing.T) {
			store := &failing{memory: &m.store}
			damage(store)
			if _, err := m.startOn(store); err == nil {
				t.Error("a machine starts")
			}
		})
	}
	may := map[string]func(f *failing){
		"round far ahead": func(f *failing) { f.state = func(s *State) { s.Order.Round = 1 << 62 } },
		"round far back":  func(f *failing) { f.state = func(s *State) { s.Order.Round = 0 } },
		"time far ahead":  func(f *failing) { f.state = func(s *State) { s.Accord.Time = protocol.MaxMicros } },
		"later cut":       func(f *failing) { f.state = func(s *State) { s.Cut.Time = protocol.MaxMicros } },
		"nothing emitted": func(f *failing) { f.state = func(s *State) { clear(s.Order.Emitted) } },
	}
	for name, damage := range may {
		t.Run(name, func(t *testing.T) {
			store := &failing{memory: &m.store}
			damage(store)
			if machine, err := m.startOn(store); err == nil {
				_, _ = machine.Step(m.c.now, Start{}) // returns
			}
		})
	}
}

// TestRefusesStrangers has configurations and inputs that are not of this
// network.
func TestRefusesStrangers(t *testing.T) {
	m := worked(t)
	if _, err := New(Config{Epochs: quorum.NewEpochs(m.c.Committee), Self: 4, Signer: m.c.Signers[0]}, &m.store); err == nil {
		t.Error("a machine of no member starts")
	}
	m.boot()
	m.step(Extended{Batches: []protocol.Extension{{Log: 9, Size: 3}, {Log: protocol.Ledger, Size: 3}}})
	if _, err := m.machine.Step(m.c.now, nil); err == nil {
		t.Error("no input is taken for one")
	}
}

// TestGaps has what comes of a log leave out batches. The machine reads them
// from storage, and what comes twice or is old is nothing new.
func TestGaps(t *testing.T) {
	c := newCluster(t, 4)
	m := c.members[0]
	m.cutOff = true
	c.busy(300 * ms)
	c.run(500*ms, nil)
	backlog := m.backlog
	m.joinAgain()
	c.must("settled", second, c.settled)
	want := m.machine.Status()

	again := &member{c: c, id: m.id, author: author{silent: true}}
	again.store.MemoryStorage = m.store.MemoryStorage
	hidden := &hiding{Storage: &again.store, hide: true}
	machine, err := m.startOn(hidden)
	if err != nil {
		t.Fatal(err)
	}
	again.machine = machine
	hidden.hide = false
	if machine.Status().Size != 0 || len(backlog) < 20 {
		t.Fatal("there is nothing to read: the test proves nothing")
	}
	var all []protocol.Extension
	for log := range protocol.MemberID(4) {
		size, _ := m.store.Size(log)
		for at := uint64(0); at < size; {
			b, _, err := ReadBatch(&m.store, log, at)
			if err != nil {
				t.Fatal(err)
			}
			all, at = append(all, b.Extension()), b.Size()
		}
	}
	c.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, e := range all {
		if c.rng.IntN(3) > 0 {
			again.step(Extended{Batches: []protocol.Extension{e, e}})
		}
	}
	again.step(Extended{Batches: all})
	if got := machine.Status(); got.Size != want.Size || got.Root != want.Root {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// hiding is a storage whose logs have no certificates as long as it hides them.
type hiding struct {
	Storage
	hide bool
}

func (h *hiding) Certificate(log protocol.MemberID, size uint64) (quorum.Claim, bool, error) {
	if h.hide {
		return quorum.Claim{}, false, nil
	}
	return h.Storage.Certificate(log, size)
}

// TestOldParents has a batch name parents that the order has let go of in
// memory. They are read from storage, and all come to the same.
func TestOldParents(t *testing.T) {
	c := newCluster(t, 4)
	liar := c.members[3]
	liar.author.parents = func(honest []protocol.Parent) []protocol.Parent {
		for i := range honest {
			b, _, err := ReadBatch(&liar.store, honest[i].Member, honest[i].Size/8)
			if err != nil {
				t.Fatal(err)
			}
			honest[i].Size = b.Size()
		}
		return honest
	}
	c.busy(3 * second)
	c.must("settled", 3*second, c.settled)
}
