package witness

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// begin has the order of a host come to the end of an epoch. The others follow
// when they have certified as much, as their orders would. Members with new
// numbers join, under keys of their own.
func (c *cluster) begin(at *host, members ...protocol.MemberID) *quorum.Committee {
	c.t.Helper()
	roster := slices.Clone(c.epochs.Latest().Roster())
	for len(roster) <= int(slices.Max(members)) {
		name := fmt.Sprintf("node-%d", len(roster)+1)
		seed := sha256.Sum256([]byte(name))
		s, err := cosign.NewSigner(c.committee.Network()+"/"+name, seed[:])
		if err != nil {
			c.t.Fatal(err)
		}
		c.signers = append(c.signers[:len(roster):len(roster)], s)
		roster = append(roster, protocol.Member{Name: name, PeerID: "peer-" + name, VKey: s.Verifier().String()})
	}
	committee, err := quorum.NewEpoch(c.committee.Network(), roster, protocol.Epoch{
		Number: c.epochs.Latest().Epoch() + 1, Members: members, Params: c.params,
		Since: max(c.now, c.epochs.Latest().Since()),
	})
	if err == nil {
		err = c.epochs.Add(committee)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	var end []uint64
	for _, l := range at.machine.Status() {
		end = append(end, l.Certified)
	}
	c.ends = append(c.ends, end)
	for len(c.nodes) < len(roster) {
		c.newHost()
	}
	c.follow(at)
	if len(c.ends) == 1 {
		c.watch()
	}
	return committee
}

// watch has the hosts follow the epochs, each in its own time.
func (c *cluster) watch() {
	c.after(10*protocol.Millisecond, func() {
		for _, h := range c.nodes {
			if c.rng.IntN(3) == 0 {
				c.follow(h)
			}
		}
		c.watch()
	})
}

// follow has a host's order come to the end of an epoch, if it can.
func (c *cluster) follow(h *host) {
	for !h.down && h.epochs.Latest().Epoch() < c.epochs.Latest().Epoch() {
		e := h.epochs.Latest().Epoch()
		status := h.machine.Status()
		for log, size := range c.ends[e] {
			if log < len(status) && min(status[log].Certified, h.machine.logs[log].durable) < size {
				return
			}
		}
		next, _ := c.epochs.At(e + 1)
		if err := h.epochs.Add(next); err != nil {
			c.t.Fatal(err)
		}
		c.step(h, Enter{Committee: next})
	}
}

// vote reports whether members vote in the newest epoch.
func (c *cluster) vote(ids ...protocol.MemberID) func() bool {
	return func() bool {
		for _, id := range ids {
			if h := c.nodes[id]; h.down || h.votes != c.epochs.Latest().Epoch() || !h.machine.Ready() {
				return false
			}
		}
		return true
	}
}

func ids(list ...int) []protocol.MemberID {
	var out []protocol.MemberID
	for _, i := range list {
		out = append(out, protocol.MemberID(i))
	}
	return out
}

// pour has hosts submit events now and then until a time.
func (c *cluster) pour(until protocol.Micros, hosts ...*host) {
	if c.now >= until {
		return
	}
	for _, h := range hosts {
		if !h.down && c.rng.IntN(2) == 0 {
			c.submit(h)
		}
	}
	c.after(protocol.Micros(c.rng.Int64N(10_000)), func() { c.pour(until, hosts...) })
}

// allAnswered reports whether every submission was answered, or withdrawn.
func (c *cluster) allAnswered() bool {
	for id := uint64(1); id <= c.nextID; id++ {
		if _, ok := c.resolved[id]; !ok && c.refused[id] == nil {
			return false
		}
	}
	return true
}

func (c *cluster) noBlame() {
	c.t.Helper()
	for _, b := range c.blamed {
		c.t.Errorf("honest member %d is blamed: %s", b.Member, b.Reason)
	}
}

// TestMemberJoins adds a member while all others write.
func TestMemberJoins(t *testing.T) {
	for seed := range uint64(seeds(t, 20, 5)) {
		c := newCluster(t, 4, seed)
		c.run(3*protocol.Second, nil)
		c.pour(c.now+2*protocol.Second, c.nodes...)
		c.run(protocol.Second/2, nil)
		c.begin(c.nodes[1], ids(0, 1, 2, 3, 4)...)
		c.run(protocol.Second/2, nil)
		c.boot(c.nodes[4])
		if !c.run(20*protocol.Second, c.vote(0, 1, 2, 3, 4)) {
			t.Fatalf("seed %d: not all five vote", seed)
		}
		id := c.submit(c.nodes[4])
		c.run(protocol.Second, nil)
		r, ok := c.resolved[id]
		if !ok {
			t.Fatalf("seed %d: nothing of the new member's is certified", seed)
		}
		if r.Cert.Epoch() != 1 || len(r.Cert.Cosignatures()) < 4 {
			t.Errorf("seed %d: it has a certificate of %d in epoch %d", seed, len(r.Cert.Cosignatures()), r.Cert.Epoch())
		}
		if !c.run(20*protocol.Second, func() bool { return c.allAnswered() && c.converged() }) {
			t.Fatalf("seed %d: no convergence", seed)
		}
		if len(c.refused) > 0 {
			t.Errorf("seed %d: %d submissions are refused", seed, len(c.refused))
		}
		c.noBlame()
		checkAnswers(c)
	}
}

// TestMemberLeaves removes a member that writes until then.
func TestMemberLeaves(t *testing.T) {
	for seed := range uint64(seeds(t, 20, 5)) {
		c := newCluster(t, 5, seed)
		c.run(3*protocol.Second, nil)
		c.pour(c.now+2*protocol.Second, c.nodes...)
		c.run(protocol.Second/2, nil)
		c.begin(c.nodes[1], ids(0, 1, 2, 3)...)
		c.run(3*protocol.Second, nil)
		if !c.vote(0, 1, 2, 3)() {
			t.Fatalf("seed %d: not all four vote", seed)
		}
		left := 0
		for _, e := range c.refused {
			if r, ok := e.(Refused); !ok || r.Reason != Left {
				t.Errorf("seed %d: %+v", seed, e)
			}
			left++
		}
		if c.nodes[4].machine.Ready() || left == 0 {
			t.Errorf("seed %d: who has left goes on", seed)
		}
		size := c.nodes[4].machine.own.size()
		if !c.attest(c.nodes[2], protocol.Second) {
			t.Fatalf("seed %d: the others do not go on", seed)
		}
		c.run(5*protocol.Second, nil)
		if c.nodes[4].machine.own.size() != size || c.nodes[0].machine.logs[4].size() > size {
			t.Errorf("seed %d: who has left writes", seed)
		}
		for _, h := range c.nodes[:4] {
			if got, want := h.machine.logs[4].cert.Size(), c.nodes[0].machine.logs[4].cert.Size(); got != want {
				t.Errorf("seed %d: node %d has certified %d of its log, not %d", seed, h.id, got, want)
			}
		}
		c.noBlame()
		checkAnswers(c)
	}
}

// acknowledgedByFew has node 3 of four answer a client and die before anybody
// but it has the certificate, nor node 2 the batch.
func acknowledgedByFew(t *testing.T, seed uint64) (*cluster, ResolvedItem) {
	t.Helper()
	c := newCluster(t, 4, seed)
	c.run(3*protocol.Second, nil)
	c.cut = func(from, to protocol.MemberID) bool { return from == 2 || to == 2 }
	id := c.submit(c.nodes[3])
	c.cut = func(from, to protocol.MemberID) bool { return from == 2 || to == 2 || from == 3 && len(c.resolved) > 0 }
	if !c.run(protocol.Second, func() bool { return len(c.resolved) > 0 }) {
		t.Fatal("not acknowledged")
	}
	c.crash(c.nodes[3])
	c.cut = func(from, to protocol.MemberID) bool { return false }
	for _, h := range c.nodes[:3] {
		if h.machine.logs[3].cert.Size() > 0 {
			t.Skip("the certificate has been told")
		}
	}
	return c, c.items[id]
}

// TestDeadMemberLeaves removes a member that has died with the certificate of its
// last answer. The others certify it anew.
func TestDeadMemberLeaves(t *testing.T) {
	for seed := range uint64(seeds(t, 20, 5)) {
		c, it := acknowledgedByFew(t, seed)
		c.begin(c.nodes[seed%3], ids(0, 1, 2)...)
		done := func() bool {
			for _, h := range c.nodes[:3] {
				if h.machine.logs[3].cert.Size() <= it.Index {
					return false
				}
			}
			return true
		}
		if !c.run(10*protocol.Second, done) {
			t.Fatalf("seed %d: what was acknowledged is not certified", seed)
		}
		if got := c.nodes[2].machine.logs[3].cert.Epoch(); got != 1 {
			t.Errorf("seed %d: it is certified in epoch %d", seed, got)
		}
		c.nodes = c.nodes[:3]
		c.noBlame()
		checkAnswers(c)
	}
}

// TestKeyReplaced has a member whose key is lost go on under another key, with
// an empty disk.
func TestKeyReplaced(t *testing.T) {
	for seed := range uint64(seeds(t, 20, 5)) {
		c, it := acknowledgedByFew(t, seed)
		c.begin(c.nodes[0], ids(0, 1, 2, 4)...)
		c.boot(c.nodes[4])
		if !c.run(20*protocol.Second, c.vote(0, 1, 2, 4)) {
			t.Fatalf("seed %d: not all four vote", seed)
		}
		if !c.attest(c.nodes[4], protocol.Second) || c.resolved[c.nextID].Cert.Log() != 4 {
			t.Fatalf("seed %d: nothing is certified under the new key", seed)
		}
		c.run(3*protocol.Second, nil)
		for _, h := range c.nodes {
			if !h.down && h.machine.logs[3].cert.Size() <= it.Index {
				t.Errorf("seed %d: node %d has lost what was acknowledged", seed, h.id)
			}
		}
		c.noBlame()
	}
}

// TestUndeliverableHead has a member report a head of its log that nobody has.
// Nobody votes for its log then, and all else goes on.
func TestUndeliverableHead(t *testing.T) {
	c := newCluster(t, 4, 1)
	c.run(3*protocol.Second, nil)
	for _, h := range c.nodes {
		if !c.attest(h, protocol.Second) {
			t.Fatal("not certified")
		}
	}
	c.run(protocol.Second, nil)
	f := newForger(c, c.nodes[3])
	far := f.extend(f.branches[0])
	for range 5 {
		far = f.extend(f.branches[0])
	}
	c.begin(c.nodes[0], ids(0, 1, 2, 3, 4)...)
	report := &wire.Heads{Epoch: 1, Heads: []wire.Head{{Log: 3, Signed: markOf(far).signed}}}
	for _, h := range c.nodes[:3] {
		c.step(h, Receive{From: 3, Msg: report})
	}
	c.crash(c.nodes[3])
	c.boot(c.nodes[4])
	if !c.run(20*protocol.Second, c.vote(0, 1, 2, 4)) {
		t.Fatal("not all others vote")
	}
	for _, h := range append(c.nodes[:3:3], c.nodes[4]) {
		if !c.attest(h, 2*protocol.Second) {
			t.Fatalf("node %d cannot go on", h.id)
		}
	}
	closed := 0
	for _, h := range c.nodes[:3] {
		if h.machine.logs[3].evidence == nil && !h.machine.open(h.machine.logs[3]) {
			closed++
		}
	}
	if closed == 0 {
		t.Error("nobody waits for the head: the test proves nothing")
	}
	// A later epoch does not open the log, and a restart does not either.
	c.begin(c.nodes[0], ids(0, 1, 2, 3, 4, 5)...)
	c.boot(c.nodes[5])
	if !c.run(20*protocol.Second, c.vote(0, 1, 2, 4, 5)) {
		t.Fatal("not all others vote in the second epoch")
	}
	was := len(c.nodes[0].machine.logs[3].targets)
	c.crash(c.nodes[0])
	c.boot(c.nodes[0])
	if len(c.nodes[0].machine.logs[3].targets) != was {
		t.Error("a restart changes what is known of the log")
	}
}

// TestJoinerFollows has a member join, with nothing, a network that has been
// through several epochs, and of whose first members few are left.
func TestJoinerFollows(t *testing.T) {
	c := newCluster(t, 4, 3)
	c.run(3*protocol.Second, nil)
	for i, members := range [][]protocol.MemberID{ids(0, 1, 2, 3, 4), ids(1, 2, 3, 4), ids(1, 2, 3, 4, 5), ids(2, 3, 4, 5)} {
		c.pour(c.now+protocol.Second, c.nodes...)
		c.run(protocol.Second, nil)
		c.begin(c.nodes[members[1]], members...)
		for _, id := range members {
			if h := c.nodes[id]; h.down {
				c.boot(h)
			}
		}
		if !c.run(20*protocol.Second, c.vote(members...)) {
			t.Fatalf("not all vote in epoch %d", i+1)
		}
	}
	for _, h := range c.nodes[:2] {
		c.crash(h)
	}
	c.begin(c.nodes[3], ids(2, 3, 4, 5, 6)...)
	c.boot(c.nodes[6])
	if !c.run(30*protocol.Second, c.vote(2, 3, 4, 5, 6)) {
		number, votes := c.nodes[6].machine.Epoch()
		t.Fatalf("the joiner is in epoch %d (%t): %+v", number, votes, c.nodes[6].machine.Status())
	}
	if !c.attest(c.nodes[6], protocol.Second) {
		t.Fatal("nothing of the joiner's is certified")
	}
	c.nodes = c.nodes[2:]
	c.noBlame()
	checkAnswers(c)
}

// TestJoinerAsksWhoAnswers has somebody join behind many epochs of whose members all
// are gone but one: it is not to look for that one in each epoch again.
func TestJoinerAsksWhoAnswers(t *testing.T) {
	c := newCluster(t, 4, 11)
	c.run(3*protocol.Second, nil)
	turn := func(members ...protocol.MemberID) {
		t.Helper()
		c.pour(c.now+200*protocol.Millisecond, c.nodes[0])
		c.run(300*protocol.Millisecond, nil)
		c.begin(c.nodes[0], members...)
		for _, id := range members {
			if h := c.nodes[id]; h.down {
				c.boot(h)
			}
		}
		if !c.run(20*protocol.Second, c.vote(members...)) {
			t.Fatalf("not all of %v vote", members)
		}
	}
	for range 12 {
		turn(ids(0, 1, 2, 3)...)
	}
	turn(ids(0, 1, 2, 3, 4)...)
	turn(ids(0, 1, 2, 4)...)
	turn(ids(0, 1, 2, 4, 5)...)
	turn(ids(0, 1, 4, 5)...)
	turn(ids(0, 1, 4, 5, 6)...)
	turn(ids(0, 4, 5, 6)...)
	for _, h := range c.nodes[1:4] {
		c.crash(h)
	}
	c.begin(c.nodes[0], ids(0, 4, 5, 6, 7)...)
	c.boot(c.nodes[7])
	if !c.run(12*protocol.Second, c.vote(0, 4, 5, 6, 7)) {
		number, votes := c.nodes[7].machine.Epoch()
		t.Fatalf("the joiner is in epoch %d (%t)", number, votes)
	}
}

// TestReturnsAfterEpochs has a member sleep through epochs, after which no quorum
// of its last one is there any more.
func TestReturnsAfterEpochs(t *testing.T) {
	c := newCluster(t, 4, 5)
	c.run(3*protocol.Second, nil)
	c.crash(c.nodes[3])
	var others []protocol.MemberID
	for _, members := range [][]protocol.MemberID{ids(0, 1, 2, 3, 4), ids(0, 1, 2, 3, 4, 5), ids(1, 2, 3, 4, 5), ids(2, 3, 4, 5)} {
		c.begin(c.nodes[2], members...)
		others = nil
		for _, id := range members {
			if h := c.nodes[id]; h.down && id != 3 {
				c.boot(h)
			}
			if id != 3 {
				others = append(others, id)
			}
		}
		if !c.run(20*protocol.Second, c.vote(others...)) {
			t.Fatal("not all others vote")
		}
	}
	c.crash(c.nodes[0])
	c.crash(c.nodes[1])
	c.boot(c.nodes[3])
	if !c.run(20*protocol.Second, c.vote(2, 3, 4, 5)) {
		t.Fatal("who has slept is stuck")
	}
	if !c.attest(c.nodes[3], protocol.Second) {
		t.Fatal("nothing of its log is certified")
	}
	// All at once stop, with those gone that the last handover came from.
	for _, h := range c.nodes[2:] {
		c.crash(h)
	}
	for _, h := range c.nodes[2:] {
		c.boot(h)
	}
	if !c.run(20*protocol.Second, func() bool { return c.nodes[2].machine.Ready() && c.nodes[4].machine.Ready() }) || !c.attest(c.nodes[4], protocol.Second) {
		t.Fatal("the network is stuck after a restart")
	}
	c.noBlame()
}

// TestEpochFaults throws epochs at clusters beside loss, duplicates, crashes and
// cuts: members join, leave and change their keys. The members that are there in
// the end agree, and have every answer.
func TestEpochFaults(t *testing.T) {
	for seed := range seeds(t, 40, 8) {
		n := []int{4, 5, 7}[seed%3]
		t.Run(fmt.Sprintf("seed=%d/n=%d", seed, n), func(t *testing.T) { runEpochFaults(t, n, uint64(seed)) })
	}
}

func runEpochFaults(t *testing.T, n int, seed uint64) {
	c := newCluster(t, n, seed)
	c.loss, c.duplicate = c.rng.Float64()*0.2, c.rng.Float64()*0.2
	for range 80 {
		c.run(protocol.Micros(c.rng.Int64N(200_000)), nil)
		members := c.epochs.Latest().Members()
		h := c.nodes[members[c.rng.IntN(len(members))]]
		switch {
		case c.rng.IntN(8) == 0 && !h.down:
			c.crash(h)
		case h.down:
			c.boot(h)
		default:
			for range c.rng.IntN(20) {
				c.submit(h)
			}
		}
		if c.rng.IntN(8) == 0 {
			c.change(h)
		}
		switch c.rng.IntN(10) {
		case 0:
			a := h.id
			c.cut = func(from, to protocol.MemberID) bool { return from == a || to == a }
		case 1, 2:
			c.cut = func(_, _ protocol.MemberID) bool { return false }
		}
	}
	heal(c)
	members := c.epochs.Latest().Members()
	done := func() bool { return c.vote(members...)() && c.agree(members) }
	if !c.run(60*protocol.Second, done) {
		c.explain()
		t.Fatal("no convergence within 60 s of healing")
	}
	c.run(protocol.Second, nil)
	c.noBlame()
	all := c.nodes
	c.nodes = nil
	for _, id := range members {
		c.nodes = append(c.nodes, all[id])
	}
	checkAnswers(c)
}

// explain says where everybody stands.
func (c *cluster) explain() {
	for _, h := range c.nodes {
		if m := h.machine; !h.down {
			c.t.Logf("node %d: epoch %d of %d, ready %t, recovered %t, behind %t, %+v", h.id, m.committee.Epoch(), c.epochs.Latest().Epoch(), m.Ready(), m.author.recovered, m.behind(), handover{
				known: m.handover.known, complete: m.handover.complete, fenced: m.handover.fenced, sealed: m.handover.sealed, told: m.handover.told})
			for _, l := range m.logs {
				c.t.Logf("  log %d: size %d, durable %d, certified %d, knows %d, %d targets to %d, frozen %t", l.id, l.size(), l.durable, l.cert.Size(), l.knows, len(l.targets), l.bound, l.evidence != nil)
			}
		}
	}
}

// change begins an epoch of one member more, less, or under another key, if a
// host has come to the end of the last one.
func (c *cluster) change(h *host) { c.changeFrom(h, 0) }

// changeFrom is change, but the first members stay.
func (c *cluster) changeFrom(h *host, stay int) {
	if h.down || h.epochs.Latest() != c.epochs.Latest() {
		return
	}
	members := slices.Clone(c.epochs.Latest().Members())
	i, joins := stay+c.rng.IntN(len(members)-stay), protocol.MemberID(c.epochs.Latest().Logs())
	switch what := c.rng.IntN(3); {
	case what == 0 && len(members) < 9:
		members = append(members, joins)
	case what == 1 && len(members) > 3+stay:
		members = slices.Delete(members, i, i+1)
	default:
		members = append(slices.Delete(members, i, i+1), joins)
	}
	c.begin(h, members...)
}

// agree reports whether members have certified the same, and all that members
// store of each other's logs.
func (c *cluster) agree(members []protocol.MemberID) bool {
	first := c.nodes[members[0]].machine.Status()
	for _, id := range members {
		for i, s := range c.nodes[id].machine.Status() {
			if s.Certified != first[i].Certified || slices.Contains(members, s.Log) && s.Stored != s.Certified {
				return false
			}
		}
	}
	return true
}

// TestEquivocatingOverEpochs has a member sign several histories, which are its votes
// for all of them, and report of them what it likes, while the committee changes around it.
// The cluster watches that there are never two certificates for a size.
func TestEquivocatingOverEpochs(t *testing.T) {
	for seed := range seeds(t, 30, 6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			n := []int{4, 7}[seed%2]
			c := newCluster(t, n, uint64(seed))
			c.loss = c.rng.Float64() * 0.3
			c.run(3*protocol.Second, nil)
			f := newForger(c, c.nodes[0])
			for range 60 {
				f.misbehave()
				f.moveOn()
				f.report()
				c.run(protocol.Micros(c.rng.Int64N(60_000)), nil)
				members := c.epochs.Latest().Members()
				h := c.nodes[members[1+c.rng.IntN(len(members)-1)]]
				switch {
				case h.down:
					c.boot(h)
				case c.rng.IntN(6) == 0:
					c.crash(h)
				case c.rng.IntN(5) == 0:
					c.changeFrom(h, 1)
				default:
					c.submit(h)
				}
				if a := h.id; c.rng.IntN(6) == 0 {
					c.cut = func(from, to protocol.MemberID) bool { return from != 0 && to != 0 && (from == a || to == a) }
				} else if c.rng.IntN(3) == 0 {
					c.cut = func(_, _ protocol.MemberID) bool { return false }
				}
			}
			c.loss = 0
			c.cut = func(_, _ protocol.MemberID) bool { return false }
			members := c.epochs.Latest().Members()[1:]
			for _, h := range c.nodes[1:] {
				if h.down {
					c.boot(h)
				}
			}
			if !c.run(60*protocol.Second, c.vote(members...)) {
				c.explain()
				t.Fatal("the others do not vote")
			}
			for _, id := range members {
				if !c.attest(c.nodes[id], 5*protocol.Second) {
					t.Fatalf("node %d cannot go on", id)
				}
			}
		})
	}
}

