package load

import "sync"

// versions are those of a subject that proposals have won. It is safe for
// concurrent use.
type versions struct {
	mu  sync.Mutex
	won map[uint64]bool
}

// first reports whether nobody has won a version before, and notes that somebody
// has. 0 is none.
func (v *versions) first(version uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if version == 0 || v.won[version] {
		return false
	}
	if v.won == nil {
		v.won = map[uint64]bool{}
	}
	v.won[version] = true
	return true
}
