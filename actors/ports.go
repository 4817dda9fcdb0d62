package actors

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// Network carries messages to other members. Its methods are called by several
// actors at once, must not block and may lose what they are given.
type Network interface {
	// Publish gossips a message to every member.
	Publish(msg wire.Message)
	// Send sends a message to one member.
	Send(to protocol.MemberID, msg wire.Message)
	// Blame reports a member that delivered something provably invalid.
	Blame(member protocol.MemberID, reason string)
}

// Store keeps what the machines persist. It is safe for concurrent use.
type Store interface {
	witness.Storage
	chronos.Storage
	// Epochs are those that are stored, the founding one among them.
	Epochs() *quorum.Epochs
	// Write makes the records of several Persist effects visible to reads, in
	// order and atomically, and, with sync set, durable before it returns.
	Write(records []machine.Record, sync bool) error
}

// Clock tells the time in Unix microseconds.
type Clock func() protocol.Micros
