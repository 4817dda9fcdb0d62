package simulation

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// liar is what a member does that does not keep to the protocol. It has the
// real key and a real machine, whose messages it changes, holds back or adds to.
type liar struct {
	w       *world
	n       *node
	rng     *rand.Rand
	does    map[string]bool
	few     []bool // the members that it talks to, if it talks to a few
	heardOf [][]byte
	forgery forgery
	rounds  rounds
	puppet  puppet
	known   []protocol.Proposal
	stopped bool
}

// behaviour is a way to lie. Each is said in one sentence.
type behaviour struct {
	says string
	// attack is what the liar does of itself from time to time, if anything.
	attack func(l *liar)
}

// behaviours are the ways to lie, by name.
var behaviours = map[string]behaviour{
	"equivocate": {"signs several histories of its log and shows each to some", (*liar).equivocate},
	"double-vote": {"votes for everything that it hears of, whatever it voted for before, and tells everybody",
		nil},
	"withhold":    {"never votes, nor cosigns the ledger", nil},
	"late":        {"dates its batches and votes far back", nil},
	"early":       {"dates its batches and votes far ahead", nil},
	"few":         {"talks to a few members only", nil},
	"garbage":     {"sends noise and damaged copies of what it heard", (*liar).garbage},
	"replay":      {"sends what it heard before again", (*liar).replay},
	"stale":       {"answers requests with old, cut or mixed up ranges, and boasts of logs that it has not", nil},
	"bad-parents": {"signs batches with parents that are not certified, not there or out of order", (*liar).badParents},
	"backwards":   {"signs batches that are earlier than the ones before them", (*liar).backwards},
	"change":      {"passes on the batches of others with changed events", nil},
	"forge":       {"tells votes and certificates of others with signatures that it made up", (*liar).forge},
	"silent":      {"says nothing at all", nil},
	"rounds":      {"claims rounds that nobody has come to, or always the first", nil},
	"ledger":      {"cosigns ledgers that there are not, and tells each member another", (*liar).forkLedger},
	"hoard":       {"keeps certificates from all but a few members", nil},
	"hide-parents": {"authors a log whose batches name few parents or old ones, and claim rounds without a past for them",
		(*liar).hideParents},
	"two-votes": {"votes for and against everything that is proposed", nil},
	"copycat":   {"puts the proposals and votes of others into its own log, and proposes what they propose in its own name", nil},
	"meddle":    {"proposes, votes, withdraws and reports what is not its to, too early, too late or again", (*liar).meddle},
	"hurry":     {"dates its batches as far ahead as others take them, so that proposals expire early", (*liar).hurry},
}

// attackEvery is the mean time between two attacks of a liar.
const attackEvery = 150 * protocol.Millisecond

// maxHeard bounds what a liar remembers to send again.
const maxHeard = 64

// chooseLiars makes some members lie as the scenario and the seed say.
func (w *world) chooseLiars() {
	rng := newStream(w.seed, streamLiars)
	for _, i := range rng.Perm(len(w.nodes))[:w.scenario.Liars.Members] {
		n := w.nodes[i]
		l := &liar{w: w, n: n, rng: newStream(rng.Uint64(), streamLiars), does: map[string]bool{}}
		names := w.scenario.Liars.Behaviours
		if len(names) == 0 {
			all := sortedKeys(behaviours)
			l.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			names = all[:1+l.rng.IntN(3)]
		}
		for _, name := range names {
			l.does[name] = true
			w.stats.fault("liar:" + name)
		}
		l.prepare()
		n.liar = l
	}
}

func (l *liar) prepare() {
	l.few = make([]bool, l.w.scenario.everMembers())
	for i := range l.few {
		l.few[i] = l.rng.IntN(2) == 0
	}
	l.rounds.way = l.rng.IntN(roundsWays)
	switch {
	case l.does["late"]:
		l.n.clock.jump(-between(l.rng, protocol.Second, 86_400*protocol.Second))
	case l.does["early"]:
		l.n.clock.jump(between(l.rng, protocol.Second, 3_600*protocol.Second))
	case l.does["hurry"]:
		l.n.clock.jump(l.w.params.MaxFuture() * 9 / 10)
	}
}

// String names what the liar does.
func (l *liar) String() string {
	var names []string
	for name := range l.does {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, "+")
}

// deaf reports whether the liar answers no client.
func (l *liar) deaf() bool { return l.does["silent"] || l.does["hide-parents"] }

// start sets the attacks going.
func (l *liar) start() {
	var attacks []func(*liar)
	for _, name := range sortedKeys(behaviours) {
		if b := behaviours[name]; b.attack != nil && l.does[name] {
			attacks = append(attacks, b.attack)
		}
	}
	if len(attacks) > 0 {
		l.next(attacks)
	}
}

func (l *liar) next(attacks []func(*liar)) {
	l.w.sched.after(exponential(l.rng, attackEvery), func() {
		if l.stopped {
			return
		}
		if l.n.up && !l.does["silent"] {
			attacks[l.rng.IntN(len(attacks))](l)
		}
		l.next(attacks)
	})
}

