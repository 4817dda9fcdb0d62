package witness

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

const (
	handoverGrace = 2 * protocol.Second
	// maxTargets bounds the heads of a log that this member has been told of and
	// does not store. An honest author has fewer without a certificate.
	maxTargets = 256
	// maxTold is how many of them it tells others of.
	maxTold = 32
)

// handover is how this member comes to vote in an epoch (rule W8). What was
// certified before has been voted for by honest members of the epoch before, at
// least one of which is in any quorum of it. So it hears from a quorum that votes
// there no more how much of each log they store, and votes for a log once it
// stores as much.
type handover struct {
	// known is the newest epoch that enough members have reported for, and complete
	// the newest for which that is durable.
	known, complete uint64
	// seq is the Persist that makes known durable, or 0.
	seq uint64
	// fenced is the newest epoch before which no signature of this member's will
	// be new to others, and sealed how much of its own log must be durable for it
	// to be the newest one: what is sealed is published when it is durable.
	fenced, sealed uint64
	// told is the newest epoch that this member has announced to all.
	told uint64
	// reports are the heads of members that have announced an epoch that this
	// member is not through with.
	reports map[protocol.MemberID]*wire.Heads
	askAt   protocol.Micros
	// sought is how often it has asked in vain who stores what it would vote for.
	sought int
	// graceAt is until when it waits for more reports, where those of a quorum do
	// not do for every log.
	graceAt protocol.Micros
}

// loadHandover goes on from the last handover that is durable.
func (m *Machine) loadHandover() error {
	h := &m.handover
	h.reports = map[protocol.MemberID]*wire.Heads{}
	h.fenced = m.committee.Epoch()
	stored, ok, err := m.store.Handover()
	if err != nil {
		return fmt.Errorf("%w: %w", errStorage, err)
	}
	if ok {
		if stored.Epoch > m.committee.Epoch() {
			return fmt.Errorf("%w: epoch %d has been entered, and epoch %d is the newest there is", errStorage, stored.Epoch, m.committee.Epoch())
		}
		h.known, h.complete = stored.Epoch, stored.Epoch
		for _, t := range stored.Targets {
			l := m.logs[t.Log]
			l.targets = append(l.targets, t.Signed)
			l.bound = max(l.bound, t.Signed.Size)
		}
		for _, l := range m.logs {
			l.knows = stored.Epoch
		}
		for _, p := range stored.Partial {
			m.logs[p.Log].knows = p.Knows
		}
	}
	h.told = m.announced()
	return nil
}

// fence notes that this member's signatures of earlier epochs are all known, if
// that is so.
func (m *Machine) fence() {
	if h := &m.handover; m.own.durable >= min(h.sealed, m.own.size()) {
		h.fenced = m.committee.Epoch()
	}
}

// announced is the epoch that this member's heads are a report for: it votes in
// none before, and has been told what there was to know for the one before.
func (m *Machine) announced() uint64 { return min(m.handover.fenced, m.handover.complete+1) }

// announce tells all whom it concerns what this member stores, when it has
// something new to report for.
func (m *Machine) announce() {
	e := m.announced()
	if e <= m.handover.told {
		return
	}
	m.handover.told = e
	for _, id := range m.membersOf(e-1, e, m.committee.Epoch()) {
		m.emit(Send{To: id, Msg: m.heads(false)})
	}
}

// membersOf are the members of epochs, but for this one, in ascending order.
func (m *Machine) membersOf(epochs ...uint64) []protocol.MemberID {
	var out []protocol.MemberID
	for _, e := range epochs {
		c, _ := m.epochs.At(e)
		out = append(out, c.Members()...)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(id protocol.MemberID) bool { return id == m.self })
}

// ask asks for the reports that are missing.
func (m *Machine) ask() error {
	h := &m.handover
	h.askAt = 0
	newest := m.committee.Epoch()
	switch {
	case h.known < newest:
		h.askAt = m.after(recoverEvery)
		for _, id := range m.membersOf(h.known, newest-1, newest) {
			if r := h.reports[id]; r == nil || r.Knows < newest {
				m.greet(id)
			}
		}
		return m.takeHandover() // it may have waited long enough
	case m.partly():
		h.askAt = m.after(headsEvery)
		for _, id := range m.membersOf(h.known-1, h.known) {
			m.greet(id)
		}
	case m.voting() && slices.ContainsFunc(m.logs, m.seeks):
		h.askAt = m.after(headsEvery << min(h.sought, maxSeek))
		h.sought++
		for _, id := range m.membersOf(newest) {
			m.greet(id)
		}
	}
	return nil
}

