package audit_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/node/audit"
	"github.com/strataos/strataos/node/internal/scribe"
	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

const (
	networkName = "strata.example/test"
	start       = 1_700_000_000 * protocol.Second
)

// memory is a member's store in memory.
type memory struct {
	witness.MemoryStorage
	ledger
	founding *quorum.Committee
}

// ledger lets memory embed both kinds of storage.
type ledger struct{ stored chronos.MemoryStorage }

func (l *ledger) Node(log protocol.MemberID, size uint64) (chronos.PutNode, bool, error) {
	return l.stored.Node(log, size)
}
func (l *ledger) Case(id protocol.Hash) (accord.Case, bool, error) { return l.stored.Case(id) }
func (l *ledger) OpenCases() ([]accord.Case, error)                { return l.stored.OpenCases() }
func (l *ledger) Subject(name string) (accord.Subject, bool, error) {
	return l.stored.Subject(name)
}
func (l *ledger) State() (chronos.State, bool, error)     { return l.stored.State() }
func (l *ledger) Checkpoint() (quorum.Claim, bool, error) { return l.stored.Checkpoint() }
func (l *ledger) LedgerHashes() tlog.HashReader           { return l.stored.LedgerHashes() }

// BatchAt implements chronos.Storage.
func (m *memory) BatchAt(log protocol.MemberID, leaf uint64) ([]byte, error) {
	if log == protocol.Accord {
		return m.stored.Decision(leaf), nil
	}
	return m.MemoryStorage.BatchAt(log, leaf)
}

// Write implements scribe.Store.
func (m *memory) Write(records []machine.Record, _ bool) error {
	for _, r := range records {
		if ok, err := m.stored.Apply(r); ok || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if err := m.Apply([]machine.Record{r}); err != nil {
			return err
		}
	}
	return nil
}

// Epochs implements audit.Store.
func (m *memory) Epochs() *quorum.Epochs {
	e, err := m.stored.Epochs(m.founding)
	if err != nil {
		panic(err)
	}
	return e
}

// Runs implements audit.Store.
func (m *memory) Runs(position uint64, _ bool, fn func(store.Run) (bool, error)) error {
	for _, r := range m.stored.Runs() {
		if r.Position < position {
			continue
		}
		more, err := fn(store.Run{Position: r.Position, Log: r.Log, Old: r.Old, Time: r.Time, Count: uint64(len(r.Entries)), LedgerTime: r.LedgerTime})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// network is a network of four, with members that may join, whose logs a test
// writes into one store.
type network struct {
	t        *testing.T
	members  []protocol.Member // those that may join among them
	signers  []*cosign.Signer
	founding *quorum.Committee
	store    *memory
	*scribe.Scribe
	nonce int
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := foundNetwork(t)
	n.store = &memory{founding: n.founding}
	n.Scribe = scribe.New(t, n.founding, n.founding.Params(), n.signers, n.store, start)
	return n
}

// foundNetwork returns a network without a store.
func foundNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t}
	for i := range 6 {
		name := fmt.Sprintf("node-%d", i+1)
		seed := sha256.Sum256([]byte(name))
		s, err := cosign.NewSigner(networkName+"/"+name, seed[:])
		if err != nil {
			t.Fatal(err)
		}
		n.signers = append(n.signers, s)
		n.members = append(n.members, protocol.Member{Name: name, PeerID: "peer-" + name, Addrs: []string{"/ip4/192.0.2.1/tcp/1"}, VKey: s.Verifier().String()})
	}
	g := &protocol.Genesis{Network: networkName, Members: n.members[:4:4], Params: protocol.DefaultParams()}
	var err error
	if n.founding, err = quorum.NewCommittee(g); err != nil {
		t.Fatal(err)
	}
	return n
}