// send sends what the liar makes of a message of its machine.
func (l *liar) send(msg wire.Message, to []protocol.MemberID) {
	if l.does["silent"] {
		return
	}
	if votes, ok := msg.(*wire.Votes); ok && l.does["withhold"] && votes.Voter == l.n.id {
		return
	}
	if _, ok := msg.(*wire.LedgerHead); ok && l.does["withhold"] {
		return
	}
	if _, ok := msg.(*wire.Evidence); ok && (l.does["equivocate"] || l.does["double-vote"]) {
		return // which it would not give away
	}
	if batch, ok := msg.(*wire.Batch); ok && batch.Author == l.n.id {
		l.forgery.follow(batch)
	}
	if l.does["stale"] {
		msg = l.stale(msg)
	}
	if r, ok := msg.(*wire.Range); ok && l.does["forge"] {
		msg = l.forgeRange(r)
	}
	for _, id := range to {
		if out := l.hoard(l.otherLedger(msg), id); out != nil && (!l.does["few"] || l.few[id]) {
			l.w.send(l.n.id, out, id)
		}
	}
}

// heard sees what the liar's machine is about to receive.
func (l *liar) heard(_ protocol.MemberID, data []byte) {
	if l.does["replay"] || l.does["garbage"] {
		if len(l.heardOf) < maxHeard {
			l.heardOf = append(l.heardOf, data)
		} else {
			l.heardOf[l.rng.IntN(maxHeard)] = data
		}
	}
	if l.stopped || !l.listens() {
		return
	}
	m, err := l.w.decoded.read(data, l.w.maxMessage)
	if err != nil {
		return
	}
	if votes, ok := m.(*wire.Votes); ok && l.does["hide-parents"] {
		l.count(votes)
		return
	}
	b, ok := m.(*wire.Batch)
	if !ok || !l.w.committee.Has(b.Author) || b.Author == l.n.id {
		return
	}
	l.overhear(b)
	if l.does["double-vote"] {
		l.voteFor(b)
	}
	if l.does["change"] {
		l.change(b)
	}
}

// listens reports whether the liar makes something of what it hears.
func (l *liar) listens() bool {
	for _, name := range []string{"double-vote", "change", "hide-parents", "two-votes", "copycat", "meddle"} {
		if l.does[name] {
			return true
		}
	}
	return false
}

// change passes on a batch as its author never signed it.
func (l *liar) change(b *wire.Batch) {
	if len(b.Items) == 0 {
		return
	}
	changed := *b
	changed.Items = slices.Clone(b.Items)
	changed.Items[l.rng.IntN(len(b.Items))].Body = []byte(`{"payload":{"changed":true},"type":"sim.changed"}`)
	l.tell(&changed, func(id protocol.MemberID) bool { return id != b.Author && l.rng.IntN(2) == 0 })
}

func (l *liar) voteFor(b *wire.Batch) {
	sig := l.w.signers[l.n.id].Cosign(l.w.committee.Checkpoint(b.Author, b.Size(), b.Root), l.n.clock.read(l.w.sched.now).Seconds())
	msg := &wire.Votes{Voter: l.n.id, Votes: []wire.Vote{{Log: b.Author, Size: b.Size(), Root: b.Root, Time: sig.Time, Sig: sig.Bytes}}}
	l.tell(msg, everybody)
}

// tell sends a message to the members that a predicate names.
func (l *liar) tell(msg wire.Message, which func(protocol.MemberID) bool) {
	for i := range l.w.nodes {
		if id := protocol.MemberID(i); id != l.n.id && which(id) {
			l.w.send(l.n.id, msg, id)
		}
	}
}

func everybody(protocol.MemberID) bool { return true }

// someone is any other member that the liar's machines know of.
func (l *liar) someone() protocol.MemberID {
	all := l.n.standing().Logs()
	if l.n.machine != nil {
		all = len(l.n.machine.Status())
	}
	return protocol.MemberID((int(l.n.id) + 1 + l.rng.IntN(max(all-1, 1))) % all)
}

func (l *liar) garbage() {
	data := make([]byte, 1+l.rng.IntN(300))
	for i := range data {
		data[i] = byte(l.rng.Uint32())
	}
	if len(l.heardOf) > 0 && l.rng.IntN(3) > 0 {
		data = slices.Clone(l.heardOf[l.rng.IntN(len(l.heardOf))])
		for range 1 + l.rng.IntN(3) {
			data[l.rng.IntN(len(data))] ^= 1 << l.rng.IntN(8)
		}
	}
	l.w.net.send(l.n.id, l.someone(), data)
}

func (l *liar) replay() {
	for range 1 + l.rng.IntN(20) {
		if len(l.heardOf) > 0 {
			l.w.net.send(l.n.id, l.someone(), l.heardOf[l.rng.IntN(len(l.heardOf))])
		}
	}
}

// stale spoils what others catch up with.
func (l *liar) stale(msg wire.Message) wire.Message {
	switch msg := msg.(type) {
	case *wire.Range:
		r := *msg
		switch l.rng.IntN(4) {
		case 0:
			r.Items = nil
		case 1:
			r.Items = r.Items[:l.rng.IntN(len(r.Items)+1)]
			r.More = true
		case 2:
			r.Items = slices.Clone(r.Items)
			slices.Reverse(r.Items)
		case 3:
			r.Log = l.someone()
		}
		return &r
	case *wire.Heads:
		h := *msg
		h.Heads = slices.Clone(h.Heads)
		for i := range h.Heads {
			switch l.rng.IntN(4) {
			case 0:
				h.Heads[i].Signed.Size += uint64(l.rng.IntN(1000))
			case 1:
				h.Heads[i].Certified += uint64(l.rng.IntN(1000))
			case 2:
				h.Heads[i].Frozen = true
			}
		}
		return &h
	}
	return msg
}
