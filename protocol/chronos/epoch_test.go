package chronos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// begun holds an epoch that a member has come to against the others', and to what
// the member has durable.
func (c *cluster) begun(m *member, committee *quorum.Committee) {
	c.t.Helper()
	if committee.Epoch() != m.committee.Epoch()+1 {
		c.t.Fatalf("member %d comes from epoch %d to epoch %d", m.id, m.committee.Epoch(), committee.Epoch())
	}
	stored, err := m.store.ledger.Epochs(c.Committee)
	if err != nil {
		c.t.Fatal(err)
	}
	st, _, _ := m.store.State()
	if _, ok := stored.At(committee.Epoch()); !ok || st.Epoch < committee.Epoch() {
		c.t.Fatalf("member %d tells of epoch %d, and has epoch %d durable", m.id, committee.Epoch(), st.Epoch)
	}
	if known, ok := c.epochs.At(committee.Epoch()); !ok {
		if err := c.epochs.Add(committee); err != nil {
			c.t.Fatal(err)
		}
	} else if !reflect.DeepEqual(describe(known), describe(committee)) {
		c.t.Fatalf("member %d begins epoch %d with %v, another with %v", m.id, committee.Epoch(), describe(committee), describe(known))
	}
	m.begins = append(m.begins, EpochBegun{committee})
	m.enter(committee)
	c.after(20, m.seal)
}

func describe(c *quorum.Committee) []any {
	return []any{c.Members(), c.Roster(), c.Params(), c.Since()}
}

// propose has a member propose a change of the network, and returns its ID.
func (c *cluster) propose(by *member, action string, payload any) protocol.Hash {
	c.t.Helper()
	var names []string
	for _, id := range by.committee.Members() {
		names = append(names, by.committee.Name(id))
	}
	slices.Sort(names)
	text, err := json.Marshal(map[string]any{
		"action": map[string]any{"type": action, "payload": payload}, "subject": protocol.NetworkSubject,
		"participants": names, "threshold": protocol.DefaultThreshold(len(names)), "proposer": by.committee.Name(by.id),
		"deadline": (c.now + 3600*second) / ms, "nonce": fmt.Sprint(len(c.proposed)),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	p, err := protocol.ParseProposal(text, 1<<20)
	if err != nil {
		c.t.Fatal(err)
	}
	by.say(protocol.KindPropose, p.Canonical)
	return p.ID
}

// change has the members that are up decide on a change of the network, and waits
// until all of them have come to the next epoch.
func (c *cluster) change(action string, payload any) {
	c.t.Helper()
	c.decide(action, payload)
	next := c.epochs.Latest().Epoch() + 1
	c.must("in the next epoch", 10*second, func() bool {
		return !slices.ContainsFunc(c.members, func(m *member) bool { return m.machine != nil && m.committee.Epoch() < next })
	})
}

// decide has the members that are up vote for a change of the network.
func (c *cluster) decide(action string, payload any) {
	c.t.Helper()
	voters := slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return m.machine == nil || !m.committee.Has(m.id) })
	id := c.propose(voters[0], action, payload)
	c.must("proposed", 10*second, func() bool { return c.proposed[id] })
	for _, m := range voters {
		m.say(protocol.KindVote, fmt.Appendf(nil, `{"proposal":"%s","vote":"accept"}`, id))
	}
}

func (c *cluster) add(who int) {
	c.t.Helper()
	c.change(protocol.ActionMembershipAdd, map[string]any{"member": c.all[who]})
}

func (c *cluster) remove(who int) {
	c.t.Helper()
	c.change(protocol.ActionMembershipRemove, map[string]any{"name": c.all[who].Name})
}

