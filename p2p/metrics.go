package p2p

import (
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of a host.
type metrics struct {
	messages, bytes *prometheus.CounterVec
	drops, rejects  *prometheus.CounterVec
	connected, rtt  *prometheus.GaugeVec
	flows           map[string]flow
}

// flow counts the messages of one channel in one direction.
type flow struct{ messages, bytes prometheus.Counter }

func (f flow) add(n int) {
	f.messages.Inc()
	f.bytes.Add(float64(n))
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strata_p2p_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "strata_p2p_" + name, Help: help}, []string{"peer"})
	}
	m := &metrics{
		messages:  counter("messages_total", "Messages, by direction and channel.", "direction", "channel"),
		bytes:     counter("bytes_total", "Bytes of messages, by direction and channel.", "direction", "channel"),
		drops:     counter("dropped_total", "Messages and connections dropped, by reason.", "reason"),
		rejects:   counter("rejected_total", "Provably invalid messages, by the peer that delivered them.", "peer"),
		connected: gauge("connected", "Whether a member is connected."),
		rtt:       gauge("round_trip_seconds", "Smoothed round trip to a member."),
		flows:     map[string]flow{},
	}
	for _, direction := range []string{"in", "out"} {
		for _, channel := range append(topicNames[:], "direct") {
			m.flows[direction+channel] = flow{
				m.messages.WithLabelValues(direction, channel), m.bytes.WithLabelValues(direction, channel),
			}
		}
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.messages, m.bytes, m.drops, m.rejects, m.connected, m.rtt} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) topic(direction, channel string) flow { return m.flows[direction+channel] }

func (m *metrics) reject(peer string) { m.rejects.WithLabelValues(peer).Inc() }

// joined shows the figures of a member.
func (m *metrics) joined(peer string) {
	m.connected.WithLabelValues(peer)
	m.rejects.WithLabelValues(peer)
}

// down takes back what a link with a member was like, and that there is one to
// be had if the member has left.
func (m *metrics) down(peer string, left bool) {
	m.rtt.DeleteLabelValues(peer)
	m.connected.WithLabelValues(peer).Set(0)
	if left {
		m.connected.DeleteLabelValues(peer)
	}
}

// tracer counts what gossipsub drops without a word.
type tracer struct{ m *metrics }

// DropRPC implements pubsub.RawTracer.
func (t tracer) DropRPC(*pubsub.RPC, peer.ID) { t.m.drops.WithLabelValues("gossip_queue_full").Inc() }

// UndeliverableMessage implements pubsub.RawTracer.
func (t tracer) UndeliverableMessage(*pubsub.Message) {
	t.m.drops.WithLabelValues("gossip_undeliverable").Inc()
}

// RejectMessage implements pubsub.RawTracer.
func (t tracer) RejectMessage(_ *pubsub.Message, reason string) {
	switch reason {
	case pubsub.RejectValidationQueueFull, pubsub.RejectValidationThrottled, pubsub.RejectBlacklstedPeer:
		t.m.drops.WithLabelValues("gossip_" + reason).Inc()
	}
}

// The other events are of no interest here.

// OnNewOutboundStream implements pubsub.RawTracer.
func (tracer) OnNewOutboundStream(peer.ID, protocol.ID) {}

// OnClosedOutboundStream implements pubsub.RawTracer.
func (tracer) OnClosedOutboundStream(peer.ID) {}

// Join implements pubsub.RawTracer.
func (tracer) Join(string) {}

// Leave implements pubsub.RawTracer.
func (tracer) Leave(string) {}

// Graft implements pubsub.RawTracer.
func (tracer) Graft(peer.ID, string) {}

// Prune implements pubsub.RawTracer.
func (tracer) Prune(peer.ID, string) {}

// ValidateMessage implements pubsub.RawTracer.
func (tracer) ValidateMessage(*pubsub.Message) {}

// DeliverMessage implements pubsub.RawTracer.
func (tracer) DeliverMessage(*pubsub.Message) {}

// DuplicateMessage implements pubsub.RawTracer.
func (tracer) DuplicateMessage(*pubsub.Message) {}

// ThrottlePeer implements pubsub.RawTracer.
func (tracer) ThrottlePeer(peer.ID) {}

// RecvRPC implements pubsub.RawTracer.
func (tracer) RecvRPC(*pubsub.RPC) {}

// SendRPC implements pubsub.RawTracer.
func (tracer) SendRPC(*pubsub.RPC, peer.ID) {}

// SendRPCCompleted implements pubsub.RawTracer.
func (tracer) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
