package order

import (
	"fmt"
	"math"
	"testing"

	"github.com/strataos/strataos/protocol"
)

// FuzzInsert reads batches and epochs from bytes, and inserts and begins them.
// None may cause a panic or, if it is refused, a change; what is decided must
// have been inserted, and a resumed Order must agree.
func FuzzInsert(f *testing.F) {
	f.Add([]byte("a"))
	var rounds []byte // four, in which all see all
	for r := range 4 {
		for i := range byte(4) {
			rounds = append(rounds, i, 0, 1, 1, 1)
			if r == 0 {
				rounds = append(rounds, 0, 0)
				continue
			}
			rounds = append(rounds, 3, (i+1)%4, 0, (i+2)%4, 0, (i+3)%4, 0, 0)
		}
	}
	f.Add(rounds)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newMemory()
		o := New(4, m)
		o.keep = 0
		src := &bytes{data}
		for len(src.data) > 0 {
			b := src.batch(o)
			before := fmt.Sprint(o.State())
			node, err := o.Insert(b)
			switch {
			case err != nil && fmt.Sprint(o.State()) != before:
				t.Fatal("a refused batch changes the state")
			case err != nil:
				continue
			}
			m.put(node)
			for {
				decisions, err := o.Decide()
				if err != nil {
					t.Fatal(err)
				}
				if len(decisions) == 0 {
					break
				}
				for _, d := range decisions {
					for _, b := range d.Batches {
						if _, ok := m.nodes[Parent{b.Log, b.Size}]; !ok {
							t.Fatalf("%v is emitted", b)
						}
					}
				}
				src.epoch(t, o, m)
			}
			if src.next()%2 == 0 {
				o.Forget(o.State())
			}
		}
		resumed, err := Resume(o.State(), m)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := resumed.decideAll(); err != nil || len(d) > 0 || fmt.Sprint(resumed.State()) != fmt.Sprint(o.State()) {
			t.Errorf("resumed, %v is decided: %v", d, err)
		}
	})
}

// bytes are read one by one; behind the end there are zeros.
type bytes struct{ data []byte }

func (s *bytes) next() byte {
	if len(s.data) == 0 {
		return 0
	}
	v := s.data[0]
	s.data = s.data[1:]
	return v
}

// number is near a number, or absurd.
func (s *bytes) number(near uint64) uint64 {
	switch v := s.next(); v {
	case 255:
		return math.MaxUint64
	case 254:
		return 0
	default:
		return near + uint64(v%8) - uint64(v/8%2)
	}
}

// epoch begins one now and then.
func (s *bytes) epoch(t *testing.T, o *Order, m *memory) {
	if s.next()%4 != 1 {
		return
	}
	mask := s.next()
	var members []protocol.MemberID
	for i := range 8 {
		if mask>>i&1 != 0 {
			members = append(members, protocol.MemberID(i))
		}
	}
	before := fmt.Sprint(o.State())
	nodes, err := o.NextEpoch(members, int(s.next()%8))
	if err != nil && fmt.Sprint(o.State()) != before {
		t.Fatal("a refused epoch changes the state")
	}
	for _, n := range nodes {
		m.put(n)
	}
}

func (s *bytes) batch(o *Order) Batch {
	b := Batch{Log: protocol.MemberID(s.next() % 5)}
	round, size := o.Tip(b.Log)
	b.Old = s.number(size)
	b.Size = b.Old + s.number(0)
	b.Claim = s.number(round)
	count := 0
	for i := range 4 {
		_, size := o.Tip(protocol.MemberID(i))
		count += int(size)
	}
	b.Time = protocol.Micros(s.number(uint64(count)))
	for range s.next() % 4 {
		p := Parent{Member: protocol.MemberID(s.next() % 5)}
		_, size := o.Tip(p.Member)
		p.Size = s.number(size)
		b.Parents = append(b.Parents, p)
	}
	return b
}
