package order

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/strataos/strataos/protocol"
)

// oracle decides a graph as the package documentation words it: over the whole
// graph, from the beginning each time, with pasts that are sets of batches. It
// shares nothing with Order but the type Batch.
type oracle struct {
	n, f, q int
	batches []Batch
	chains  [][]int // the batches of each log, in order
	pasts   []set   // by batch
	ends    map[Parent]int

	members []int   // that have slots in the epoch
	base    set     // what was emitted before it
	from    int     // its first round
	rounds  []int   // effective ones, by batch; −1 before the epoch
	firsts  [][]int // V(r,i) by r and i; −1 is none
}

// set is a set of up to 256 batches.
type set [4]uint64

func (s *set) add(b int)      { s[b/64] |= 1 << (b % 64) }
func (s *set) has(b int) bool { return s[b/64]>>(b%64)&1 != 0 }

func (s *set) union(o *set) {
	for i := range s {
		s[i] |= o[i]
	}
}

// minus returns the batches of s that are not in o.
func (s *set) minus(o *set) []int {
	var out []int
	for i := range s {
		for w := s[i] &^ o[i]; w != 0; w &= w - 1 {
			out = append(out, 64*i+bits.TrailingZeros64(w))
		}
	}
	return out
}

// newOracle takes batches of n members, in any order in which each comes after
// its past.
func newOracle(n int, batches []Batch) *oracle {
	return newGraph(n, batches).epoch(upTo(n), set{}, 0)
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// newGraph takes batches of so many logs. It is of no epoch.
func newGraph(logs int, batches []Batch) *oracle {
	o := &oracle{batches: batches, chains: make([][]int, logs), ends: map[Parent]int{}}
	for id, b := range batches {
		o.ends[Parent{b.Log, b.Size}] = id
		o.chains[b.Log] = append(o.chains[b.Log], id)
		o.pasts = append(o.pasts, o.past(id, o.ends))
	}
	return o
}

// epoch is the same graph in an epoch.
func (o *oracle) epoch(members []int, base set, from int) *oracle {
	n := len(members)
	e := &oracle{n: n, f: (n - 1) / 3, batches: o.batches, chains: o.chains, pasts: o.pasts, ends: o.ends}
	e.q = n - e.f
	e.members, e.base, e.from = members, base, from
	for id := range e.batches {
		e.rounds = append(e.rounds, e.round(id, e.ends))
	}
	top := slices.Max(append([]int{from}, e.rounds...))
	for r := range top + 2 {
		e.firsts = append(e.firsts, make([]int, len(e.chains)))
		for i := range e.chains {
			e.firsts[r][i] = e.first(r, i)
		}
	}
	return e
}

func (o *oracle) past(id int, ends map[Parent]int) set {
	var out set
	out.add(id)
	b := o.batches[id]
	if b.Old > 0 {
		out.union(&o.pasts[ends[Parent{b.Log, b.Old}]])
	}
	for _, p := range b.Parents {
		out.union(&o.pasts[ends[p]])
	}
	return out
}

func (o *oracle) round(id int, ends map[Parent]int) int {
	if o.base.has(id) {
		return -1
	}
	b := o.batches[id]
	pred := o.from
	if b.Old > 0 {
		pred = max(pred, o.rounds[ends[Parent{b.Log, b.Old}]])
	}
	support := o.from
	for rho := o.from; o.membersAt(rho, id) >= o.q; rho++ {
		support = rho + 1
	}
	if b.Claim < uint64(support) {
		support = int(b.Claim)
	}
	return max(pred, support)
}

// membersAt counts the members that have a batch of round rho or more in the
// past of a batch without itself.
func (o *oracle) membersAt(rho, id int) int {
	members := 0
	for _, i := range o.members {
		if slices.ContainsFunc(o.chains[i], func(x int) bool {
			return x != id && o.pasts[id].has(x) && o.rounds[x] >= rho
		}) {
			members++
		}
	}
	return members
}

func (o *oracle) first(r, i int) int {
	for _, id := range o.chains[i] {
		if !o.base.has(id) && o.rounds[id] >= r {
			return id
		}
	}
	return -1
}

// sees reports whether V(r+1,j) sees V(r,i).
func (o *oracle) sees(r, j, i int) bool {
	v := o.firsts[r][i]
	return v >= 0 && o.pasts[o.firsts[r+1][j]].has(v)
}

// how says by which rule a slot is decided.
type how int

const (
	open how = iota
	directCommit
	directSkip
	indirectCommit
	indirectSkip
	hows
)

func (h how) committed() bool { return h == directCommit || h == indirectCommit }

// view is what somebody decides who knows some of the batches.
type view struct {
	*oracle
	known set
	slots [][]how
	done  [][]bool
}

func (o *oracle) newView() *view {
	v := &view{oracle: o, slots: make([][]how, len(o.firsts)), done: make([][]bool, len(o.firsts))}
	for r := range v.slots {
		v.slots[r], v.done[r] = make([]how, len(o.chains)), make([]bool, len(o.chains))
	}
	return v
}

// member is the one whose slot is the index-th of round r.
func (o *oracle) member(r, index int) int {
	for i, id := range o.members {
		if (i+r)%o.n == index {
			return id
		}
	}
	panic("no such member")
}

// slot decides a slot.
func (v *view) slot(r, i int) how {
	if r+1 >= len(v.firsts) {
		return open
	}
	if !v.done[r][i] {
		v.slots[r][i], v.done[r][i] = v.judge(r, i), true
	}
	return v.slots[r][i]
}

func (v *view) judge(r, i int) how {
	seers, blind := 0, 0
	for _, j := range v.members {
		if w := v.firsts[r+1][j]; w >= 0 && v.known.has(w) {
			if v.sees(r, j, i) {
				seers++
			} else {
				blind++
			}
		}
	}
	if seers >= v.q {
		return directCommit
	}
	if blind >= v.q {
		return directSkip
	}
	for ar := r + 2; ar < len(v.firsts); ar++ {
		for index := range v.n {
			ai := v.member(ar, index)
			switch h := v.slot(ar, ai); {
			case h == open:
				return open
			case h.committed():
				return v.indirect(r, i, v.firsts[ar][ai])
			}
		}
	}
	return open
}

func (v *view) indirect(r, i, anchor int) how {
	seers := 0
	for _, j := range v.members {
		if w := v.firsts[r+1][j]; w >= 0 && v.pasts[anchor].has(w) && v.sees(r, j, i) {
			seers++
		}
	}
	if seers >= v.f+1 {
		return indirectCommit
	}
	return indirectSkip
}

// ruling is a decided slot.
type ruling struct {
	epoch         int
	round, member int
	ends          bool // its round
	how           how
	emitted       []int
}

// ledger decides everything from the beginning of the epoch.
func (v *view) ledger() []ruling {
	for r := range v.done {
		clear(v.done[r])
	}
	var out []ruling
	emitted := v.base
	for r := v.from; r < len(v.firsts); r++ {
		for index := range v.n {
			d := ruling{round: r, member: v.member(r, index), ends: index == v.n-1}
			if d.how = v.slot(r, d.member); d.how == open {
				return out
			}
			if d.how.committed() {
				past := &v.pasts[v.firsts[r][d.member]]
				d.emitted = past.minus(&emitted)
				emitted.union(past)
				slices.SortFunc(d.emitted, v.compare)
			}
			out = append(out, d)
		}
	}
	return out
}

// compare is the order of what one slot emits.
func (o *oracle) compare(x, y int) int {
	a, b := o.batches[x], o.batches[y]
	return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Log, b.Log), cmp.Compare(a.Size, b.Size))
}

// is reports whether a decision of an Order is the same.
func (o *oracle) is(r ruling, d Decision) bool {
	if uint64(r.round) != d.Round || protocol.MemberID(r.member) != d.Member ||
		r.how.committed() != d.Committed || r.ends != d.EndsRound || len(r.emitted) != len(d.Batches) {
		return false
	}
	for i, id := range r.emitted {
		if x, y := &o.batches[id], &d.Batches[i]; x.Log != y.Log || x.Old != y.Old || x.Size != y.Size {
			return false
		}
	}
	return true
}
