package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
	ds "github.com/ipfs/go-datastore"

	"github.com/strataos/strataos/protocol"
)

// span is a part of a log in which bodies were erased, from where its first
// batch begins to where its last one does.
type span struct {
	_           struct{} `cbor:",toarray"`
	Log         protocol.MemberID
	First, Last uint64
}

// spans are what was erased and still takes its space on the disk, at most one
// of a log.
type spans []span

func (s spans) clone() spans { return slices.Clone(s) }

func (s *spans) add(p place) {
	for i := range *s {
		if sp := &(*s)[i]; sp.Log == p.log {
			sp.First, sp.Last = min(sp.First, p.old), max(sp.Last, p.old)
			return
		}
	}
	*s = append(*s, span{Log: p.log, First: p.old, Last: p.old})
}

func (s spans) encode() []byte {
	value, err := cbor.Marshal([]span(s))
	if err != nil {
		panic(err) // numbers can be encoded
	}
	return value
}

// loadErased reads what was erased before a restart and not compacted.
func (s *Store) loadErased() error {
	value, err := s.db.GetRaw([]byte(keyErased))
	if errors.Is(err, ds.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := cbor.Unmarshal(value, (*[]span)(&s.erased)); err != nil {
		return fmt.Errorf("store: what was erased: %w", err)
	}
	return nil
}
