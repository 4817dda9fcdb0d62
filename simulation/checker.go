package simulation

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// Violation is something that must never be.
type Violation struct {
	// Rule names what was broken.
	Rule string `json:"rule"`
	// At is when, in microseconds of the run.
	At     protocol.Micros `json:"at_us"`
	Detail string          `json:"detail"`
}

// maxViolations bounds what a run tells: the first one matters most.
const maxViolations = 20

// checker holds a run to what must always be true, seeing all members at once:
//
//	certificate  no two certificates for one log and size have different roots,
//	             and each has cosignatures of a quorum, which its signers made
//	vote         no honest member cosigns two roots for one log and size
//	recovery     no member that lost its disk signs over what is certified of its log
//	durable      what an honest member cosigned, it has on disk, and what it says
//	             to have of a log
//	frozen       no honest member votes for a log once it holds evidence against
//	             its author
//	proof        an answer's proof verifies against the network's policy of then, and
//	             against the one over all epochs in the end
//	kept         what was acknowledged is in the certified log of every member
//	prefix       the logs of honest members agree
//	time         a batch is later than the one before it and than its parents,
//	             and no honest member cosigns what lies too far ahead of its clock
//	parents      nobody cosigns a batch whose parents have no certificate, or with
//	             roots that are not theirs
//	blame        nobody finds an honest member at fault
//	bounds       no queue outgrows its bound
//	answers      every submission has one answer, which is about it
//	codec        members read what members write
//	ledger       all have the same entries at the same places, each log's in its
//	             order and behind their parents, and recovery does not move them
//	checkpoint   no two certificates of the ledger disagree, and no honest member
//	             cosigns two roots, or a root that is not durable with it
//	linearizable what is submitted behind an answer gets a later place
//	causality    so does what a client says to come after what it has seen
//	decision     all come to the same decisions at the same places, each proposal to
//	             one, which are those that the dumb twin comes to; what clients are
//	             told is what the ledger has
//	ends         a proposal comes to an end in time of its deadline, and does not
//	             expire before
//	epoch        all come to the same epochs at the same places of the ledger; a
//	             certificate is a quorum of the committee that it names, whose
//	             members signed when that was there
//	left         who is no member of an epoch neither authors nor votes in it
//	fence        no honest member votes as of an epoch that it has left behind, but
//	             for what others may have voted for there
//	handover     nor in one before it knows what was voted for in the one before
//	fork         no honest member's ledger is halted, nor is it suspected
//	machine      no machine fails, unless its disk does
//	storage      what is persisted fits what is stored
//	liveness     once faults have ended, all converge in time, also on whom there is
//	             evidence against, and then answer what they are given
type checker struct {
	w          *world
	violations []Violation
	certs      map[headKey]protocol.Hash
	votes      map[voteKey]protocol.Hash
	newest     []uint64 // largest certified size of each log
	acks       []ack
	ledger     ledgerCheck
	decisions  decisionCheck
	epochs     epochCheck
	// learnt is the event of the run in which a member got evidence against
	// another, or started with it: what it had voted for in that turn leaves it
	// before that, or behind.
	learnt map[[2]protocol.MemberID]uint64
}

type headKey struct {
	log  protocol.MemberID
	size uint64
}

type voteKey struct {
	headKey
	voter protocol.MemberID
}

// ack is an acknowledged leaf.
type ack struct {
	log   protocol.MemberID
	index uint64
	leaf  tlog.Hash
}

// proveEvery is how many answers one proof is verified for: verifying is the
// dearest thing that a checker does.
const proveEvery = 16

func newChecker(w *world) *checker {
	return &checker{
		w: w, certs: map[headKey]protocol.Hash{}, votes: map[voteKey]protocol.Hash{},
		newest: make([]uint64, w.scenario.everMembers()), violations: []Violation{},
		ledger: newLedgerCheck(w.scenario.everMembers()), decisions: newDecisionCheck(), epochs: newEpochCheck(), learnt: map[[2]protocol.MemberID]uint64{},
	}
}

func (c *checker) fail(rule, format string, args ...any) {
	if len(c.violations) >= maxViolations {
		return
	}
	v := Violation{rule, c.w.sched.now - epoch, fmt.Sprintf(format, args...)}
	c.violations = append(c.violations, v)
	c.w.trace.say(c.w.sched.now, -1, "VIOLATION of %s: %s", rule, v.Detail)
	c.w.stats.marks = append(c.w.stats.marks, Mark{"violation", -1, v.At})
}

