package chronos

import (
	"runtime"
	"testing"
	"time"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
)

// BenchmarkMillion has one member of four order a million entries, ten in a
// batch, and append them to the ledger: everything but the disk. It tells the
// time of an entry in the first and in the last tenth, and what is in memory at
// the end: neither grows with the ledger.
func BenchmarkMillion(b *testing.B) {
	const n, perBatch, entries = 4, 10, 1_000_000
	w := fixture.New(b, n)
	for b.Loop() {
		m, err := New(Config{Epochs: quorum.NewEpochs(w.Committee), Signer: w.Signers[0]}, &memory{})
		if err != nil {
			b.Fatal(err)
		}
		var before, heads []protocol.Parent
		ends := make([]uint64, n)
		tenths := make([]time.Duration, 0, 10)
		start, now := time.Now(), fixture.Start
		for round := uint64(0); m.ledger.tail.Size() < entries; round++ {
			before, heads = heads, nil
			now += 10 * protocol.Millisecond
			for log := range protocol.MemberID(n) {
				x := protocol.Extension{Log: log, Old: ends[log], Size: ends[log] + 1 + perBatch, Round: round, Time: now}
				for _, p := range before {
					if p.Member != log {
						x.Parents = append(x.Parents, p)
					}
				}
				for i := range perBatch {
					x.Entries = append(x.Entries, protocol.Entry{Kind: protocol.KindAttest, Hash: protocol.Hash{byte(i)}, Time: now})
				}
				ends[log] = x.Size
				heads = append(heads, protocol.Parent{Member: log, Size: x.Size})
				benchStep(b, m, now, Extended{Batches: []protocol.Extension{x}})
			}
			if int(m.ledger.tail.Size()/(entries/10)) > len(tenths) {
				tenths = append(tenths, time.Since(start))
				start = time.Now()
			}
		}
		runtime.GC()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		b.ReportMetric(float64(tenths[0].Nanoseconds())/(entries/10), "ns/entry-first")
		b.ReportMetric(float64(tenths[len(tenths)-1].Nanoseconds())/(entries/10), "ns/entry-last")
		b.ReportMetric(float64(mem.HeapAlloc)/(1<<20), "MiB-heap")
		runtime.KeepAlive(m)
	}
}

// benchStep steps a machine whose disk is always in time.
func benchStep(b *testing.B, m *Machine, now protocol.Micros, in Input) {
	effects, err := m.Step(now, in)
	if err != nil {
		b.Fatal(err)
	}
	var durable uint64
	for _, e := range effects {
		if p, ok := e.(machine.Persist); ok && !p.Lazy {
			durable = p.Seq
		}
	}
	if durable > 0 {
		benchStep(b, m, now, Persisted{Seq: durable})
	}
}
