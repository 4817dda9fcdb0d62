package order

import (
	"runtime"
	"testing"
	"time"

	"github.com/strataos/strataos/protocol"
)

// load makes rounds of full view: in each, every member has some batches of ten
// entries, the first of which claims the round and names all of the round before.
type load struct {
	order    *Order
	batches  int // of a member in a round
	now      protocol.Micros
	emitted  uint64 // entries
	decision int
}

const entriesPerBatch = 10

func (l *load) round(b *testing.B, r int) {
	n := len(l.order.members)
	leaves := uint64(l.batches * (entriesPerBatch + 1))
	for k := range l.batches {
		l.now++
		for i := range n {
			batch := Batch{
				Log: protocol.MemberID(i), Claim: uint64(r), Time: l.now,
				Old: uint64(r)*leaves + uint64(k)*(entriesPerBatch+1),
			}
			batch.Size = batch.Old + entriesPerBatch + 1
			if k == 0 && r > 0 {
				batch.Parents = make([]Parent, 0, n-1)
				for j := range n {
					if j != i {
						batch.Parents = append(batch.Parents, Parent{protocol.MemberID(j), batch.Old})
					}
				}
			}
			if _, err := l.order.Insert(batch); err != nil {
				b.Fatal(err)
			}
			l.decide(b)
		}
	}
	l.order.Forget(l.order.State())
}

func (l *load) decide(b *testing.B) {
	for {
		decisions, err := l.order.Decide()
		if err != nil {
			b.Fatal(err)
		}
		if len(decisions) == 0 {
			return
		}
		for _, d := range decisions {
			l.decision++
			l.emitted += uint64(entriesPerBatch * len(d.Batches))
		}
	}
}

// BenchmarkMillion orders a million entries of four members. The last tenth
// must cost what the first does, and memory must not grow.
func BenchmarkMillion(b *testing.B) {
	for _, c := range []struct {
		name    string
		batches int
	}{{"one batch a round", 1}, {"five batches a round", 5}} {
		b.Run(c.name, func(b *testing.B) {
			const entries = 1_000_000
			rounds := entries / (4 * entriesPerBatch * c.batches)
			var first, last, total time.Duration
			var grown uint64
			for b.Loop() {
				l := &load{order: New(4, nil), batches: c.batches}
				before := heap()
				start := time.Now()
				for r := range rounds {
					switch r {
					case rounds / 10:
						first += time.Since(start)
					case rounds - rounds/10:
						last -= time.Since(start)
					}
					l.round(b, r)
				}
				took := time.Since(start)
				last += took
				total += took
				grown = heap() - before
				runtime.KeepAlive(l)
				if l.emitted < entries-uint64(3*4*entriesPerBatch*c.batches) {
					b.Fatalf("only %d entries are ordered", l.emitted)
				}
			}
			per := func(d time.Duration, count int) float64 {
				return float64(d.Nanoseconds()) / float64(b.N) / float64(count)
			}
			batches := entries / entriesPerBatch
			b.ReportMetric(per(total, entries), "ns/entry")
			b.ReportMetric(per(total, batches), "ns/batch")
			b.ReportMetric(per(first, batches/10), "ns/batch-first-tenth")
			b.ReportMetric(per(last, batches/10), "ns/batch-last-tenth")
			b.ReportMetric(float64(int64(grown))/1024, "KiB-heap-at-end")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkHundredMembers orders rounds of a hundred members.
func BenchmarkHundredMembers(b *testing.B) {
	l := &load{order: New(100, nil), batches: 1}
	before := heap()
	r := 0
	for b.Loop() {
		l.round(b, r)
		r++
	}
	b.ReportMetric(float64(r)/b.Elapsed().Seconds(), "rounds/s")
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(100*r), "ns/batch")
	grown := heap() - before
	runtime.KeepAlive(l)
	b.ReportMetric(float64(int64(grown))/1024, "KiB-heap-at-end")
	if l.decision < 100*(r-2) {
		b.Fatalf("only %d slots are decided in %d rounds", l.decision, r)
	}
}

// BenchmarkDecideNothing asks for decisions when there are none.
func BenchmarkDecideNothing(b *testing.B) {
	l := &load{order: New(100, nil), batches: 1}
	for r := range 5 {
		l.round(b, r)
	}
	for b.Loop() {
		if d, err := l.order.Decide(); len(d) > 0 || err != nil {
			b.Fatal(d, err)
		}
	}
}

// heap is how much memory is in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