// said sees every message of an honest member.
func (c *checker) said(n *node, msg wire.Message) {
	switch msg := msg.(type) {
	case *wire.Votes:
		if msg.Voter == n.id {
			for _, v := range msg.Votes {
				c.signed(n, v.Log, v.Size, v.Root)
			}
			c.votedAgainstEvidence(n, msg)
		}
	case *wire.Heads:
		c.reported(n, msg)
		for i, h := range msg.Heads {
			if i == 0 || msg.Heads[i-1].Log != h.Log { // else it was told of that itself
				c.told(n, h)
			}
		}
	case *wire.Range:
		if msg.Log == n.id {
			c.gave(n, msg)
		}
	case *wire.LedgerHead:
		if msg.Voter == n.id && msg.Head.Size > 0 {
			c.cosignedLedger(n, msg.Head.Size, msg.Head.Root)
		}
	case *wire.Batch:
		if msg.Author == n.id {
			c.signed(n, n.id, msg.Size(), msg.Root)
			c.checkRecovered(n, msg)
		}
	}
}

// told sees how much of a log a member says to have. What it says of its own
// is signed.
func (c *checker) told(n *node, h wire.Head) {
	size := h.Signed.Size
	if size == 0 {
		return
	}
	if h.Log == n.id {
		c.signed(n, n.id, size, h.Signed.Root)
	}
	if root, err := durableRoot(n, h.Log, size); err != nil || root != h.Signed.Root {
		c.fail("durable", "node-%d says to have %d leaves of node-%d's log, which are not durable", n.id+1, size, h.Log+1)
	}
}

// gave sees a member give away its own log, every batch of which is signed.
func (c *checker) gave(n *node, r *wire.Range) {
	for _, it := range r.Items {
		b, err := c.w.decoded.batch(it.Batch, c.w.maxMessage)
		if err != nil {
			c.fail("codec", "node-%d gives away what cannot be read: %v", n.id+1, err)
			return
		}
		c.signed(n, n.id, b.Size(), b.Root)
	}
}

// votedAgainstEvidence holds a member to what it knows of an author.
func (c *checker) votedAgainstEvidence(n *node, msg *wire.Votes) {
	status := n.machine.Status()
	for _, v := range msg.Votes {
		if at, ok := c.learnt[[2]protocol.MemberID{n.id, v.Log}]; status[v.Log].Frozen && ok && at != c.w.sched.count {
			c.fail("frozen", "node-%d votes for the log of node-%d at size %d, though it holds evidence against that one", n.id+1, v.Log+1, v.Size)
		}
	}
}

// booted notes what evidence a member starts with.
func (c *checker) booted(n *node) {
	for i, st := range n.machine.Status() {
		if key := [2]protocol.MemberID{n.id, protocol.MemberID(i)}; st.Frozen && c.learnt[key] == 0 {
			c.learnt[key] = c.w.sched.count
		}
	}
}

// checkRecovered holds a member that has lost its disk to what recovery gives
// it back: it never signs another history of what was certified of its log by
// then. What was still on its way may be certified later, and then the two
// histories meet.
func (c *checker) checkRecovered(n *node, b *wire.Batch) {
	if !n.lostDisk || b.Size() > n.certifiedWhenLost {
		return
	}
	for _, other := range c.w.nodes {
		if !c.w.honest(other.id) {
			continue
		}
		if root, err := durableRoot(other, n.id, b.Size()); err == nil && root != b.Root {
			c.fail("recovery", "node-%d has lost its disk and signs another history of its first %d leaves, which are certified", n.id+1, b.Size())
			return
		}
	}
}

// signed sees a cosignature of an honest member leave it.
func (c *checker) signed(n *node, log protocol.MemberID, size uint64, root protocol.Hash) {
	if !c.w.honest(n.id) {
		return
	}
	key := voteKey{headKey{log, size}, n.id}
	old, again := c.votes[key]
	if again && old != root {
		c.fail("vote", "node-%d cosigned %s and %s for the log of node-%d at size %d", n.id+1, old, root, log+1, size)
	}
	if again {
		return
	}
	c.votes[key] = root
	c.fenced(n, log, size)
	if stored, err := durableRoot(n, log, size); err != nil || stored != root {
		c.fail("durable", "node-%d cosigned the log of node-%d at size %d before it was durable", n.id+1, log+1, size)
		return
	}
	c.checkBatch(n, log, size)
}

