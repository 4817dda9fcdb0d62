package deliver

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// Source has the decisions of this node's ledger that are durable.
type Source interface {
	// Next returns decided cases whose decisions are behind a position of the
	// ledger, in order, without a gap; some of them, or none if there are no
	// more yet.
	Next(ctx context.Context, after uint64) ([]accord.Case, error)
	// End returns the position of the newest decision, or 0 if there is none.
	End(ctx context.Context) (uint64, error)
}

// Positions keeps how far handlers have come.
type Positions interface {
	// Position returns where a handler is, and the ledger's time from which on
	// decisions are for it; and false if it is not known yet.
	Position(ctx context.Context, handler string) (position uint64, since protocol.Micros, known bool, err error)
	// SetPosition keeps both. They are durable when SetPosition returns.
	SetPosition(ctx context.Context, handler string, position uint64, since protocol.Micros) error
}

// Config is what a Deliverer works with.
type Config struct {
	// Network and Member are the node's.
	Network, Member string
	Handlers        []Handler
	Source          Source
	Positions       Positions
	// Report puts on record what came of a decision here. An error has it tried
	// again, and the handler waits; what can never succeed is not to be one.
	Report func(ctx context.Context, r protocol.Report) error
	Clock  webhook.Clock
	Logger *slog.Logger
}

// Deliverer delivers to all handlers, to each at its own pace. Its methods are safe
// for concurrent use.
type Deliverer struct {
	cfg     Config
	runners []*runner
	client  *webhook.Client
}

// New returns a Deliverer to handlers, which it checks, and reads their secrets.
// Errors name the field of the configuration.
func New(c Config) (*Deliverer, error) {
	runners, err := parse(c.Handlers)
	if err != nil {
		return nil, err
	}
	for i, r := range runners {
		if r.hook.Secret, err = webhook.LoadSecret(r.handler.SecretFile); err != nil {
			return nil, fieldErrorf(pathOf(i)+".secret_file", "%v", err)
		}
	}
	return &Deliverer{cfg: c, runners: runners, client: webhook.NewClient(c.Clock.Now)}, nil
}

// Run delivers until the context ends. It is called once.
func (d *Deliverer) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, r := range d.runners {
		wg.Go(func() { d.follow(ctx, r) })
	}
	wg.Wait()
	d.client.Close()
}

// Wake says that the source has more. It does not block.
func (d *Deliverer) Wake() {
	for _, r := range d.runners {
		select {
		case r.wake <- struct{}{}:
		default: // it is awake, and will look again
		}
	}
}

// Status is how a handler fares.
type Status struct {
	Name   string `json:"name"`
	Action string `json:"action"`
	// Position is the ledger's up to which the handler has been told.
	Position uint64 `json:"position"`
	// Delivered counts what it was told since the node has started.
	Delivered uint64 `json:"delivered"`
	// Failures counts the tries that failed since the last success, of which
	// Since is when the first was, and Error what the last came to.
	Failures int       `json:"failures,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// Status tells of all handlers, in the order of the configuration.
func (d *Deliverer) Status() []Status {
	out := make([]Status, len(d.runners))
	for i, r := range d.runners {
		out[i] = r.status()
	}
	return out
}
