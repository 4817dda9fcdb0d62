package load

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Arrival is how the events of the open loop are spaced.
type Arrival string

const (
	// Constant spaces events evenly.
	Constant Arrival = "constant"
	// Poisson draws the gaps from an exponential distribution, as independent
	// clients produce them.
	Poisson Arrival = "poisson"
)

// Limits and defaults of a Config.
const (
	DefaultEventBytes  = 300
	DefaultTimeout     = time.Second
	DefaultConnections = 256
	DefaultBacklog     = 10_000

	maxURLs       = 256
	minRate       = 0.001 // the next event would be too far away to be a Duration
	maxRate       = 1e6
	maxClients    = 10_000
	maxEventBytes = 1 << 20
	maxBacklog    = 1 << 20
	maxTimeout    = 5 * time.Second
	maxDuration   = 24 * time.Hour
)

// Config says what load to offer, where, and for how long.
type Config struct {
	// URLs are the base URLs of the nodes, such as http://127.0.0.1:8401.
	// Between 1 and 256.
	URLs []string
	// Token is the bearer token sent with every event.
	Token string

	// Rate is the number of events a second that arrive in the open loop, over
	// all URLs together, 0.001 to 1,000,000. Zero selects the closed loop.
	Rate float64
	// Arrival spaces the events of the open loop. Empty means Constant.
	Arrival Arrival
	// Clients is, in the open loop, the largest number of connections to one
	// URL (0: DefaultConnections), and in the closed loop the number of clients
	// in all (0: one). Client i of the closed loop stays with URL i mod
	// len(URLs). At most 10,000.
	Clients int
	// MaxBacklog bounds how many events may wait for a connection to one URL
	// in the open loop; an event that finds the backlog full is dropped.
	// 0 means DefaultBacklog, at most 1,048,576.
	MaxBacklog int

	// Duration is how long events are sent and measured, at most 24 h.
	Duration time.Duration
	// Warmup is how long events are sent before that without being measured.
	Warmup time.Duration

	// Anchor sends anchors that wait for their places in the ledger, instead of
	// events to attest.
	Anchor bool
	// Propose sends proposals and waits until they are decided, instead. What is
	// not accepted has failed: the nodes must accept actions of the type
	// ProposedType.
	Propose bool
	// Subject, if it is not empty, is what all proposals are about. One wins at a
	// time, the others are beaten, which is no failure; that two win the same
	// version is one.
	Subject string
	// EventBytes is the size of an event in canonical JSON. 0 means
	// DefaultEventBytes, at most 1 MiB.
	EventBytes int
	// Timeout is how long a node may try to certify an event, 1 ms to 5 s; 0
	// means DefaultTimeout. The connection is given a second more, so that the
	// node's own answer is what is seen. An event that has waited this long
	// without finding a connection is dropped.
	Timeout time.Duration
	// Seed makes the events, and the gaps of Poisson, reproducible. 0 draws
	// one. Two runs of one seed send the same events.
	Seed uint64

	// Verify checks every Nth event's answer: that it is JSON and that its
	// hash is the event's. 0 checks none.
	Verify int
	// KeepAnswers, if set, is called with the body of every answer with status
	// 200, from many goroutines at once. It must not keep the slice.
	KeepAnswers func(body []byte)
}

// withDefaults fills in the zero values and reports the first value that is
// out of range.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Arrival, Constant)
	setDefault(&c.EventBytes, DefaultEventBytes)
	setDefault(&c.Timeout, DefaultTimeout)
	setDefault(&c.MaxBacklog, DefaultBacklog)
	if c.Rate > 0 {
		setDefault(&c.Clients, DefaultConnections)
	} else {
		setDefault(&c.Clients, 1)
	}
	if c.Seed == 0 {
		// Below 2^53, so that a JSON reader in any language keeps it exactly.
		c.Seed = 1 + rand.Uint64N(1<<53-1)
	}
	return c, errors.Join(c.checkTarget(), c.checkLoad())
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) checkTarget() error {
	if len(c.URLs) < 1 || len(c.URLs) > maxURLs {
		return fmt.Errorf("urls: %d given; give between 1 and %d", len(c.URLs), maxURLs)
	}
	if c.Token == "" {
		return errors.New("token: is empty; create one with: strata token create")
	}
	for _, r := range []byte(c.Token) {
		if r <= ' ' || r > '~' {
			return errors.New("token: contains a character that no token has; check that it was copied whole")
		}
	}
	if c.Timeout < time.Millisecond || c.Timeout > maxTimeout {
		return fmt.Errorf("timeout: %v is out of range; use 1ms to %v", c.Timeout, maxTimeout)
	}
	if c.Verify < 0 {
		return fmt.Errorf("verify: %d is negative; use 0 to check no answer, N to check every Nth", c.Verify)
	}
	return nil
}

func (c *Config) checkLoad() error {
	switch {
	case math.IsNaN(c.Rate) || c.Rate != 0 && c.Rate < minRate || c.Rate > maxRate:
		return fmt.Errorf("rate: %v is out of range; use %v to %.0f events a second, or 0 for the closed loop", c.Rate, minRate, maxRate)
	case c.Arrival != Constant && c.Arrival != Poisson:
		return fmt.Errorf("arrival: %q is unknown; use %s or %s", c.Arrival, Constant, Poisson)
	case c.Clients < 1 || c.Clients > maxClients:
		return fmt.Errorf("clients: %d is out of range; use 1 to %d", c.Clients, maxClients)
	case c.MaxBacklog < 1 || c.MaxBacklog > maxBacklog:
		return fmt.Errorf("backlog: %d is out of range; use 1 to %d", c.MaxBacklog, maxBacklog)
	case c.Duration <= 0 || c.Duration > maxDuration:
		return fmt.Errorf("duration: %v is out of range; use more than 0 and at most %v", c.Duration, maxDuration)
	case c.Warmup < 0 || c.Warmup > maxDuration:
		return fmt.Errorf("warmup: %v is out of range; use 0 to %v", c.Warmup, maxDuration)
	case c.Anchor && c.Propose:
		return errors.New("anchor and propose: a run sends one or the other")
	case c.Subject != "" && !c.Propose:
		return errors.New("subject: is for proposals only")
	case c.EventBytes < minEventBytes || c.EventBytes > maxEventBytes:
		return fmt.Errorf("event bytes: %d is out of range; use %d to %d", c.EventBytes, minEventBytes, maxEventBytes)
	}
	return nil
}
