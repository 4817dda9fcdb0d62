package store

import (
	"errors"
	"slices"
	"strings"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// Bounds of what one Query looks at before it answers what it has.
const (
	maxScanned = 20_000   // entries
	maxRead    = 32 << 20 // bytes of bodies
	maxAnswer  = 8 << 20  // bytes of bodies that match
	// maxPlaces bounds the entries of a body, or anchors of a state, that are
	// looked up by an index and sorted; where there are more, the ledger is
	// scanned.
	maxPlaces = 2000
)

// ErrTooMany: finding the newest anchor of a state would take a look at too
// many others.
var ErrTooMany = errors.New("store: too many anchors of the state lie behind the newest one that is asked for")

// Query asks for entries of the ledger. What is left zero asks for nothing.
type Query struct {
	// From and To bound the entries' times, half-open; To is 0 for no bound.
	From, To protocol.Micros
	// FromPosition and ToPosition bound the positions, half-open; ToPosition is
	// 0 for no bound.
	FromPosition, ToPosition uint64
	// Kinds are the kinds that are asked for.
	Kinds []protocol.Kind
	// Type is an event's type, or the beginning of one with ".*" behind it.
	Type string
	Hash *protocol.Hash
	// Key names a state.
	Key string
	// Latest asks for the newest anchor of every state within To and
	// ToPosition; what has expired is not counted.
	Latest bool
	Author *protocol.MemberID
	// Before, After and Concurrent ask for entries that are in the past of one,
	// have it in their past, or neither.
	Before, After, Concurrent *Past
	// ByTime orders by time and position, not by position alone.
	ByTime, Reverse bool
	// Limit bounds the entries of a page.
	Limit int
	// Start is the place behind which the page begins, if not nil.
	Start *Place
	// Now says what has expired.
	Now protocol.Micros
}

// Page is an answer to a Query.
type Page struct {
	Rows []Row
	// More says that there may be more behind Next.
	More bool
	// Next is the last place that was looked at, or nil if none was.
	Next *Place
	// Size and Time are the ledger's.
	Size uint64
	Time protocol.Micros
}

// Query looks up entries of the ledger. It uses the index that leads to the
// fewest entries, looks at a bounded number of them, and answers what it has.
func (s *Store) Query(q Query) (*Page, error) {
	sr := &search{store: s, q: q, page: Page{Next: q.Start}, newest: map[string]uint64{}}
	st, ok, err := s.State()
	if err != nil || !ok {
		return &sr.page, err
	}
	sr.page.Size, sr.page.Time = st.Size, st.Accord.Time
	if err := sr.bound(); err != nil {
		return nil, err
	}
	if sr.from < sr.to {
		err = sr.run()
	}
	return &sr.page, err
}

// search is a Query under way.
type search struct {
	store *Store
	q     Query
	page  Page
	// from and to bound the positions of entries that may match.
	from, to uint64

	scanned, read, answered int
	at                      Run   // the one that is looked at
	past                    *Past // of its batch, once it is needed
	rowsOf                  *Run  // the one whose rows were read last
	rows                    []Row // of rowsOf
	newest                  map[string]uint64
}

// bound narrows the positions by what is known before anything is read.
func (sr *search) bound() error {
	q := &sr.q
	sr.from, sr.to = q.FromPosition, sr.page.Size
	if q.ToPosition != 0 {
		sr.to = min(sr.to, q.ToPosition)
	}
	// The ledger extends causality.
	if q.Before != nil {
		sr.to = min(sr.to, q.Before.Position)
	}
	if q.After != nil {
		sr.from = max(sr.from, q.After.Position+1)
	}
	if q.From > 0 && !q.ByTime {
		// An entry is no later than the ledger's time, which never decreases.
		at, err := sr.store.reaches(q.From, sr.page.Size)
		if err != nil {
			return err
		}
		sr.from = max(sr.from, at)
	}
	return nil
}

// reaches is the position of the first run with which the ledger's time is not
// less than t, or size.
func (s *Store) reaches(t protocol.Micros, size uint64) (uint64, error) {
	low, high := uint64(0), size // what is before low is earlier, high is not
	for low < high {
		r, ok, err := s.RunAt(low + (high-low)/2)
		if err != nil || !ok {
			return low, err
		}
		if r.LedgerTime < t {
			low = r.End()
		} else {
			high = r.Position
		}
	}
	return low, nil
}

// run goes through the entries that the cheapest index leads to.
func (sr *search) run() error {
	q := &sr.q
	switch {
	case q.Hash != nil:
		positions, ok, err := sr.store.places(*q.Hash, maxPlaces)
		if err != nil {
			return err
		}
		if ok {
			return sr.list(positions)
		}
	case q.Key != "" && q.Latest:
		position, ok, err := sr.newestOf(q.Key, noPosition)
		if err != nil || !ok {
			return err
		}
		return sr.list([]uint64{position})
	case q.Key != "":
		done, err := sr.states()
		if err != nil || done {
			return err
		}
	}
	if q.ByTime {
		return sr.byTime()
	}
	return sr.byPosition()
}

// states goes through the anchors of a state. It answers false if there are too
// many to be sorted by time.
func (sr *search) states() (bool, error) {
	q := &sr.q
	if !q.ByTime {
		from, to := sr.window()
		return true, sr.store.States(q.Key, from, to, q.Reverse, sr.visitAt)
	}
	var positions []uint64
	err := sr.store.States(q.Key, sr.from, sr.to, false, func(position uint64) (bool, error) {
		positions = append(positions, position)
		return len(positions) <= maxPlaces, nil
	})
	if err != nil || len(positions) > maxPlaces {
		return false, err
	}
	return true, sr.list(positions)
}

// list goes through entries at known positions.
func (sr *search) list(positions []uint64) error {
	places := make([]Place, 0, len(positions))
	for _, p := range positions {
		r, ok, err := sr.store.RunAt(p)
		if err != nil {
			return err
		}
		if at := (Place{r.Time, p}); ok && p >= sr.from && p < sr.to && sr.isBehind(at) {
			places = append(places, at)
		}
	}
	slices.SortFunc(places, func(a, b Place) int {
		if sr.before(a, b) {
			return -1
		}
		return 1
	})
	for _, p := range places {
		more, err := sr.visitAt(p.Position)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// before reports whether one place comes before another in the query's order.
func (sr *search) before(a, b Place) bool {
	if sr.q.Reverse {
		a, b = b, a
	}
	if sr.q.ByTime && a.Time != b.Time {
		return a.Time < b.Time
	}
	return a.Position < b.Position
}

// isBehind reports whether a place is behind the one where the page starts.
func (sr *search) isBehind(p Place) bool { return sr.q.Start == nil || sr.before(*sr.q.Start, p) }

// window bounds the positions that are left of a query that goes by position.
func (sr *search) window() (from, to uint64) {
	from, to = sr.from, sr.to
	if start := sr.q.Start; start != nil && sr.q.Reverse {
		to = min(to, start.Position)
	} else if start != nil {
		from = max(from, start.Position+1)
	}
	return from, max(from, to)
}

func (sr *search) byPosition() error {
	from, to := sr.window()
	if from >= to {
		return nil
	}
	first := from
	if sr.q.Reverse {
		first = to - 1
	}
	return sr.store.Runs(first, sr.q.Reverse, func(r Run) (bool, error) {
		if r.End() <= from || r.Position >= to {
			return false, nil
		}
		return sr.visit(r, from, to)
	})
}

func (sr *search) byTime() error {
	q := &sr.q
	from, to := Place{Time: q.From}, Place{Time: q.To}
	if q.To == 0 {
		to.Time = protocol.MaxMicros + 1
	}
	if q.Start != nil && q.Reverse {
		to = *q.Start
	} else if q.Start != nil {
		r, ok, err := sr.store.RunAt(q.Start.Position)
		if err != nil {
			return err
		}
		from = *q.Start
		if ok && r.Time == from.Time {
			from.Position = r.Position // it may have been left in its middle
		}
	}
	return sr.store.RunsByTime(from, to, q.Reverse, func(p Place) (bool, error) {
		r, ok, err := sr.store.RunAt(p.Position)
		if err != nil {
			return false, err
		}
		if !ok || r.Position != p.Position || r.Time != p.Time {
			return true, nil // left behind by a ledger that was written again
		}
		return sr.visit(r, sr.from, sr.to)
	})
}

// visitAt looks at one entry.
func (sr *search) visitAt(position uint64) (bool, error) {
	r, ok, err := sr.store.RunAt(position)
	if err != nil || !ok {
		return false, err
	}
	return sr.visit(r, position, position+1)
}

// visit looks at the entries of a run that lie within bounds. It answers false
// when the page is full, or enough has been looked at.
func (sr *search) visit(r Run, from, to uint64) (bool, error) {
	from, to = max(from, r.Position), min(to, r.End(), sr.page.Size)
	if from >= to {
		return true, nil
	}
	if sr.enough() {
		sr.page.More = true
		return false, nil
	}
	if sr.at != r {
		sr.at, sr.past = r, nil
	}
	if !sr.mayMatch(r) {
		sr.scanned++
		sr.looked(r, from, to)
		return true, nil
	}
	rows, err := sr.rowsIn(r)
	if err != nil {
		return false, err
	}
	rows = rows[from-r.Position : to-r.Position]
	for i := range rows {
		row := &rows[i]
		if sr.q.Reverse {
			row = &rows[len(rows)-1-i]
		}
		place := Place{r.Time, row.Position}
		if !sr.isBehind(place) {
			continue
		}
		more, err := sr.look(row, place)
		if err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// enough reports whether so much was looked at that the page is answered as it
// is.
func (sr *search) enough() bool {
	return sr.scanned >= maxScanned || sr.read >= maxRead && sr.scanned > 0 || sr.answered >= maxAnswer
}

// look takes an entry if it matches. It answers false if there was no room for
// it.
func (sr *search) look(row *Row, place Place) (bool, error) {
	if sr.enough() {
		sr.page.More = true
		return false, nil
	}
	sr.scanned++
	ok, err := sr.matches(row)
	if err != nil {
		return false, err
	}
	full := len(sr.page.Rows) >= sr.q.Limit
	if ok && full {
		sr.page.More = true
		return false, nil
	}
	if ok {
		sr.page.Rows = append(sr.page.Rows, *row)
		sr.answered += len(row.Body)
	}
	if !full {
		sr.page.Next = &place
	}
	return true, nil
}

// looked notes that nothing of a run between two positions matches.
func (sr *search) looked(r Run, from, to uint64) {
	last := Place{r.Time, to - 1}
	if sr.q.Reverse {
		last.Position = from
	}
	if len(sr.page.Rows) < sr.q.Limit && sr.isBehind(last) {
		sr.page.Next = &last
	}
}

// rowsIn reads the entries of a run.
func (sr *search) rowsIn(r Run) ([]Row, error) {
	if sr.rowsOf != nil && sr.rowsOf.Position == r.Position {
		return sr.rows, nil
	}
	rows, err := sr.store.Rows(r)
	if err != nil {
		return nil, err
	}
	sr.read += 512 // what a batch takes beside its bodies, about
	for i := range rows {
		sr.read += len(rows[i].Body)
	}
	sr.rowsOf, sr.rows = &r, rows
	return rows, nil
}

// mayMatch reports whether any entry of a run may match, by the run alone.
func (sr *search) mayMatch(r Run) bool {
	q := &sr.q
	switch {
	case r.Time < q.From || q.To != 0 && r.Time >= q.To:
		return false
	case q.Author != nil && r.Log != *q.Author:
		return false
	case r.Log == protocol.Accord && (q.Before != nil || q.After != nil || q.Concurrent != nil):
		return false // decisions follow from the order, not from what their author has seen
	case q.Before != nil && !precedes(r.Log, r.Old+1, q.Before):
		return false
	}
	return true
}

func (sr *search) matches(row *Row) (bool, error) {
	q := &sr.q
	if q.Hash != nil && row.Entry.Hash != *q.Hash {
		return false, nil
	}
	if len(q.Kinds) > 0 && !slices.Contains(q.Kinds, row.Entry.Kind) {
		return false, nil
	}
	if q.Type != "" && !sr.hasType(row) {
		return false, nil
	}
	if ok, err := sr.isRelated(row); err != nil || !ok {
		return false, err
	}
	if q.Key == "" && !q.Latest {
		return true, nil
	}
	key, ok := sr.keyOf(row)
	if !ok || q.Key != "" && key != q.Key {
		return false, nil
	}
	if !q.Latest {
		return true, nil
	}
	newest, ok, err := sr.newestOf(key, row.Position)
	return ok && newest == row.Position, err
}

// hasType reports whether an entry stands for an event of the type asked for.
func (sr *search) hasType(row *Row) bool {
	if row.Entry.Kind != protocol.KindAttest || row.Gone(sr.q.Now) {
		return false
	}
	name := ""
	_ = jcs.Members(row.Body, func(key, value []byte) (err error) {
		if string(key) == "type" {
			name, err = jcs.Unquote(value)
		}
		return err
	})
	if prefix, ok := strings.CutSuffix(sr.q.Type, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return name == sr.q.Type
}

// keyOf is the state that an entry is an anchor of, as long as it has a body.
func (sr *search) keyOf(row *Row) (string, bool) {
	if row.Entry.Kind != protocol.KindAnchorState || row.Gone(sr.q.Now) {
		return "", false
	}
	a, err := protocol.CheckAnchor(row.Body, len(row.Body))
	return a.Key, err == nil
}

// isRelated reports whether an entry has the causal relations asked for.
func (sr *search) isRelated(row *Row) (bool, error) {
	q := &sr.q
	if q.Before != nil && !precedes(row.Log, row.Index, q.Before) {
		return false, nil
	}
	if q.After == nil && q.Concurrent == nil {
		return true, nil
	}
	if sr.past == nil {
		past, err := sr.store.Past(*row)
		if err != nil {
			return false, err
		}
		sr.past = &past
	}
	past := *sr.past
	past.Row = *row
	if q.After != nil && !q.After.Precedes(&past) {
		return false, nil
	}
	if c := q.Concurrent; c != nil {
		same := c.Log == row.Log && c.Index == row.Index
		return !same && !c.Precedes(&past) && !past.Precedes(c), nil
	}
	return true, nil
}

// newestOf returns the newest anchor of a state that is within the query's
// upper bounds and has not expired. One that is known to be such is not read.
func (sr *search) newestOf(key string, known uint64) (uint64, bool, error) {
	if position, ok := sr.newest[key]; ok {
		return position, position != noPosition, nil
	}
	found := noPosition
	looked := 0
	to := sr.page.Size
	if sr.q.ToPosition != 0 {
		to = min(to, sr.q.ToPosition)
	}
	err := sr.store.States(key, 0, to, true, func(position uint64) (bool, error) {
		sr.scanned++
		if looked++; looked > maxPlaces {
			return false, ErrTooMany
		}
		if position == known {
			found = position
			return false, nil
		}
		r, ok, err := sr.store.RunAt(position)
		if err != nil || !ok || sr.q.To != 0 && r.Time >= sr.q.To {
			return true, err
		}
		rows, err := sr.rowsIn(r)
		if err != nil {
			return false, err
		}
		// The index goes by a part of the key's hash.
		if k, ok := sr.keyOf(&rows[position-r.Position]); !ok || k != key {
			return true, nil
		}
		found = position
		return false, nil
	})
	if err == nil {
		sr.newest[key] = found
	}
	return found, found != noPosition, err
}

// noPosition stands for no position.
const noPosition = ^uint64(0)