// TestJoin has a member join: it has followed before, without a number, and then
// votes like all.
func TestJoin(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 6} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newNetwork(t, n, n+1)
			c.busy(300 * ms)
			joiner := c.members[n]
			joiner.boot()
			c.busy(300 * ms)
			c.must("settled", 5*second, c.settled)
			if joiner.machine.self != protocol.Nobody || joiner.machine.Status().Size == 0 {
				t.Fatalf("the joiner is member %d, and has %d entries", joiner.machine.self, joiner.machine.Status().Size)
			}
			c.add(n)
			c.busy(300 * ms)
			c.must("settled", 5*second, c.settled)
			if joiner.author.size == 0 || joiner.machine.self != joiner.id || joiner.machine.heads.signed.Size == 0 {
				t.Errorf("member %d has authored %d leaves, and cosigned up to %d", joiner.machine.self, joiner.author.size, joiner.machine.heads.signed.Size)
			}
			for _, m := range c.members {
				if m.machine.heads.cert.Epoch() != 1 || len(m.begins) != 1 || len(m.blames)+len(m.alarms) > 0 {
					t.Errorf("member %d has a certificate of epoch %d, %d epochs, %v, %v", m.id, m.machine.heads.cert.Epoch(), len(m.begins), m.blames, m.alarms)
				}
			}
			// Without it, there is no quorum if all are needed.
			joiner.crash(len(joiner.unsynced))
			before := c.members[0].machine.Status().Size
			c.busy(300 * ms)
			c.run(2*second, nil)
			if grown := c.members[0].machine.Status().Size > before; grown != (quorum.Faults(n+1) > 0) {
				t.Errorf("the ledger grows without the new member: %v", grown)
			}
		})
	}
}

// TestLeave has a member leave. It goes on following, and votes no more.
func TestLeave(t *testing.T) {
	for _, n := range []int{2, 3, 4, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCluster(t, n)
			c.busy(300 * ms)
			gone := c.members[1]
			// What it has authored shortly before is certified later than that.
			for range 50 {
				gone.submit(protocol.KindAttest)
			}
			c.remove(1)
			signed, size := gone.machine.heads.signed.Size, gone.author.size
			last := gone.begins[0].Committee
			if last.Has(1) || last.Logs() != n {
				t.Fatalf("epoch 1 has members %v of %d", last.Members(), last.Logs())
			}
			c.busy(500 * ms)
			c.must("settled", 5*second, c.settled)
			if gone.author.size != size || gone.machine.heads.signed.Size > max(signed, cutsOf(gone, 0)) {
				t.Errorf("it has cosigned up to %d, and authored up to %d, from %d", gone.machine.heads.signed.Size, gone.author.size, size)
			}
			if seen := c.members[0].machine.Status().Seen[1]; seen != size {
				t.Errorf("its log is ordered up to %d of %d", seen, size)
			}
			if st := gone.machine.Status(); st.Epoch != 1 || st.Checkpoint != st.Size {
				t.Errorf("it follows to %+v", st)
			}
			gone.crash(0)
			gone.boot()
			c.busy(500 * ms)
			c.must("settled", 5*second, c.settled)
			idle(t, c)
		})
	}
}

// cutsOf is the largest checkpoint of an epoch that a member remembers.
func cutsOf(m *member, epoch uint64) (size uint64) {
	for _, cut := range m.machine.heads.cuts {
		if cut.Epoch == epoch {
			size = max(size, cut.Size)
		}
	}
	return size
}

// idle demands that nobody does anything any more.
func idle(t *testing.T, c *cluster) {
	t.Helper()
	c.run(3*second, nil)
	stirs := func() (n int) {
		for _, m := range c.members {
			n += m.ticks + len(m.advances)
		}
		return n + c.sent
	}
	before := stirs()
	c.run(60*second, nil)
	if n := stirs() - before; n > 0 {
		t.Errorf("%d ticks, advances and messages when all is ordered", n)
	}
}

// TestReplace has a member take another's place, and a member change its address.
func TestReplace(t *testing.T) {
	c := newNetwork(t, 4, 5)
	c.busy(200 * ms)
	c.members[4].boot()
	c.change(protocol.ActionMembershipReplace, map[string]any{"name": c.all[2].Name, "member": c.all[4]})
	c.busy(300 * ms)
	c.must("settled", 5*second, c.settled)
	moved := c.all[0]
	moved.Addrs = []string{"/ip4/192.0.2.99/tcp/1"}
	c.change(protocol.ActionMembershipReplace, map[string]any{"name": moved.Name, "member": moved})
	c.busy(300 * ms)
	c.must("settled", 5*second, c.settled)
	got := c.epochs.Latest()
	if !slices.Equal(got.Members(), []protocol.MemberID{0, 1, 3, 4}) || got.Roster()[0].Addrs[0] != moved.Addrs[0] {
		t.Errorf("epoch %d has members %v, the first at %v", got.Epoch(), got.Members(), got.Roster()[0].Addrs)
	}
	idle(t, c)
}