// propose has the first member propose a change of the network, and a quorum of
// others accept it.
func (n *network) propose(action, payload string) {
	n.t.Helper()
	c := n.Committee
	var names []string
	for _, id := range c.Members() {
		names = append(names, fmt.Sprintf("%q", c.Name(id)))
	}
	slices.Sort(names)
	n.nonce++
	p, err := protocol.ParseProposal([]byte(fmt.Sprintf(
		`{"action":{"type":%q,"payload":%s},"subject":"network","participants":[%s],"threshold":%d,"deadline":%d,"proposer":%q,"nonce":"%d"}`,
		action, payload, strings.Join(names, ","), c.Quorum(), n.Now.Millis()+60_000, c.Name(0), n.nonce)), 1<<16)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Append(0, []wire.Item{scribe.Act(n.t, protocol.KindPropose, p.Canonical)})
	for _, id := range c.Members()[:c.Quorum()] {
		vote := protocol.Vote{Proposal: p.ID, Accept: true}
		n.Append(id, []wire.Item{scribe.Act(n.t, protocol.KindVote, vote.Append(nil))}, 0)
	}
	epoch := c.Epoch()
	if n.Settle(); n.Committee.Epoch() != epoch+1 {
		n.t.Fatalf("%s leads to epoch %d", action, n.Committee.Epoch())
	}
}

// work has every member attest something, so that there is something to order.
func (n *network) work() {
	n.t.Helper()
	for _, id := range n.Committee.Members() {
		n.nonce++
		n.Append(id, []wire.Item{scribe.Attest(n.t, fmt.Sprintf(`{"type":"t","payload":{"n":%d}}`, n.nonce))}, n.Committee.Members()...)
	}
}

// live has the network go through five epochs: node-5 joins, node-6 comes for
// node-2, events may be larger, and node-3 leaves.
func (n *network) live() {
	n.t.Helper()
	n.work()
	n.propose(protocol.ActionMembershipAdd, `{"member":`+member(n.members[4])+`}`)
	n.work()
	n.propose(protocol.ActionMembershipReplace, `{"name":"node-2","member":`+member(n.members[5])+`}`)
	n.work()
	n.propose(protocol.ActionParamsSet, `{"max_event_bytes":70000,"checkpoint_ms":1000}`)
	n.Append(4, []wire.Item{large(n.t)})
	n.propose(protocol.ActionMembershipRemove, `{"name":"node-3"}`)
	n.work()
	n.Settle()
}

// large is an event for which the founders' parameters have no room.
func large(t *testing.T) wire.Item {
	return scribe.Attest(t, fmt.Sprintf(`{"type":"t","payload":{"s":%q}}`, strings.Repeat("x", 66_000)))
}

func member(m protocol.Member) string {
	return fmt.Sprintf(`{"name":%q,"peer_id":%q,"addrs":["/ip4/192.0.2.1/tcp/1"],"vkey":%q}`, m.Name, m.PeerID, m.VKey)
}

// audit audits a store.
func (n *network) audit(s audit.Store) (*audit.Report, error) {
	return audit.Check(context.Background(), s, n.founding, nil)
}

// TestEpochs audits a ledger over five epochs.
func TestEpochs(t *testing.T) {
	n := newNetwork(t)
	if r, err := n.audit(n.store); err != nil || *r != (audit.Report{}) {
		t.Fatalf("an empty store: %+v %v", r, err)
	}
	n.live()
	r, err := n.audit(n.store)
	if err != nil {
		t.Fatal(err)
	}
	st, _, _ := n.store.State()
	if r.Epoch != 4 || r.Ledger != st.Size || r.Root != st.Root || r.Checkpoint != st.Cut.Size || r.Checkpoint == 0 || r.Uncertified != 0 {
		t.Errorf("%+v, the state is %+v", r, st)
	}
	var told, of uint64
	if _, err := audit.Check(context.Background(), n.store, n.founding, func(done, all uint64) { told, of = done, all }); err != nil || told == 0 || told > of {
		t.Errorf("%d of %d, %v", told, of, err)
	}
}

