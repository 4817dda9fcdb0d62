package accord

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord/plain"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// ledger is a made-up order of certified batches.
type ledger struct {
	committee *quorum.Committee
	batches   []protocol.Extension
}

// randomLedger has members say whatever is certified, sense or not, on a few
// subjects, with times that go back and forth.
func randomLedger(t *testing.T, seed uint64, batches int) *ledger {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	k := newKeeper(t, 4+int(seed%2))
	l := &ledger{committee: k.committee}
	var names []string
	at := protocol.Micros(0)
	for range batches {
		author := protocol.MemberID(rng.IntN(k.committee.N()))
		at = max(0, at+protocol.Micros(rng.IntN(20_000))-4_000)
		var items []wire.Item
		for range rng.IntN(5) {
			items = append(items, randomItem(k, rng, &names, author, (at/protocol.Millisecond)))
		}
		l.batches = append(l.batches, k.batch(author, fixture.Start+at, items...))
	}
	return l
}

func randomItem(k *keeper, rng *rand.Rand, names *[]string, author protocol.MemberID, now protocol.Micros) wire.Item {
	who := k.committee.Name(author)
	kind := []string{"event", "propose", "accept", "accept", "accept", "reject", "withdraw", "done"}[rng.IntN(8)]
	if kind == "event" || len(*names) == 0 && kind != "propose" {
		return k.item("event", who)
	}
	if kind != "propose" || len(*names) > 0 && rng.IntN(6) == 0 {
		recent := max(0, len(*names)-6)
		return k.item(kind+" "+(*names)[recent+rng.IntN(len(*names)-recent)], who)
	}
	name := fmt.Sprintf("p%d", len(*names))
	*names = append(*names, name)
	text := fmt.Sprintf("propose %s by %d need %d", name, now+protocol.Micros(rng.IntN(100)), 1+rng.IntN(3))
	of := [][]string{{"1,2,3", "1,2,3,4", "2,3,4"}, {"1,2,9"}}[rng.IntN(8)/7]
	text += " of " + of[rng.IntN(len(of))]
	if rng.IntN(3) > 0 {
		text += fmt.Sprintf(" on s%d", rng.IntN(2))
		if rng.IntN(2) == 0 {
			text += fmt.Sprintf(" at %d", rng.IntN(4))
		}
	}
	if rng.IntN(10) == 0 {
		text += " as node-3"
	}
	item := k.item(text, who)
	if rng.IntN(10) == 0 { // it is known before it is there
		return k.item("accept "+name, who)
	}
	return item
}

// plainly is what the dumb twin makes of a ledger.
func (l *ledger) plainly(t *testing.T) map[uint64]string {
	t.Helper()
	twin := &plain.Ledger{}
	for _, id := range l.committee.Members() {
		twin.Members = append(twin.Members, l.committee.Name(id))
	}
	out := map[uint64]string{}
	for _, b := range l.batches {
		entries := make([]plain.Entry, len(b.Entries))
		for i, e := range b.Entries {
			entries[i].Kind = e.Kind.String()
		}
		for _, act := range b.Acts {
			entries[act.Item].Body = act.Body
		}
		decisions, err := twin.Add(l.committee.Name(b.Log), b.Time, entries)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range decisions {
			out[d.Position] = string(d.Body)
		}
	}
	return out
}

// host keeps a Book over crashes. What it persists becomes visible, and durable,
// as late as chance has it.
type host struct {
	t     *testing.T
	l     *ledger
	book  *Book
	store MemoryStorage
	// groups are what was persisted and is not durable, and states where the Book
	// was behind each, with the next batch and the ledger's size.
	groups  []group
	durable place
	now     place
	seq     uint64
	decided map[uint64]string
}

type group struct {
	seq     uint64
	records []machine.Record
	behind  place
}

// place is how far a host has come.
type place struct {
	next  int
	at    uint64
	state State
}

func newHost(t *testing.T, l *ledger) *host {
	h := &host{t: t, l: l, decided: map[uint64]string{}}
	h.crash()
	return h
}

// crash loses what is not durable, and goes on from what is.
func (h *host) crash() {
	h.t.Helper()
	h.groups, h.now, h.seq = nil, h.durable, 0
	var err error
	if h.book, err = NewBook(&h.store, h.now.state, h.l.committee); err != nil {
		h.t.Fatal(err)
	}
}

// sync makes the oldest groups durable.
func (h *host) sync(groups int) {
	for _, g := range h.groups[:groups] {
		for _, r := range g.records {
			h.store.Apply(r)
		}
		h.durable = g.behind
		h.book.Durable(g.seq)
	}
	h.groups = h.groups[groups:]
}

