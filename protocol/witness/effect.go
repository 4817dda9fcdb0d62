package witness

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Effect is something the host must do: one of the types below. The host
// carries out the effects of one Step in their order, and of several Steps in
// the order of the Steps. It may be slow about Publish, Send and SendRange,
// and may lose them. It may not lose a Persist.
type Effect interface{ effect() }

// Persist asks the host to make records durable, all or none of them. Persists
// become durable in the order of Seq; the host answers with Persisted. With
// Lazy set nobody waits for the records: they need no fsync of their own, but
// must be durable once any later Persist is.
//
// This is where "persist before you sign" lives: the machine signs a vote, and
// publishes a batch of its own, only on the Persisted that covers it.
type Persist struct {
	Seq     uint64
	Records []Record
	Lazy    bool
}

// Publish gossips a message to every member.
type Publish struct{ Msg wire.Message }

// Send sends a message to one member.
type Send struct {
	To  protocol.MemberID
	Msg wire.Message
}

// SendRange asks the host to read a range of a log from its storage, by
// ReadRange, and to send it. It is an effect so that a member that catches up
// does not hold up the machine.
type SendRange struct {
	To      protocol.MemberID
	Request wire.RangeRequest
	// Durable is how much of the log may be sent. What storage shows may not
	// be durable yet, and nobody may vote for a batch that its author can lose.
	Durable uint64
}

// Timer asks for a Tick at a time, instead of any Timer before.
type Timer struct{ At protocol.Micros }

// Resolved answers submissions: they are certified.
type Resolved struct {
	// Batch holds them; it is shared by all that are answered for it.
	Batch *Sealed
	// Cert certifies the batch's log at a size that covers the batch.
	Cert *quorum.Certificate
	// Tree is the log at the certified size or a larger one. Where its base
	// lies behind an item's index, proofs of it must come from storage.
	Tree merkle.View
	// Items names the submissions and their places in the log.
	Items []ResolvedItem
}

// ResolvedItem is an answered submission.
type ResolvedItem struct {
	ID    uint64
	Index uint64 // the leaf of its entry
	Entry protocol.Entry
}

// Sealed is a batch of this member's own log.
type Sealed struct {
	Old, Size uint64
	Time      protocol.Micros
}

// Refused answers a submission that is no entry of the log, and never will be.
type Refused struct {
	ID     uint64
	Reason Refusal
}

// Refusal says why a submission was refused.
type Refusal uint8

// The reasons of a Refused effect.
const (
	// Overloaded: more submissions wait than the machine holds.
	Overloaded Refusal = iota + 1
	// LogStopped: there is evidence that this member signed two histories of
	// its log, so nobody vouches for it any longer.
	LogStopped
)

// Withdrawn answers Withdraw.
type Withdrawn struct {
	ID uint64
	// InLog says that the entry is in the log and may still be certified.
	// If not, it never will be.
	InLog bool
	// Signers are the members that have cosigned the entry, or, where it is
	// not in the log, the batch that it waited behind.
	Signers []protocol.MemberID
}

// Certified says that a log is certified up to a new size.
type Certified struct{ Cert *quorum.Certificate }

// Accused says that there is new evidence against an author.
type Accused struct{ Evidence *wire.Evidence }

// Blame says that a member delivered something provably invalid.
type Blame struct {
	Member protocol.MemberID
	Reason string
}

// Recovered says that this member knows its own log and authors from now on.
type Recovered struct{}

// Record is something to make durable: one of the types below.
type Record interface{ record() }

// PutBatch extends a log by a batch.
type PutBatch struct {
	Log protocol.MemberID
	Old uint64
	// Encoded is the batch's message.
	Encoded []byte
	// Hashes are the stored hashes that its leaves add to the tree, in the
	// order of tlog.StoredHashIndex.
	Hashes []tlog.Hash
	// Entries are the entries behind the header; Entries[i] is leaf Old+1+i.
	Entries []protocol.Entry
}

// PutCertificate keeps a certificate. The certificates of a log grow.
type PutCertificate struct{ Claim quorum.Claim }

// PutEvidence keeps the evidence against an author. From then on this member
// never again votes for the author's log.
type PutEvidence struct{ Evidence *wire.Evidence }

// Truncate drops the batches of a log from a size on, which only happens to
// uncertified batches of an author that signed two histories.
type Truncate struct {
	Log  protocol.MemberID
	Size uint64
}

func (Persist) effect()   {}
func (Publish) effect()   {}
func (Send) effect()      {}
func (SendRange) effect() {}
func (Timer) effect()     {}
func (Resolved) effect()  {}
func (Refused) effect()   {}
func (Withdrawn) effect() {}
func (Certified) effect() {}
func (Accused) effect()   {}
func (Blame) effect()     {}
func (Recovered) effect() {}

func (PutBatch) record()       {}
func (PutCertificate) record() {}
func (PutEvidence) record()    {}
func (Truncate) record()       {}
