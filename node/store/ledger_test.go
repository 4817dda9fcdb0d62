package store

import (
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/node/internal/scribe"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// scribeOf writes into a book's store.
func scribeOf(b *book) *scribe.Scribe {
	b.t.Helper()
	return scribe.New(b.t, b.com, b.genesis.Params, b.signers, b.Store, b.now)
}

// all reads the whole ledger.
func all(b *book) []Row {
	b.t.Helper()
	var rows []Row
	err := b.Runs(0, false, func(r Run) (bool, error) {
		more, err := b.Rows(r)
		rows = append(rows, more...)
		return true, err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return rows
}

// TestLedger writes logs that name each other and reads the ledger back, before
// and after a restart, held to its tree and checkpoint.
func TestLedger(t *testing.T) {
	b := newBook(t)
	s := scribeOf(b)
	written := 0
	for k := range 20 {
		var items []wire.Item
		for range k % 4 {
			written++
			items = append(items, wire.Item{Kind: protocol.KindAttest, Body: b.event(written).Canonical})
		}
		s.Append(protocol.MemberID(k%3), items, protocol.MemberID((k+1)%3))
		if k == 11 {
			s.Settle()
		}
	}
	s.Settle()
	for range 2 {
		rows := all(b)
		st, ok, err := b.State()
		if err != nil || !ok || st.Size != uint64(written) || len(rows) != written {
			t.Fatalf("%d rows of %d, %+v %v", len(rows), written, st, err)
		}
		leaves := make([][]byte, len(rows))
		last := protocol.Micros(0)
		for i, row := range rows {
			leaves[i] = protocol.LedgerEntry{Entry: row.Entry, Log: b.com.Name(row.Log), Index: row.Index}.Append(nil)
			at, ok, err := b.Position(row.Log, row.Index)
			if err != nil || !ok || at != uint64(i) || row.Position != at {
				t.Errorf("%d is at %d (%d), %v %v", i, at, row.Position, ok, err)
			}
			if got, ok, err := b.RowAt(at); err != nil || !ok || got.Entry != row.Entry || got.Index != row.Index {
				t.Errorf("%+v %v %v", got, ok, err)
			}
			if row.LedgerTime < last || row.LedgerTime < row.Entry.Time {
				t.Errorf("the ledger's time at %d is %d, before it %d, the entry's %d", i, row.LedgerTime, last, row.Entry.Time)
			}
			last = row.LedgerTime
		}
		root, err := tlog.TreeHash(int64(len(leaves)), b.LedgerHashes())
		if err != nil || protocol.Hash(root) != st.Root {
			t.Errorf("%v %v", root, err)
		}
		claim, ok, err := b.Checkpoint()
		if err != nil || !ok || claim.Size != st.Size || claim.Root != st.Root {
			t.Errorf("%+v %v %v", claim, ok, err)
		}
		if _, ok, err := b.RowAt(uint64(written)); err != nil || ok {
			t.Errorf("there is an entry behind the end, %v", err)
		}
		b.reopen()
	}
}
