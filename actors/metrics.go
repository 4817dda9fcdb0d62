package actors

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/witness"
)

// Metrics are the figures of the machines.
type Metrics struct {
	accordMetrics

	certificate  prometheus.Histogram
	entries      prometheus.Counter
	certificates *prometheus.CounterVec
	order        prometheus.Histogram
	positions    prometheus.Gauge
	checkpoint   prometheus.Gauge
	epoch        prometheus.Gauge
}

// NewMetrics registers the figures with reg.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		order: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "strata_chronos_order_seconds",
			Help:    "Time from a batch's own time to its place in the ledger, for batches of this node.",
			Buckets: []float64{.002, .004, .008, .015, .020, .030, .050, .075, .1, .15, .25, 1, 5},
		}),
		positions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "strata_chronos_ledger_size", Help: "Entries of the ledger at this node.",
		}),
		checkpoint: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "strata_chronos_checkpoint_size", Help: "Entries of the ledger that a quorum has cosigned, as this node knows.",
		}),
		certificate: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "strata_witness_certificate_seconds",
			Help:    "Time from a batch's own time to its certificate, for batches of this node.",
			Buckets: []float64{.001, .002, .004, .006, .008, .010, .015, .020, .030, .050, .1, .25, 1, 5},
		}),
		entries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "strata_witness_entries_certified_total",
			Help: "Entries of this node's log answered as certified.",
		}),
		certificates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strata_witness_certificates_total",
			Help: "Certificates assembled or received, by the log's member.",
		}, []string{"log"}),
		epoch: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "strata_network_epoch", Help: "The newest epoch of the network that this node has come to.",
		}),
	}
	for _, col := range []prometheus.Collector{m.certificate, m.entries, m.certificates, m.order, m.positions, m.checkpoint, m.epoch} {
		if err := reg.Register(col); err != nil {
			return nil, err
		}
	}
	m.accordMetrics = newAccordMetrics()
	return m, m.register(reg)
}

func (m *Metrics) resolved(now protocol.Micros, e witness.Resolved) {
	m.certificate.Observe(float64(now-e.Batch.Time) / float64(protocol.Second))
	m.entries.Add(float64(len(e.Items)))
}

func (m *Metrics) certified(log string) { m.certificates.WithLabelValues(log).Inc() }

// know shows an epoch, and the logs that there are in it.
func (m *Metrics) know(c *quorum.Committee) {
	m.epoch.Set(float64(c.Epoch()))
	for i := range c.Logs() {
		m.certificates.WithLabelValues(c.Name(protocol.MemberID(i)))
	}
}

func (m *Metrics) ordered(now protocol.Micros, self protocol.MemberID, e chronos.Ordered) {
	m.positions.Set(float64(e.Size))
	for i := range e.Runs {
		if r := &e.Runs[i]; r.Log == self {
			m.order.Observe(float64(now-r.Time) / float64(protocol.Second))
		}
	}
}

func (m *Metrics) checkpointed(c *quorum.Certificate) { m.checkpoint.Set(float64(c.Size())) }
