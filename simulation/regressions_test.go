package simulation

import (
	"fmt"
	"testing"
)

// regressions are seeds that found bugs. What a seed brings about changes with
// the code, so each bug has a test of its own besides, where it was.
var regressions = []struct {
	scenario string
	nodes    int
	seed     uint64
	bug      string
}{
	{"storm", 7, 10, "an author was blamed for a batch that another member had changed"},
	{"disk-chaos", 4, 160, "an author's batch was sent to who asked for it before it was durable"},
	{"disk-chaos", 4, 40, "the same, on a slow disk"},
	{"churn", 4, 100094, "a member that had lost its disk acknowledged entries that its certified history has not"},
	{"storm", 7, 100473, "a batch's copy with a damaged signature took the place of the good one"},
	{"storm", 7, 102489, "a batch named an empty log as its parent"},
	{"storm", 7, 9197, "a member that had lost its disk asked the same liar for its log forever"},
	{"churn", 4, 182, "a member with a stalled disk took batches without end"},
	{"disk-chaos", 4, 500200, "a member read a part of its ledger from storage that was not stored yet"},
}

func TestRegressions(t *testing.T) {
	for _, r := range regressions {
		t.Run(fmt.Sprintf("%s-%d-%d", r.scenario, r.nodes, r.seed), func(t *testing.T) {
			t.Parallel()
			mustBeGood(t, run(t, named(t, r.scenario, func(s *Scenario) { s.Resize(r.nodes) }), r.seed))
		})
	}
}
