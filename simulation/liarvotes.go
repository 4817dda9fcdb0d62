package simulation

import (
	"bytes"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// What liars say to Accord is in proper entries of their own logs, which all others
// certify like any other: it is for the fold to make nothing of it.

// maxKnown bounds the proposals that a liar remembers.
const maxKnown = 64

// overhear has the liar make something of what others put to the vote, as soon as
// it hears of it, which is before that is certified.
func (l *liar) overhear(b *wire.Batch) {
	for _, act := range b.Acts() {
		kind := b.Items[act.Item].Kind
		if _, err := protocol.CheckBody(kind, act.Body, l.w.params.MaxEventBytes); err != nil {
			continue // another liar has changed it
		}
		if kind == protocol.KindPropose {
			l.noticed(act.Body)
		}
		if l.does["copycat"] && l.rng.IntN(2) == 0 {
			l.copy(kind, act.Body)
		}
	}
}

// noticed remembers a proposal, and votes on it twice.
func (l *liar) noticed(body []byte) {
	p, err := protocol.CheckProposal(body, len(body))
	if err != nil {
		return
	}
	if len(l.known) < maxKnown {
		l.known = append(l.known, p)
	} else {
		l.known[l.rng.IntN(maxKnown)] = p
	}
	if l.does["two-votes"] {
		accept := l.rng.IntN(2) == 0
		l.say(protocol.KindVote, protocol.Vote{Proposal: p.ID, Accept: accept}.Append(nil))
		l.w.sched.after(between(l.rng, 0, protocol.Second), func() {
			l.say(protocol.KindVote, protocol.Vote{Proposal: p.ID, Accept: !accept}.Append(nil))
		})
	}
}

// say puts an entry into the liar's log.
func (l *liar) say(kind protocol.Kind, body []byte) {
	if !l.stopped {
		l.w.council.submit(l.n, kind, body, nil)
	}
}

// copy puts what another has said into the liar's log: as it is, or, if it is a
// proposal, with the liar for its proposer.
func (l *liar) copy(kind protocol.Kind, body []byte) {
	if kind == protocol.KindPropose && l.rng.IntN(2) == 0 {
		p, err := protocol.CheckProposal(body, len(body))
		if err != nil {
			return
		}
		mine := []byte(`"proposer":"` + l.w.committee.Name(l.n.id) + `"`)
		body = bytes.Replace(body, []byte(`"proposer":"`+p.Proposer+`"`), mine, 1)
	}
	l.say(kind, slices.Clone(body))
}

// meddle says something about a proposal that is not for the liar to say, or that it
// is too late or too early for.
func (l *liar) meddle() {
	var p protocol.Proposal // of which nobody has heard
	if len(l.known) > 0 && l.rng.IntN(8) > 0 {
		p = l.known[l.rng.IntN(len(l.known))]
	}
	switch l.rng.IntN(6) {
	case 0, 1:
		l.say(protocol.KindVote, protocol.Vote{Proposal: p.ID, Accept: l.rng.IntN(3) > 0, Reason: "\"\n"}.Append(nil))
	case 2:
		l.say(protocol.KindWithdraw, protocol.Withdrawal{Proposal: p.ID}.Append(nil))
	case 3:
		l.say(protocol.KindReport, protocol.Report{Proposal: p.ID, Failed: l.rng.IntN(2) == 0, Note: "\\"}.Append(nil))
	case 4:
		l.proposeOddly(p.Subject)
	case 5: // once more
		if p.Canonical != nil {
			l.say(protocol.KindPropose, slices.Clone(p.Canonical))
		}
	}
}

// proposeOddly proposes what others would not: by itself, in another's name, with a
// deadline that is over, with an absurd version, or with strangers.
func (l *liar) proposeOddly(subject string) {
	if subject == protocol.NetworkSubject {
		subject = "" // others could not even read it
	}
	t := l.w.council.term(l.n, subject)
	switch l.rng.IntN(5) {
	case 0:
		t.participants, t.threshold = []string{t.proposer}, 1
	case 1:
		t.proposer = l.w.committee.Name(l.someone())
	case 2:
		t.deadline = epoch + between(l.rng, 0, t.deadline-epoch)
	case 3:
		t.subject, t.expected = "subject-0", 1<<50
	case 4:
		t.participants = append(t.participants, "nobody", "somebody")
	}
	if p := l.w.council.body(t); p != nil {
		l.say(protocol.KindPropose, p.Canonical)
	}
}

// hurry has the liar author something. Its clock is ahead, so that the ledger's time
// passes deadlines early.
func (l *liar) hurry() {
	l.say(protocol.KindVote, protocol.Vote{Accept: true}.Append(nil))
}
