package order

import (
	"cmp"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// keepEmitted is how many emitted batches of a log Forget leaves in memory,
// since batches that come may name them. When as many more have gathered, they
// go.
const keepEmitted = 16

// Order decides the order of batches. It is not safe for concurrent use.
type Order struct {
	epoch
	rules rules
	keep  int // keepEmitted, but for tests
	past  Past

	logs []chain
	// rounds are the rounds that are not consumed, from round on, up to the
	// newest that a batch has come to: their slots, by seat.
	rounds [][]slot
	round  uint64
	index  int // how many slots of round are consumed
	// changed says that a slot may be decided that was not at the last Decide.
	changed bool
	scratch []uint64
}

// rules are the numbers of rules C1 and C2.
type rules struct {
	support  int    // members of a round that support the next
	commit   int    // members that see a batch, to commit its slot directly
	skip     int    // members that don't, to skip it directly
	indirect int    // members in an anchor's past that see it, to commit it
	wave     uint64 // rounds from a slot to the first that may be its anchor
}

func rulesFor(n int) rules {
	q, f := quorum.Size(n), quorum.Faults(n)
	return rules{support: q, commit: q, skip: q, indirect: f + 1, wave: 2}
}

// chain is what is in memory of a log.
type chain struct {
	// nodes are its newest batches, in order: all that are not emitted, and
	// the newest in any case.
	nodes []*Node
	// emitted is how many of nodes are emitted, and ordered the size up to
	// which the log is.
	emitted int
	ordered uint64
}

// tip is the newest batch, or nil.
func (c *chain) tip() *Node {
	if len(c.nodes) == 0 {
		return nil
	}
	return c.nodes[len(c.nodes)-1]
}

// size is where the newest batch ends.
func (c *chain) size() uint64 {
	if tip := c.tip(); tip != nil {
		return tip.Size
	}
	return 0
}

// find returns the index of the batch that ends at size, or if none in memory
// does, of the first that ends behind it.
func (c *chain) find(size uint64) (int, bool) {
	return slices.BinarySearchFunc(c.nodes, size, func(n *Node, size uint64) int {
		return cmp.Compare(n.Size, size)
	})
}

// New returns an Order of n ≥ 1 members, numbered from 0, that begins with
// empty logs.
func New(n int, past Past) *Order {
	members := make([]protocol.MemberID, n)
	for i := range members {
		members[i] = protocol.MemberID(i)
	}
	return newOrder(newEpoch(members, make(Clock, n), 0), past)
}

func newOrder(e epoch, past Past) *Order {
	return &Order{
		epoch: e, rules: rulesFor(len(e.members)), keep: keepEmitted, past: past,
		logs: make([]chain, len(e.base)), round: e.first,
	}
}

// Tip returns where a log's newest inserted batch ends, and its effective
// round. Both are 0 if there is none, and the round is 0 also if the batch was
// emitted before the epoch began.
func (o *Order) Tip(log protocol.MemberID) (round, size uint64) {
	if int(log) >= len(o.logs) {
		return 0, 0
	}
	tip := o.logs[log].tip()
	switch {
	case tip == nil:
		return 0, 0
	case !o.counts(tip):
		return 0, tip.Size
	}
	return tip.Round, tip.Size
}

// Reached returns the round that a log has come to in this epoch, or one less
// than the epoch's first, which may be −1, if it has not come to any. There need
// be no such log.
func (o *Order) Reached(log protocol.MemberID) int64 {
	if int(log) < len(o.logs) {
		if tip := o.logs[log].tip(); tip != nil && o.counts(tip) {
			return int64(tip.Round)
		}
	}
	return int64(o.first) - 1
}

// State is from where an Order can be resumed.
type State struct {
	// Members are those that have slots in the epoch, ascending; First is its
	// first round, and Base how much of every log was emitted when it began.
	Members []protocol.MemberID
	First   uint64
	Base    Clock
	// Round is the first round whose slots are not all consumed, and Index how
	// many of them are: 0 ≤ Index < len(Members).
	Round uint64
	Index int
	// Emitted and Inserted are how much of every log is.
	Emitted, Inserted Clock
}

// State returns where the order stands. It is not changed by what comes later.
func (o *Order) State() State {
	s := State{
		Members: o.members, First: o.first, Base: o.base, Round: o.round, Index: o.index,
		Emitted: make(Clock, len(o.logs)), Inserted: make(Clock, len(o.logs)),
	}
	for i := range o.logs {
		s.Emitted[i], s.Inserted[i] = o.logs[i].ordered, o.logs[i].size()
	}
	return s
}

// Forget lets go of batches that were emitted in an earlier State of this
// Order: all but the newest of each log and a few more. From then on Past must
// answer for every batch that was emitted there, so the host calls it when
// their nodes are stored where Past reads. Nothing else lets go of batches.
func (o *Order) Forget(s State) {
	for i := range o.logs {
		c := &o.logs[i]
		emitted, ok := c.find(min(s.Emitted.At(protocol.MemberID(i)), c.ordered))
		if ok {
			emitted++
		}
		// Not one by one, since what stays has to move.
		if emitted > 2*o.keep {
			drop := min(emitted-o.keep, len(c.nodes)-1)
			c.nodes = slices.Delete(c.nodes, 0, drop)
			c.emitted -= drop
		}
	}
}