// TestFolder audits the same in a data folder, which is opened again.
func TestFolder(t *testing.T) {
	n, dir := foundNetwork(t), t.TempDir()
	open := func() (*store.Store, *pebbleds.Datastore) {
		db, err := pebbleds.Open(dir, pebbleds.Options{MemTableSize: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(db, n.founding, protocol.Hash{1}, "node-1")
		if err != nil {
			t.Fatal(err)
		}
		return s, db
	}
	s, db := open()
	n.Scribe = scribe.New(t, n.founding, n.founding.Params(), n.signers, s, start)
	n.live()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, db = open()
	defer db.Close()
	r, err := n.audit(s)
	if err != nil || r.Epoch != 4 || r.Ledger == 0 || r.Checkpoint == 0 {
		t.Errorf("%+v %v", r, err)
	}
	n.proofs(s)
}

// proofs demands that every entry of the ledger has proofs that the policy over all
// epochs takes.
func (n *network) proofs(s *store.Store) {
	n.t.Helper()
	policy, err := proof.ParsePolicy([]byte(proof.PolicyText(s.Epochs())))
	if err != nil {
		n.t.Fatal(err)
	}
	head, ok, err := s.LedgerHead()
	if err != nil || !ok {
		n.t.Fatal(ok, err)
	}
	epochs := map[uint64]int{}
	for position := range head.Size() {
		row, ok, err := s.RowAt(position)
		if err != nil || !ok {
			n.t.Fatal(ok, err)
		}
		inLedger, err := s.ProveLedger(head, row)
		if err != nil {
			n.t.Fatal(err)
		}
		proofs := []*proof.Proof{inLedger}
		if row.Log != protocol.Accord {
			p, _, err := s.Prove(store.Found{Log: row.Log, Index: row.Index, Entry: row.Entry})
			if err != nil {
				n.t.Fatal(err)
			}
			proofs = append([]*proof.Proof{p}, proofs...)
		}
		reports, err := proof.VerifyAll(policy, proofs, proof.Claims{})
		if err != nil {
			n.t.Fatalf("position %d: %v", position, err)
		}
		epochs[reports[0].Epoch]++
	}
	// Epochs 2 and 3 have the same members, so that what was cosigned at the end of
	// the one may count in the other.
	if epochs[0] == 0 || epochs[1] == 0 || epochs[2]+epochs[3] == 0 || epochs[4] == 0 {
		n.t.Errorf("the committees of the epochs %v vouch", epochs)
	}
}

// changed is a store in which something is not what it was.
type changed struct {
	*memory
	epochs      *quorum.Epochs
	state       func(*chronos.State)
	checkpoint  func(*quorum.Claim)
	certificate func(*quorum.Claim)
}

func (c *changed) Epochs() *quorum.Epochs {
	if c.epochs != nil {
		return c.epochs
	}
	return c.memory.Epochs()
}

func (c *changed) State() (chronos.State, bool, error) {
	st, ok, err := c.memory.State()
	if c.state != nil {
		c.state(&st)
	}
	return st, ok, err
}

func (c *changed) Checkpoint() (quorum.Claim, bool, error) {
	claim, ok, err := c.memory.Checkpoint()
	if c.checkpoint != nil {
		c.checkpoint(&claim)
	}
	return claim, ok, err
}

func (c *changed) Certificate(log protocol.MemberID, size uint64) (quorum.Claim, bool, error) {
	claim, ok, err := c.memory.Certificate(log, size)
	if c.certificate != nil {
		c.certificate(&claim)
	}
	return claim, ok, err
}

// rebuilt are the epochs of a network up to one, the last of which is changed.
func rebuilt(t *testing.T, e *quorum.Epochs, upTo uint64, change func(*protocol.Epoch, []protocol.Member)) *quorum.Epochs {
	t.Helper()
	founding, _ := e.At(0)
	out := quorum.NewEpochs(founding)
	for n := uint64(1); n <= upTo; n++ {
		is, ok := e.At(n)
		if !ok {
			is = e.Latest() // once more
		}
		epoch := protocol.Epoch{Number: n, Members: slices.Clone(is.Members()), Params: is.Params(), Since: is.Since()}
		roster := slices.Clone(is.Roster())
		if n == upTo && change != nil {
			change(&epoch, roster)
		}
		c, err := quorum.NewEpoch(is.Network(), roster, epoch)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestEpochsChanged changes what a store says of epochs, and demands that an
// audit finds it.
func TestEpochsChanged(t *testing.T) {
	n := newNetwork(t)
	n.live()
	epochs := n.store.Epochs()
	// resigned makes a claim the certificate of an epoch by members of it.
	resigned := func(epoch uint64, voters ...protocol.MemberID) func(*quorum.Claim) {
		return func(claim *quorum.Claim) {
			claim.Epoch, claim.Cosigs = epoch, nil
			c, _ := epochs.At(epoch)
			for _, v := range voters {
				sig := n.Signers[v].Cosign(c.Checkpoint(claim.Log, claim.Size, claim.Root), n.Now.Seconds())
				claim.Cosigs = append(claim.Cosigs, quorum.Cosignature{Member: v, Time: sig.Time, Sig: sig.Bytes})
			}
		}
	}
	newest, _, _ := n.store.Certificate(0, ^uint64(0))
	for name, c := range map[string]struct {
		changed changed
		want    string
	}{
		"another address":                    {changed{epochs: rebuilt(t, epochs, 4, func(_ *protocol.Epoch, r []protocol.Member) { r[0].URL = "https://x" })}, "epochs at 4"},
		"another time":                       {changed{epochs: rebuilt(t, epochs, 4, func(e *protocol.Epoch, _ []protocol.Member) { e.Since++ })}, "epochs at 4"},
		"other params":                       {changed{epochs: rebuilt(t, epochs, 4, func(e *protocol.Epoch, _ []protocol.Member) { e.Params.MaxFutureMS++ })}, "epochs at 4"},
		"another member":                     {changed{epochs: rebuilt(t, epochs, 4, func(e *protocol.Epoch, _ []protocol.Member) { e.Members[1] = 2 })}, "epochs at 4"},
		"one too few":                        {changed{epochs: rebuilt(t, epochs, 3, nil)}, "epochs at 4"},
		"one too many":                       {changed{epochs: rebuilt(t, epochs, 5, nil)}, "epochs at 4"},
		"another state":                      {changed{state: func(st *chronos.State) { st.Epoch = 3 }}, "epochs at 3"},
		"a last checkpoint of another epoch": {changed{state: func(st *chronos.State) { st.Cut.Epoch-- }}, "there is no checkpoint here, or another one"},
		"a change that is pending":           {changed{state: func(st *chronos.State) { st.Accord.Pending[0]++ }}, "decisions at"},
		"cosigned by a former committee":     {changed{checkpoint: resigned(3, 0, 2, 3, 4)}, "the committee of epoch 3 has cosigned what is not its to cosign"},
		"cosigned by nobody's committee":     {changed{checkpoint: resigned(4, 0, 1, 2)}, "ledger at"},
		"cosigned by an epoch to come":       {changed{checkpoint: func(c *quorum.Claim) { c.Epoch = 5 }}, "has not begun"},
		"certified by a former committee": {changed{certificate: func(c *quorum.Claim) {
			if c.Log == 0 && c.Size == newest.Size {
				resigned(0, 0, 1, 2)(c)
			}
		}}, "which has not begun"},
		"certified by an epoch to come": {changed{certificate: func(c *quorum.Claim) {
			if c.Log == 0 && c.Epoch == 4 {
				c.Epoch = 5
			}
		}}, "do not lead to where the order is stored to stand"},
	} {
		c.changed.memory = n.store
		_, err := n.audit(&c.changed)
		var problem *audit.Problem
		if !errors.As(err, &problem) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := n.audit(n.store); err != nil {
		t.Error(err)
	}
}

// TestBatchesOfEpochs has members write batches that they may not write, and the
// others certify and order them all the same.
func TestBatchesOfEpochs(t *testing.T) {
	for name, c := range map[string]struct {
		young bool // in the first epoch
		log   protocol.MemberID
		edit  func(*wire.Batch)
		want  string
	}{
		"of an epoch to come":     {false, 3, func(b *wire.Batch) { b.Epoch = 5 }, "epoch 5, which has not begun"},
		"of a former epoch":       {false, 3, func(b *wire.Batch) { b.Epoch = 3 }, "it is of epoch 3, and comes behind one of epoch 4"},
		"by one who has left":     {false, 1, func(*wire.Batch) {}, "its author is not a member in epoch 4"},
		"too large for its epoch": {true, 3, func(b *wire.Batch) { b.Items = []wire.Item{large(t)} }, "entry 0: "},
	} {
		n := newNetwork(t)
		if !c.young {
			n.live()
		}
		n.Edit = c.edit
		n.Append(c.log, nil)
		n.Edit = nil
		if c.young {
			n.live()
		}
		n.Settle()
		_, err := n.audit(n.store)
		var problem *audit.Problem
		if !errors.As(err, &problem) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
