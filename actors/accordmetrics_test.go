package actors

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/machine"
)

// TestDecideSeconds has only decisions that votes have made, on this member's own
// proposals, tell how long it takes to decide.
func TestDecideSeconds(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newAccordMetrics()
	if err := m.register(reg); err != nil {
		t.Fatal(err)
	}
	own, other := &protocol.Proposal{Proposer: "one"}, &protocol.Proposal{Proposer: "two"}
	m.settled(4*protocol.Second, "one", []accord.Change{
		{Proposal: own, Status: accord.Open, Time: 1},
		{Proposal: own, Status: accord.Accepted, Time: 3 * protocol.Second},
		{Proposal: own, Status: accord.Rejected, Time: 2 * protocol.Second},
		{Proposal: own, Status: accord.Expired, Time: 1},
		{Proposal: own, Status: accord.Withdrawn, Time: 1},
		{Proposal: own, Status: accord.Conflict, Time: 1},
		{Proposal: other, Status: accord.Accepted, Time: 1},
	})
	m.recorded([]machine.Record{
		accord.PutVote{Ballot: accord.Ballot{Accept: true}, Mark: accord.Late},
		accord.PutCase{},
		accord.PutVote{Ballot: accord.Ballot{Accept: true}, Mark: accord.Late},
	})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "strata_accord_decide_seconds":
			if h := f.Metric[0].GetHistogram(); h.GetSampleCount() != 2 || h.GetSampleSum() != 3 {
				t.Errorf("%v", h)
			}
		case "strata_accord_decisions_total":
			sum := 0.0
			for _, l := range f.Metric {
				sum += l.GetCounter().GetValue()
			}
			if len(f.Metric) != 5 || sum != 6 {
				t.Errorf("%v", f)
			}
		case "strata_accord_votes_total":
			for _, l := range f.Metric {
				late := l.Label[0].GetValue() == "late" && l.Label[1].GetValue() == "accept"
				if v := l.GetCounter().GetValue(); (v == 2) != late || v != 0 && v != 2 {
					t.Errorf("%v", l)
				}
			}
		}
	}
}
