package witness

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Effect is something the host must do: one of the types below, or of those
// that all machines share. SendRange may be lost like a Send.
type Effect = machine.Effect

// The effects and records that all machines share.
type (
	Persist = machine.Persist
	Publish = machine.Publish
	Send    = machine.Send
	Timer   = machine.Timer
	Blame   = machine.Blame
	Record  = machine.Record
)

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
	// Signature is this member's own of the certified tree head. It is not among
	// those of a certificate of an epoch that began after it.
	Signature cosign.Signature
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
	// Left: this member is not, or no longer, in the committee.
	Left
	// TooLarge: the parameters of the newest epoch allow no such entry.
	TooLarge
)

// Withdrawn answers Withdraw.
type Withdrawn struct {
	ID uint64
	// Behind says that this member has not seen what the submission was to
	// come after.
	Behind bool
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

// Extended says that a log's certified and durable part has grown by batches,
// which the order goes on from. It comes in the order of the log, and may leave
// out what was stored when the machine started.
type Extended struct{ Batches []protocol.Extension }

// Heard says that this member has taken a batch with urgent entries, which
// claims a round, will be certified soon and wants to be ordered then.
type Heard struct{ Round uint64 }

// Advanced says that this member has sealed a batch that claims a new round.
type Advanced struct{ Round uint64 }

// Recovered says that this member knows its own log and authors from now on.
type Recovered struct{}

// HandedOver says that this member has been told what it has to know to vote in
// an epoch, and votes in it, if it is one of its members.
type HandedOver struct{ Epoch uint64 }

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

// PutHandover keeps what this member has been told at the beginning of an epoch,
// in place of what it kept before.
type PutHandover struct{ Handover wire.Handover }

// Truncate drops the batches of a log from a size on, which only happens to
// uncertified batches of an author that signed two histories.
type Truncate struct {
	Log  protocol.MemberID
	Size uint64
}

// Effect implements machine.Effect.
func (SendRange) Effect() {}

// Effect implements machine.Effect.
func (Resolved) Effect() {}

// Effect implements machine.Effect.
func (Refused) Effect() {}

// Effect implements machine.Effect.
func (Withdrawn) Effect() {}

// Effect implements machine.Effect.
func (Certified) Effect() {}

// Effect implements machine.Effect.
func (Accused) Effect() {}

// Effect implements machine.Effect.
func (Recovered) Effect() {}

// Effect implements machine.Effect.
func (Extended) Effect() {}

// Effect implements machine.Effect.
func (HandedOver) Effect() {}

// Effect implements machine.Effect.
func (Heard) Effect() {}

// Effect implements machine.Effect.
func (Advanced) Effect() {}

// Record implements machine.Record.
func (PutBatch) Record() {}

// Record implements machine.Record.
func (PutCertificate) Record() {}

// Record implements machine.Record.
func (PutEvidence) Record() {}

// Record implements machine.Record.
func (PutHandover) Record() {}

// Record implements machine.Record.
func (Truncate) Record() {}
