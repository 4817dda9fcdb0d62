package chronos

import "fmt"

// CheckBounds reports what the machine holds more of than its bounds allow. An
// error is a bug; simulation looks for it.
func (m *Machine) CheckBounds() error {
	h := &m.heads
	early := 0
	for _, votes := range h.early {
		early = max(early, len(votes))
	}
	queued := 0
	for i := range m.feeds {
		queued = max(queued, len(m.feeds[i].queue))
	}
	for _, b := range []struct {
		what      string
		is, limit int
	}{
		{"queued batches of a log", queued, maxQueued + 1},
		{"remembered checkpoints", len(h.cuts), maxCuts},
		{"early cosignatures of a member", early, maxEarly},
		{"sizes with other roots", len(h.against), maxCuts},
		{"checkpoints without a certificate", len(h.tallies), maxTallies},
		{"states that are not durable", len(m.syncing), maxSyncing},
		{"checkpoints to cosign", len(h.waiting), maxTallies},
	} {
		if b.is > b.limit {
			return fmt.Errorf("%d %s, at most %d are allowed", b.is, b.what, b.limit)
		}
	}
	return nil
}