// TestParams changes how often there is a checkpoint.
func TestParams(t *testing.T) {
	c := newCluster(t, 4)
	c.busy(500 * ms)
	c.change(protocol.ActionParamsSet, map[string]any{"checkpoint_ms": 1000})
	m := c.members[0]
	before := len(m.checkpoints)
	c.busy(5 * second)
	c.must("settled", 5*second, c.settled)
	if more := len(m.checkpoints) - before; more < 3 || more > 7 {
		t.Errorf("%d checkpoints in five seconds", more)
	}
	m.crash(len(m.unsynced))
	m.boot()
	if got := m.machine.params.CheckpointMS; got != 1000 {
		t.Errorf("after a restart, there is one every %d ms", got)
	}
}

// TestLastCheckpoint demands that an epoch end with a checkpoint that its own
// members cosign, wherever the ledger's time stands.
func TestLastCheckpoint(t *testing.T) {
	c := newNetwork(t, 4, 6)
	c.change(protocol.ActionParamsSet, map[string]any{"checkpoint_ms": 3_600_000})
	for who := range 2 {
		who += 4
		c.busy(100 * ms)
		var ends []Cut
		first := c.members[0]
		before := first.machine.ledger.cut
		first.watch = func() {
			if cut := first.machine.ledger.cut; cut != before && !slices.Contains(ends, cut) {
				ends = append(ends, cut)
			}
		}
		epoch := c.epochs.Latest().Epoch()
		c.add(who)
		c.run(second, nil)
		if len(ends) != 1 || ends[0].Epoch != epoch {
			t.Fatalf("epoch %d ends with %+v", epoch, ends)
		}
		first.watch = nil
		for _, m := range c.members[:4] {
			if cert := m.machine.heads.cert; cert.Size() != ends[0].Size || cert.Epoch() != epoch {
				t.Errorf("member %d has a certificate at %d of epoch %d, want %+v", m.id, cert.Size(), cert.Epoch(), ends[0])
			}
		}
		c.members[who].boot()
	}
}

// TestCatchUpOverEpochs has members come to several epochs at once: one that was
// down from the beginning, one that stopped in the middle, and two that join later.
func TestCatchUpOverEpochs(t *testing.T) {
	c := newNetwork(t, 7, 10)
	c.members[4].crash(0)
	busy := func() { c.busy(200 * ms); c.run(300*ms, nil) }
	busy()
	c.add(7)
	c.members[7].boot()
	busy()
	c.members[3].crash(0)
	busy()
	c.remove(3)
	busy()
	c.add(8)
	c.members[8].boot()
	busy()
	c.remove(0)
	busy()
	for _, id := range []int{3, 4, 9} {
		c.members[id].boot()
	}
	c.must("settled", 10*second, c.settled)
	for _, id := range []int{3, 4, 9} {
		if m := c.members[id]; len(m.begins) < 3 || len(m.blames)+len(m.alarms)+len(m.halts) > 0 {
			t.Errorf("member %d comes to %d epochs, with %v, %v, %v", id, len(m.begins), m.blames, m.alarms, m.halts)
		}
	}
	c.add(9)
	busy()
	c.must("settled", 10*second, c.settled)
	idle(t, c)
}

// TestStopsBetweenEpochs stops a member at every step around the beginning of an
// epoch, with more or less of what it has written durable.
func TestStopsBetweenEpochs(t *testing.T) {
	stops := 0
	for step := range 40 {
		c := newNetwork(t, 4, 5)
		c.busy(100 * ms)
		if c.members[2].stopAround(step, []int{0, 1, 100}[step%3]) {
			stops++
		}
		c.members[4].boot()
		c.busy(100 * ms)
		c.must("settled", 5*second, c.settled)
	}
	if stops < 30 {
		t.Errorf("only %d stops", stops)
	}
}

