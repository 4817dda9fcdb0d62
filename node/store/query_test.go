package store

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/strataos/strataos/node/internal/scribe"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// world is a ledger, and what is known of it without the store's indexes.
type world struct {
	*book
	rows    []Row
	batches []*wire.Batch
	past    map[batchEnd]map[batchEnd]bool // batches in the past of one
}

// batchEnd names a batch by where it ends.
type batchEnd struct {
	log  protocol.MemberID
	size uint64
}

// randomWorld writes random batches with random parents.
func randomWorld(t *testing.T, rng *rand.Rand, batches int) *world {
	w := &world{book: newBook(t), past: map[batchEnd]map[batchEnd]bool{}}
	s := scribeOf(w.book)
	newest := map[protocol.MemberID]batchEnd{}
	for k := range batches {
		var items []wire.Item
		for range rng.IntN(4) {
			items = append(items, randomItem(t, rng))
		}
		var parents []protocol.MemberID
		for i := range protocol.MemberID(4) {
			if rng.IntN(3) == 0 {
				parents = append(parents, i)
			}
		}
		log := protocol.MemberID(rng.IntN(4))
		b := s.Append(log, items, parents...)
		w.note(b, newest)
		if k%40 == 39 {
			s.Now += protocol.Micros(rng.IntN(2000)) * protocol.Millisecond
		}
	}
	s.Settle()
	w.now = s.Now
	w.rows = all(w.book)
	return w
}

func randomItem(t *testing.T, rng *rand.Rand) wire.Item {
	n := rng.IntN(12)
	ttl := uint32(0)
	if rng.IntN(3) == 0 {
		ttl = uint32(1 + rng.IntN(6))
	}
	switch rng.IntN(5) {
	case 0:
		return scribe.Anchor(t, fmt.Sprintf(`{"anchor_type":"state","data":{"n":%d},"metadata":{"key":"k%d"}}`, n, n%3), ttl)
	case 1:
		return scribe.Anchor(t, fmt.Sprintf(`{"anchor_type":"event","data":{"n":%d}}`, n), ttl)
	case 2:
		return scribe.Anchor(t, fmt.Sprintf(`{"anchor_type":"proof","data":{"n":%d}}`, n), ttl)
	}
	return scribe.Attest(t, fmt.Sprintf(`{"type":"%s","payload":{"n":%d}}`, []string{"a", "a.b", "a.b.c", "ab"}[n%4], n))
}

// note works out the past of a batch from what it names.
func (w *world) note(b *wire.Batch, newest map[protocol.MemberID]batchEnd) {
	at := batchEnd{b.Author, b.Size()}
	past := map[batchEnd]bool{}
	add := func(p batchEnd) {
		past[p] = true
		for q := range w.past[p] {
			past[q] = true
		}
	}
	if p, ok := newest[b.Author]; ok {
		add(p)
	}
	for _, p := range b.Parents {
		add(batchEnd{p.Member, p.Size})
	}
	w.past[at], newest[b.Author] = past, at
	w.batches = append(w.batches, b)
}

// batchOf is the batch that holds an entry.
func (w *world) batchOf(row Row) batchEnd {
	for _, b := range w.batches {
		if b.Author == row.Log && row.Index > b.Old && row.Index < b.Size() {
			return batchEnd{b.Author, b.Size()}
		}
	}
	w.t.Fatalf("%+v is in no batch", row)
	return batchEnd{}
}

func (w *world) precedes(a, b Row) bool {
	p, q := w.batchOf(a), w.batchOf(b)
	return p == q && a.Index < b.Index || w.past[q][p]
}

