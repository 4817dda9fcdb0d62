package protocol

import (
	"encoding/json"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// Kind says what an entry of a log is for.
type Kind uint8

// The kinds of entries. The numbers are part of the wire format.
const (
	// KindBatch is the header entry that begins every batch.
	KindBatch Kind = 0
	// KindAttest records an attested event.
	KindAttest Kind = 1
)

var kindNames = [...]string{KindBatch: "batch", KindAttest: "attest"}

// String is the kind's name in an entry.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// IsEvent reports whether entries of the kind stand for an event.
func (k Kind) IsEvent() bool { return k == KindAttest }

// entryVersion is the v of every entry.
const entryVersion = 1

// Entry is a leaf of a log that stands for an event. It carries the event's
// hash, never its payload, so that a payload can be erased while every proof
// stays valid.
type Entry struct {
	Kind Kind
	Hash Hash
	Time Micros // the batch's
}

// Append appends the entry's leaf, its RFC 8785 form, to dst.
func (e Entry) Append(dst []byte) []byte {
	dst = append(dst, `{"hash":"`...)
	dst = e.Hash.Append(dst)
	dst = append(dst, `","kind":"`...)
	dst = append(dst, e.Kind.String()...)
	dst = append(dst, `","time":`...)
	dst = strconv.AppendInt(dst, int64(e.Time), 10)
	return append(dst, `,"v":1}`...)
}

// LeafHash is the RFC 6962 leaf hash of the entry. The buffer is scratch
// space that is returned for reuse.
func (e Entry) LeafHash(buf []byte) (tlog.Hash, []byte) {
	buf = e.Append(buf[:0])
	return tlog.RecordHash(buf), buf
}

// ParseEntry reads a leaf that stands for an event. The text must be exactly
// what Append writes.
func ParseEntry(leaf []byte) (Entry, error) {
	var raw struct {
		V    int    `json:"v"`
		Kind string `json:"kind"`
		Hash Hash   `json:"hash"`
		Time int64  `json:"time"`
	}
	if err := json.Unmarshal(leaf, &raw); err != nil {
		return Entry{}, fieldErrorf("entry", "is not an entry: %v", err)
	}
	e := Entry{Hash: raw.Hash, Time: Micros(raw.Time)}
	switch {
	case raw.V != entryVersion:
		return Entry{}, fieldErrorf("entry.v", "is %d, this version reads %d", raw.V, entryVersion)
	case raw.Kind == KindAttest.String():
		e.Kind = KindAttest
	default:
		return Entry{}, fieldErrorf("entry.kind", "%q does not stand for an event", raw.Kind)
	}
	if string(e.Append(nil)) != string(leaf) {
		return Entry{}, fieldErrorf("entry", "is not in canonical form")
	}
	return e, nil
}

// Header is the entry that begins a batch.
type Header struct {
	// Epoch is the committee's version.
	Epoch uint64
	// Round never decreases along a log.
	Round uint64
	// Time is later than the log's previous batch and than every parent.
	Time Micros
	// Parents names, in member order and at most once each, the certified
	// heads of other logs that the author has newly seen.
	Parents []Parent
}

// Parent names a certified batch of another member's log by where it ends.
type Parent struct {
	_      struct{} `cbor:",toarray"`
	Member MemberID
	Size   uint64
	Root   Hash
}

// Append appends the header's leaf, its RFC 8785 form, to dst.
func (h Header) Append(dst []byte) []byte {
	dst = append(dst, `{"epoch":`...)
	dst = strconv.AppendUint(dst, h.Epoch, 10)
	dst = append(dst, `,"kind":"batch","parents":[`...)
	for i, p := range h.Parents {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"member":`...)
		dst = strconv.AppendUint(dst, uint64(p.Member), 10)
		dst = append(dst, `,"root":"`...)
		dst = p.Root.Append(dst)
		dst = append(dst, `","size":`...)
		dst = strconv.AppendUint(dst, p.Size, 10)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"round":`...)
	dst = strconv.AppendUint(dst, h.Round, 10)
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, int64(h.Time), 10)
	return append(dst, `,"v":1}`...)
}
