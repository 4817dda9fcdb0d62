package simulation

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// epoch is the virtual time at which runs begin.
const epoch = 1_700_000_000 * protocol.Second

// networkName is the name of every simulated network.
const networkName = "strata.example/simulation"

// world is one run.
type world struct {
	scenario *Scenario
	seed     uint64
	sched    scheduler
	trace    *trace

	genesis  *protocol.Genesis
	params   protocol.Params
	founding *quorum.Committee
	// epochs are those that have begun, as whoever came first has told, and policy
	// is the network's over all of them.
	epochs *quorum.Epochs
	policy *proof.Policy
	// committee has all who are ever members, for their names and keys.
	committee  *quorum.Committee
	signers    []*cosign.Signer
	memo       *cosign.Memo
	maxMessage int
	decoded    *decoded

	// nodes are by member number. Who is to join comes in when it starts first.
	nodes            []*node
	machines, clocks *rand.Rand
	net              *network
	load             *load
	// council is who uses Accord.
	council *council
	// reform is what changes the network.
	reform *reform
	check  *checker
	stats  *Stats
	faults *injector
	// convergedAt is when all had converged first, behind the faults; 0 before.
	convergedAt protocol.Micros
}

func newWorld(s *Scenario, seed uint64, out io.Writer) (*world, error) {
	w := &world{scenario: s, seed: seed, trace: newTrace(out, epoch), decoded: newDecoded()}
	w.sched = scheduler{now: epoch, rng: newStream(seed, streamSchedule)}
	if err := w.found(); err != nil {
		return nil, err
	}
	w.stats = newStats(s.everMembers())
	w.check = newChecker(w)
	w.load, w.council, w.reform = newLoad(w), newCouncil(w), newReform(w)
	var err error
	if w.net, err = newNetwork(w, s); err != nil {
		return nil, err
	}
	w.machines, w.clocks = newStream(seed, streamMachines), newStream(seed, streamClock)
	for range s.Nodes {
		w.enrol()
	}
	w.chooseLiars()
	w.faults = newInjector(w)
	return w, nil
}

// enrol has another node, which does not run yet.
func (w *world) enrol() *node {
	c := w.scenario.Clock
	n := &node{w: w, id: protocol.MemberID(len(w.nodes)), rng: newStream(w.machines.Uint64(), streamDisk), disk: disk{slow: 1}}
	n.clock = clock{
		offset: between(w.clocks, -c.Offset.micros(), c.Offset.micros()),
		drift:  (2*w.clocks.Float64() - 1) * c.DriftPPM / 1e6,
		since:  epoch,
	}
	n.epochs = quorum.NewEpochs(w.founding)
	n.wire()
	w.nodes = append(w.nodes, n)
	return n
}

// found makes the network's genesis, with keys that follow from the names: they
// need not be secret, and signatures are part of what a seed decides.
func (w *world) found() error {
	w.genesis = &protocol.Genesis{Network: networkName, Params: protocol.DefaultParams()}
	w.memo = cosign.NewMemo()
	for i := range w.scenario.everMembers() {
		name := fmt.Sprintf("node-%d", i+1)
		key := sha256.Sum256([]byte("simulated key of " + name))
		s, err := cosign.NewSigner(networkName+"/"+name, key[:])
		if err != nil {
			return err
		}
		w.signers = append(w.signers, s.WithMemo(w.memo))
		w.genesis.Members = append(w.genesis.Members, protocol.Member{Name: name, PeerID: "peer-" + name, Addrs: []string{}, VKey: s.Verifier().String()})
	}
	all, err := quorum.NewCommittee(w.genesis)
	if err != nil {
		return err
	}
	w.genesis.Members = w.genesis.Members[:w.scenario.Nodes:w.scenario.Nodes]
	if err := w.genesis.Validate(); err != nil {
		return err
	}
	c, err := quorum.NewCommittee(w.genesis)
	if err != nil {
		return err
	}
	w.founding, w.committee = c.WithMemo(w.memo), all.WithMemo(w.memo)
	w.epochs = quorum.NewEpochs(w.founding)
	w.params = w.genesis.Params
	w.maxMessage = wire.MaxMessage(w.params)
	return w.trust()
}

// trust takes the network's policy as it is now.
func (w *world) trust() (err error) {
	w.policy, err = proof.ParsePolicy([]byte(proof.PolicyText(w.epochs)))
	return err
}

// members are the nodes that are members by now.
func (w *world) members() []*node {
	var out []*node
	for _, id := range w.epochs.Latest().Members() {
		out = append(out, w.nodes[id])
	}
	return out
}

// expected reports whether a node must in the end have what all have: it is, or was,
// a member, and does not lie, nor is it shut down for good.
func (w *world) expected(n *node) bool {
	return n.liar == nil && !n.gone && w.epochs.Latest().Known(n.id)
}

// honest reports whether a member has always kept to the protocol.
func (w *world) honest(id protocol.MemberID) bool {
	return w.nodes[id].liar == nil && !w.nodes[id].lostDisk
}

