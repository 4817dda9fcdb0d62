package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strataos/strataos/node/deliver"
)

var (
	handlerPosition = prometheus.NewDesc("strata_accord_handler_position",
		"Position of the ledger up to which a handler has been told of decisions.", []string{"handler"}, nil)
	handlerFailures = prometheus.NewDesc("strata_accord_handler_failures",
		"Tries in a row that have failed to tell a handler of its next decision; 0 once it is told.", []string{"handler"}, nil)
)

// handlerFigures tell how handlers of decisions fare, read when they are asked for.
type handlerFigures struct{ status func() []deliver.Status }

// Describe implements prometheus.Collector.
func (*handlerFigures) Describe(out chan<- *prometheus.Desc) {
	out <- handlerPosition
	out <- handlerFailures
}

// Collect implements prometheus.Collector.
func (h *handlerFigures) Collect(out chan<- prometheus.Metric) {
	for _, s := range h.status() {
		out <- prometheus.MustNewConstMetric(handlerPosition, prometheus.GaugeValue, float64(s.Position), s.Name)
		out <- prometheus.MustNewConstMetric(handlerFailures, prometheus.GaugeValue, float64(s.Failures), s.Name)
	}
}
