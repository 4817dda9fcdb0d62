package policy

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/strataos/strataos/protocol"
)

// Explanation is how a node would vote on a proposal, and why.
type Explanation struct {
	// Rules are those that were looked at, in order; the last one matches,
	// unless none does.
	Rules []Look `json:"rules"`
	// Rule is the number of the rule that matches, or NoRule.
	Rule int `json:"rule"`
	// Vote is what that says: accept, reject, manual or webhook.
	Vote string `json:"vote"`
	// Question is there if a webhook is asked.
	Question *Question `json:"question,omitempty"`
	// Verdict is there unless a webhook would have to be asked for it and was not.
	Verdict *Verdict `json:"verdict,omitempty"`
}

// Look is a rule that was looked at.
type Look struct {
	Rule    int    `json:"rule"`
	Matches bool   `json:"matches"`
	Why     string `json:"why"`
}

// Question is what a webhook would be asked.
type Question struct {
	URL      string `json:"url"`
	Delivery string `json:"delivery"`
	// TimeoutMS bounds each try, Retries how many there are behind the first
	// one, and WithinMS all of them, by the proposal's deadline.
	TimeoutMS int             `json:"timeout_ms"`
	Retries   int             `json:"retries"`
	WithinMS  int64           `json:"within_ms"`
	Silence   Vote            `json:"silence"`
	Body      json.RawMessage `json:"body"`
}

// Explain says how the node would vote on a proposal. Only if ask is set is a
// webhook asked, by a question that says that it is a test. Errors are the
// context's.
func (v *Voter) Explain(ctx context.Context, p *protocol.Proposal, ask bool) (*Explanation, error) {
	e := &Explanation{Rules: []Look{}, Rule: NoRule, Vote: Manual.String()}
	for i, r := range v.rules {
		why, ok := r.why(p)
		e.Rules = append(e.Rules, Look{Rule: i, Matches: ok, Why: why})
		if ok {
			e.Rule, e.Vote = i, r.Vote
			break
		}
	}
	if e.Rule == NoRule || !v.rules[e.Rule].asks {
		verdict, err := v.Decide(ctx, p)
		e.Verdict = &verdict
		return e, err
	}
	var err error
	if e.Question, err = v.wouldAsk(v.rules[e.Rule], p, ask); err != nil || !ask {
		return e, err
	}
	verdict, err := v.ask(ctx, e.Rule, p, true)
	e.Verdict = &verdict
	return e, err
}

func (v *Voter) wouldAsk(r *rule, p *protocol.Proposal, test bool) (*Question, error) {
	id, body, err := v.question(p, test)
	return &Question{
		URL: r.Webhook.URL, Delivery: id, Body: body,
		TimeoutMS: r.Webhook.TimeoutMS, Retries: r.Webhook.Retries,
		WithinMS: v.window(p).Milliseconds(), Silence: r.silence,
	}, err
}

// why says whether a rule matches, in words.
func (r *rule) why(p *protocol.Proposal) (string, bool) {
	switch {
	case !r.action.Match(p.Action.Type):
		return fmt.Sprintf("the action %s is not %s", p.Action.Type, r.action), false
	case !r.reaches(&p.Action):
		return fmt.Sprintf("the action %s changes the network: %s would have to begin with membership. or params.", p.Action.Type, r.action), false
	case !r.proposer.Match(p.Proposer):
		return fmt.Sprintf("the proposer %s is not %s", p.Proposer, r.proposer), false
	case r.Proposer == "":
		return fmt.Sprintf("the action %s is %s", p.Action.Type, r.action), true
	}
	return fmt.Sprintf("the action %s is %s, and the proposer %s is %s", p.Action.Type, r.action, p.Proposer, r.proposer), true
}
