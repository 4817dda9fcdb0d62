// Package policy decides how a node votes on proposals: by its operator's rules,
// of which the first one that matches counts. A rule accepts, rejects, leaves the
// vote to a person, or asks a service of the operator.
package policy

import (
	"fmt"
	"time"

	"github.com/strataos/strataos/node/glob"
	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
)

// Bounds of rules.
const (
	MaxRules     = 256
	MinTimeoutMS = 10
	MaxTimeoutMS = 30_000
	MaxRetries   = 10
)

// What a webhook has where nothing else is said.
const (
	DefaultTimeoutMS = 2_000
	DefaultRetries   = 2
)

// byWebhook is the vote of a rule that asks.
const byWebhook = "webhook"

// Rule says how to vote on some proposals.
type Rule struct {
	// Action is a pattern of the action's type, and Proposer one of the
	// proposer's name; none is any. Actions of the network itself match only a
	// pattern that begins with "membership." or "params.", letter for letter.
	Action   string `json:"action"`
	Proposer string `json:"proposer,omitempty"`
	// Vote is accept, reject, manual or webhook.
	Vote string `json:"vote"`
	// Webhook is there if, and only if, the vote is the webhook's.
	Webhook *Webhook `json:"webhook,omitempty"`
}

// String is the rule in brief.
func (r Rule) String() string {
	text := r.Vote + " " + r.Action
	if r.Proposer != "" {
		text += " by " + r.Proposer
	}
	if w := r.Webhook; w != nil {
		text += fmt.Sprintf(" (%s, silence: %s)", w.URL, w.Silence)
	}
	return text
}

// Webhook is a service that is asked for a vote.
type Webhook struct {
	URL        string `json:"url"`
	SecretFile string `json:"secret_file"`
	// TimeoutMS bounds each try, of which there are one and Retries more.
	TimeoutMS int `json:"timeout_ms"`
	Retries   int `json:"retries"`
	// Silence is the vote if no answer comes: accept, reject or manual.
	Silence string `json:"silence"`
	// AllowHTTP allows plain HTTP to another machine.
	AllowHTTP bool `json:"allow_http,omitempty"`
}

// Check reports what is wrong with rules, as a FieldError under the name that
// they have in the configuration. It does not read the files of secrets.
func Check(rules []Rule) error {
	_, err := parse(rules)
	return err
}

// rule is a Rule that is checked.
type rule struct {
	Rule
	action, proposer glob.Pattern
	vote             Vote
	// network says that the rule names actions of the network itself. Others
	// never match these: who lets everything pass is not to give the committee
	// away.
	network bool
	// What follows is there if a webhook is asked.
	asks    bool
	silence Vote
	hook    webhook.Hook
	// slots bounds how many proposals are asked about at a time.
	slots chan struct{}
}

func fieldErrorf(field, format string, args ...any) error {
	return &protocol.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// pathOf is the name of a rule in the configuration.
func pathOf(i int) string { return fmt.Sprintf("accord.policies[%d]", i) }

func parse(rules []Rule) ([]*rule, error) {
	if len(rules) > MaxRules {
		return nil, fieldErrorf("accord.policies", "there are %d, at most %d are allowed", len(rules), MaxRules)
	}
	var out []*rule
	for i := range rules {
		r, err := parseRule(pathOf(i), rules[i])
		if err != nil {
			return nil, err
		}
		for j, before := range out {
			if before.covers(r) {
				return nil, fieldErrorf(pathOf(i), "is never reached: %s takes all that it would", pathOf(j))
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func parseRule(path string, raw Rule) (*rule, error) {
	r := &rule{Rule: raw}
	var err error
	if r.action, err = glob.Parse(raw.Action); err != nil {
		return nil, fieldErrorf(path+".action", "%q: %v", raw.Action, err)
	}
	named := protocol.Action{Type: raw.Action} // stars are no letters of a name
	r.network = named.IsNetwork()
	proposer := raw.Proposer
	if proposer == "" {
		proposer = "**"
	}
	if r.proposer, err = glob.Parse(proposer); err != nil {
		return nil, fieldErrorf(path+".proposer", "%q: %v", raw.Proposer, err)
	}
	var ok bool
	if r.vote, ok = ParseVote(raw.Vote); !ok && raw.Vote != byWebhook {
		return nil, fieldErrorf(path+".vote", "is %q, want accept, reject, manual or webhook", raw.Vote)
	}
	r.asks = raw.Vote == byWebhook
	switch {
	case r.asks && raw.Webhook == nil:
		return nil, fieldErrorf(path+".webhook", "is missing, and the vote is the webhook's")
	case !r.asks && raw.Webhook != nil:
		return nil, fieldErrorf(path+".webhook", `is there, and the vote is %q: it would never be asked`, raw.Vote)
	case r.asks:
		return r, r.parseWebhook(path + ".webhook")
	}
	return r, nil
}

func (r *rule) parseWebhook(path string) error {
	w := r.Webhook
	if err := webhook.CheckURL(w.URL, w.AllowHTTP); err != nil {
		return fieldErrorf(path+".url", "%v", err)
	}
	if w.SecretFile == "" {
		return fieldErrorf(path+".secret_file", "is missing: name a file with the secret that signs what is posted")
	}
	if w.TimeoutMS < MinTimeoutMS || w.TimeoutMS > MaxTimeoutMS {
		return fieldErrorf(path+".timeout_ms", "is %d, want %d to %d", w.TimeoutMS, MinTimeoutMS, MaxTimeoutMS)
	}
	if w.Retries < 0 || w.Retries > MaxRetries {
		return fieldErrorf(path+".retries", "is %d, want 0 to %d", w.Retries, MaxRetries)
	}
	var ok bool
	if r.silence, ok = ParseVote(w.Silence); !ok {
		return fieldErrorf(path+".silence", "is %q, want accept, reject or manual", w.Silence)
	}
	r.hook = webhook.Hook{URL: w.URL, Timeout: time.Duration(w.TimeoutMS) * time.Millisecond}
	r.slots = make(chan struct{}, maxAsking)
	return nil
}

// covers reports whether a rule leaves nothing to a later one, as far as that is
// plain: it takes everything, or has the same pattern.
func (r *rule) covers(later *rule) bool {
	action := r.action.Any() && !later.network || r.action == later.action
	return action && (r.proposer.Any() || r.proposer == later.proposer)
}

func (r *rule) matches(p *protocol.Proposal) bool {
	return r.reaches(&p.Action) && r.action.Match(p.Action.Type) && r.proposer.Match(p.Proposer)
}

// reaches reports whether a rule may match an action at all.
func (r *rule) reaches(a *protocol.Action) bool { return r.network || !a.IsNetwork() }