// matches is the query's meaning, entry by entry.
func (w *world) matches(q Query, row Row) bool {
	body := string(row.Body)
	gone := row.Gone(q.Now)
	key := ""
	if i := strings.Index(body, `"key":"`); i >= 0 && row.Entry.Kind == protocol.KindAnchorState && !gone {
		key = body[i+7 : i+9]
	}
	kind := ""
	if i := strings.Index(body, `"type":"`); i >= 0 && row.Entry.Kind == protocol.KindAttest {
		kind, _, _ = strings.Cut(body[i+8:], `"`)
	}
	switch {
	case row.Entry.Time < q.From || q.To != 0 && row.Entry.Time >= q.To,
		row.Position < q.FromPosition || q.ToPosition != 0 && row.Position >= q.ToPosition,
		len(q.Kinds) > 0 && !slices.Contains(q.Kinds, row.Entry.Kind),
		q.Hash != nil && *q.Hash != row.Entry.Hash,
		q.Author != nil && *q.Author != row.Log,
		q.Key != "" && key != q.Key,
		q.Latest && key == "",
		q.Before != nil && !w.precedes(row, q.Before.Row),
		q.After != nil && !w.precedes(q.After.Row, row),
		q.Concurrent != nil && (row.Position == q.Concurrent.Position || w.precedes(q.Concurrent.Row, row) || w.precedes(row, q.Concurrent.Row)):
		return false
	}
	if prefix, ok := strings.CutSuffix(q.Type, "*"); q.Type != "" && (ok && !strings.HasPrefix(kind, prefix) || !ok && kind != q.Type) {
		return false
	}
	if q.Latest {
		for _, later := range w.rows[row.Position+1:] {
			upper := Query{To: q.To, ToPosition: q.ToPosition, Now: q.Now, Key: key}
			if w.matches(upper, later) {
				return false
			}
		}
	}
	return true
}

// answer is all that a query asks for, in its order.
func (w *world) answer(q Query) []uint64 {
	var rows []Row
	for _, row := range w.rows {
		if w.matches(q, row) {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		if q.ByTime && a.Entry.Time != b.Entry.Time {
			return int(a.Entry.Time - b.Entry.Time)
		}
		return int(a.Position) - int(b.Position)
	})
	if q.Reverse {
		slices.Reverse(rows)
	}
	positions := []uint64{}
	for _, row := range rows {
		positions = append(positions, row.Position)
	}
	return positions
}

// pages reads all pages of a query.
func (w *world) pages(q Query) []uint64 {
	w.t.Helper()
	positions := []uint64{}
	for {
		page, err := w.Query(q)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page.Rows) > q.Limit {
			w.t.Fatalf("%d entries, at most %d are asked for", len(page.Rows), q.Limit)
		}
		for _, row := range page.Rows {
			positions = append(positions, row.Position)
		}
		if !page.More {
			return positions
		}
		if page.Next == nil || q.Start != nil && *page.Next == *q.Start {
			w.t.Fatalf("%+v makes no progress at %+v", q, q.Start)
		}
		q.Start = page.Next
	}
}

func (w *world) randomQuery(rng *rand.Rand) Query {
	q := Query{ByTime: rng.IntN(2) == 0, Reverse: rng.IntN(2) == 0, Limit: 1 + rng.IntN(20), Now: w.now}
	some := func() Row { return w.rows[rng.IntN(len(w.rows))] }
	past := func() *Past {
		p, err := w.Past(some())
		if err != nil {
			w.t.Fatal(err)
		}
		return &p
	}
	for range 1 + rng.IntN(3) {
		switch rng.IntN(14) {
		case 0:
			q.From = some().Entry.Time
		case 1:
			q.To = some().Entry.Time
		case 2:
			q.FromPosition = some().Position
		case 3:
			q.ToPosition = some().Position + 1
		case 4:
			q.Kinds = []protocol.Kind{some().Entry.Kind, some().Entry.Kind}
		case 5:
			q.Type = []string{"a", "a.b", "a.*", "a.b.*", "x"}[rng.IntN(5)]
		case 6:
			hash := some().Entry.Hash
			q.Hash = &hash
		case 7, 8:
			q.Key = fmt.Sprintf("k%d", rng.IntN(4))
		case 9:
			q.Latest = true
		case 10:
			author := protocol.MemberID(rng.IntN(4))
			q.Author = &author
		case 11:
			q.Before = past()
		case 12:
			q.After = past()
		case 13:
			q.Concurrent = past()
		}
	}
	return q
}

// TestQuery holds random queries of random ledgers, page by page, to their
// meaning, before and after what has expired is erased.
func TestQuery(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	queries := 1500
	if testing.Short() {
		queries = 300
	}
	w := randomWorld(t, rng, 160)
	for round := range 2 {
		answered := 0
		for range queries {
			q := w.randomQuery(rng)
			want, got := w.answer(q), w.pages(q)
			if !reflect.DeepEqual(want, got) {
				t.Fatalf("round %d: %+v (before %v after %v concurrent %v hash %v) gives\n%v, want\n%v", round, q, q.Before, q.After, q.Concurrent, q.Hash, got, want)
			}
			answered += len(want)
		}
		if answered < queries {
			t.Errorf("%d queries have matched %d entries", queries, answered)
		}
		n, err := w.Erase(t.Context(), w.now)
		if err != nil || round == 0 && n == 0 {
			t.Fatalf("%d erased, %v", n, err)
		}
	}
}

