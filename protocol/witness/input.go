package witness

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Input is something that happened to the machine: one of the types below.
type Input interface{ input() }

// Start is the first input after New. The machine asks the other members for
// its own log and votes again for what it stores but has seen no certificate of.
type Start struct{}

// Tick tells the machine that the time of its last Timer effect has come.
type Tick struct{}

// Submit asks the machine to author an entry. It is answered by exactly one
// Resolved, Refused or Withdrawn effect with the same ID.
type Submit struct {
	// ID is the host's name for the submission, unique while unanswered.
	ID   uint64
	Kind protocol.Kind
	// Body is the canonical event or anchor, and Hash its hash.
	Body []byte
	Hash protocol.Hash
	// Need is how many cosignatures are asked for. Less than a quorum means a
	// quorum.
	Need int
	// Attestors are members whose cosignatures must be among them.
	Attestors []protocol.MemberID
	// TTL is for how many seconds the body is kept; 0 means forever.
	TTL uint32
	// After are the parts of logs that must be in the entry's past. It waits
	// until this member has certificates of them.
	After []protocol.Seen
	// At, if not 0, is the leaf of this member's log that is the entry already:
	// its cosignatures are waited for again, and it is not put into the log twice.
	At uint64
}

// Advance says how the order goes on. It holds until the next one.
type Advance struct {
	// Ready is the round that a batch with urgent entries may claim, and Due
	// the one that any next batch is to claim.
	Ready, Due uint64
	// Seal asks for a batch that claims Due, also if nothing waits for one.
	Seal bool
}

// Withdraw gives up on a submission, because its time is over or its client
// has gone. It is answered by Withdrawn, unless the submission was answered
// already.
type Withdraw struct{ ID uint64 }

// Receive is a message from a member. From is the member that delivered it,
// not necessarily the one that made it.
type Receive struct {
	From protocol.MemberID
	Msg  wire.Message
}

// Persisted says that every Persist effect up to Seq is durable.
type Persisted struct{ Seq uint64 }

// Enter says that a new epoch has begun, which the host has made durable: its
// committee is among Config.Epochs when the machine starts again. Epochs come in
// their order. From then on this member votes in no earlier one, and in this one
// once it has been told of the logs what it has to know.
type Enter struct{ Committee *quorum.Committee }

// PeerUp says that a connection with a member has come up.
type PeerUp struct{ Member protocol.MemberID }

func (Start) input()     {}
func (Tick) input()      {}
func (Submit) input()    {}
func (Withdraw) input()  {}
func (Receive) input()   {}
func (Persisted) input() {}
func (PeerUp) input()    {}
func (Advance) input()   {}
func (Enter) input()     {}
