package protocol

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol/cosign"
)

// MaxRoster bounds the members that a network ever has.
const MaxRoster = 1000

// Epoch is a version of the committee: who votes, and by which parameters. The
// founding one has number 0, and each further one follows from a decision. Its
// members are numbers of the network's roster, which is every member that there
// ever was: it only grows, and no number, name or key is given twice.
type Epoch struct {
	Number uint64 `json:"number"`
	// Members are those that vote, in ascending order.
	Members []MemberID `json:"members"`
	Params  Params     `json:"params"`
	// Since is the ledger's time when the epoch began; 0 for the founding one.
	Since Micros `json:"since"`
}

// Founding is the first epoch of a network. Its roster is the genesis' list.
func (g *Genesis) Founding() Epoch {
	e := Epoch{Members: make([]MemberID, len(g.Members)), Params: g.Params}
	for i := range g.Members {
		e.Members[i] = MemberID(i)
	}
	return e
}

// Has reports whether a member votes in the epoch.
func (e *Epoch) Has(id MemberID) bool {
	_, ok := slices.BinarySearch(e.Members, id)
	return ok
}

// Validate reports the first rule that the epoch breaks in a roster of so many
// members, naming the field.
func (e *Epoch) Validate(roster int) error {
	if roster > MaxRoster {
		return fieldErrorf("members", "the network has had %d, at most %d are allowed", roster, MaxRoster)
	}
	if n := len(e.Members); n < 1 || n > MaxMembers {
		return fieldErrorf("members", "there are %d, want 1 to %d", n, MaxMembers)
	}
	for i, id := range e.Members {
		if int(id) >= roster || i > 0 && e.Members[i-1] >= id {
			return fieldErrorf(fmt.Sprintf("members[%d]", i), "member %d is unknown, repeated or out of order", id)
		}
	}
	if e.Since < 0 || e.Since > MaxMicros {
		return fieldErrorf("since", "%d is not a time", e.Since)
	}
	return e.Params.Validate()
}

// CheckJoin reports whether somebody may join a network with a roster, as a new
// member of the epoch or, where replaced is not nil, in the place of one of its
// members. Nobody's name or key may have been a member's before; a peer_id may,
// of one that is not active any more, since a node can go on under another key.
func CheckJoin(field, network string, roster []Member, e *Epoch, m *Member, replaced *MemberID) error {
	if err := checkMember(field, network, m); err != nil {
		return err
	}
	switch {
	case len(roster) >= MaxRoster:
		return fieldErrorf(field, "the network has had %d members, more are not allowed", len(roster))
	case replaced != nil && !e.Has(*replaced):
		return fieldErrorf(field, "member %d, who is to be replaced, is not active", *replaced)
	case replaced == nil && len(e.Members) >= MaxMembers:
		return fieldErrorf(field, "there are %d members, more are not allowed", len(e.Members))
	}
	t := taken{}
	for i := range roster {
		id := MemberID(i)
		t.add(&roster[i], "member "+roster[i].Name, e.Has(id) && (replaced == nil || id != *replaced))
	}
	return t.check(field, m)
}

// CheckNew reports whether somebody who is to join the network, at whatever time,
// may: it is itself what a member is, and nobody of the founding committee.
func (g *Genesis) CheckNew(field string, m *Member) error {
	if err := checkMember(field, g.Network, m); err != nil {
		return err
	}
	t := taken{}
	for i := range g.Members {
		t.add(&g.Members[i], "member "+g.Members[i].Name, false)
	}
	return t.check(field, m)
}

// CheckMove reports whether a member may have another address: m is what the
// roster is to say of it, with the name and the key that it has.
func CheckMove(field, network string, roster []Member, e *Epoch, id MemberID, m *Member) error {
	if err := checkMember(field, network, m); err != nil {
		return err
	}
	switch {
	case int(id) >= len(roster) || !e.Has(id):
		return fieldErrorf(field, "member %d is not active", id)
	case m.Name != roster[id].Name:
		return fieldErrorf(field+".name", "is %q, and the key is that of %s: another name needs another key", m.Name, roster[id].Name)
	case m.VKey != roster[id].VKey:
		return fieldErrorf(field+".vkey", "is not that of %s: another key needs another name", m.Name)
	}
	for _, other := range e.Members {
		if other != id && roster[other].PeerID == m.PeerID {
			return fieldErrorf(field, "peer_id %s is that of member %s already", m.PeerID, roster[other].Name)
		}
	}
	return nil
}

// taken are the names, peers and keys that are somebody's already.
type taken map[string]string

// add notes what a member, that who says to others, has: its peer_id only if it
// is active.
func (t taken) add(m *Member, who string, active bool) {
	for _, id := range identities(m) {
		t[id] = who
	}
	if active {
		t["peer_id "+m.PeerID] = who
	}
}

// check reports what of a member's is another's already.
func (t taken) check(field string, m *Member) error {
	for _, id := range append(identities(m), "peer_id "+m.PeerID) {
		if other, ok := t[id]; ok {
			return fieldErrorf(field, "%s is that of %s already", id, other)
		}
	}
	return nil
}

// identities are what a member has for ever: its name and its key.
func identities(m *Member) []string {
	out := []string{"name " + m.Name}
	if v, err := cosign.ParseVerifier(m.VKey); err == nil {
		out = append(out, "vkey "+v.PublicKey())
	}
	return out
}
