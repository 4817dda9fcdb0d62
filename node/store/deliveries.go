package store

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	ds "github.com/ipfs/go-datastore"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// Deliveries has the decisions in their order, and keeps how far each handler of
// them has come.
type Deliveries struct{ store *Store }

// Deliveries returns the store's space of handlers.
func (s *Store) Deliveries() *Deliveries { return &Deliveries{s} }

func deliveryKey(handler string) []byte {
	return hex.AppendEncode([]byte(spaceDelivery), []byte(handler))
}

// Position returns the ledger's position up to which a handler has been told of
// decisions, and the ledger's time from which on they are for it; and false if
// there is none such yet.
func (d *Deliveries) Position(_ context.Context, handler string) (position uint64, since protocol.Micros, known bool, err error) {
	value, err := d.store.db.GetRaw(deliveryKey(handler))
	switch {
	case errors.Is(err, ds.ErrNotFound):
		return 0, 0, false, nil
	case err != nil:
		return 0, 0, false, err
	case len(value) != 16:
		return 0, 0, false, fmt.Errorf("the stored position of handler %s has %d bytes", handler, len(value))
	}
	return binary.BigEndian.Uint64(value), protocol.Micros(binary.BigEndian.Uint64(value[8:])), true, nil
}

// SetPosition keeps the position and the time of a handler. They are durable when
// SetPosition returns.
func (d *Deliveries) SetPosition(_ context.Context, handler string, position uint64, since protocol.Micros) error {
	b := d.store.db.NewWriteBatch()
	value := binary.BigEndian.AppendUint64(nil, position)
	b.Set(deliveryKey(handler), binary.BigEndian.AppendUint64(value, uint64(since)))
	return b.Commit(true)
}

// deliveryPage bounds how many decisions are read at a time.
const deliveryPage = 64

// Next returns the first decisions behind a position of the ledger, in order, or
// none if there are no more yet.
func (d *Deliveries) Next(_ context.Context, after uint64) ([]accord.Case, error) {
	var ids []protocol.Hash
	err := d.store.Decided(after+1, func(id protocol.Hash, _ uint64) (bool, error) {
		ids = append(ids, id)
		return len(ids) < deliveryPage, nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]accord.Case, 0, len(ids))
	for _, id := range ids {
		c, ok, err := d.store.Case(id)
		if err != nil || !ok {
			return nil, errors.Join(err, fmt.Errorf("store: the decided proposal %s is not there", id))
		}
		out = append(out, c)
	}
	return out, nil
}

// End returns the position of the newest decision, or 0, where none can be, if
// there is none.
func (d *Deliveries) End(context.Context) (uint64, error) {
	var end uint64
	prefix := []byte(spaceDecided)
	err := d.store.db.Scan(prefix, upper(prefix), true, func(key, _ []byte) (bool, error) {
		end = parseHex(key[len(prefix):])
		return false, nil
	})
	return end, err
}