// moveOn shows some batch of some history, whose signature is its vote, to some, and
// goes on in some epoch.
func (f *forger) moveOn() {
	rng := f.c.rng
	b := f.branches[rng.IntN(len(f.branches))]
	if len(b.batches) == 0 {
		return
	}
	batch := b.batches[rng.IntN(len(b.batches))]
	for _, h := range f.c.nodes {
		if rng.IntN(2) == 0 {
			f.c.deliver(f.host.id, h, batch)
		}
	}
	f.epoch = max(f.epoch, uint64(rng.Int64N(int64(f.c.epochs.Latest().Epoch())+1)))
}

// report says something of its own log, as if it had entered some epoch.
func (f *forger) report() {
	rng := f.c.rng
	for _, h := range f.c.nodes {
		b := f.branches[rng.IntN(len(f.branches))]
		e := f.c.epochs.Latest().Epoch()
		msg := &wire.Heads{Epoch: e, Knows: e}
		for log := range f.c.epochs.Latest().Logs() {
			head := wire.Head{Log: protocol.MemberID(log), Knows: e, Frozen: rng.IntN(9) == 0}
			if log == int(f.host.id) && len(b.batches) > 0 {
				head.Signed = markOf(b.batches[rng.IntN(len(b.batches))]).signed
			}
			msg.Heads = append(msg.Heads, head)
		}
		f.c.deliver(f.host.id, h, msg)
	}
}

