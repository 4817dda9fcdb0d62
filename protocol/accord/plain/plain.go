// Package plain computes what the proposals of a ledger come to in the plainest
// way that there is: it keeps all that was ever said, in files of one proposal each,
// and reads them from the beginning whenever it wants to know something. It is what
// package accord is compared with, in its tests and in simulation, and shares
// nothing with it.
package plain

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// maxOpen is how many proposals of one member may be open at a time, and
// maxOpenBytes how long these may be together if there are several.
const (
	maxOpen      = 1024
	maxOpenBytes = 4 << 20
)

// Ledger is everything that was ordered.
type Ledger struct {
	// Members are the names of the committee.
	Members []string
	// Objects says why the network as it is cannot be changed as a proposal asks, or
	// nothing. It is for members to come and go, of whom this package knows only names.
	Objects func(body []byte) string
	// turned is the version of the network when the committee came.
	turned uint64
	// files have what was said about a proposal, by its id, and order is that of
	// the proposals in the ledger.
	files map[string][]saying
	order []string
	time  protocol.Micros
	size  uint64
}

// Entry is an entry of a batch: its kind, such as "vote", and its body.
type Entry struct {
	Kind string
	Body []byte
}

// Decision is what a proposal has come to.
type Decision struct {
	// Position is where the ledger has it.
	Position uint64
	ID       string // the proposal's
	Status   string
	// Subject has Version from then on.
	Subject string
	Version uint64
	// Body is the entry's, in canonical form.
	Body []byte
}

// saying is something that was said: an entry, or a decision.
type saying struct {
	kind     string
	by       string
	position uint64
	id       string // of the proposal that it is about
	proposal *proposal
	bytes    int // of the proposal
	vote     string
	status   string // of a decision
}

type proposal struct {
	Subject      string   `json:"subject"`
	Participants []string `json:"participants"`
	Proposer     string   `json:"proposer"`
	Threshold    int      `json:"threshold"`
	Deadline     int64    `json:"deadline"`
	Expected     *uint64  `json:"expected_version"`
	Action       struct {
		Type string `json:"type"`
	} `json:"action"`
}

// network reports whether the proposal is to change the network.
func (p *proposal) network() bool {
	return strings.HasPrefix(p.Action.Type, "params.") || strings.HasPrefix(p.Action.Type, "membership.")
}

// decision is the body of a decision, with its fields in the order of their names.
type decision struct {
	ID       string   `json:"id"`
	Position uint64   `json:"position"`
	Reason   string   `json:"reason,omitempty"`
	Status   string   `json:"status"`
	Subject  string   `json:"subject,omitempty"`
	Version  *uint64  `json:"version,omitempty"`
	Votes    []ballot `json:"votes"`
	Winner   string   `json:"winner,omitempty"`
}

type ballot struct {
	Member   string `json:"member"`
	Position uint64 `json:"position"`
	Vote     string `json:"vote"`
}

// Size is how many entries the ledger has, decisions included.
func (l *Ledger) Size() uint64 { return l.size }

// Add appends a batch of a member's with a time, and the decisions that it leads
// to: those that it is too late for come before it, the others behind it.
func (l *Ledger) Add(member string, t protocol.Micros, entries []Entry) ([]Decision, error) {
	l.time = max(l.time, t)
	out, err := l.tell(l.expired())
	if err != nil {
		return nil, err
	}
	first := l.size
	l.size += uint64(len(entries))
	var ends []decision
	for i, e := range entries {
		end, err := l.hear(member, first+uint64(i), e)
		if err != nil {
			return nil, err
		}
		if end != nil {
			l.note(saying{kind: "decide", id: end.ID, status: end.Status})
			ends = append(ends, *end)
		}
	}
	behind, err := l.tell(ends)
	return append(out, behind...), err
}

// Turn has others be the committee from now on.
func (l *Ledger) Turn(members []string) {
	l.Members = members
	l.turned, _ = l.version(protocol.NetworkSubject)
}

// tell gives decisions their places.
func (l *Ledger) tell(ends []decision) ([]Decision, error) {
	var out []Decision
	for _, d := range ends {
		d.Subject = l.proposed(d.ID).proposal.Subject
		text, err := json.Marshal(d)
		if err != nil {
			return nil, err
		}
		told := Decision{Position: l.size, ID: d.ID, Status: d.Status, Subject: d.Subject}
		if d.Version != nil {
			told.Version = *d.Version
		}
		if told.Body, err = jcs.Append(nil, text); err != nil {
			return nil, err
		}
		out = append(out, told)
		l.size++
	}
	return out, nil
}

// expired are the proposals that the time is past the deadlines of.
func (l *Ledger) expired() []decision {
	var late []saying
	for _, id := range l.order {
		if s := l.proposed(id); l.isOpen(id) && s.proposal.Deadline*int64(protocol.Millisecond) < int64(l.time) {
			late = append(late, *s)
		}
	}
	slices.SortStableFunc(late, func(a, b saying) int { return int(a.proposal.Deadline - b.proposal.Deadline) })
	var out []decision
	for _, s := range late {
		d := l.end(s.id, "expired")
		l.note(saying{kind: "decide", id: s.id, status: "expired"})
		out = append(out, *d)
	}
	return out
}