// checkBatch holds a member to what it may cosign: a batch with a later time
// than the one before it, not too far ahead of the member's clock, and with
// certified parents. What a quorum has certified binds the member whatever it
// thinks of it, also where it has lost the certificate in a crash.
func (c *checker) checkBatch(n *node, log protocol.MemberID, size uint64) {
	if log == n.id || c.newest[log] >= size {
		return
	}
	b := c.durableBatch(n, log, size)
	if b == nil {
		return
	}
	if ahead := b.Time - n.latest; ahead > c.w.params.MaxFuture() {
		c.fail("time", "node-%d cosigned a batch of node-%d's that lies %s ahead of its clock", n.id+1, log+1, text(ahead))
	}
	if before := c.durableBatch(n, log, b.Old); before != nil && before.Time >= b.Time {
		c.fail("time", "node-%d cosigned a batch of node-%d's that is not later than the one before it", n.id+1, log+1)
	}
	for _, p := range b.Parents {
		if c.newest[p.Member] < p.Size {
			c.fail("parents", "node-%d cosigned a batch of node-%d's with a parent that nobody has a certificate of", n.id+1, log+1)
			continue
		}
		c.checkParent(n, b, p)
	}
}

// checkParent compares a certified parent with what the member stores of it.
func (c *checker) checkParent(n *node, b *wire.Batch, p protocol.Parent) {
	parent := c.durableBatch(n, p.Member, p.Size)
	switch {
	case parent == nil:
		c.fail("parents", "node-%d cosigned a batch of node-%d's with a parent of node-%d's that is empty or not durable", n.id+1, b.Author+1, p.Member+1)
	case parent.Size() != p.Size || parent.Root != p.Root:
		c.fail("parents", "node-%d cosigned a batch of node-%d's with another parent at size %d of node-%d's log than it stores", n.id+1, b.Author+1, p.Size, p.Member+1)
	case parent.Time >= b.Time:
		c.fail("time", "node-%d cosigned a batch of node-%d's that is not later than its parent, node-%d's at %d", n.id+1, b.Author+1, p.Member+1, p.Size)
	}
}

// durableBatch is the batch of a log that ends at size, from what a crash would
// leave, or nil at size 0.
func (c *checker) durableBatch(n *node, log protocol.MemberID, size uint64) *wire.Batch {
	if size == 0 {
		return nil
	}
	encoded, err := n.disk.durable.BatchAt(log, size-1)
	if err != nil {
		c.fail("durable", "node-%d: %v", n.id+1, err)
		return nil
	}
	b, err := c.w.decoded.batch(encoded, c.w.maxMessage)
	if err != nil {
		c.fail("codec", "node-%d stores what it cannot read: %v", n.id+1, err)
		return nil
	}
	return b
}

// durableRoot is the root of a log at a size, from what a crash would leave.
func durableRoot(n *node, log protocol.MemberID, size uint64) (protocol.Hash, error) {
	stored, err := n.disk.durable.Size(log)
	if err != nil || stored < size {
		return protocol.Hash{}, fmt.Errorf("%d leaves are durable: %w", stored, err)
	}
	root, err := tlog.TreeHash(int64(size), n.disk.durable.Hashes(log))
	return protocol.Hash(root), err
}

// certified sees every certificate that a member takes for good.
func (c *checker) certified(n *node, cert *quorum.Certificate) {
	if n.liar != nil {
		return
	}
	key := headKey{cert.Log(), cert.Size()}
	c.checkSigners(n, cert)
	old, again := c.certs[key]
	switch {
	case !again:
		c.certs[key] = cert.Root()
		c.w.stats.Certificates++
		c.newest[key.log] = max(c.newest[key.log], key.size)
		c.w.stats.marks = append(c.w.stats.marks, Mark{"certificate", int(key.log), c.w.sched.now - epoch})
	case old != cert.Root():
		c.fail("certificate", "the log of node-%d has certificates of %s and %s at size %d", key.log+1, old, cert.Root(), key.size)
	}
	c.w.trace.note(c.w.sched.now, traceCertify, int(n.id), nil, uint64(key.log), key.size)
	c.w.trace.say(c.w.sched.now, int(n.id), "holds a certificate of node-%d's log at size %d", key.log+1, key.size)
}

