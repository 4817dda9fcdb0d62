// Package wire is the format of the messages between members: one type byte
// and a deterministic CBOR array (RFC 8949 §4.2).
//
// The decoder is strict. What it returns is bounded in every dimension and is
// exactly what Encode would write: trailing bytes, other encodings of the same
// value, tags and indefinite lengths are errors. Nothing in a decoded message
// has been checked against keys, clocks or logs.
package wire

import (
	"crypto/sha256"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/quorum"
)

// Message is one of the types below.
type Message interface{ tag() byte }

// Batch extends its author's log from Old leaves by a header entry and one
// entry an item. Receivers derive the entries and recompute the root.
type Batch struct {
	_       struct{} `cbor:",toarray"`
	Author  protocol.MemberID
	Old     uint64
	Epoch   uint64
	Round   uint64
	Time    protocol.Micros
	Parents []protocol.Parent
	Items   []Item
	Root    protocol.Hash
	// CosignTime and Cosignature are the author's cosignature of the new
	// tree head.
	CosignTime  uint64
	Cosignature [cosign.SignatureSize]byte
	// Cert is the newest certificate of the author's log, of a smaller size
	// than the batch's; without cosignatures there is none to tell. It is no
	// part of what the author signs: a certificate proves itself.
	Cert quorum.Claim
}

// Item is one entry of a batch with the body that it stands for.
type Item struct {
	_    struct{} `cbor:",toarray"`
	Kind protocol.Kind
	// TTL is for how many seconds the body is kept; 0 means forever.
	TTL uint32
	// Erased says that the body's time was over, and it was erased. Such items
	// are in ranges of certified batches only.
	Erased bool
	// Body is the canonical event or anchor, or its hash where it was erased.
	Body []byte
}

// Hash is the body's hash.
func (it *Item) Hash() protocol.Hash {
	if it.Erased {
		return protocol.Hash(it.Body)
	}
	return sha256.Sum256(it.Body)
}

// Entry is the entry that the item stands for in a batch of a time.
func (it *Item) Entry(t protocol.Micros) protocol.Entry {
	return protocol.Entry{Kind: it.Kind, Hash: it.Hash(), Time: t, TTL: it.TTL}
}

// Size is the number of leaves of the log with the batch.
func (b *Batch) Size() uint64 { return b.Old + 1 + uint64(len(b.Items)) }

// Header is the batch's header entry.
func (b *Batch) Header() protocol.Header {
	return protocol.Header{Epoch: b.Epoch, Round: b.Round, Time: b.Time, Parents: b.Parents}
}

// Acts are the bodies of the items that Accord reads. They share memory with the
// batch.
func (b *Batch) Acts() []protocol.Act {
	var out []protocol.Act
	for i := range b.Items {
		if b.Items[i].Kind.IsAccord() {
			out = append(out, protocol.Act{Item: i, Body: b.Items[i].Body})
		}
	}
	return out
}

// Extension is what the order takes of the batch.
func (b *Batch) Extension() protocol.Extension {
	e := protocol.Extension{
		Log: b.Author, Old: b.Old, Size: b.Size(), Round: b.Round, Time: b.Time, Parents: b.Parents,
		Entries: make([]protocol.Entry, len(b.Items)), Acts: b.Acts(),
	}
	for i := range b.Items {
		e.Entries[i] = b.Items[i].Entry(b.Time)
	}
	return e
}

// AuthorVote is the author's cosignature of the new tree head.
func (b *Batch) AuthorVote() quorum.Cosignature {
	return quorum.Cosignature{Member: b.Author, Time: b.CosignTime, Sig: b.Cosignature}
}

// Certificate carries the newest certificate of its author's log.
type Certificate struct {
	_     struct{} `cbor:",toarray"`
	Claim quorum.Claim
}

// LedgerHead says where a member's ledger stands: its cosignature of the newest
// checkpoint that it has come to, and the newest certificate it holds. Size 0
// says that there is none; a certificate without cosignatures that it holds
// none.
type LedgerHead struct {
	_     struct{} `cbor:",toarray"`
	Voter protocol.MemberID
	Head  Signed
	Cert  quorum.Claim
	// Want asks for the receiver's head in return.
	Want bool
}