// hear takes an entry, and returns what it decides.
func (l *Ledger) hear(by string, position uint64, e Entry) (*decision, error) {
	s := saying{kind: e.Kind, by: by, position: position}
	var about struct {
		Proposal string `json:"proposal"`
		Vote     string `json:"vote"`
	}
	switch e.Kind {
	case "propose":
		s.id = fmt.Sprintf("0x%x", sha256.Sum256(e.Body))
		s.proposal, s.bytes = &proposal{}, len(e.Body)
		if err := json.Unmarshal(e.Body, s.proposal); err != nil {
			return nil, err
		}
		if s.proposal.Proposer != by || l.proposed(s.id) != nil {
			return nil, nil
		}
		d := l.refusal(&s, e.Body)
		l.order = append(l.order, s.id)
		l.note(s)
		return d, nil
	case "vote", "withdraw":
		if err := json.NewDecoder(bytes.NewReader(e.Body)).Decode(&about); err != nil {
			return nil, err
		}
		s.id, s.vote = about.Proposal, about.Vote
		l.note(s)
		return l.outcome(s), nil
	}
	return nil, nil
}

// refusal says why a proposal is over before anybody can vote, or nothing.
func (l *Ledger) refusal(s *saying, body []byte) *decision {
	p := s.proposal
	version, newest := l.version(p.Subject)
	refuse := func(status, reason, winner string) *decision {
		d := &decision{ID: s.id, Position: s.position, Status: status, Reason: reason, Votes: []ballot{}, Winner: winner}
		if p.Subject != "" {
			d.Version = &version
		}
		return d
	}
	for _, id := range l.order {
		if p.Subject != "" && l.proposed(id).proposal.Subject == p.Subject && l.isOpen(id) {
			return refuse("conflict", "another proposal on the subject is open", id)
		}
	}
	for _, name := range p.Participants {
		if !slices.Contains(l.Members, name) {
			return refuse("rejected", name+" is not a member", "")
		}
	}
	if p.Expected != nil && *p.Expected != version {
		return refuse("conflict", "the subject has another version", newest)
	}
	if p.network() && version > l.turned {
		return refuse("conflict", "another change of the network is about to begin", newest)
	}
	if p.Deadline*int64(protocol.Millisecond) < int64(l.time) {
		return refuse("expired", "", "")
	}
	open, long := 0, len(body)
	for _, id := range l.order {
		if other := l.proposed(id); other.by == s.by && l.isOpen(id) {
			open, long = open+1, long+other.bytes
		}
	}
	if open >= maxOpen || open > 0 && long > maxOpenBytes {
		return refuse("rejected", "too many proposals of the proposer are open", "")
	}
	if why := l.objection(p, body); why != "" {
		return refuse("rejected", why, "")
	}
	return nil
}

// objection says why a proposal cannot change the network, or nothing.
func (l *Ledger) objection(p *proposal, body []byte) string {
	if !p.network() {
		return ""
	}
	n := len(l.Members)
	least := 2*n/3 + 1
	switch {
	case len(p.Participants) != n: // of whom each is a member
		return "participants: must be all members"
	case p.Threshold < least:
		return fmt.Sprintf("threshold: is %d; to change the network takes %d of %d members", p.Threshold, least, n)
	case l.Objects == nil:
		return ""
	}
	return l.Objects(body)
}

// outcome is what a vote or a withdrawal decides, if it does.
func (l *Ledger) outcome(s saying) *decision {
	p := l.proposed(s.id)
	if p == nil || !l.isOpen(s.id) {
		return nil
	}
	if s.kind == "withdraw" {
		if s.by != p.by {
			return nil
		}
		return l.end(s.id, "withdrawn")
	}
	accepts, rejects := 0, 0
	for _, b := range l.ballots(s.id) {
		if b.Vote == "accept" {
			accepts++
		} else {
			rejects++
		}
	}
	switch left := len(p.proposal.Participants) - rejects; {
	case accepts >= p.proposal.Threshold:
		return l.end(s.id, "accepted")
	case left < p.proposal.Threshold:
		return l.end(s.id, "rejected")
	}
	return nil
}

// end is how a proposal that is open ends.
func (l *Ledger) end(id, status string) *decision {
	s := l.proposed(id)
	d := &decision{ID: id, Position: s.position, Status: status, Votes: l.ballots(id)}
	if s.proposal.Subject != "" {
		version, _ := l.version(s.proposal.Subject)
		if status == "accepted" {
			version++
		}
		d.Version = &version
	}
	return d
}

// ballots are the votes that count: of participants, each one's first, while the
// proposal is open.
func (l *Ledger) ballots(id string) []ballot {
	out := []ballot{}
	var p *proposal
	voted := map[string]bool{}
	for _, s := range l.files[id] {
		switch {
		case s.kind == "propose":
			p = s.proposal
		case s.kind == "decide":
			return out
		case s.kind == "vote" && p != nil && slices.Contains(p.Participants, s.by) && !voted[s.by]:
			voted[s.by] = true
			out = append(out, ballot{s.by, s.position, s.vote})
		}
	}
	return out
}

// note puts a saying into the file of the proposal that it is about.
func (l *Ledger) note(s saying) {
	if l.files == nil {
		l.files = map[string][]saying{}
	}
	l.files[s.id] = append(l.files[s.id], s)
}

// Has reports whether a proposal of an id is in the ledger.
func (l *Ledger) Has(id string) bool { return l.proposed(id) != nil }

// proposed is how a proposal of an id was put, or nil if it was not.
func (l *Ledger) proposed(id string) *saying {
	for _, s := range l.files[id] {
		if s.kind == "propose" {
			return &s
		}
	}
	return nil
}

func (l *Ledger) isOpen(id string) bool {
	for _, s := range l.files[id] {
		if s.kind == "decide" {
			return false
		}
	}
	return true
}

// version is how many proposals on a subject were accepted, and the newest of
// them: only one of a subject is open at a time, so the one proposed last.
func (l *Ledger) version(subject string) (n uint64, newest string) {
	for _, id := range l.order {
		for _, s := range l.files[id] {
			if s.kind == "decide" && s.status == "accepted" && l.proposed(id).proposal.Subject == subject {
				n, newest = n+1, id
			}
		}
	}
	return n, newest
}