// checkSigners demands a quorum of signers, who have all signed this very head.
// What a member signs itself it may count before it sends it.
func (c *checker) checkSigners(n *node, cert *quorum.Certificate) {
	signers := map[protocol.MemberID]bool{}
	key := headKey{cert.Log(), cert.Size()}
	cp := c.w.committee.Checkpoint(key.log, key.size, cert.Root())
	for _, s := range cert.Cosignatures() {
		signers[s.Member] = true
		if !c.w.committee.Verifier(s.Member).Verify(cp, s.Signature()) {
			c.fail("certificate", "node-%d holds a certificate of node-%d's log at size %d whose cosignature of node-%d does not verify",
				n.id+1, key.log+1, key.size, s.Member+1)
		}
		root, signed := c.votes[voteKey{key, s.Member}]
		if c.w.honest(s.Member) && s.Member != n.id && (!signed || root != cert.Root()) {
			c.fail("certificate", "node-%d holds a cosignature of node-%d for node-%d's log at size %d, which that one never made",
				n.id+1, s.Member+1, key.log+1, key.size)
		}
	}
	c.checkQuorum(n, cert)
}

// acknowledged sees every answer that a client gets.
func (c *checker) acknowledged(n *node, e witness.Resolved, it witness.ResolvedItem) {
	if n.liar != nil {
		return // a liar may answer what it likes
	}
	leaf := recordHash(it.Entry)
	c.acks = append(c.acks, ack{n.id, it.Index, leaf})
	for _, s := range e.Cert.Cosignatures() {
		signer := c.w.nodes[s.Member]
		if !c.w.honest(s.Member) {
			continue
		}
		if got, err := leafAt(&signer.disk.durable.MemoryStorage, n.id, it.Index); err != nil || got != leaf {
			c.fail("durable", "node-%d cosigned leaf %d of node-%d, which it has not on disk: %v", s.Member+1, it.Index, n.id+1, err)
		}
	}
	if len(c.acks)%proveEvery == 1 {
		c.prove(n, e, it)
	}
}

func leafAt(s *witness.MemoryStorage, log protocol.MemberID, index uint64) (tlog.Hash, error) {
	h, err := s.Hashes(log).ReadHashes([]int64{tlog.StoredHashIndex(0, int64(index))})
	if err != nil {
		return tlog.Hash{}, err
	}
	return h[0], nil
}

// prove makes the proof that the API would answer with, and verifies it.
func (c *checker) prove(n *node, e witness.Resolved, it witness.ResolvedItem) {
	var reader tlog.HashReader = &e.Tree
	if it.Index < e.Tree.Base() {
		reader = n.disk.Hashes(n.id)
	}
	path, err := tlog.ProveRecord(int64(e.Cert.Size()), int64(it.Index), reader)
	if err != nil {
		c.fail("proof", "leaf %d of node-%d: %v", it.Index, n.id+1, err)
		return
	}
	cp := proof.NewCheckpoint(n.standing(), e.Cert)
	if b := c.durableBatch(n, n.id, e.Cert.Size()); b != nil {
		cp = cp.SignedBy(n.standing().Verifier(n.id), b.AuthorVote().Signature())
	}
	p := cp.Prove(it.Entry, it.Index, path)
	c.epochs.proofs = append(c.epochs.proofs, given{p, it.Entry.Hash.String(), n.id, it.Index})
	c.verify(c.epochs.proofs[len(c.epochs.proofs)-1])
}

func (c *checker) accused(n *node, e *wire.Evidence) {
	c.w.stats.Accusations++
	c.learnt[[2]protocol.MemberID{n.id, e.Author}] = c.w.sched.count
	c.w.trace.note(c.w.sched.now, traceAccuse, int(n.id), nil, uint64(e.Author))
	c.w.trace.say(c.w.sched.now, int(n.id), "has evidence against node-%d", e.Author+1)
	if n.liar == nil && c.w.honest(e.Author) {
		c.fail("blame", "node-%d has evidence against node-%d, which is honest", n.id+1, e.Author+1)
	}
}