// step takes the next batch.
func (h *host) step() {
	h.t.Helper()
	e := h.l.batches[h.now.next]
	out, err := h.book.Extend(e, h.l.committee.Name(e.Log), h.now.at)
	if err != nil {
		h.t.Fatal(err)
	}
	records, _ := h.book.Take()
	var bodies []string
	for _, r := range records {
		if r, ok := r.(PutDecisions); ok {
			b, err := wire.DecodeBatch(r.Encoded, 1<<20)
			if err != nil {
				h.t.Fatal(err)
			}
			for i := range b.Items {
				bodies = append(bodies, string(b.Items[i].Body))
			}
		}
	}
	for _, x := range out {
		for range x.Entries {
			if x.Log == protocol.Accord {
				h.decide(h.now.at, bodies[0])
				bodies = bodies[1:]
			}
			h.now.at++
		}
	}
	h.now.next++
	h.now.state = h.book.State()
	h.seq++
	h.book.Written(h.seq)
	h.groups = append(h.groups, group{h.seq, records, h.now})
}

func (h *host) decide(at uint64, body string) {
	if before, again := h.decided[at]; again && before != body {
		h.t.Errorf("at %d there was\n%s\nand after a crash\n%s", at, before, body)
	}
	h.decided[at] = body
}

// TestTwin compares the Book with its dumb twin on random ledgers: with everything
// durable at once, with nothing ever durable, and with durability that comes when
// it comes and crashes at any place.
func TestTwin(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 60
	}
	statuses := map[string]int{}
	for seed := range uint64(seeds) {
		l := randomLedger(t, seed, 80)
		want := l.plainly(t)
		for _, body := range want {
			for s := Accepted; s <= Withdrawn; s++ {
				if strings.Contains(body, `"status":"`+s.String()+`"`) {
					statuses[s.String()]++
				}
			}
		}
		rng := rand.New(rand.NewPCG(seed, 2))
		for name, after := range map[string]func(h *host){
			"durable at once": func(h *host) { h.sync(len(h.groups)) },
			"never durable":   func(*host) {},
			"crashes": func(h *host) {
				if rng.IntN(3) == 0 {
					h.sync(rng.IntN(len(h.groups) + 1))
				}
				if rng.IntN(12) == 0 {
					h.crash()
				}
			},
		} {
			h := newHost(t, l)
			for h.now.next < len(l.batches) {
				h.step()
				after(h)
			}
			if !maps.Equal(h.decided, want) {
				t.Fatalf("seed %d, %s: the decisions are\n%s\nand plainly\n%s", seed, name, listed(h.decided), listed(want))
			}
		}
	}
	for s := Accepted; s <= Withdrawn; s++ {
		if statuses[s.String()] < seeds/2 {
			t.Errorf("%d decisions of %d ledgers are %s: the test proves little", statuses[s.String()], seeds, s)
		}
	}
}

// TestRestart has a Book begin anew behind every batch in turn, from what is
// stored there, and keep the same as one that never stopped.
func TestRestart(t *testing.T) {
	l := randomLedger(t, 7, 60)
	steady := newHost(t, l)
	for range l.batches {
		steady.step()
		steady.sync(len(steady.groups))
	}
	for stop := range l.batches {
		h := newHost(t, l)
		for h.now.next < len(l.batches) {
			if h.step(); h.now.next == stop {
				h.sync(len(h.groups))
				h.crash()
			}
		}
		h.sync(len(h.groups))
		if !maps.Equal(h.decided, steady.decided) || h.now != steady.now {
			t.Errorf("with a restart behind batch %d the decisions are\n%s\nwithout\n%s", stop, listed(h.decided), listed(steady.decided))
		}
		for id, c := range steady.store.Cases() {
			got, _, _ := h.store.Case(id)
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c) {
				t.Errorf("with a restart behind batch %d the case is %+v, without %+v", stop, got, c)
			}
			if a, b := h.store.Votes(id), steady.store.Votes(id); !slices.Equal(a, b) {
				t.Errorf("with a restart behind batch %d the votes are %+v, without %+v", stop, a, b)
			}
		}
	}
}

// TestForgets has memory hold no more than what may not be read from storage yet.
func TestForgets(t *testing.T) {
	l := randomLedger(t, 3, 200)
	h := newHost(t, l)
	for h.now.next < len(l.batches) {
		h.step()
		if h.now.next%5 == 0 {
			h.sync(len(h.groups))
			if r := &h.book.recent; len(r.cases)+len(r.subjects)+len(r.waiting) > 0 {
				t.Fatalf("%d cases, %d subjects and %d sets are held though all is durable", len(r.cases), len(r.subjects), len(r.waiting))
			}
		}
	}
}

func listed(decided map[uint64]string) (out string) {
	for _, at := range slices.Sorted(maps.Keys(decided)) {
		out += fmt.Sprintf("%d %s\n", at, decided[at])
	}
	return out
}
