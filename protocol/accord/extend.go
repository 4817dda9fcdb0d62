package accord

import (
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// maxDecisions bounds the decisions of one batch of their log.
const maxDecisions = 64

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
// this order: what expires with the batch's time, the batch, what it decides.
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
	for chunk := range slices.Chunk(decisions, maxDecisions) {
		batch := &wire.Batch{Author: protocol.Accord, Old: b.size, Time: b.now}
		for _, d := range chunk {
			batch.Items = append(batch.Items, wire.Item{Kind: protocol.KindDecide, Body: d.Append(nil)})
		}
		encoded, err := wire.Encode(batch)
		if err != nil {
			return nil, 0, err
		}
		e := batch.Extension()
		b.records = append(b.records, PutDecisions{Old: batch.Old, Encoded: encoded, Entries: e.Entries})
		for _, d := range chunk {
			b.decided(d, position)
			position++
		}
		b.size = batch.Size()
		out = append(out, e)
	}
	return out, position, nil
}