// TestQueryGrows follows a ledger with a cursor while it grows.
func TestQueryGrows(t *testing.T) {
	b := newBook(t)
	s := scribeOf(b)
	q := Query{Limit: 3, Now: start}
	var got []uint64
	for k := range 5 {
		for n := range k {
			s.Append(protocol.MemberID(n%4), []wire.Item{{Kind: protocol.KindAttest, Body: b.event(10*k + n).Canonical}})
		}
		s.Settle()
		for {
			page, err := b.Query(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page.Rows {
				got = append(got, row.Position)
			}
			q.Start = page.Next
			if !page.More {
				break
			}
		}
	}
	if len(got) != 10 || !slices.IsSorted(got) || got[9] != 9 {
		t.Errorf("%v", got)
	}
}

// TestQueryBounded asks for what is not there: a page looks at a part of the
// ledger, says so, and the next ones come to its end.
func TestQueryBounded(t *testing.T) {
	b := newBook(t)
	s := scribeOf(b)
	total := maxScanned + maxScanned/2
	for n := 0; n < total; {
		var items []wire.Item
		for range 1000 {
			items = append(items, scribe.Attest(t, fmt.Sprintf(`{"type":"t","payload":{"n":%d}}`, n)))
			n++
		}
		s.Append(0, items)
	}
	s.Settle()
	for _, byTime := range []bool{false, true} {
		q := Query{Type: "other", Limit: 10, ByTime: byTime, Now: start}
		page, err := b.Query(q)
		if err != nil || !page.More || len(page.Rows) != 0 || page.Next.Position != maxScanned-1 {
			t.Fatalf("%+v, %v", page, err)
		}
		q.Start = page.Next
		if page, err = b.Query(q); err != nil || page.More || page.Next.Position != uint64(total)-1 {
			t.Fatalf("%+v, %v", page, err)
		}
	}
}

// TestManyOfOneBody looks up a body that was put on record more often than an
// index is sorted for.
func TestManyOfOneBody(t *testing.T) {
	b := newBook(t)
	s := scribeOf(b)
	one := scribe.Attest(t, `{"type":"t","payload":{}}`)
	total := maxPlaces + 100
	for n := 0; n < total; n += 100 {
		s.Append(protocol.MemberID(n/100%4), slices.Repeat([]wire.Item{one}, 100))
	}
	s.Settle()
	hash := one.Hash()
	w := &world{book: b}
	got := w.pages(Query{Hash: &hash, Limit: 777, Now: start})
	if len(got) != total || !slices.IsSorted(got) {
		t.Errorf("%d of %d", len(got), total)
	}
	first, ok, err := b.Earliest(hash)
	if err != nil || !ok || first.Position != 0 {
		t.Errorf("%+v %v %v", first, ok, err)
	}
}

// TestChain holds the chains of random entries to what their batches name.
func TestChain(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	w := randomWorld(t, rng, 120)
	chains := 0
	for range 400 {
		from, err := w.Past(w.rows[rng.IntN(len(w.rows))])
		if err != nil {
			t.Fatal(err)
		}
		to, err := w.Past(w.rows[rng.IntN(len(w.rows))])
		if err != nil {
			t.Fatal(err)
		}
		if from.Precedes(&to) != w.precedes(from.Row, to.Row) {
			t.Fatalf("%+v precedes %+v: %v", from, to, from.Precedes(&to))
		}
		chain, err := w.Chain(from, to)
		if !from.Precedes(&to) {
			if err == nil {
				t.Fatalf("%+v and %+v have a chain", from, to)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		chains++
		w.checkChain(from, to, chain)
	}
	if chains < 50 {
		t.Errorf("only %d chains", chains)
	}
}

func (w *world) checkChain(from, to Past, chain []Link) {
	w.t.Helper()
	first, last := chain[0], chain[len(chain)-1]
	if first.Log != from.Log || first.Size != from.Size || last.Log != to.Log || last.Size != to.Size || first.Parent || len(chain) > 2*w.com.N() {
		w.t.Fatalf("a chain from %+v to %+v is %+v", from, to, chain)
	}
	for i := 1; i < len(chain); i++ {
		a, b := chain[i-1], chain[i]
		ok := !b.Parent && a.Log == b.Log && a.Size < b.Size
		for _, p := range b.Header.Parents {
			ok = ok || b.Parent && p.Member == a.Log && p.Size == a.Size
		}
		if !ok {
			w.t.Fatalf("link %d of %+v does not follow", i, chain)
		}
	}
}