// partly reports whether there is a log that not enough is known of to vote.
func (m *Machine) partly() bool {
	return slices.ContainsFunc(m.logs, m.partial)
}

// partial reports whether this member has been told too little of a log.
func (m *Machine) partial(l *logState) bool { return m.lacks(l, m.handover.known) }

// lacks reports whether this member is still to be told what it has to know of a log
// to vote in an epoch.
func (m *Machine) lacks(l *logState, epoch uint64) bool {
	return l.knows < epoch && l.evidence == nil && !l.spoiled
}

// behind reports whether more members than can lie say that they have entered a
// later epoch: it has begun, and this member's votes are of no use any more.
func (m *Machine) behind() bool {
	n := 0
	for id, r := range m.handover.reports {
		if r.Epoch > m.committee.Epoch() && m.committee.Has(id) {
			n++
		}
	}
	return n > quorum.Faults(m.committee.N())
}

// onReport keeps a member's heads if they are a report that this member needs.
func (m *Machine) onReport(from protocol.MemberID, msg *wire.Heads) error {
	h := &m.handover
	newest := max(msg.Epoch, msg.Knows)
	if newest == 0 || newest < h.known || newest == h.known && !m.partly() {
		return nil
	}
	h.reports[from] = msg
	return m.takeHandover()
}

// takeHandover takes the reports for an epoch, the newest possible. A quorum of the
// epoch before is enough, since an honest one among them has voted for what was
// certified there. So are more members of the epoch itself than can lie, where
// they know already what there was to know. Where that is not so for some log, it
// waits for more reports at first.
func (m *Machine) takeHandover() error {
	h := &m.handover
	for e := m.committee.Epoch(); e > h.known; e-- {
		r := m.reportsFor(e)
		if !r.suffice(len(r.before), len(r.since)) {
			continue
		}
		said := m.hearAll(r)
		lacks := func(l *logState) bool { return l.evidence == nil && !r.suffice(said[l.id].before, said[l.id].since) }
		if m.now >= h.graceAt || !slices.ContainsFunc(m.logs, lacks) {
			h.known = e
			break
		}
	}
	return m.takeReports()
}

// reports are who has reported for an epoch, in ascending order.
type reports struct {
	epoch uint64
	logs  int // of the epoch before
	// before are members of the epoch before, of which a quorum is needed, and
	// since members of the epoch that know what there was to know, of which there
	// must be enough.
	before, since  []protocol.MemberID
	quorum, enough int
}

// suffice reports whether so many members can tell what there is to know.
func (r reports) suffice(before, since int) bool { return before >= r.quorum || since >= r.enough }

func (m *Machine) reportsFor(e uint64) reports {
	before, _ := m.epochs.At(e - 1)
	c, _ := m.epochs.At(e)
	out := reports{epoch: e, logs: before.Logs(), quorum: before.Quorum(), enough: quorum.Faults(c.N()) + 1}
	for _, id := range before.Members() {
		if r := m.handover.reports[id]; r != nil && r.Epoch >= e || id == m.self && m.announced() >= e {
			out.before = append(out.before, id)
		}
	}
	for _, id := range c.Members() {
		if r := m.handover.reports[id]; r != nil && r.Knows >= e {
			out.since = append(out.since, id)
		}
	}
	return out
}

// takeReports notes how much of the logs, where that is not known yet, the members
// of earlier epochs have voted for at most, and has it made durable.
func (m *Machine) takeReports() error {
	h, changed := &m.handover, false
	for e := h.known; e > 0 && slices.ContainsFunc(m.logs, func(l *logState) bool { return m.lacks(l, e) }); e-- {
		r := m.reportsFor(e)
		said := m.hearAll(r)
		for i, l := range m.logs {
			if t := &said[i]; m.lacks(l, e) && r.suffice(t.before, t.since) {
				l.knows, changed = e, true
				if err := m.setTargets(l, t.heads); err != nil {
					return err
				}
			}
		}
	}
	if changed || h.known > h.complete && h.seq == 0 {
		h.seq = m.persist(PutHandover{Handover: m.handoverNow()})
	}
	if h.askAt == 0 && m.partly() {
		h.askAt = m.after(headsEvery)
	}
	return nil
}

// told is what reporters say of a log.
type told struct {
	heads []wire.Signed
	// before and since count those that know, and say, all that they had to.
	before, since int
}

// hearAll gathers by log what was reported for an epoch.
func (m *Machine) hearAll(r reports) []told {
	said := make([]told, len(m.logs))
	for i := r.logs; i < len(said); i++ {
		said[i].before = r.quorum // there was nothing to know of it
	}
	for _, id := range r.before {
		m.hear(said[:r.logs], id, r.epoch-1, func(t *told) { t.before++ })
	}
	for _, id := range r.since {
		m.hear(said[:r.logs], id, r.epoch, func(t *told) { t.since++ })
	}
	return said
}

