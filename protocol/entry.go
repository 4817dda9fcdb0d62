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
	// KindAnchorEvent, KindAnchorState and KindAnchorProof record anchors of
	// the three types.
	KindAnchorEvent Kind = 2
	KindAnchorState Kind = 3
	KindAnchorProof Kind = 4
	// KindPropose, KindVote, KindWithdraw and KindReport record what members
	// put before each other, how they vote, what they take back, and what came
	// of it.
	KindPropose  Kind = 5
	KindVote     Kind = 6
	KindWithdraw Kind = 7
	KindReport   Kind = 8
	// KindDecide records what the votes came to. Nobody authors it: every
	// member derives it from the order.
	KindDecide Kind = 9
)

var kindNames = [...]string{
	KindBatch: "batch", KindAttest: "attest",
	KindAnchorEvent: "anchor.event", KindAnchorState: "anchor.state", KindAnchorProof: "anchor.proof",
	KindPropose: "propose", KindVote: "vote", KindWithdraw: "withdraw", KindReport: "report", KindDecide: "decide",
}

// String is the kind's name in an entry.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// HasBody reports whether entries of the kind stand for something that a
// client has sent: all but headers do.
func (k Kind) HasBody() bool { return k > KindBatch && int(k) < len(kindNames) }

// IsAnchor reports whether entries of the kind are anchors.
func (k Kind) IsAnchor() bool { return k >= KindAnchorEvent && k <= KindAnchorProof }

// Urgent reports whether clients wait until entries of the kind are ordered.
// The network orders them as fast as it can, and others when it is convenient.
func (k Kind) Urgent() bool {
	return k.IsAnchor() || k == KindPropose || k == KindVote || k == KindWithdraw
}

// IsAccord reports whether entries of the kind are authored for Accord, which
// reads their bodies when they are ordered. Those are never erased.
func (k Kind) IsAccord() bool { return k >= KindPropose && k <= KindReport }

// ParseKind reads the name of a kind that stands for something a client has sent.
func ParseKind(name string) (Kind, bool) {
	for k, n := range kindNames {
		if n == name && Kind(k).HasBody() {
			return Kind(k), true
		}
	}
	return 0, false
}

// MaxTTL bounds the time, in seconds, after which a body is erased: a hundred
// years.
const MaxTTL = 100 * 365 * 24 * 3600

// entryVersion is the v of every entry.
const entryVersion = 1

// Entry is a leaf of a log that stands for what a client has sent, its body. It
// carries the body's hash, never the body, so that a body can be erased while
// every proof stays valid.
type Entry struct {
	Kind Kind
	Hash Hash
	Time Micros // the batch's
	// TTL is for how many seconds after Time the body is kept; 0 means forever.
	TTL uint32
}

// Expires is when the body may be erased, or false if it is kept forever.
func (e Entry) Expires() (Micros, bool) {
	return e.Time + Micros(e.TTL)*Second, e.TTL != 0
}

// Append appends the entry's leaf, its RFC 8785 form, to dst.
func (e Entry) Append(dst []byte) []byte {
	dst = append(dst, `{"hash":"`...)
	dst = e.Hash.Append(dst)
	dst = append(dst, `","kind":"`...)
	dst = append(dst, e.Kind.String()...)
	dst = append(dst, '"')
	return append(e.appendTimes(dst), `,"v":1}`...)
}

// appendTimes appends the members that come last, before the version.
func (e Entry) appendTimes(dst []byte) []byte {
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, int64(e.Time), 10)
	if e.TTL != 0 {
		dst = append(dst, `,"ttl":`...)
		dst = strconv.AppendUint(dst, uint64(e.TTL), 10)
	}
	return dst
}

// LeafHash is the RFC 6962 leaf hash of the entry. The buffer is scratch
// space that is returned for reuse.
func (e Entry) LeafHash(buf []byte) (tlog.Hash, []byte) {
	buf = e.Append(buf[:0])
	return tlog.RecordHash(buf), buf
}

// ParseEntry reads a leaf that stands for a body. The text must be exactly
// what Append writes.
func ParseEntry(leaf []byte) (Entry, error) {
	var raw rawEntry
	if err := json.Unmarshal(leaf, &raw); err != nil {
		return Entry{}, fieldErrorf("entry", "is not an entry: %v", err)
	}
	e, err := raw.entry()
	if err != nil {
		return Entry{}, err
	}
	if string(e.Append(nil)) != string(leaf) {
		return Entry{}, fieldErrorf("entry", "is not in canonical form")
	}
	return e, nil
}

// rawEntry is what leaves of logs and of the ledger have.
type rawEntry struct {
	V     int    `json:"v"`
	Kind  string `json:"kind"`
	Hash  Hash   `json:"hash"`
	Time  int64  `json:"time"`
	TTL   uint32 `json:"ttl"`
	Log   string `json:"log"`   // of the ledger
	Index uint64 `json:"index"` // of the ledger
}

func (raw *rawEntry) entry() (Entry, error) {
	kind, ok := ParseKind(raw.Kind)
	switch {
	case raw.V != entryVersion:
		return Entry{}, fieldErrorf("entry.v", "is %d, this version reads %d", raw.V, entryVersion)
	case !ok:
		return Entry{}, fieldErrorf("entry.kind", "%.64q does not stand for what a client has sent", raw.Kind)
	case raw.TTL > MaxTTL:
		return Entry{}, fieldErrorf("entry.ttl", "is %d, at most %d are allowed", raw.TTL, int64(MaxTTL))
	}
	return Entry{Kind: kind, Hash: raw.Hash, Time: Micros(raw.Time), TTL: raw.TTL}, nil
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

// Seen names a part of a log by its size: whoever has seen it knows the log so
// far.
type Seen struct {
	Member MemberID
	Size   uint64
}

// Extension is a batch of the certified part of a log, as the order takes it.
type Extension struct {
	Log       MemberID
	Old, Size uint64
	Round     uint64 // as the author claims
	Time      Micros
	Parents   []Parent
	// Entries are those behind the header; Entries[i] is leaf Old+1+i.
	Entries []Entry
	// Acts are the bodies of those among Entries that Accord reads, in order.
	Acts []Act
}

// Act is the body of an entry for Accord.
type Act struct {
	Item int // the entry's place in Entries
	Body []byte
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
