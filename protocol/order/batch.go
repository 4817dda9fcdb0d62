package order

import "github.com/strataos/strataos/protocol"

// Parent names a batch by where it ends.
type Parent struct {
	Member protocol.MemberID
	Size   uint64
}

// Batch is what the order takes of a certified batch.
type Batch struct {
	// Log is the author, and Old and Size are how many leaves its log has
	// before and behind the batch: Old < Size.
	Log       protocol.MemberID
	Old, Size uint64
	// Claim is the round that the author claims; any number is allowed.
	Claim uint64
	// Time is later than that of the predecessor and of every parent.
	Time protocol.Micros
	// Parents are batches of other logs. They may be old ones, and ones that
	// are in the past anyway.
	Parents []Parent
}

// Node is a batch with what follows from its past. Nothing of it may be changed.
type Node struct {
	Batch
	// Round is the effective round, in the epoch that the batch is emitted in.
	Round uint64
	// Clock is the past: how much of every log is in it, with Size in the
	// author's own place. It does not depend on epochs, but has no place for
	// logs that came with later ones.
	Clock Clock
	// Rounds has, for every log, the round of its newest batch in the past,
	// with Round in the author's own place. Where Clock is at or before the
	// epoch's base it is 0 and means nothing. Batches of a log share it while it
	// stays the same.
	Rounds []uint64
}

// Past looks up what an Order has let go of.
type Past interface {
	// Node returns what Insert, or NextEpoch since, has returned for the batch
	// of a log that ends at size, or an error if none does, with which the call
	// that needed it fails. Insert asks for batches that were emitted in a State
	// that Forget or Resume was given, and Resume for those that were inserted in
	// its own.
	Node(log protocol.MemberID, size uint64) (Node, error)
}