// stopAround has a fifth member join, and this one stop at a step from where that
// is decided on, with some records of what it has not synced. It answers whether
// there was such a step.
func (m *member) stopAround(step, keep int) (stopped bool) {
	c, left := m.c, -1
	m.watch = func() {
		pending := m.machine.book.State().Pending != (protocol.Hash{})
		if left < 0 && (pending || m.machine.committee.Epoch() > 0) {
			left = step
		}
		if left == 0 {
			m.watch, stopped = nil, true
			c.after(0, func() { // the step's effects come first
				m.crash(min(keep, len(m.unsynced)))
				c.after(10*ms, m.boot)
			})
		}
		left--
	}
	c.decide(protocol.ActionMembershipAdd, map[string]any{"member": c.all[4]})
	c.busy(300 * ms)
	c.must("in the next epoch", 5*second, func() bool {
		return !slices.ContainsFunc(c.members[:4], func(m *member) bool { return m.machine == nil || m.committee.Epoch() == 0 })
	})
	return stopped
}

// TestForeignCertificates offers certificates and cosignatures of other epochs.
// They count for nothing, and nobody is blamed for them.
func TestForeignCertificates(t *testing.T) {
	c := newNetwork(t, 4, 5)
	c.busy(300 * ms)
	c.add(4)
	c.busy(300 * ms)
	c.must("settled", 5*second, c.settled)
	m := c.members[0]
	cert := m.machine.heads.cert
	c.tamper = func(wire.Message, protocol.MemberID, protocol.MemberID) wire.Message { return nil }
	c.busy(300 * ms)
	cut := m.machine.ledger.cut
	if cut.Epoch != 1 || cert.Size() >= cut.Size || m.machine.heads.cert != cert {
		t.Fatalf("%+v, certified up to %d", cut, m.machine.heads.cert.Size())
	}
	for epoch, size := range map[uint64]uint64{0: cut.Size, 2: cut.Size, 3: cut.Size + 7} {
		head := c.certified(size, other(cut.Root), 0, 1, 2, 3)
		head.Cert.Epoch = epoch
		m.hears(1, head)
	}
	head := c.certified(cut.Size+7, other(cut.Root), 0, 1, 2)
	m.hears(1, head) // of the founding epoch, of what comes behind it
	m.expect(cert.Size(), 0, 0, 0)
	if m.machine.heads.ahead != nil {
		t.Error("a certificate of the wrong epoch is kept")
	}
	old := c.Vote(1, protocol.Ledger, cut.Size, cut.Root, uint64(m.committee.Since()/second)-10)
	m.hears(1, &wire.LedgerHead{
		Voter: 1, Head: wire.Signed{Size: cut.Size, Root: cut.Root, Time: old.Time, Sig: old.Sig}, Cert: quorum.Claim{Log: protocol.Ledger},
	})
	if m.machine.heads.tallies[cut.Size].Has(1) {
		t.Error("a cosignature from long before the epoch counts")
	}
	for _, voter := range []protocol.MemberID{1, 2, 4} {
		m.hears(voter, c.cosigned(voter, cut.Size, cut.Root))
	}
	m.expect(cut.Size, 0, 0, 0)
	if got := m.machine.heads.cert.Epoch(); got != 1 {
		t.Errorf("the certificate is of epoch %d", got)
	}
}

// TestGoneMembersCosign has one that has left cosign, in its own epoch's way, a
// ledger that is not this one. That is nothing to be alarmed about.
func TestGoneMembersCosign(t *testing.T) {
	c := newCluster(t, 5)
	c.busy(300 * ms)
	c.remove(4)
	c.busy(300 * ms)
	c.must("settled", 5*second, c.settled)
	m := c.members[0]
	cut := m.machine.ledger.cut
	m.hears(4, c.cosigned(4, cut.Size, other(cut.Root)))
	m.hears(4, c.cosigned(4, cut.Size+5, other(cut.Root)))
	m.expect(cut.Size, 0, 0, 0)
	m.hears(3, c.cosigned(3, cut.Size, other(cut.Root)))
	m.expect(cut.Size, 1, 0, 0)
}

