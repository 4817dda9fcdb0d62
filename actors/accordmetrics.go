package actors

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
	"github.com/strataos/strataos/protocol/machine"
)

// accordMetrics are the figures of the decisions.
type accordMetrics struct {
	decisions, votes *prometheus.CounterVec
	decide           prometheus.Histogram
}

// newAccordMetrics makes the figures with all labels that there are: what has not
// happened yet is 0, and not missing.
func newAccordMetrics() (m accordMetrics) {
	m.decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "strata_accord_decisions_total",
		Help: "Proposals that have come to an end in the ledger at this node, by what they have come to.",
	}, []string{"status"})
	for _, s := range []accord.Status{accord.Accepted, accord.Rejected, accord.Expired, accord.Conflict, accord.Withdrawn} {
		m.decisions.WithLabelValues(s.String())
	}
	m.votes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "strata_accord_votes_total",
		Help: "Votes of all members in the ledger at this node, by what they say and whether they count.",
	}, []string{"vote", "mark"})
	for _, mark := range []accord.Mark{accord.Counted, accord.Late, accord.Double, accord.Outsider, accord.Early} {
		m.votes.WithLabelValues(protocol.VoteName(true), mark.String())
		m.votes.WithLabelValues(protocol.VoteName(false), mark.String())
	}
	m.decide = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "strata_accord_decide_seconds",
		Help:    "Time from the batch with a proposal to its decision, for proposals of this node that were accepted or rejected.",
		Buckets: []float64{.01, .02, .03, .05, .075, .1, .15, .25, .5, 1, 5, 60, 3600},
	})
	return m
}

func (m *accordMetrics) register(reg prometheus.Registerer) error {
	for _, col := range []prometheus.Collector{m.decisions, m.votes, m.decide} {
		if err := reg.Register(col); err != nil {
			return err
		}
	}
	return nil
}

// settled counts what proposals have come to, at a member of a name. Only what was
// accepted or rejected tells how long it takes to decide.
func (m *accordMetrics) settled(now protocol.Micros, name string, changes []accord.Change) {
	for _, c := range changes {
		if c.Status == accord.Open {
			continue
		}
		m.decisions.WithLabelValues(c.Status.String()).Inc()
		if voted := c.Status == accord.Accepted || c.Status == accord.Rejected; voted && c.Proposal.Proposer == name {
			m.decide.Observe(float64(now-c.Time) / float64(protocol.Second))
		}
	}
}

// recorded counts the votes that are to be stored.
func (m *accordMetrics) recorded(records []machine.Record) {
	for _, r := range records {
		if v, ok := r.(accord.PutVote); ok {
			m.votes.WithLabelValues(protocol.VoteName(v.Ballot.Accept), v.Mark.String()).Inc()
		}
	}
}
