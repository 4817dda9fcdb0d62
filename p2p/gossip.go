package p2p

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

// seenTTL is how long gossipsub remembers messages to tell duplicates: longer
// than any message travels. Sending again goes by direct streams.
const seenTTL = 30 * time.Second

type gossipParams struct {
	leave []func()
}

// joinGossip joins the topics. Messages are taken in the topics' validators,
// inline, so that none waits in a queue to be taken; there are no subscriptions.
func (h *Host) joinGossip(ctx context.Context) error {
	params := pubsub.DefaultGossipSubParams()
	// Saying what one does not want saves nothing where messages are small.
	params.IDontWantMessageThreshold = h.cfg.MaxMessage
	if h.cfg.Floods() {
		// Without a mesh, flooding sends each message to each member once.
		params.D, params.Dlo, params.Dhi, params.Dout, params.Dscore = 0, 0, 0, 0, 0
		params.Dlazy, params.GossipFactor = 0, 0
	}
	ps, err := pubsub.NewGossipSub(ctx, h.host,
		pubsub.WithGossipSubParams(params),
		pubsub.WithFloodPublish(true),
		// Messages carry signatures of their own, under the members' keys.
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(h.cfg.MaxMessage+4096),
		pubsub.WithPeerOutboundQueueSize(h.cfg.QueueMessages),
		pubsub.WithValidateQueueSize(4*h.cfg.QueueMessages),
		pubsub.WithSeenMessagesTTL(seenTTL),
		pubsub.WithPeerScore(h.scoreParams(), scoreThresholds),
		pubsub.WithRawTracer(tracer{h.metrics}),
		pubsub.WithPeerExchange(false),
		pubsub.WithLogger(h.cfg.Logger.With("layer", "gossip")),
	)
	if err != nil {
		return err
	}
	h.pubsub, h.gossip = ps, &gossipParams{}
	for i := range h.topics {
		if err := h.joinTopic(Topic(i)); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) joinTopic(t Topic) error {
	name := h.name(t.String())
	if err := h.pubsub.RegisterTopicValidator(name, h.validator(t), pubsub.WithValidatorInline(true)); err != nil {
		return err
	}
	topic, err := h.pubsub.Join(name)
	if err != nil {
		return err
	}
	// Relaying makes the host a part of the topic without a subscription that
	// somebody would have to read.
	leave, err := topic.Relay()
	if err != nil {
		return err
	}
	h.topics[t] = topic
	h.gossip.leave = append(h.gossip.leave, leave)
	return nil
}

func (h *Host) validator(t Topic) pubsub.ValidatorEx {
	self, floods := h.host.ID(), h.cfg.Floods()
	in := h.metrics.topic("in", t.String())
	return func(_ context.Context, from peer.ID, msg *pubsub.Message) pubsub.ValidationResult {
		if from == self {
			return pubsub.ValidationAccept
		}
		in.add(len(msg.Data))
		member := h.member(from)
		verdict := h.handler.Gossip(member, t, msg.Data)
		if verdict == Reject {
			h.metrics.reject(h.nameOf(member))
		}
		return verdict.result(floods)
	}
}

// Publish gossips a message to all members. It does not wait for the network.
func (h *Host) Publish(t Topic, data []byte) error {
	if len(data) > h.cfg.MaxMessage {
		return fmt.Errorf("p2p: a message of %d bytes is more than the %d that peers take", len(data), h.cfg.MaxMessage)
	}
	h.metrics.topic("out", t.String()).add(len(data))
	return h.topics[t].Publish(context.Background(), data)
}

// messageID tells messages apart by content: they have no author or number.
func messageID(m *pb.Message) string {
	sum := sha256.New()
	sum.Write([]byte(m.GetTopic()))
	sum.Write(m.Data)
	return string(sum.Sum(nil)[:16])
}