// TestEpochsAtRandom has networks change their members again and again, under
// load, while members stop and come back.
func TestEpochsAtRandom(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 12
	}
	turns := 0
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(uint64(seed), 5))
		n := []int{1, 2, 3, 4, 4, 5, 7}[rng.IntN(7)]
		c := newNetwork(t, n, n+4)
		c.rng = rng
		c.certify, c.travel = protocol.Micros(1+rng.IntN(20))*ms, protocol.Micros(rng.IntN(10))*ms
		c.jitter = protocol.Micros(rng.IntN(2)*rng.IntN(40)) * ms
		for range 3 + rng.IntN(4) {
			c.stir(rng)
			turns++
		}
		for _, m := range c.members {
			if m.machine == nil {
				m.boot()
			}
		}
		c.busy(200 * ms)
		c.must(fmt.Sprintf("settled, with seed %d", seed), 20*second, c.settled)
		for _, m := range c.members {
			if len(m.alarms)+len(m.halts)+len(m.blames) > 0 {
				t.Errorf("seed %d: member %d: %v %v %v", seed, m.id, m.alarms, m.halts, m.blames)
			}
		}
	}
	t.Logf("%d turns", turns)
}

// stir changes the members of a network, while some stop and come back.
func (c *cluster) stir(rng *rand.Rand) {
	c.t.Helper()
	now := c.epochs.Latest()
	victims := rng.IntN(quorum.Faults(now.N()) + 1)
	for range victims {
		m := c.members[rng.IntN(len(c.members))]
		if m.machine != nil {
			m.crash(rng.IntN(len(m.unsynced) + 1))
			c.after(protocol.Micros(rng.IntN(600))*ms, func() {
				if m.machine == nil {
					m.boot()
				}
			})
		}
	}
	c.busy(protocol.Micros(rng.IntN(300)) * ms)
	action, payload := c.anyChange(rng, now)
	c.decideByAll(action, payload)
	c.busy(protocol.Micros(rng.IntN(300)) * ms)
	next := now.Epoch() + 1
	c.must("in the next epoch", 20*second, func() bool {
		return !slices.ContainsFunc(c.members, func(m *member) bool { return m.machine != nil && m.committee.Epoch() < next })
	})
	for _, m := range c.members {
		if m.machine == nil && c.epochs.Latest().Known(m.id) {
			m.boot()
		}
	}
}

// decideByAll waits until all voters are there, before they vote.
func (c *cluster) decideByAll(action string, payload any) {
	c.t.Helper()
	c.must("back", 20*second, func() bool {
		return !slices.ContainsFunc(c.members, func(m *member) bool { return m.machine == nil && c.epochs.Latest().Has(m.id) })
	})
	c.must("in one epoch", 20*second, func() bool {
		return !slices.ContainsFunc(c.members, func(m *member) bool {
			return m.machine != nil && m.committee.Epoch() < c.epochs.Latest().Epoch()
		})
	})
	c.decide(action, payload)
}

func (c *cluster) anyChange(rng *rand.Rand, now *quorum.Committee) (string, any) {
	members := now.Members()
	leaver := c.all[members[rng.IntN(len(members))]].Name
	free := now.Logs()
	if free < len(c.all) && c.members[free].machine == nil && rng.IntN(3) == 0 {
		c.members[free].boot()
	}
	switch what := rng.IntN(4); {
	case what == 0 || free == len(c.all) && len(members) == 1:
		return protocol.ActionParamsSet, map[string]any{"checkpoint_ms": 50 + rng.IntN(200)}
	case free == len(c.all) || what == 1 && len(members) > 1:
		return protocol.ActionMembershipRemove, map[string]any{"name": leaver}
	case what == 2:
		return protocol.ActionMembershipReplace, map[string]any{"name": leaver, "member": c.all[free]}
	}
	return protocol.ActionMembershipAdd, map[string]any{"member": c.all[free]}
}