// entered is a machine of the first of four members that has entered an epoch of
// five, and has not been handed over anything.
func entered(t *testing.T) (*cluster, *Machine, *quorum.Committee) {
	t.Helper()
	c, m, _ := lone(t)
	step(t, m, testStart, Start{})
	committee := c.begin(c.nodes[1], ids(0, 1, 2, 3, 4)...)
	step(t, m, testStart, Enter{Committee: committee})
	return c, m, committee
}

// reportOf is a member's report for an epoch of logs that it stores nothing of, but
// for one.
func reportOf(epoch uint64, logs int, heads ...wire.Head) *wire.Heads {
	msg := &wire.Heads{Epoch: epoch}
	for i := range logs {
		head := wire.Head{Log: protocol.MemberID(i), Knows: epoch - 1}
		for _, h := range heads {
			if h.Log == head.Log {
				head = h
			}
		}
		msg.Heads = append(msg.Heads, head)
	}
	return msg
}

func persisted(effects []Effect) (out []Input) {
	for _, e := range effects {
		if p, ok := e.(Persist); ok && !p.Lazy {
			out = []Input{Persisted{Seq: p.Seq}}
		}
	}
	return out
}

func votesFor(effects []Effect, log protocol.MemberID) int {
	n := 0
	count := func(msg wire.Message) {
		if v, ok := msg.(*wire.Votes); ok {
			for _, vote := range v.Votes {
				if vote.Log == log {
					n++
				}
			}
		}
	}
	for _, e := range effects {
		switch e := e.(type) {
		case Send:
			count(e.Msg)
		case Publish:
			count(e.Msg)
		}
	}
	return n
}

