package chronos

import (
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// FuzzStep has a machine take whatever liars can make of its inputs: ledger
// heads that are forged, contradict each other and come in any order, and
// batches with any rounds and parents that a quorum may still have certified.
// It neither panics nor stops, and keeps within its bounds.
func FuzzStep(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17})
	f.Add([]byte("certified batches of several logs, and what is said of the ledger"))
	m := worked(f)
	c := m.c
	f.Fuzz(func(t *testing.T, script []byte) {
		store := memory{m.store.MemoryStorage, ledgerStore{m.store.ledger.Clone()}}
		machine, err := m.startOn(&store)
		if err != nil {
			t.Fatal(err)
		}
		s := &fuzzer{script: script, c: c, m: machine, now: c.now}
		for len(s.script) > 0 {
			if _, err := machine.Step(s.now, s.input()); err != nil {
				t.Fatal(err)
			}
			if err := machine.CheckBounds(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// fuzzer makes inputs of a script.
type fuzzer struct {
	script []byte
	c      *cluster
	m      *Machine
	now    protocol.Micros
}

func (s *fuzzer) byte() byte {
	if len(s.script) == 0 {
		return 0
	}
	b := s.script[0]
	s.script = s.script[1:]
	return b
}

func (s *fuzzer) number() uint64 {
	switch b := s.byte(); {
	case b < 200:
		return uint64(b)
	case b < 240:
		return uint64(b) << 20
	}
	return ^uint64(0) - uint64(s.byte())
}

func (s *fuzzer) input() Input {
	from := protocol.MemberID(s.byte() % 6)
	switch s.byte() % 8 {
	case 0:
		return Tick{}
	case 1:
		s.now += protocol.Micros(s.number()%100) * ms
		return Advanced{Round: s.number()}
	case 2:
		return Heard{Round: s.number()}
	case 3:
		return Persisted{Seq: s.number() % 1000}
	case 4:
		return PeerUp{Member: from}
	case 5:
		return Extended{Batches: []protocol.Extension{s.batch(from % 4)}}
	}
	return Receive{From: from, Msg: s.head()}
}

// batch follows its log, names batches that there are, and is later than them,
// as witness machines see to; the rest is anything.
func (s *fuzzer) batch(log protocol.MemberID) protocol.Extension {
	_, size := s.m.order.Tip(log)
	e := protocol.Extension{Log: log, Old: size, Size: size + 1, Round: s.number(), Time: s.c.now + 3_600*second + protocol.Micros(len(s.m.feeds[0].taken)+int(size))*second}
	for range s.byte() % 3 {
		e.Entries = append(e.Entries, protocol.Entry{Kind: protocol.Kind(s.byte()%4 + 1), Time: e.Time})
		e.Size++
	}
	for id := range protocol.MemberID(4) {
		if _, end := s.m.order.Tip(id); id != log && end > 0 && s.byte()%2 == 0 {
			e.Parents = append(e.Parents, protocol.Parent{Member: id, Size: end})
		}
	}
	for id := range protocol.MemberID(4) {
		for _, b := range s.m.feeds[id].taken {
			e.Time = max(e.Time, b.Time+1)
		}
	}
	return e
}

func (s *fuzzer) head() *wire.LedgerHead {
	size, root := s.m.ledger.cut.Size, s.m.ledger.cut.Root
	if s.byte()%2 == 0 {
		size += s.number()
	}
	if s.byte()%3 == 0 {
		root[0] ^= s.byte()
	}
	voter := protocol.MemberID(s.byte() % 6)
	head := s.c.cosigned(voter%4, size, root)
	if s.byte()%3 == 0 {
		head.Cert = s.c.certified(size, root, 0, 1, 2).Cert
	}
	if s.byte()%4 == 0 {
		head.Head.Sig[0] ^= 1
	}
	head.Voter, head.Want = voter, s.byte()%2 == 0
	return head
}
