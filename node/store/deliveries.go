package store

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	ds "github.com/ipfs/go-datastore"
)

// Deliveries keeps how far each handler of decisions has come.
type Deliveries struct{ store *Store }

// Deliveries returns the store's space of handlers.
func (s *Store) Deliveries() *Deliveries { return &Deliveries{s} }

func deliveryKey(handler string) []byte {
	return hex.AppendEncode([]byte(spaceDelivery), []byte(handler))
}

// Position returns the ledger's position up to which a handler has been told of
// decisions, and false if there is none such yet.
func (d *Deliveries) Position(_ context.Context, handler string) (uint64, bool, error) {
	value, err := d.store.db.GetRaw(deliveryKey(handler))
	switch {
	case errors.Is(err, ds.ErrNotFound):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	case len(value) != 8:
		return 0, false, fmt.Errorf("the stored position of handler %s has %d bytes", handler, len(value))
	}
	return binary.BigEndian.Uint64(value), true, nil
}

// SetPosition keeps the position of a handler. It is durable when SetPosition
// returns.
func (d *Deliveries) SetPosition(_ context.Context, handler string, position uint64) error {
	b := d.store.db.NewWriteBatch()
	b.Set(deliveryKey(handler), binary.BigEndian.AppendUint64(nil, position))
	return b.Commit(true)
}