// faulty is the number of members that have not.
func (w *world) faulty() int {
	n := 0
	for i := range w.nodes {
		if !w.honest(protocol.MemberID(i)) {
			n++
		}
	}
	return n
}

// corrupting reports whether the network changes messages.
func (w *world) corrupting() bool { return w.scenario.Network.Corrupt > 0 }

// send encodes a message and carries it to members.
func (w *world) send(from protocol.MemberID, msg wire.Message, to ...protocol.MemberID) {
	data, err := wire.Encode(msg)
	if err != nil {
		w.check.fail("codec", "node-%d cannot write a message: %v", from+1, err)
		return
	}
	if heads, ok := msg.(*wire.Heads); ok {
		w.check.overheard(heads)
	}
	for _, id := range to {
		if w.nodes[id].gone {
			continue // nobody has a connection with it
		}
		w.net.send(from, id, data)
	}
}

// converged reports whether all honest members store and have certified the
// same, and everything that they store, and hold evidence against the same.
func (w *world) converged() bool {
	first := -1
	for i, n := range w.nodes {
		if !w.expected(n) {
			continue
		}
		if !n.up || n.standing().Epoch() != w.epochs.Latest().Epoch() {
			return false
		}
		if n.member() && !n.machine.Ready() && !w.stopped(n) || w.load.open > 0 || n.writing || len(n.journal) > 0 {
			return false
		}
		if first < 0 {
			first = i
		}
		if !w.sameLogs(w.nodes[first], n) || !sameLedger(w.nodes[first], n) {
			return false
		}
	}
	return w.tailsCertified()
}

// tailsCertified reports whether all that a quorum stores of the logs of those who
// have left is certified: it may have been acknowledged.
func (w *world) tailsCertified() bool {
	c := w.epochs.Latest()
	for i, leaver := range w.nodes {
		if !c.Known(leaver.id) || c.Has(leaver.id) || leaver.liar != nil {
			continue
		}
		var stored []uint64
		certified := uint64(0)
		for _, id := range c.Members() {
			if n := w.nodes[id]; w.expected(n) {
				st := n.machine.Status()[i]
				if st.Frozen {
					certified = st.Stored
				}
				stored, certified = append(stored, st.Stored), max(certified, st.Certified)
			}
		}
		slices.Sort(stored)
		if k := len(stored) - c.Quorum(); k >= 0 && stored[k] > certified {
			return false
		}
	}
	return true
}

// stopped reports whether a member's own log was stopped by evidence, which
// happens to those that lost a disk and lied before.
func (w *world) stopped(n *node) bool { return n.machine.Status()[n.id].Frozen }

func (w *world) sameLogs(a, b *node) bool {
	x, y := a.machine.Status(), b.machine.Status()
	for i := range x {
		if x[i].Certified != y[i].Certified || x[i].Frozen != y[i].Frozen {
			return false
		}
		// What a liar left uncertified may stay so, and what is left of a log
		// that evidence has stopped, or of one whose author has left.
		if w.nodes[i].liar == nil && w.epochs.Latest().Has(protocol.MemberID(i)) && !y[i].Frozen && (y[i].Stored != y[i].Certified || x[i].Stored != y[i].Stored) {
			return false
		}
	}
	return true
}

// sameLedger reports whether two members have the same ledger, which holds
// everything that is certified, and a certificate of all of it.
func sameLedger(a, b *node) bool {
	x, y := a.order.Status(), b.order.Status()
	return x.Size == y.Size && x.Root == y.Root && y.Checkpoint == y.Size && y.Unordered == 0
}

func sortMicros(times []protocol.Micros) { slices.Sort(times) }

// standing tells where every member stands, for who looks for a fault.
func (w *world) standing() string {
	var b strings.Builder
	for _, n := range w.nodes {
		switch {
		case n.liar != nil:
			fmt.Fprintf(&b, "node-%d lies (%s); ", n.id+1, n.liar)
		case !n.up:
			fmt.Fprintf(&b, "node-%d is down; ", n.id+1)
			if n.gone {
				b.WriteString("for good; ")
			}
		default:
			number, votes := n.machine.Epoch()
			fmt.Fprintf(&b, "node-%d epoch=%d/%d votes=%v handed=%d ready=%v", n.id+1, number, n.standing().Epoch(), votes, n.handedOver, n.machine.Ready())
			for _, l := range n.machine.Status() {
				fmt.Fprintf(&b, " %d/%d", l.Certified, l.Stored)
				if l.Frozen {
					b.WriteByte('!')
				}
			}
			o := n.order.Status()
			fmt.Fprintf(&b, " ledger %d/%d round %d unordered %d", o.Checkpoint, o.Size, o.Round, o.Unordered)
			b.WriteString("; ")
		}
	}
	fmt.Fprintf(&b, "%d submissions open", w.load.open)
	return b.String()
}