// TestRoundsGoBack has members claim rounds that the next epoch takes from them:
// three of four are a quorum, and not of five. What they are to claim there is less
// than what they have claimed, and no claim may be. So that they go on, theirs must
// run ahead; also if all of them stop when the epoch has begun.
func TestRoundsGoBack(t *testing.T) {
	for name, stop := range map[string]bool{"going on": false, "stopping": true} {
		t.Run(name, func(t *testing.T) {
			moved := 0
			for seed := range 40 {
				c := newNetwork(t, 4, 5)
				c.rng = rand.New(rand.NewPCG(uint64(seed), 6))
				c.jitter = 20 * ms
				if c.shove(stop) {
					moved++
				}
				if seed%2 == 0 {
					c.members[1].submit(protocol.KindAttest)
				}
				c.run(100*ms, nil)
				c.must(fmt.Sprintf("settled, with seed %d", seed), 10*second, c.settled)
				if stop {
					c.restart()
				}
				c.members[1].submit(protocol.KindAttest) // and nobody else has any
				c.run(100*ms, nil)
				c.must(fmt.Sprintf("settled again, with seed %d", seed), 10*second, c.settled)
				idle(t, c)
			}
			t.Logf("rounds go back in %d networks", moved)
			if moved < 10 {
				t.Error("the rounds hardly ever go back: the test proves little")
			}
		})
	}
}

// shove has a member join while another is down. Where it says so, all stop when
// the epoch has begun. It answers whether claims have come to run ahead.
func (c *cluster) shove(stop bool) (moved bool) {
	c.busy(200 * ms)
	c.members[3].crash(0)
	c.members[4].boot()
	for _, m := range c.members[:3] {
		m.watch = func() { moved = moved || m.machine.pace.ahead > 0 }
	}
	c.decide(protocol.ActionMembershipAdd, map[string]any{"member": c.all[4]})
	c.busy(20 * ms)
	c.must("in the next epoch", 10*second, func() bool { return c.members[0].committee.Epoch() > 0 })
	if stop {
		c.restart()
	}
	return moved
}

// restart stops and starts all that are up.
func (c *cluster) restart() {
	c.t.Helper()
	for _, m := range c.members {
		if m.machine != nil {
			m.crash(len(m.unsynced))
			m.boot()
		}
	}
}

// TestLogBeforeItsEpoch has a batch of a log come that the next epoch knows.
func TestLogBeforeItsEpoch(t *testing.T) {
	c := newNetwork(t, 4, 5)
	c.busy(200 * ms)
	b := &wire.Batch{Author: 4, Epoch: 1, Time: c.now, Items: []wire.Item{{Kind: protocol.KindAttest, Body: []byte(`{}`)}}}
	b.Cert.Log = 4
	record := putBatch(t, b)
	b.Epoch = 0 // a witness machine would hold it back, as the cluster does
	for _, m := range c.members {
		m.extend(b, record)
		m.author.certified[4] = 0 // nobody names it yet
	}
	a := &c.members[4].author
	a.size, a.time = b.Size(), b.Time
	c.busy(200 * ms)
	c.must("settled", 5*second, c.settled)
	c.add(4)
	for _, m := range c.members {
		m.author.certified[4] = b.Size()
	}
	c.busy(200 * ms)
	c.must("settled", 5*second, c.settled)
	if seen := c.members[0].machine.Status().Seen[4]; seen != b.Size() {
		t.Errorf("its log is ordered up to %d", seen)
	}
	c.members[4].boot()
	c.busy(200 * ms)
	c.must("settled", 5*second, c.settled)
}

// TestCertificateOfWhatNeverCame has a quorum of an epoch cosign what would lie
// behind the epoch's end. It stands in the way of nothing.
func TestCertificateOfWhatNeverCame(t *testing.T) {
	c := newNetwork(t, 4, 5)
	c.busy(200 * ms)
	m := c.members[0]
	m.hears(1, c.certified(1<<40, protocol.Hash{}, 0, 1, 2))
	if m.machine.heads.ahead == nil {
		t.Fatal("a certificate of the present epoch is not kept")
	}
	c.add(4)
	c.members[4].boot()
	c.busy(200 * ms)
	c.must("settled", 5*second, c.settled)
	if m.machine.heads.ahead != nil {
		t.Error("it is kept in the next epoch")
	}
	m.expect(m.machine.ledger.cut.Size, 0, 0, 0)
}
