// Package machine has what all machines of a member have in common: the effects
// that every host carries out alike.
//
// A machine is a pure function of time and inputs:
//
//	effects, err := machine.Step(now, inputs...)
//
// The host carries out the effects of one Step in their order, and of several
// Steps in the order of the Steps. It may be slow about Publish and Send, and
// may lose them. It may not lose a Persist. An error of Step is a broken
// invariant or a damaged store: the machine must not be used again, and the
// node must stop.
package machine

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// Effect is something the host must do.
type Effect interface{ Effect() }

// Record is something to make durable.
type Record interface{ Record() }

// Persist asks the host to make records durable, all or none of them. Persists
// become durable in the order of Seq; the host answers with Persisted. With
// Lazy set nobody waits for the records: they need no fsync of their own, but
// must be durable once any later Persist is.
//
// This is where "persist before you sign" lives: a machine signs, and
// publishes what it has signed, only on the Persisted that covers it.
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

// Timer asks for a Tick at a time, instead of any Timer before.
type Timer struct{ At protocol.Micros }

// Blame says that a member delivered something provably invalid.
type Blame struct {
	Member protocol.MemberID
	Reason string
}

// Effect implements the interface.
func (Persist) Effect() {}

// Effect implements the interface.
func (Publish) Effect() {}

// Effect implements the interface.
func (Send) Effect() {}

// Effect implements the interface.
func (Timer) Effect() {}

// Effect implements the interface.
func (Blame) Effect() {}