// Votes carries cosignatures of one voter for tree heads of several logs.
type Votes struct {
	_     struct{} `cbor:",toarray"`
	Voter protocol.MemberID
	Votes []Vote
}

// Vote is the cosignature of a tree head of the log.
type Vote struct {
	_    struct{} `cbor:",toarray"`
	Log  protocol.MemberID
	Size uint64
	Root protocol.Hash
	Time uint64 // Unix seconds
	Sig  [cosign.SignatureSize]byte
}

// Heads says how much of each log its sender stores.
type Heads struct {
	_ struct{} `cbor:",toarray"`
	// Epoch says that the sender votes in none before it any more, and that it has
	// been told what it had to know to vote in the one before it; and Knows for which
	// epoch it has been told that.
	Epoch, Knows uint64
	// Want asks for the receiver's heads in return.
	Want bool
	// Heads may have several of a log: first what the sender stores, then larger
	// ones that it has been told of, and smaller ones of earlier epochs that it
	// stores without a certificate.
	Heads []Head
}

// Head is how much of a log its sender stores, with the author's signature of
// the tree head as proof that the author made it so long.
type Head struct {
	_         struct{} `cbor:",toarray"`
	Log       protocol.MemberID
	Signed    Signed
	Certified uint64 // the size up to which the sender holds a certificate
	Frozen    bool   // the sender holds evidence against the author
	// Knows is the newest epoch for which the sender knows, and says, all that a
	// member has to know of the log to vote in it.
	Knows uint64
}

// Signed is a tree head with its author's cosignature of it.
type Signed struct {
	_    struct{} `cbor:",toarray"`
	Size uint64
	Root protocol.Hash
	Time uint64 // Unix seconds
	Sig  [cosign.SignatureSize]byte
}

// Handover is what a member knows that it has to know of the logs before it votes
// in an epoch. It is stored, and never sent.
type Handover struct {
	_       struct{} `cbor:",toarray"`
	Epoch   uint64
	Targets []Target // by log, then by size
	Partial []Partial
}

// Partial is a log of which the member knows only what it had to know for an
// earlier epoch.
type Partial struct {
	_     struct{} `cbor:",toarray"`
	Log   protocol.MemberID
	Knows uint64
}

// Target is a tree head that a log's author has signed, and that a member of the
// epoch before may have voted for.
type Target struct {
	_      struct{} `cbor:",toarray"`
	Log    protocol.MemberID
	Signed Signed
}

// RangeRequest asks for the batches of a log from a size on.
type RangeRequest struct {
	_    struct{} `cbor:",toarray"`
	Log  protocol.MemberID
	From uint64
	// Epoch is the newest one that the sender knows: it can verify no
	// certificate of a later one.
	Epoch uint64
}

// Range answers a RangeRequest with consecutive batches.
type Range struct {
	_     struct{} `cbor:",toarray"`
	Log   protocol.MemberID
	From  uint64
	Items []RangeItem
	// Head is the newest certificate the sender holds that the receiver can
	// verify; without cosignatures it holds none.
	Head quorum.Claim
	// More says that the sender stores further batches.
	More bool
}

// RangeItem is an encoded Batch and the certificate of the tree head that it
// ends in, if the sender holds one (else without cosignatures).
type RangeItem struct {
	_     struct{} `cbor:",toarray"`
	Batch []byte
	Cert  quorum.Claim
}

// Evidence proves that an author signed two histories of its log. Low and High
// are tree heads that it signed. Proof is an RFC 6962 consistency proof that
// the tree of High begins with a tree of Low's size whose root is Prefix;
// since Prefix is not Low's root, no log has both heads.
type Evidence struct {
	_         struct{} `cbor:",toarray"`
	Author    protocol.MemberID
	Low, High Signed
	Prefix    protocol.Hash
	Proof     []protocol.Hash
}

func (*Batch) tag() byte        { return 1 }
func (*Votes) tag() byte        { return 2 }
func (*Heads) tag() byte        { return 3 }
func (*RangeRequest) tag() byte { return 4 }
func (*Range) tag() byte        { return 5 }
func (*Evidence) tag() byte     { return 6 }
func (*Certificate) tag() byte  { return 7 }
func (*LedgerHead) tag() byte   { return 8 }
