package order

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
)

// Missing returns the first thing that a batch needs and that is not inserted:
// its predecessor, named by its own log and Old, or a parent, which may be of a
// log that comes with a later epoch. It answers false if there is none, which does
// not mean that the batch is valid.
func (o *Order) Missing(b Batch) (Parent, bool) {
	if int(b.Log) >= len(o.logs) {
		return Parent{Member: b.Log, Size: b.Old}, true
	}
	if b.Old > o.logs[b.Log].size() {
		return Parent{Member: b.Log, Size: b.Old}, true
	}
	for _, p := range b.Parents {
		if int(p.Member) >= len(o.logs) || p.Member != b.Log && p.Size > o.logs[p.Member].size() {
			return p, true
		}
	}
	return Parent{}, false
}

// Insert adds a batch and keeps its Parents. It fails, and changes nothing, if
// the batch does not follow the newest one of its log, names a parent that is
// not inserted or no batch of another log, is not later than all these, or if
// Past fails. Whatever a batch says, it costs no more than an honest one with
// as many parents, and a look into Past for each that is old.
func (o *Order) Insert(b Batch) (Node, error) {
	if err := o.follows(b); err != nil {
		return Node{}, err
	}
	pred := o.logs[b.Log].tip()
	if pred != nil && b.Time <= pred.Time {
		return Node{}, refuse(b, "its time %d is not later than that of its predecessor, %d", b.Time, pred.Time)
	}
	parents := make([]*Node, len(b.Parents))
	for i, p := range b.Parents {
		var err error
		if parents[i], err = o.parent(b, p); err != nil {
			return Node{}, err
		}
	}
	node := o.derive(b, pred, parents)
	c := &o.logs[b.Log]
	c.nodes = append(c.nodes, node)
	o.enter(pred, node)
	return *node, nil
}

func refuse(b Batch, format string, args ...any) error {
	return fmt.Errorf("batch of log %d that ends at %d: %w", b.Log, b.Size, fmt.Errorf(format, args...))
}

// follows checks that a batch is the next one of its log.
func (o *Order) follows(b Batch) error {
	if int(b.Log) >= len(o.logs) {
		return refuse(b, "there are only %d logs", len(o.logs))
	}
	switch size := o.logs[b.Log].size(); {
	case b.Size <= b.Old:
		return refuse(b, "it begins at %d", b.Old)
	case b.Old > size:
		return refuse(b, "it begins at %d, and only %d leaves are inserted", b.Old, size)
	case b.Old < size:
		return refuse(b, "it begins at %d, and %d leaves are inserted", b.Old, size)
	}
	return nil
}

// parent returns what a batch names as its parent.
func (o *Order) parent(b Batch, p Parent) (*Node, error) {
	switch {
	case int(p.Member) >= len(o.logs) || p.Member == b.Log:
		return nil, refuse(b, "its parent is of log %d, which is not another member's", p.Member)
	case p.Size > o.logs[p.Member].size():
		return nil, refuse(b, "its parent of log %d at %d is not inserted", p.Member, p.Size)
	}
	node, err := o.lookup(p.Member, p.Size)
	if err != nil {
		return nil, refuse(b, "its parent: %w", err)
	}
	if b.Time <= node.Time {
		return nil, refuse(b, "its time %d is not later than that of its parent of log %d, %d", b.Time, p.Member, node.Time)
	}
	return node, nil
}

// lookup returns the inserted batch of a log that ends at size.
func (o *Order) lookup(log protocol.MemberID, size uint64) (*Node, error) {
	c := &o.logs[log]
	i, ok := c.find(size)
	switch {
	case ok:
		return c.nodes[i], nil
	case size == 0 || size > c.nodes[0].Old:
		return nil, fmt.Errorf("no batch of log %d ends at %d", log, size)
	}
	node, err := o.load(log, size)
	if err != nil {
		return nil, err
	}
	for k, seen := range node.Clock {
		if round, size := o.Tip(protocol.MemberID(k)); seen > size || seen > o.base[k] && node.Rounds[k] > round {
			return nil, fmt.Errorf("the stored batch of log %d that ends at %d has seen what is not inserted", log, size)
		}
	}
	return node, nil
}

// load reads a batch from Past.
func (o *Order) load(log protocol.MemberID, size uint64) (*Node, error) {
	node, err := o.past.Node(log, size)
	if err != nil {
		return nil, fmt.Errorf("batch of log %d that ends at %d: %w", log, size, err)
	}
	// What was emitted before the epoch began need not know all logs.
	logs := len(node.Clock)
	if size > o.base[log] {
		logs = len(o.logs)
	}
	if node.Log != log || node.Size != size || node.Old >= size || len(node.Clock) != logs || len(node.Rounds) != logs ||
		logs > len(o.logs) || logs <= int(log) || node.Clock[log] != size || node.Rounds[log] != node.Round {
		return nil, fmt.Errorf("the stored batch of log %d that ends at %d is damaged", log, size)
	}
	return &node, nil
}

// derive works out a batch's past and its effective round.
func (o *Order) derive(b Batch, pred *Node, parents []*Node) *Node {
	n := &Node{Batch: b}
	shared := pred != nil && o.counts(pred) // n.Rounds is the predecessor's
	if shared {
		n.Clock, n.Rounds = slices.Clone(pred.Clock), pred.Rounds
	} else {
		n.Clock, n.Rounds = make(Clock, len(o.logs)), make([]uint64, len(o.logs))
		if pred != nil {
			copy(n.Clock, pred.Clock)
		}
	}
	unshare := func() {
		if shared {
			n.Rounds, shared = slices.Clone(n.Rounds), false
		}
	}
	for _, p := range parents {
		switch {
		case p.Size <= n.Clock[p.Log]: // all of its past is there
		case o.counts(p):
			unshare()
			n.merge(p)
		default: // none of its past counts
			n.mergeClock(p.Clock)
		}
	}
	n.Round = o.effective(n)
	if n.Rounds[b.Log] != n.Round {
		unshare()
		n.Rounds[b.Log] = n.Round
	}
	n.Clock[b.Log] = b.Size
	return n
}

// merge adds the past of another batch.
func (n *Node) merge(p *Node) {
	for i, size := range p.Clock {
		if size > n.Clock[i] {
			n.Clock[i], n.Rounds[i] = size, p.Rounds[i]
		}
	}
}

func (n *Node) mergeClock(c Clock) {
	for i, size := range c {
		n.Clock[i] = max(n.Clock[i], size)
	}
}

// effective is the effective round of a batch (rule C1). Its own log is in its
// Clock, and in its Rounds, up to its predecessor.
func (o *Order) effective(n *Node) uint64 {
	round := o.first
	if n.Clock[n.Log] > o.base[n.Log] {
		round = n.Rounds[n.Log]
	}
	if n.Claim <= round {
		return round
	}
	return max(round, min(n.Claim, o.supported(n)))
}

// supported is the largest round that the past of a batch without itself
// supports.
func (o *Order) supported(n *Node) uint64 {
	o.scratch = o.scratch[:0]
	for _, i := range o.members {
		if n.Clock[i] > o.base[i] {
			o.scratch = append(o.scratch, n.Rounds[i])
		}
	}
	if len(o.scratch) < o.rules.support {
		return o.first
	}
	slices.Sort(o.scratch)
	return o.scratch[len(o.scratch)-o.rules.support] + 1
}
