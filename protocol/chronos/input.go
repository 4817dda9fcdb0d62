package chronos

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// Input is something that happened to the machine: one of the types below.
type Input interface{ input() }

// Start is the first input after New.
type Start struct{}

// Tick tells the machine that the time of its last Timer effect has come.
type Tick struct{}

// Extended says that logs have grown by batches that are certified, and durable
// here. Those of one log come in their order; what is left out, the machine
// reads from storage.
type Extended struct{ Batches []protocol.Extension }

// Heard says that a batch with urgent entries, which claims a round, will be
// certified soon.
type Heard struct{ Round uint64 }

// Advanced says that this member has sealed a batch that claims a new round.
type Advanced struct{ Round uint64 }

// Rejoined says that the witness machine has begun anew: it knows nothing of
// what it was told, and what it would have told may be lost.
type Rejoined struct{}

// Receive is what a member says of its ledger.
type Receive struct {
	From protocol.MemberID
	Msg  *wire.LedgerHead
}

// Persisted says that every Persist effect up to Seq is durable.
type Persisted struct{ Seq uint64 }

// PeerUp says that a connection with a member has come up.
type PeerUp struct{ Member protocol.MemberID }

func (Start) input()     {}
func (Tick) input()      {}
func (Extended) input()  {}
func (Heard) input()     {}
func (Advanced) input()  {}
func (Receive) input()   {}
func (Rejoined) input()  {}
func (Persisted) input() {}
func (PeerUp) input()    {}
