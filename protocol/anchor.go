package protocol

import (
	"crypto/sha256"
	"encoding/json"

	"github.com/strataos/strataos/protocol/jcs"
)

// Bounds of what an anchor names.
const (
	// MaxAfter bounds the anchors that one anchor says to come after.
	MaxAfter = 64
	// MaxKeyBytes bounds the name of a state.
	MaxKeyBytes = 256
)

// Anchor is what a client fixes in time and order, in its canonical form: a
// JSON object of "anchor_type" ("event", "state" or "proof"), "data" (an
// object) and, optionally, "metadata" (an object) and "after" (a list of
// hashes of anchors that come before).
type Anchor struct {
	// Kind is that of the anchor's entry, which follows from its type.
	Kind Kind
	// Key is metadata.key. It names what an anchor of type state is the state of.
	Key string
	// After are the hashes of what must precede the anchor.
	After []Hash
	// Canonical is the RFC 8785 form. It must not be changed.
	Canonical []byte
	// Hash is the SHA-256 of Canonical.
	Hash Hash
}

// AnchorType is the name that the API has for an anchor's type.
func (k Kind) AnchorType() string {
	switch k {
	case KindAnchorEvent:
		return "event"
	case KindAnchorState:
		return "state"
	case KindAnchorProof:
		return "proof"
	}
	return ""
}

// AnchorKind is the kind of the entries of anchors of a type.
func AnchorKind(anchorType string) (Kind, bool) {
	for k := KindAnchorEvent; k <= KindAnchorProof; k++ {
		if k.AnchorType() == anchorType {
			return k, true
		}
	}
	return 0, false
}

// ParseAnchor reads an anchor and brings it into canonical form, of which
// maxBytes bounds the length. Errors are FieldErrors, or of package jcs where
// the text is no JSON.
func ParseAnchor(raw []byte, maxBytes int) (Anchor, error) {
	canonical, err := Canonical("data", raw)
	if err != nil {
		return Anchor{}, err
	}
	return readAnchor(canonical, maxBytes)
}

// CheckAnchor reads an anchor that must be in canonical form already, as
// members send it to each other. The Anchor shares memory with canonical.
func CheckAnchor(canonical []byte, maxBytes int) (Anchor, error) {
	if err := CheckCanonical("data", canonical); err != nil {
		return Anchor{}, err
	}
	return readAnchor(canonical, maxBytes)
}

func readAnchor(canonical []byte, maxBytes int) (Anchor, error) {
	a := Anchor{Canonical: canonical}
	if len(canonical) > maxBytes {
		return a, tooLong("data", len(canonical), maxBytes)
	}
	if jcs.KindOf(canonical) != jcs.Object {
		return a, fieldErrorf("", "an anchor must be an object")
	}
	data := false
	err := jcs.Members(canonical, func(key, value []byte) (err error) {
		switch string(key) {
		case "anchor_type":
			return a.readType(value)
		case "data":
			data = true
			return wantObject("data", value)
		case "metadata":
			return a.readMetadata(value)
		case "after":
			return a.readAfter(value)
		}
		return fieldErrorf(string(key), "is not a field of an anchor (data, anchor_type, metadata, after)")
	})
	switch {
	case err != nil:
		return a, err
	case !data:
		return a, fieldErrorf("data", "is missing; it must be an object")
	case a.Kind == 0:
		return a, fieldErrorf("anchor_type", "is missing; it is event, state or proof")
	case a.Kind == KindAnchorState && a.Key == "":
		return a, fieldErrorf("metadata.key", "is missing; it names what the anchor is the state of")
	}
	a.Hash = sha256.Sum256(canonical)
	return a, nil
}

func (a *Anchor) readType(value []byte) error {
	name, err := jcs.Unquote(value)
	kind, ok := AnchorKind(name)
	if err != nil || !ok {
		return fieldErrorf("anchor_type", "must be event, state or proof")
	}
	a.Kind = kind
	return nil
}

func wantObject(field string, value []byte) error {
	if jcs.KindOf(value) != jcs.Object {
		return fieldErrorf(field, "must be an object")
	}
	return nil
}

func (a *Anchor) readMetadata(value []byte) error {
	if err := wantObject("metadata", value); err != nil {
		return err
	}
	return jcs.Members(value, func(key, value []byte) error {
		if string(key) != "key" {
			return nil
		}
		name, err := jcs.Unquote(value)
		if err != nil || name == "" || len(name) > MaxKeyBytes {
			return fieldErrorf("metadata.key", "must be a text of 1 to %d bytes", MaxKeyBytes)
		}
		a.Key = name
		return nil
	})
}

func (a *Anchor) readAfter(value []byte) error {
	bad := fieldErrorf("after", "must be a list of at most %d hashes (0x and 64 hexadecimal digits), none of them twice", MaxAfter)
	if jcs.KindOf(value) != jcs.Array || json.Unmarshal(value, &a.After) != nil || len(a.After) > MaxAfter {
		return bad
	}
	seen := map[Hash]bool{}
	for _, h := range a.After {
		if seen[h] {
			return bad
		}
		seen[h] = true
	}
	return nil
}

// CheckBody reads the body of an entry, which must be in canonical form, and
// returns its hash. maxBytes bounds its length.
func CheckBody(kind Kind, canonical []byte, maxBytes int) (Hash, error) {
	switch {
	case kind == KindAttest:
		e, err := CheckEvent(canonical, maxBytes)
		return e.Hash, err
	case kind.IsAnchor():
		a, err := CheckAnchor(canonical, maxBytes)
		if err == nil && a.Kind != kind {
			err = fieldErrorf("anchor_type", "is not that of the entry")
		}
		return a.Hash, err
	case kind.IsAccord():
		return checkAct(kind, canonical, maxBytes)
	}
	return Hash{}, fieldErrorf("kind", "%d has no body", kind)
}
