package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
)

// backoff is the time between the tries to ask.
var backoff = webhook.Backoff{First: 200 * time.Millisecond, Most: 5 * time.Second}

// errTime is that a proposal's deadline leaves no more time to ask.
var errTime = errors.New("half of the time until the deadline is over")

// question is what a webhook is asked.
type question struct {
	Delivery string        `json:"delivery"`
	ID       protocol.Hash `json:"id"`
	Member   string        `json:"member"`
	Network  string        `json:"network"`
	// Proposal is in canonical form: its SHA-256 is the id.
	Proposal json.RawMessage `json:"proposal"`
	// Test says that there will be no vote, whatever the answer.
	Test bool   `json:"test,omitempty"`
	Type string `json:"type"`
}

// questionType tells a question from other posts.
const questionType = "accord.vote"

// question returns what is asked about a proposal, with its delivery's id.
func (v *Voter) question(p *protocol.Proposal, test bool) (string, []byte, error) {
	kind := questionType
	if test {
		kind += ".test" // it may come before the real one, which is not to seem a repetition
	}
	id := webhook.DeliveryID(kind, v.network, v.member, p.ID.String())
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // else the proposal's bytes were not those of its id
	err := enc.Encode(question{
		Delivery: id, ID: p.ID, Member: v.member, Network: v.network,
		Proposal: p.Canonical, Test: test, Type: questionType,
	})
	return id, bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// window is how long a webhook may be asked about a proposal, over all tries.
func (v *Voter) window(p *protocol.Proposal) time.Duration {
	left := p.Deadline - protocol.Micros(v.clock.Now().UnixMicro())
	return max(time.Duration(left)*time.Microsecond/2, 0)
}

// ask asks the webhook of rule i. Errors are the context's only.
func (v *Voter) ask(ctx context.Context, i int, p *protocol.Proposal, test bool) (Verdict, error) {
	r := v.rules[i]
	bounded, cancel := context.WithTimeout(ctx, v.window(p))
	defer cancel()
	a, tries, err := v.insist(bounded, r, p, test)
	if ctx.Err() != nil {
		return Verdict{}, ctx.Err()
	}
	if err == nil {
		return Verdict{Vote: a.vote, Reason: a.reason, Rule: i}, nil
	}
	if bounded.Err() != nil {
		err = errTime
	}
	note := fmt.Sprintf("the webhook did not vote (tries: %d): %v; its silence is %s", tries, err, r.silence)
	return Verdict{Vote: r.silence, Rule: i, Note: note}, nil
}

// insist asks until there is an answer, or no more to be hoped for. It tells how
// often it has tried.
func (v *Voter) insist(ctx context.Context, r *rule, p *protocol.Proposal, test bool) (a answer, tries int, err error) {
	if err := ctx.Err(); err != nil {
		return a, 0, err
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return a, 0, ctx.Err()
	}
	id, body, err := v.question(p, test)
	if err != nil {
		return a, 0, err
	}
	for {
		tries++
		if a, err = v.try(ctx, r, id, body); err == nil {
			return a, tries, nil
		}
		var f *webhook.Failure
		if !errors.As(err, &f) || f.Final || tries > r.Webhook.Retries {
			return a, tries, err
		}
		if err := v.clock.Sleep(ctx, backoff.After(tries, v.clock.Random())); err != nil {
			return a, tries, err
		}
	}
}

func (v *Voter) try(ctx context.Context, r *rule, id string, body []byte) (answer, error) {
	raw, err := v.client.Post(ctx, &r.hook, id, body)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(raw)
}