// hear adds a member's report, which may be this one's, and counts it for the logs
// of which the member knows what there was to know for an epoch.
func (m *Machine) hear(said []told, id protocol.MemberID, epoch uint64, count func(*told)) {
	if id == m.self {
		for i := range said {
			l := m.logs[i]
			said[i].heads = append(said[i].heads, l.durableHead().signed)
			if l.knows >= epoch {
				count(&said[i])
			}
		}
		return
	}
	next := 0 // what comes again, or out of order, is not counted twice
	for _, head := range m.handover.reports[id].Heads {
		if int(head.Log) >= len(said) {
			continue
		}
		t := &said[head.Log]
		t.heads = append(t.heads, head.Signed)
		if int(head.Log) >= next {
			next = int(head.Log) + 1
			if head.Knows >= epoch && !head.Frozen {
				count(t)
			}
		}
	}
}

// setTargets notes heads of a log that this member must store, and agree with,
// before it votes for it.
func (m *Machine) setTargets(l *logState, heads []wire.Signed) error {
	heads = append(slices.Clone(l.targets), heads...)
	slices.SortFunc(heads, func(a, b wire.Signed) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), slices.Compare(a.Root[:], b.Root[:]))
	})
	l.targets = nil
	var last wire.Signed // that has been verified
	for _, s := range heads {
		if s.Size <= l.cert.Size() || s.Size == last.Size && s.Root == last.Root {
			continue
		}
		if len(l.targets) > maxTargets {
			break // there is no end of what a liar signs
		}
		if i, ok := l.find(s.Size); ok && l.chain[i].signed.Root == s.Root {
			s = l.chain[i].signed
		} else if m.signedBy(l.id, s) {
			l.targets = append(l.targets, s)
		} else {
			continue
		}
		l.bound = max(l.bound, s.Size)
		if last.Size == s.Size && l.evidence == nil {
			m.accuse(&wire.Evidence{Author: l.id, Low: last, High: s, Prefix: s.Root})
		}
		last = s
	}
	if len(l.targets) > maxTargets {
		l.targets, l.knows, l.spoiled = nil, 0, true
	}
	return m.agree(l)
}

// agree compares a log with the heads that this member was told of, as far as it
// stores the log, and votes for it when there are none left.
func (m *Machine) agree(l *logState) error {
	if len(l.targets) == 0 {
		return nil
	}
	var ahead []wire.Signed
	for _, s := range l.targets {
		if s.Size > l.size() {
			ahead = append(ahead, s)
		} else if l.evidence == nil && s.Size > l.cert.Size() {
			e, err := m.contradictStored(l, s)
			if err != nil {
				return err
			}
			if e != nil {
				m.accuse(e)
			}
		}
	}
	if l.evidence != nil {
		ahead = nil
	}
	l.targets = ahead
	if len(ahead) > 0 {
		return nil
	}
	m.seek()
	return m.voteAnew(l)
}

// handoverNow is the handover as it is to be stored: with what this member lacks,
// and with how much may have been voted for where it is not certified yet.
func (m *Machine) handoverNow() wire.Handover {
	out := wire.Handover{Epoch: m.handover.known}
	for _, l := range m.logs {
		if i, ok := l.find(l.bound); ok && l.bound > l.cert.Size() {
			out.Targets = append(out.Targets, wire.Target{Log: l.id, Signed: l.chain[i].signed})
		}
		for _, s := range l.targets {
			out.Targets = append(out.Targets, wire.Target{Log: l.id, Signed: s})
		}
		if l.knows < m.handover.known && l.evidence == nil {
			out.Partial = append(out.Partial, wire.Partial{Log: l.id, Knows: l.knows})
		}
	}
	return out
}

// handoverStored goes on when the handover, or what was to be before it, has
// become durable.
func (m *Machine) handoverStored(seq uint64) error {
	h := &m.handover
	if m.fence(); h.seq != 0 && h.seq <= seq {
		h.seq = 0
		if h.complete < h.known {
			h.complete = h.known
			m.emit(HandedOver{Epoch: h.complete})
		}
		for _, l := range m.logs {
			if err := m.voteAnew(l); err != nil {
				return err
			}
		}
		m.seek()
		maps.DeleteFunc(h.reports, func(_ protocol.MemberID, r *wire.Heads) bool {
			return max(r.Epoch, r.Knows) <= h.complete && !m.partly()
		})
	}
	if m.announced() == h.told {
		return nil
	}
	m.announce()
	return m.takeHandover() // this member's own report may make the quorum
}
