package store

import (
	"reflect"
	"testing"

	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// TestHandover keeps the newest handover over a restart.
func TestHandover(t *testing.T) {
	b := newBook(t)
	if _, ok, err := b.Handover(); ok || err != nil {
		t.Fatalf("an empty store has a handover: %v", err)
	}
	want := wire.Handover{
		Epoch: 7, Targets: []wire.Target{{Log: 2, Signed: wire.Signed{Size: 9, Time: 3}}},
		Partial: []wire.Partial{{Log: 1, Knows: 4}},
	}
	for _, h := range []wire.Handover{{Epoch: 6}, want} {
		if err := b.Write([]machine.Record{witness.PutHandover{Handover: h}}, true); err != nil {
			t.Fatal(err)
		}
	}
	b.reopen()
	if got, ok, err := b.Handover(); !ok || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}