// TestFence has a member enter an epoch with a batch that it has accepted and not
// made durable. It votes for that only when it has been handed over, and only if
// somebody may have voted for it before.
func TestFence(t *testing.T) {
	c, m, _ := lone(t)
	step(t, m, testStart, Start{})
	f := newForger(c, c.nodes[3])
	first := f.extend(f.branches[0])
	accepted := step(t, m, testStart+protocol.Second, Receive{From: 3, Msg: first})
	committee := c.begin(c.nodes[1], ids(0, 1, 2, 3, 4)...)
	now := testStart + protocol.Second
	step(t, m, now, Enter{Committee: committee})
	if n := votesFor(step(t, m, now, persisted(accepted)...), 3); n > 0 {
		t.Error("it votes in an epoch that it has not been handed over")
	}
	if _, votes := m.Epoch(); votes {
		t.Error("it says that it votes")
	}
	var effects []Effect
	for from := protocol.MemberID(1); from < 3; from++ {
		effects = append(effects, step(t, m, now, Receive{From: from, Msg: reportOf(1, 4)})...)
	}
	if n := votesFor(effects, 3); n > 0 {
		t.Error("it votes before the handover is durable")
	}
	effects = step(t, m, now, persisted(effects)...)
	if _, votes := m.Epoch(); !votes {
		t.Fatal("it has two reports and its own, and does not vote")
	}
	for from := protocol.MemberID(1); from < 4; from++ {
		if n := votesFor(effects, 3); n > 0 {
			t.Errorf("it votes for what it had before, and %d others have that", from-1)
		}
		effects = step(t, m, now, Receive{From: from, Msg: holding(1, first)})
	}
	if n := votesFor(effects, 3); n != 1 {
		t.Errorf("it votes %d times for what it had before, want once", n)
	}
	// Whoever sealed this did so before the epoch, and nobody has reported it.
	late := f.extend(f.branches[0])
	effects = step(t, m, now, Receive{From: 3, Msg: late})
	if n := votesFor(step(t, m, now, persisted(effects)...), 3); n > 0 || m.logs[3].size() != late.Size() {
		t.Errorf("%d votes for a late batch of the epoch before, of which %d leaves are stored", n, m.logs[3].size())
	}
	f.epoch = 1
	cover := f.extend(f.branches[0])
	effects = step(t, m, now, Receive{From: 3, Msg: cover})
	if n := votesFor(step(t, m, now, persisted(effects)...), 3); n != 1 {
		t.Errorf("%d votes for the batch that covers it, want 1", n)
	}
}