func (c *checker) blamed(n *node, b machine.Blame) {
	c.w.stats.Blames++
	if n.liar == nil && c.w.honest(b.Member) && !c.w.corrupting() {
		c.fail("blame", "node-%d blames node-%d, which is honest: %s", n.id+1, b.Member+1, b.Reason)
	}
}

// final checks what can only be said at the end, when all is well again.
func (c *checker) final() {
	for i := range c.w.nodes {
		if n := c.w.nodes[i]; c.w.expected(n) && n.up {
			c.checkKept(n)
			c.checkTimes(n)
		}
	}
	c.checkPrefixes()
	c.checkLedger()
	for _, p := range c.epochs.proofs {
		c.verify(p)
	}
	c.checkDecisions()
}

// checkKept demands that a member's certified logs hold all that was
// acknowledged. A log that evidence has stopped gets no certificates any more,
// and its author may have lost its last ones: what they proved is still stored
// by who cosigned it.
func (c *checker) checkKept(n *node) {
	status := n.machine.Status()
	for _, a := range c.acks {
		got, err := leafAt(&n.disk.MemoryStorage, a.log, a.index)
		switch {
		case err == nil && got == a.leaf && status[a.log].Certified > a.index:
		case status[a.log].Frozen && c.storedBy(a) >= c.w.founding.Quorum()-c.w.faulty():
		default:
			c.fail("kept", "leaf %d of node-%d was acknowledged and is not certified at node-%d: %v", a.index, a.log+1, n.id+1, err)
			return
		}
	}
}

func (c *checker) storedBy(a ack) int {
	count := 0
	for _, n := range c.w.nodes {
		if got, err := leafAt(&n.disk.MemoryStorage, a.log, a.index); err == nil && got == a.leaf && c.w.honest(n.id) {
			count++
		}
	}
	return count
}

// checkTimes walks every log of a member and holds each batch to the time rule.
func (c *checker) checkTimes(n *node) {
	ends := map[headKey]protocol.Micros{}
	var batches []*wire.Batch
	for i := range n.machine.Status() {
		log := protocol.MemberID(i)
		size := n.machine.Status()[i].Certified
		for at := uint64(0); at < size; {
			encoded, err := n.disk.MemoryStorage.BatchAt(log, at)
			if err != nil || encoded == nil {
				c.fail("kept", "node-%d lacks leaf %d of node-%d: %v", n.id+1, at, log+1, err)
				return
			}
			b, err := c.w.decoded.batch(encoded, c.w.maxMessage)
			if err != nil {
				c.fail("codec", "node-%d stores what it cannot read: %v", n.id+1, err)
				return
			}
			if before := ends[headKey{log, b.Old}]; b.Time <= before {
				c.fail("time", "node-%d's batch at %d is not later than the one before", log+1, b.Old)
			}
			ends[headKey{log, b.Size()}] = b.Time
			c.decisions.times[b.Time] = true
			batches = append(batches, b)
			at = b.Size()
		}
	}
	for _, b := range batches {
		for _, p := range b.Parents {
			if t, ok := ends[headKey{p.Member, p.Size}]; !ok || b.Time <= t {
				c.fail("time", "node-%d's batch at %d is not later than its parent, node-%d at %d", b.Author+1, b.Old, p.Member+1, p.Size)
			}
		}
	}
}

// checkPrefixes compares the certified logs of honest members.
func (c *checker) checkPrefixes() {
	for i := range c.w.epochs.Latest().Logs() {
		log := protocol.MemberID(i)
		var size uint64
		var first *node
		var root tlog.Hash
		for _, n := range c.w.nodes {
			if !c.w.expected(n) || !n.up {
				continue
			}
			own := n.machine.Status()[i].Certified
			if first == nil {
				first, size = n, own
			}
			at := min(size, own)
			a, err := tlog.TreeHash(int64(at), first.disk.MemoryStorage.Hashes(log))
			b, err2 := tlog.TreeHash(int64(at), n.disk.MemoryStorage.Hashes(log))
			if root = a; err != nil || err2 != nil || root != b {
				c.fail("prefix", "node-%d and node-%d differ in the first %d leaves of node-%d (%v, %v)", first.id+1, n.id+1, at, log+1, err, err2)
			}
		}
	}
}
