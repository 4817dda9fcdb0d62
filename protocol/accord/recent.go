package accord

import "github.com/strataos/strataos/protocol"

// recent has the cases and subjects that were written and may not be read from
// storage yet.
type recent struct {
	cases    map[protocol.Hash]*Case
	subjects map[string]Subject
	// waiting are the sets that were written, in order, and will be durable.
	waiting []writtenSet
	// fresh are the keys of what was not written yet.
	fresh writtenSet
}

// writtenSet is what one Persist has written.
type writtenSet struct {
	seq      uint64
	cases    []protocol.Hash
	subjects []string
}

func newRecent() recent {
	return recent{cases: map[protocol.Hash]*Case{}, subjects: map[string]Subject{}}
}

func (r *recent) putCase(c *Case) {
	r.cases[c.Proposal.ID] = c
	r.fresh.cases = append(r.fresh.cases, c.Proposal.ID)
}

func (r *recent) putSubject(s Subject) {
	r.subjects[s.Name] = s
	r.fresh.subjects = append(r.fresh.subjects, s.Name)
}

func (r *recent) written(seq uint64) {
	if len(r.fresh.cases)+len(r.fresh.subjects) == 0 {
		return
	}
	r.fresh.seq = seq
	r.waiting = append(r.waiting, r.fresh)
	r.fresh = writtenSet{}
}

// durable forgets what can be read from storage, unless it was written again
// since.
func (r *recent) durable(seq uint64) {
	n := 0
	for n < len(r.waiting) && r.waiting[n].seq <= seq {
		n++
	}
	if n == 0 {
		return
	}
	gone := r.waiting[:n:n]
	r.waiting = append([]writtenSet(nil), r.waiting[n:]...)
	cases, subjects := map[protocol.Hash]bool{}, map[string]bool{}
	for _, set := range append(r.waiting, r.fresh) {
		for _, id := range set.cases {
			cases[id] = true
		}
		for _, name := range set.subjects {
			subjects[name] = true
		}
	}
	for _, set := range gone {
		for _, id := range set.cases {
			if !cases[id] {
				delete(r.cases, id)
			}
		}
		for _, name := range set.subjects {
			if !subjects[name] {
				delete(r.subjects, name)
			}
		}
	}
}