// TestFenceWaits has a member enter an epoch while its own batch is on its way to
// the disk. Its signature leaves when that is durable, so it says only then that it
// has entered.
func TestFenceWaits(t *testing.T) {
	c, m, _ := lone(t)
	step(t, m, testStart, Start{})
	for peer := range protocol.MemberID(4) {
		step(t, m, testStart, Receive{From: peer, Msg: &wire.Heads{}})
	}
	now := testStart + 3*protocol.Second
	e, err := protocol.ParseEvent([]byte(`{"type":"a","payload":{}}`), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	sealed := step(t, m, now, Submit{ID: 1, Kind: protocol.KindAttest, Body: e.Canonical, Hash: e.Hash})
	announced := func(effects []Effect) (epoch, size uint64) {
		for _, e := range effects {
			if s, ok := e.(Send); ok {
				if h, ok := s.Msg.(*wire.Heads); ok {
					epoch, size = h.Epoch, h.Heads[0].Signed.Size
				}
			}
		}
		return epoch, size
	}
	effects := step(t, m, now, Enter{Committee: c.begin(c.nodes[1], ids(0, 1, 2, 3, 4)...)})
	if epoch, _ := announced(effects); epoch != 0 || m.announced() != 0 {
		t.Error("it says that it has entered, with a batch of before still to be published")
	}
	if epoch, size := announced(step(t, m, now, persisted(sealed)...)); epoch != 1 || size != 2 {
		t.Errorf("when its batch is durable it announces epoch %d, with %d leaves of its log", epoch, size)
	}
}

// TestHandoverFindsEvidence has two members report histories of a log that exclude
// each other.
func TestHandoverFindsEvidence(t *testing.T) {
	for name, store := range map[string]bool{"of what it stores": true, "of what it does not": false} {
		t.Run(name, func(t *testing.T) {
			c, m, _ := lone(t)
			step(t, m, testStart, Start{})
			f := newForger(c, c.nodes[3])
			one, other := f.extend(f.branches[0]), f.extend(f.fork(f.branches[0], 0))
			now := testStart + protocol.Second
			if store {
				step(t, m, now, persisted(step(t, m, now, Receive{From: 3, Msg: one}))...)
			}
			step(t, m, now, Enter{Committee: c.begin(c.nodes[1], ids(0, 1, 2, 3, 4)...)})
			for from, b := range []*wire.Batch{one, other} {
				head := wire.Head{Log: 3, Signed: markOf(b).signed}
				step(t, m, now, Receive{From: protocol.MemberID(from + 1), Msg: reportOf(1, 4, head)})
			}
			if m.logs[3].evidence == nil {
				t.Fatal("there is no evidence")
			}
			if err := VerifyEvidence(c.committee, m.logs[3].evidence); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestForgedReport has a member report heads that their author never signed, count
// itself twice, and say that others have lied.
func TestForgedReport(t *testing.T) {
	c, m, _ := entered(t)
	forged := reportOf(1, 4, wire.Head{Log: 2, Signed: wire.Signed{Size: 900}}, wire.Head{Log: 1, Frozen: true})
	forged.Heads = append(forged.Heads, forged.Heads...)
	step(t, m, c.now, Receive{From: 3, Msg: forged})
	effects := step(t, m, c.now, Receive{From: 1, Msg: reportOf(1, 4)})
	if m.handover.known != 0 {
		t.Fatal("it counts a report twice, or one that is frozen")
	}
	effects = append(effects, step(t, m, c.now, Receive{From: 2, Msg: reportOf(1, 4)})...)
	step(t, m, c.now, persisted(effects)...)
	if _, votes := m.Epoch(); !votes {
		t.Fatal("it does not vote")
	}
	for _, l := range m.logs {
		if !m.open(l) {
			t.Errorf("log %d is not open", l.id)
		}
	}
}

// TestHandoverGrace has nobody but a liar report fully of a log. The member waits a
// while for others, and goes on without that log then.
func TestHandoverGrace(t *testing.T) {
	c, m, _ := entered(t)
	var effects []Effect
	for from := protocol.MemberID(1); from < 3; from++ {
		effects = append(effects, step(t, m, c.now, Receive{From: from, Msg: reportOf(1, 4, wire.Head{Log: 2, Frozen: true})})...)
	}
	if m.handover.known != 0 {
		t.Fatal("it does not wait for the third")
	}
	for at := c.now; at < c.now+2*handoverGrace; at += 100 * protocol.Millisecond {
		effects = append(effects, step(t, m, at, Tick{})...)
	}
	step(t, m, c.now+2*handoverGrace, persisted(effects)...)
	if _, votes := m.Epoch(); !votes || m.open(m.logs[2]) || !m.open(m.logs[1]) {
		t.Fatalf("it votes: %t, also for the log: %t", votes, m.open(m.logs[2]))
	}
	store := &MemoryStorage{}
	for _, e := range effects {
		if p, ok := e.(Persist); ok {
			if err := store.Apply(p.Records); err != nil {
				t.Fatal(err)
			}
		}
	}
	again, err := New(Config{Epochs: c.epochs, Self: 0, Signer: c.signers[0]}, store)
	if err != nil {
		t.Fatal(err)
	}
	if again.open(again.logs[2]) || !again.open(again.logs[1]) {
		t.Error("a restart changes what it knows")
	}
	step(t, m, c.now+2*handoverGrace, Receive{From: 3, Msg: reportOf(1, 4)})
	if m.open(m.logs[2]) {
		t.Error("a quorum lacks one, and the log is open")
	}
	for from := protocol.MemberID(1); from < 3; from++ {
		step(t, m, c.now+2*handoverGrace, Receive{From: from, Msg: reportOf(1, 4)})
	}
	if !m.open(m.logs[2]) {
		t.Error("the log is not open")
	}
}

// TestBehind has a member hear from more than can lie that an epoch has begun that
// it does not know of. It votes no more in its own.
func TestBehind(t *testing.T) {
	c, m, _ := lone(t)
	step(t, m, testStart, Start{})
	f := newForger(c, c.nodes[3])
	now := testStart + protocol.Second
	vote := func() int {
		return votesFor(step(t, m, now, persisted(step(t, m, now, Receive{From: 3, Msg: f.extend(f.branches[0])}))...), 3)
	}
	step(t, m, now, Receive{From: 1, Msg: &wire.Heads{Epoch: 1}})
	if vote() != 1 {
		t.Error("one member can stop it")
	}
	step(t, m, now, Receive{From: 2, Msg: &wire.Heads{Epoch: 1}})
	if vote() != 0 {
		t.Error("it votes in an epoch that is over")
	}
}

// TestLensOfCertificates shows a member certificates of epochs: of one that has not
// begun for it, of one before the batch's, and of the batch's.
func TestLensOfCertificates(t *testing.T) {
	c, m, committee := entered(t)
	f := newForger(c, c.nodes[3])
	f.epoch = 1
	b := f.extend(f.branches[0])
	now := c.now + protocol.Second
	step(t, m, now, persisted(step(t, m, now, Receive{From: 3, Msg: b}))...)
	claim := func(epoch uint64, voters ...protocol.MemberID) quorum.Claim {
		out := quorum.Claim{Log: 3, Epoch: epoch, Size: b.Size(), Root: b.Root}
		for _, id := range voters {
			sig := c.signers[id].Cosign(committee.Checkpoint(3, b.Size(), b.Root), now.Seconds())
			out.Cosigs = append(out.Cosigs, quorum.Cosignature{Member: id, Time: sig.Time, Sig: sig.Bytes})
		}
		return out
	}
	encoded, err := wire.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		claim     quorum.Claim
		blamed    bool
		certified uint64
	}{
		{"of an epoch to come", claim(2, 1, 2, 3, 4), false, 0},
		{"of the epoch before", claim(0, 1, 2, 3), true, 0},
		{"too few", claim(1, 1, 2, 3), true, 0},
		{"of the batch's epoch", claim(1, 1, 2, 3, 4), false, b.Size()},
	} {
		effects := step(t, m, now, Receive{From: 3, Msg: &wire.Certificate{Claim: c.claim}})
		now += 100 * protocol.Millisecond
		effects = append(effects, step(t, m, now, Tick{})...)
		if c.claim.Epoch <= committee.Epoch() { // others are not asked for
			m.logs[3].fetch = fetch{peer: 2, asked: true, askedAt: now}
			effects = append(effects, step(t, m, now, Receive{From: 2, Msg: &wire.Range{
				Log: 3, Items: []wire.RangeItem{{Batch: encoded, Cert: c.claim}}, Head: quorum.Claim{Log: 3},
			}})...)
		}
		blamed := slices.ContainsFunc(effects, func(e Effect) bool { _, ok := e.(Blame); return ok })
		if got := m.logs[3].cert.Size(); blamed != c.blamed || got != c.certified {
			t.Errorf("%s: blamed %t, certified up to %d", c.name, blamed, got)
		}
	}
}

// TestLogOfWhoLeft has a member that has left go on with its log. Nobody takes what
// comes behind that which others had.
func TestLogOfWhoLeft(t *testing.T) {
	c, m, _ := lone(t)
	step(t, m, testStart, Start{})
	f := newForger(c, c.nodes[3])
	now := testStart + protocol.Second
	had, late := f.extend(f.branches[0]), f.extend(f.branches[0])
	step(t, m, now, Enter{Committee: c.begin(c.nodes[1], ids(0, 1, 2)...)})
	effects := step(t, m, now, Receive{From: 1, Msg: reportOf(1, 4, wire.Head{Log: 3, Signed: markOf(had).signed})})
	effects = append(effects, step(t, m, now, Receive{From: 2, Msg: reportOf(1, 4)})...)
	step(t, m, now, persisted(effects)...)
	if m.open(m.logs[3]) {
		t.Fatal("the log is open without what another had of it")
	}
	for _, b := range []*wire.Batch{had, late} {
		effects = step(t, m, now, Receive{From: 3, Msg: b})
		effects = append(effects, step(t, m, now, persisted(effects)...)...)
	}
	if got := m.logs[3].size(); got != had.Size() {
		t.Errorf("%d leaves are stored, want %d", got, had.Size())
	}
	shared := slices.ContainsFunc(effects, func(e Effect) bool {
		p, ok := e.(Publish)
		return ok && votesFor([]Effect{p}, 3) > 0
	})
	if votesFor(effects, 3) != 0 || shared {
		t.Error("it votes for what is too late")
	}
	step(t, m, now, Receive{From: 1, Msg: holding(1, had)}, Receive{From: 2, Msg: holding(1, had)})
	if l := m.logs[3]; l.appealAt == 0 {
		t.Error("it has not voted for what another had")
	}
}

// holding is what a member says that stores a log up to a batch.
func holding(epoch uint64, b *wire.Batch) *wire.Heads {
	return &wire.Heads{Epoch: epoch, Knows: epoch, Heads: []wire.Head{{Log: b.Author, Signed: markOf(b).signed, Knows: epoch}}}
}

// TestVoteFromBefore has a member told, two epochs later, of a batch that one has
// voted for who has left since, and nobody else. With that vote, its own would make
// a certificate of the founding epoch, while all others may certify another history:
// the author is the one that lies. So it votes only when others store the same.
func TestVoteFromBefore(t *testing.T) {
	c, m, _ := lone(t)
	step(t, m, testStart, Start{})
	f := newForger(c, c.nodes[1])
	b := f.extend(f.branches[0])
	now := testStart + protocol.Second
	enter := func(committee *quorum.Committee, reports ...Input) {
		step(t, m, now, Enter{Committee: committee})
		effects := step(t, m, now, reports...)
		step(t, m, now, persisted(effects)...)
		if epoch, votes := m.Epoch(); !votes || epoch != committee.Epoch() {
			t.Fatalf("it does not vote in epoch %d", committee.Epoch())
		}
	}
	enter(c.begin(c.nodes[2], ids(0, 1, 2, 3, 4)...), Receive{1, reportOf(1, 4)}, Receive{2, reportOf(1, 4)})
	enter(c.begin(c.nodes[2], ids(0, 1, 2, 4)...),
		Receive{1, reportOf(2, 5, wire.Head{Log: 1, Signed: markOf(b).signed, Knows: 1})}, Receive{2, reportOf(2, 5)}, Receive{4, reportOf(2, 5)})
	effects := step(t, m, now, Receive{1, b})
	effects = append(effects, step(t, m, now, persisted(effects)...)...)
	effects = append(effects, step(t, m, now, Receive{1, holding(2, b)})...)
	if m.logs[1].size() != b.Size() || !m.open(m.logs[1]) {
		t.Fatal("the batch is not taken")
	}
	if votesFor(effects, 1) > 0 || m.logs[1].tallies[b.Size()].Has(0) {
		t.Error("it votes for what nobody but the author has")
	}
	step(t, m, now, Receive{4, holding(2, b)})
	if !m.logs[1].tallies[b.Size()].Has(0) {
		t.Error("it does not vote for what a quorum has")
	}
}

// TestTooManyHeads has an author tell of more heads of its log than any honest one
// can have signed. Nobody votes for the log then, nor goes on asking what there is to
// know of it, and nothing else waits.
func TestTooManyHeads(t *testing.T) {
	c, m, committee := entered(t)
	report := reportOf(1, 4)
	report.Heads = slices.Delete(report.Heads, 1, 2)
	for size := uint64(2); size < 2+2*maxTargets; size++ {
		root := protocol.Hash{byte(size), byte(size >> 8)}
		sig := c.signers[1].Cosign(committee.Checkpoint(1, size, root), (testStart).Seconds())
		report.Heads = append(report.Heads, wire.Head{Log: 1, Knows: 0, Signed: wire.Signed{Size: size, Root: root, Time: sig.Time, Sig: sig.Bytes}})
	}
	step(t, m, testStart, Receive{1, report})
	effects := step(t, m, testStart, Receive{2, reportOf(1, 4)}, Receive{3, reportOf(1, 4)})
	step(t, m, testStart, persisted(effects)...)
	if _, votes := m.Epoch(); !votes || !m.open(m.logs[0]) {
		t.Error("it does not vote")
	}
	if m.open(m.logs[1]) || len(m.logs[1].targets) > 0 {
		t.Error("it votes for the log")
	}
	if m.partly() || len(m.handover.reports) > 0 {
		t.Errorf("it asks what there is to know of the log, and keeps %d reports", len(m.handover.reports))
	}
	if now := m.handoverNow(); len(now.Partial) != 1 || now.Partial[0] != (wire.Partial{Log: 1}) {
		t.Errorf("it does not remember that: %v", now.Partial)
	}
}

// TestAsksHolders has the members of a new epoch differ in how much they store of
// the log of a dead member: what all have of it is certified.
func TestAsksHolders(t *testing.T) {
	for seed := range uint64(seeds(t, 20, 5)) {
		c := newCluster(t, 4, seed)
		c.run(3*protocol.Second, nil)
		f := newForger(c, c.nodes[3])
		all, some := f.extend(f.branches[0]), f.extend(f.branches[0])
		c.cut = func(from, to protocol.MemberID) bool { return true } // nobody hears of the votes
		for _, h := range c.nodes[:3] {
			c.step(h, Receive{3, all})
		}
		c.step(c.nodes[0], Receive{3, some})
		c.run(100*protocol.Millisecond, nil)
		c.crash(c.nodes[3])
		c.begin(c.nodes[0], ids(0, 1, 2)...)
		c.run(100*protocol.Millisecond, nil)
		c.cut = func(from, to protocol.MemberID) bool { return false }
		done := func() bool {
			return !slices.ContainsFunc(c.nodes[:3], func(h *host) bool { return h.machine.logs[3].cert.Size() < some.Size() })
		}
		if !c.run(20*protocol.Second, done) {
			t.Errorf("seed %d: what is stored of the log is not certified", seed)
		}
		c.nodes = c.nodes[:3]
		c.noBlame()
	}
}

// TestSmallerEntries has the parameters allow no entry as large as one that waits.
func TestSmallerEntries(t *testing.T) {
	c, m, _ := lone(t)
	step(t, m, testStart, Start{})
	e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"a","payload":{"s":%q}}`, strings.Repeat("x", 600)), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	submit := Submit{ID: 1, Kind: protocol.KindAttest, Body: e.Canonical, Hash: e.Hash}
	step(t, m, testStart, submit)
	c.params.MaxEventBytes = 300
	refused := 0
	for _, in := range []Input{Enter{Committee: c.begin(c.nodes[1], ids(0, 1, 2, 3)...)}, submit} {
		for _, e := range step(t, m, testStart, in) {
			if r, ok := e.(Refused); ok && r.Reason == TooLarge {
				refused++
			}
		}
	}
	if refused != 2 || m.author.pendingBytes != 0 {
		t.Errorf("%d of two are refused, %d bytes wait", refused, m.author.pendingBytes)
	}
}

// TestRangeOfEpoch reads a log of several epochs for who knows only some of them.
func TestRangeOfEpoch(t *testing.T) {
	c := newCluster(t, 4, 1)
	c.run(3*protocol.Second, nil)
	for epoch := range 3 {
		for range 3 {
			if !c.attest(c.nodes[1], protocol.Second) {
				t.Fatal("not certified")
			}
		}
		c.run(protocol.Second, nil)
		if epoch < 2 {
			c.begin(c.nodes[1], [][]protocol.MemberID{ids(1, 2, 3), ids(1, 2, 3, 4)}[epoch]...)
			if c.run(20*protocol.Second, c.vote(1, 2, 3)); !c.vote(1, 2, 3)() {
				t.Fatal("not all vote")
			}
		}
	}
	for epoch, want := range []uint64{6, 12, 18} {
		r, err := ReadRange(c.nodes[2].store, wire.RangeRequest{Log: 1, Epoch: uint64(epoch)}, Latest, c.params)
		if err != nil {
			t.Fatal(err)
		}
		last, err := wire.DecodeBatch(r.Items[len(r.Items)-1].Batch, wire.MaxMessage(c.params))
		if err != nil {
			t.Fatal(err)
		}
		if last.Size() != want || r.Head.Size != want || r.Head.Epoch != uint64(epoch) {
			t.Errorf("in epoch %d: %d leaves, and a certificate of %d in epoch %d; want %d", epoch, last.Size(), r.Head.Size, r.Head.Epoch, want)
		}
	}
}

// TestStoredEpoch has a machine start without the epoch that it has entered.
func TestStoredEpoch(t *testing.T) {
	c := newCluster(t, 4, 1)
	store := &MemoryStorage{}
	if err := store.Apply([]Record{PutHandover{Handover: wire.Handover{Epoch: 1}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Epochs: quorum.NewEpochs(c.committee), Self: 0, Signer: c.signers[0]}, store); err == nil {
		t.Error("it begins in an epoch that it has left")
	}
}
