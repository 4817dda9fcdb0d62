package accord

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// Bounds of one batch of the log of decisions: how many it has, and of how many
// bytes together, so that it can be read back whatever the network's parameters
// are. A single decision is shorter.
const (
	maxDecisions     = 64
	maxDecisionBytes = 256 << 10
)

// PutDecisions extends the log of decisions, which every member derives, by a
// batch that nobody has signed.
type PutDecisions struct {
	Old     uint64
	Encoded []byte // the batch's message
	Entries []protocol.Entry
}

// Record implements machine.Record.
func (PutDecisions) Record() {}

// Extend takes the next batch of the order, by an author of a name, with which the
// ledger goes on at a position. It returns all that the ledger is extended by, in
// this order: what expires with the batch's time, the batch, what it decides (rule
// A5).
func (b *Book) Extend(e protocol.Extension, author string, position uint64) ([]protocol.Extension, error) {
	over, err := b.expire(e.Time)
	if err != nil {
		return nil, err
	}
	out, position, err := b.settle(nil, over, position)
	if err != nil || len(e.Entries) == 0 {
		return out, err
	}
	var decisions []*Decision
	for _, act := range e.Acts {
		d, err := b.apply(entry{
			kind: e.Entries[act.Item].Kind, author: author,
			position: position + uint64(act.Item), time: e.Time, body: act.Body,
		})
		if err != nil {
			return nil, err
		}
		if d != nil {
			decisions = append(decisions, d)
		}
	}
	out, _, err = b.settle(append(out, e), decisions, position+uint64(len(e.Entries)))
	return out, err
}

// settle extends the log of decisions, and with it the ledger from a position on.
// It returns where the ledger goes on from there.
func (b *Book) settle(out []protocol.Extension, decisions []*Decision, position uint64) ([]protocol.Extension, uint64, error) {
	for len(decisions) > 0 {
		batch := &wire.Batch{Author: protocol.Accord, Old: b.size, Time: b.now}
		for bytes := 0; len(batch.Items) < min(len(decisions), maxDecisions); {
			body := decisions[len(batch.Items)].Append(nil)
			if bytes += len(body); bytes > maxDecisionBytes && len(batch.Items) > 0 {
				break
			}
			batch.Items = append(batch.Items, wire.Item{Kind: protocol.KindDecide, Body: body})
		}
		encoded, err := wire.Encode(batch)
		if err != nil {
			return nil, 0, err
		}
		e := batch.Extension()
		b.records = append(b.records, PutDecisions{Old: batch.Old, Encoded: encoded, Entries: e.Entries})
		for _, d := range decisions[:len(batch.Items)] {
			b.decided(d, position)
			position++
		}
		b.size = batch.Size()
		out = append(out, e)
		decisions = decisions[len(batch.Items):]
	}
	return out, position, nil
}
