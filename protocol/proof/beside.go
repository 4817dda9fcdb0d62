package proof

import (
	"crypto/sha256"
	"strconv"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// beside is what an answer says of an entry that is in the entry itself, or in
// the event or anchor that it stands for. What is nil was not said.
type beside struct {
	kind, anchorType, author *string
	index                    *uint64
	retention                *uint64 // seconds, 0 means permanent
	expiresAt                *uint64 // Unix milliseconds
	eventType, key           *string
}

// member reads a field of an answer, and answers false for others.
func (b *beside) member(name string, value []byte) (ok bool, err error) {
	texts := map[string]**string{
		"kind": &b.kind, "anchor_type": &b.anchorType, "author": &b.author, "type": &b.eventType, "key": &b.key,
	}
	numbers := map[string]**uint64{"index": &b.index, "expires_at": &b.expiresAt, "retention": &b.retention}
	switch {
	case name == "retention" && string(value) == `"permanent"`:
		b.retention = new(uint64)
	case name == "retention" && (jcs.KindOf(value) != jcs.Number || string(value) == "0"):
		err = fieldErrorf(name, "must be \"permanent\" or a number of seconds")
	case texts[name] != nil:
		var s string
		s, err = text(name, value)
		*texts[name] = &s
	case numbers[name] != nil:
		var n uint64
		n, err = number(name, value)
		*numbers[name] = &n
	default:
		return false, nil
	}
	return true, err
}

// check holds what was said to the entry.
func (b *beside) check(e *protocol.LedgerEntry) error {
	expires := uint64(0)
	if at, ok := e.Expires(); ok {
		expires = uint64(at.Millis())
	}
	for _, c := range []struct {
		name  string
		given *string
		is    string
	}{
		{"kind", b.kind, e.Kind.String()},
		{"anchor_type", b.anchorType, e.Kind.AnchorType()},
		{"author", b.author, e.Log},
		{"index", digits(b.index), strconv.FormatUint(e.Index, 10)},
		{"retention", digits(b.retention), strconv.FormatUint(uint64(e.TTL), 10)},
		{"expires_at", digits(b.expiresAt), strconv.FormatUint(expires, 10)},
	} {
		if c.given != nil && *c.given != c.is {
			return failf(StepEntry, "%s is given as %.80q, the entry's is %q", c.name, *c.given, c.is)
		}
	}
	return nil
}

func digits(n *uint64) *string {
	if n == nil {
		return nil
	}
	s := strconv.FormatUint(*n, 10)
	return &s
}

// checkBody holds what an entry stands for, as its kind has it, to its hash, and
// what was said of its names to it.
func checkBody(kind protocol.Kind, want protocol.Hash, claims Claims) error {
	const maxBytes = 1 << 20
	hash, eventType, key := protocol.Hash{}, "", ""
	switch {
	case kind.IsAccord() || kind == protocol.KindDecide:
		body, err := protocol.Canonical("body", claims.Event)
		if err == nil && kind.IsAccord() {
			_, err = protocol.CheckBody(kind, body, maxBytes)
		}
		if err != nil {
			return failf(StepEvent, "%v", err)
		}
		hash = sha256.Sum256(body)
	case kind.IsAnchor():
		a, err := protocol.ParseAnchor(claims.Event, maxBytes)
		if err != nil {
			return failf(StepEvent, "%v", err)
		}
		hash, key = a.Hash, a.Key
	default:
		e, err := protocol.ParseEvent(claims.Event, maxBytes)
		if err != nil {
			return failf(StepEvent, "%v", err)
		}
		hash, eventType = e.Hash, e.Type
	}
	b := &claims.beside
	switch {
	case hash != want:
		return failf(StepHash, "the hash of the %s is %s, the entry's %s", bodyName(kind), hash, want)
	case b.eventType != nil && *b.eventType != eventType:
		return failf(StepEvent, "type is given as %.80q, the event's is %q", *b.eventType, eventType)
	case b.key != nil && *b.key != key:
		return failf(StepEvent, "key is given as %.80q, the anchor's is %q", *b.key, key)
	}
	return nil
}

// bodyName is what an entry of a kind stands for.
func bodyName(kind protocol.Kind) string {
	switch {
	case kind.IsAnchor():
		return "anchor"
	case kind.IsAccord() || kind == protocol.KindDecide:
		return "body"
	}
	return "event"
}
