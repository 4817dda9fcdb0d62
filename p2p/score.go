package p2p

import (
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Scores only ever fall, and only for what is provably invalid: honest members
// stay at zero, however slow or silent they are.
const (
	// invalidDecay halves the count of invalid gossip in about a minute.
	invalidDecay = 0.99
	// blameCost is what one blame costs; it is forgotten like invalid gossip.
	blameCost = 5
	blameHalf = time.Minute
)

var scoreThresholds = &pubsub.PeerScoreThresholds{
	GossipThreshold:             -20,
	PublishThreshold:            -50,
	GraylistThreshold:           -100, // ten invalid messages in short order
	OpportunisticGraftThreshold: 1,
}

func (h *Host) scoreParams() *pubsub.PeerScoreParams {
	topics := map[string]*pubsub.TopicScoreParams{}
	for t := range topicNames {
		topics[h.name(topicNames[t])] = &pubsub.TopicScoreParams{
			SkipAtomicValidation:           true,
			TopicWeight:                    1,
			TimeInMeshQuantum:              time.Second, // the library divides by it
			InvalidMessageDeliveriesWeight: -1,          // times the count squared
			InvalidMessageDeliveriesDecay:  invalidDecay,
		}
	}
	return &pubsub.PeerScoreParams{
		SkipAtomicValidation: true,
		Topics:               topics,
		AppSpecificScore:     h.score.of,
		AppSpecificWeight:    1,
		DecayInterval:        time.Second,
		DecayToZero:          0.01,
		RetainScore:          10 * time.Minute,
	}
}

// scores keeps what blame has cost each peer.
type scores struct {
	mu    sync.Mutex
	costs map[peer.ID]blamed
}

type blamed struct {
	cost float64
	at   time.Time
}

func newScores() *scores { return &scores{costs: map[peer.ID]blamed{}} }

func (s *scores) blame(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.costs[p] = blamed{s.costs[p].left(now) + blameCost, now}
}

// of is the peer's score, 0 or less.
func (s *scores) of(p peer.ID) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return -s.costs[p].left(time.Now())
}

// left is what is left of a cost, which melts away in a straight line.
func (b blamed) left(now time.Time) float64 {
	return max(b.cost-blameCost*float64(now.Sub(b.at))/float64(blameHalf), 0)
}
