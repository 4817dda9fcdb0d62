package order

// slot is what is known of a slot (r,i). Here, i is the member's seat.
type slot struct {
	first *Node // V(r,i), or nil
	// seers and blind count the members j whose V(r+1,j) is known: those that
	// see V(r,i), and those that don't.
	seers, blind int32
	verdict      verdict
}

// verdict is what a slot has come to. It never changes once it is decided.
type verdict uint8

const (
	undecided verdict = iota
	committed
	skipped
)

// enter notes of which rounds a batch is its member's first.
func (o *Order) enter(pred, b *Node) {
	seat := o.seats[b.Log]
	if seat == none {
		return
	}
	from := o.round
	if pred != nil && o.counts(pred) {
		from = max(from, pred.Round+1)
	}
	for r := from; r <= b.Round; r++ {
		for r-o.round >= uint64(len(o.rounds)) {
			o.rounds = append(o.rounds, make([]slot, len(o.members)))
		}
		o.at(r, seat).first = b
		o.changed = true
		if r > o.round {
			o.count(r-1, b)
		}
	}
}

// count counts what V(r+1,j) sees of round r.
func (o *Order) count(r uint64, b *Node) {
	slots := o.rounds[r-o.round]
	for i := range slots {
		if o.sees(b, r, i) {
			slots[i].seers++
		} else {
			slots[i].blind++
		}
	}
}

// sees reports whether a batch that counts sees V(r,i).
func (o *Order) sees(b *Node, r uint64, i int) bool {
	id := o.members[i]
	return b.Clock[id] > o.base[id] && b.Rounds[id] >= r
}

// at returns a slot of a round that is not consumed, or nil if no batch has
// come to that round.
func (o *Order) at(r uint64, i int) *slot {
	if r-o.round >= uint64(len(o.rounds)) {
		return nil
	}
	return &o.rounds[r-o.round][i]
}

// turn returns the seat whose slot is the one at index in a round.
func (o *Order) turn(r uint64, index int) int {
	n := uint64(len(o.members))
	return int((uint64(index) + n - r%n) % n)
}

// decide decides a slot, if that can be done by now (rule C2).
func (o *Order) decide(r uint64, i int) verdict {
	s := o.at(r, i)
	if s == nil {
		return undecided
	}
	if s.verdict == undecided {
		s.verdict = o.judge(r, i, s)
	}
	return s.verdict
}

func (o *Order) judge(r uint64, i int, s *slot) verdict {
	switch {
	case int(s.seers) >= o.rules.commit:
		return committed
	case int(s.blind) >= o.rules.skip:
		return skipped
	}
	x := o.anchor(r + o.rules.wave)
	switch {
	case x == nil:
		return undecided
	case o.seersIn(x, r, i) >= o.rules.indirect:
		return committed
	}
	return skipped
}

// anchor returns the batch of the first slot from round r on that is not
// skipped, or nil while that is undecided. Of the slots that it comes to only
// the last can be undecided, and what is decided is remembered. So a Decide
// that decides nothing looks at one undecided slot in every other round at most.
func (o *Order) anchor(r uint64) *Node {
	for ; r-o.round < uint64(len(o.rounds)); r++ {
		for index := range o.members {
			i := o.turn(r, index)
			switch o.decide(r, i) {
			case committed:
				return o.at(r, i).first
			case undecided:
				return nil
			}
		}
	}
	return nil
}

// seersIn counts the V(r+1,j) in the past of an anchor that see V(r,i).
func (o *Order) seersIn(x *Node, r uint64, i int) int {
	seers := 0
	next := o.rounds[r+1-o.round]
	for j := range next {
		if v := next[j].first; v != nil && o.sees(x, r+1, j) && o.sees(v, r, i) {
			seers++
		}
	}
	return seers
}
