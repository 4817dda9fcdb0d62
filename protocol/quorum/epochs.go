package quorum

import (
	"fmt"
	"slices"
)

// Epochs holds the committees of a network from its founding on. Who reads a
// certificate looks up the committee that it is a quorum of here. It is not safe
// for use while something is added; Clone it for that.
type Epochs struct {
	list []*Committee
}

// NewEpochs returns the epochs of a network that is in its first one.
func NewEpochs(founding *Committee) *Epochs { return &Epochs{list: []*Committee{founding}} }

// Clone returns a copy that does not grow with the original.
func (e *Epochs) Clone() *Epochs { return &Epochs{list: slices.Clone(e.list)} }

// At returns the committee of an epoch, or false if it has not begun.
func (e *Epochs) At(number uint64) (*Committee, bool) {
	if number >= uint64(len(e.list)) {
		return nil, false
	}
	return e.list[number], true
}

// Latest is the committee of the newest epoch.
func (e *Epochs) Latest() *Committee { return e.list[len(e.list)-1] }

// Add appends the committee of the next epoch. An error says that it is not
// that.
func (e *Epochs) Add(c *Committee) error {
	last := e.Latest()
	switch {
	case c.Epoch() != last.Epoch()+1:
		return fmt.Errorf("epoch %d does not follow epoch %d", c.Epoch(), last.Epoch())
	case c.network != last.network:
		return fmt.Errorf("epoch %d is of network %s, not of %s", c.Epoch(), c.network, last.network)
	case c.Since() < last.Since():
		return fmt.Errorf("epoch %d begins before epoch %d", c.Epoch(), last.Epoch())
	case len(c.roster) < len(last.roster):
		return fmt.Errorf("epoch %d knows %d members, epoch %d knew %d", c.Epoch(), len(c.roster), last.Epoch(), len(last.roster))
	}
	for i := range last.roster {
		if m := &c.roster[i]; m.Name != last.roster[i].Name || m.VKey != last.roster[i].VKey {
			return fmt.Errorf("epoch %d gives the number, name or key of %s to another", c.Epoch(), last.roster[i].Name)
		}
	}
	if !Shares(last, c) {
		return fmt.Errorf("epoch %d changes so much of the committee that its quorums need not know those of epoch %d", c.Epoch(), last.Epoch())
	}
	e.list = append(e.list, c)
	return nil
}

// Verify checks a claim by the committee that it says it is a quorum of.
func (e *Epochs) Verify(claim Claim) (*Certificate, error) {
	c, ok := e.At(claim.Epoch)
	if !ok {
		return nil, fmt.Errorf("certificate: of epoch %d, which has not begun", claim.Epoch)
	}
	return c.Verify(claim)
}
