package policy

import (
	"context"

	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
)

// maxAsking bounds how many proposals one webhook is asked about at a time.
const maxAsking = 8

// Config is what a Voter works with.
type Config struct {
	// Network and Member are the node's, for the webhooks to know who asks.
	Network, Member string
	Rules           []Rule
	Clock           webhook.Clock
}

// Voter decides how a node votes. It is safe for concurrent use.
type Voter struct {
	network, member string
	rules           []*rule
	clock           webhook.Clock
	client          *webhook.Client
}

// New returns a Voter by rules, which it checks, and reads their secrets. Errors
// name the field of the configuration.
func New(c Config) (*Voter, error) {
	rules, err := parse(c.Rules)
	if err != nil {
		return nil, err
	}
	for i, r := range rules {
		if !r.asks {
			continue
		}
		if r.hook.Secret, err = webhook.LoadSecret(r.Webhook.SecretFile); err != nil {
			return nil, fieldErrorf(pathOf(i)+".webhook.secret_file", "%v", err)
		}
	}
	return &Voter{
		network: c.Network, member: c.Member, rules: rules,
		clock: c.Clock, client: webhook.NewClient(c.Clock.Now),
	}, nil
}

// Close lets go of connections that nothing uses.
func (v *Voter) Close() { v.client.Close() }

// Decide says how to vote on a proposal. Where a webhook is asked it takes as long
// as that may, and at most half of the time until the proposal's deadline, so that
// a vote which stands for silence still comes in time. Errors are the context's
// only: a node that stops has not decided, and asks again when it is back.
func (v *Voter) Decide(ctx context.Context, p *protocol.Proposal) (Verdict, error) {
	i, r := v.find(p)
	switch {
	case r == nil:
		return Verdict{Vote: Manual, Rule: NoRule}, nil
	case !r.asks:
		return Verdict{Vote: r.vote, Rule: i}, nil
	}
	return v.ask(ctx, i, p, false)
}

// find returns the first rule that matches, and its number, or nil and NoRule.
func (v *Voter) find(p *protocol.Proposal) (int, *rule) {
	for i, r := range v.rules {
		if r.matches(p) {
			return i, r
		}
	}
	return NoRule, nil
}
