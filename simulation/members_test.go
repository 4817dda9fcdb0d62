package simulation

import (
	"testing"
	"time"
)

// TestMembership has members come and go while nothing else goes wrong.
func TestMembership(t *testing.T) {
	t.Parallel()
	s, err := named(t, "membership").Without("liars", "loss", "crash", "freeze", "partition", "isolate", "slow-disk")
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, s, 1)
	mustBeGood(t, r)
	if r.Stats.Epochs != s.Members.Changes {
		t.Errorf("%d of %d changes were made", r.Stats.Epochs, s.Members.Changes)
	}
	if r.VirtualSeconds > (40 * time.Second).Seconds() {
		t.Errorf("it took %.1f s", r.VirtualSeconds)
	}
}
