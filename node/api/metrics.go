package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strata_http_requests_total",
			Help: "Requests answered, by route and status.",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "strata_http_request_seconds",
			Help:    "Time to answer a request, by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .015, .02, .03, .05, .1, .5, 1, 5},
		}, []string{"route"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// figures answers GET /metrics.
func (s *Server) figures(x *exchange) error {
	s.exporter.ServeHTTP(x, x.r)
	return nil
}

// route returns the function that notes an answer on a route.
func (m *metrics) route(path string) func(status int, d time.Duration) {
	ok := m.requests.WithLabelValues(path, "200")
	seconds := m.seconds.WithLabelValues(path)
	return func(status int, d time.Duration) {
		seconds.Observe(d.Seconds())
		if status == 200 {
			ok.Inc()
			return
		}
		m.requests.WithLabelValues(path, strconv.Itoa(status)).Inc()
	}
}
