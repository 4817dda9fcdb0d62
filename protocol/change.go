package protocol

import (
	"bytes"
	"encoding/json"
	"strings"
)

// NetworkSubject is the subject of all proposals that change the network itself,
// of which only one can therefore be open. No other proposal has it.
const NetworkSubject = "network"

// The actions that the network carries out itself.
const (
	ActionParamsSet         = "params.set"
	ActionMembershipAdd     = "membership.add"
	ActionMembershipRemove  = "membership.remove"
	ActionMembershipReplace = "membership.replace"
)

// Change is a change of the network itself, by an action of one of the types above.
// Its payload is
//
//   - of params.set an object of those parameters that are to change, as in the
//     genesis;
//   - of membership.add {"member"}, a member as in the genesis;
//   - of membership.remove {"name"}, the name of a member;
//   - of membership.replace both: with the same name, the member's new addresses;
//     with another, a new member in its place.
type Change struct {
	Type   string
	Params ParamsChange
	Name   string
	Member *Member
}

// ParamsChange names the parameters that are to change; see Params.
type ParamsChange struct {
	MaxFutureMS     *int64 `json:"max_future_ms"`
	MaxBatchEntries *int   `json:"max_batch_entries"`
	MaxBatchBytes   *int   `json:"max_batch_bytes"`
	MaxEventBytes   *int   `json:"max_event_bytes"`
	CheckpointMS    *int64 `json:"checkpoint_ms"`
}

// Apply returns the parameters with the change.
func (c ParamsChange) Apply(p Params) Params {
	set(&p.MaxFutureMS, c.MaxFutureMS)
	set(&p.MaxBatchEntries, c.MaxBatchEntries)
	set(&p.MaxBatchBytes, c.MaxBatchBytes)
	set(&p.MaxEventBytes, c.MaxEventBytes)
	set(&p.CheckpointMS, c.CheckpointMS)
	return p
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// IsNetwork reports whether an action is the network's own to carry out, or has a
// name that is kept for such.
func (a *Action) IsNetwork() bool {
	return strings.HasPrefix(a.Type, "params.") || strings.HasPrefix(a.Type, "membership.")
}

// Change reads the payload of an action that changes the network. Whether the
// change is possible depends on the network as it is then.
func (a *Action) Change() (*Change, error) {
	c := &Change{Type: a.Type}
	switch a.Type {
	case ActionParamsSet:
		if err := strictly(a.Payload, &c.Params); err != nil {
			return nil, fieldErrorf("action.payload", "must be an object of parameters as in the genesis: %v", err)
		}
		if c.Params == (ParamsChange{}) {
			return nil, fieldErrorf("action.payload", "changes nothing")
		}
	case ActionMembershipAdd, ActionMembershipRemove, ActionMembershipReplace:
		var p struct {
			Name   *string `json:"name"`
			Member *Member `json:"member"`
		}
		if err := strictly(a.Payload, &p); err != nil {
			return nil, fieldErrorf("action.payload", "%v", err)
		}
		if err := expect("action.payload.name", a.Type, p.Name != nil, a.Type != ActionMembershipAdd, "the name of the member to remove or replace"); err != nil {
			return nil, err
		}
		if err := expect("action.payload.member", a.Type, p.Member != nil, a.Type != ActionMembershipRemove, "the member who is to join, as in the genesis"); err != nil {
			return nil, err
		}
		if c.Member = p.Member; p.Name != nil {
			c.Name = *p.Name
			if err := CheckMemberName("action.payload.name", c.Name); err != nil {
				return nil, err
			}
		}
	default:
		return nil, fieldErrorf("action.type", "%s is no action of the network (%s, %s, %s, %s)", a.Type,
			ActionParamsSet, ActionMembershipAdd, ActionMembershipRemove, ActionMembershipReplace)
	}
	return c, nil
}

// expect reports a field that is missing, or is there and must not be.
func expect(field, action string, there, wanted bool, what string) error {
	switch {
	case wanted && !there:
		return fieldErrorf(field, "is missing; it is %s", what)
	case there && !wanted:
		return fieldErrorf(field, "is not for %s; it is %s", action, what)
	}
	return nil
}

func strictly(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// checkNetwork holds a proposal that changes the network to what is to be said of
// it whatever the network is like.
func (p *Proposal) checkNetwork() error {
	network := p.Action.IsNetwork()
	switch about := p.Subject == NetworkSubject; {
	case network && !about:
		return fieldErrorf("subject", "must be %q for %s, which changes the network itself", NetworkSubject, p.Action.Type)
	case !network && about:
		return fieldErrorf("subject", "%q is kept for what changes the network itself (params.*, membership.*)", NetworkSubject)
	case !network:
		return nil
	}
	_, err := p.Action.Change()
	return err
}
