package witness

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol/wire"
)

// reopen waits again for the cosignatures of an entry that an earlier
// submission has put into the own log. If what there is does not do, the log
// gets an empty batch: who votes for that vouches for the entry, too, and so a
// member that was away before can still be among them.
func (m *Machine) reopen(in Submit) error {
	l := m.own
	if l.evidence != nil {
		m.emit(Refused{ID: in.ID, Reason: LogStopped})
		return nil
	}
	b, err := m.ownBatchAt(in.At)
	if err != nil {
		return err
	}
	if in.At <= b.Old {
		return fmt.Errorf("own log: leaf %d is to be waited for, and is a header", in.At)
	}
	b.open = append(b.open, openItem{
		ResolvedItem: ResolvedItem{
			ID: in.ID, Index: in.At, Entry: b.msg.Items[in.At-b.Old-1].Entry(b.Time),
		},
		need:      in.Need,
		attestors: in.Attestors,
	})
	cert := l.cert
	if cert.Size() <= in.At {
		return nil // its certificate is on the way
	}
	if t := l.tallies[cert.Size()]; t != nil && t.Len() > len(cert.Cosignatures()) {
		cert = t.Certificate()
	}
	m.settle(cert)
	open := slices.ContainsFunc(b.open, func(it openItem) bool { return it.ID == in.ID })
	m.author.again = m.author.again || open
	return nil
}

// ownBatchAt returns the batch of the own log that has a leaf, from storage if
// nobody waits for it any more.
func (m *Machine) ownBatchAt(leaf uint64) (*ownBatch, error) {
	a := &m.author
	i := 0
	for ; i < len(a.batches) && a.batches[i].Old <= leaf; i++ {
		if leaf < a.batches[i].Size {
			return a.batches[i], nil
		}
	}
	encoded, err := m.store.BatchAt(m.self, leaf)
	if err != nil {
		return nil, err
	}
	if encoded == nil {
		return nil, fmt.Errorf("own log: leaf %d is to be waited for, and is not there", leaf)
	}
	msg, err := wire.DecodeBatch(encoded, maxStored)
	if err != nil {
		return nil, err
	}
	b := &ownBatch{
		Sealed: &Sealed{Old: msg.Old, Size: msg.Size(), Time: msg.Time},
		msg:    msg, published: true, certified: true,
	}
	a.batches = slices.Insert(a.batches, i, b)
	return b, nil
}
