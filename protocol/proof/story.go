package proof

import (
	"bytes"
	"fmt"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// Story is what the API tells of a proposal: what it is, how members have voted,
// what was decided, and the proofs of all that.
type Story struct {
	// fields are those that stand for themselves, in canonical form.
	fields        map[string][]byte
	body          []byte
	proof, ledger *Proof
	votes         []recorded
	decision      *recorded
	reports       []recorded
}

// recorded is something about the proposal that is in the ledger: what is said of
// it, what it is, and the proof.
type recorded struct {
	fields map[string][]byte
	body   []byte
	ledger *Proof
	// at is the place in the ledger, once it is proved.
	at *uint64
}

// maxRecorded bounds the votes, and the reports, of a story.
const maxRecorded = 1024

// ofProposal are the fields of a story that are the proposal's own.
var ofProposal = []string{"proposer", "action", "subject", "participants", "threshold", "deadline", "expected_version"}

// ofStory are the other fields of a story that stand for themselves.
var ofStory = []string{
	"id", "status", "timestamp", "position", "version", "decided_at", "decision_position", "reason", "winner",
	"ledger_status", "truncated", "causal_token",
}

// Decision is the proof of the decision in the ledger, or nil.
func (st *Story) Decision() *Proof {
	if st.decision == nil {
		return nil
	}
	return st.decision.ledger
}

// IsStory reports whether a text is, by its fields, the story of a proposal.
func IsStory(text []byte) bool {
	actions, bodies := 0, 0
	err := jcs.Members(text, func(key, _ []byte) error {
		switch string(key) {
		case "action":
			actions++
		case "body":
			bodies++
		}
		return nil
	})
	return err == nil && actions == 1 && bodies == 1
}

// ParseStory reads the story of a proposal as the API tells it. It is as strict as
// ParseProofs.
func ParseStory(text []byte) (*Story, error) {
	if _, err := jcs.Append(nil, text); err != nil {
		return nil, err
	}
	st := &Story{fields: map[string][]byte{}}
	plain := map[string]bool{}
	for _, name := range append(append([]string{}, ofProposal...), ofStory...) {
		plain[name] = true
	}
	err := jcs.Members(text, func(key, value []byte) (err error) {
		switch name := string(key); name {
		case "body":
			st.body = bytes.Clone(value)
		case "proof":
			st.proof, err = parseProof("proof.", value)
		case "ledger_proof":
			st.ledger, err = parseProof("ledger_proof.", value)
		case "votes":
			st.votes, err = parseRecorded(name, value, "member", "vote", "reason", "mark")
		case "reports":
			st.reports, err = parseRecorded(name, value, "member", "status", "note")
		case "decision":
			st.decision, err = parseOneRecorded(name, value, "status")
		default:
			if !plain[name] {
				return fieldErrorf(fmt.Sprintf("%.64q", key), "is not a field of a story")
			}
			st.fields[name], err = jcs.Append(nil, value)
		}
		return err
	})
	if err == nil && (st.body == nil || st.fields["id"] == nil) {
		err = fieldErrorf("body", "or id is missing; send the story as it came")
	}
	return st, err
}

func parseRecorded(field string, value []byte, more ...string) ([]recorded, error) {
	var list []recorded
	err := jcs.Elements(value, func(value []byte) error {
		if len(list) >= maxRecorded {
			return fieldErrorf(field, "there are more than %d", maxRecorded)
		}
		r, err := parseOneRecorded(fmt.Sprintf("%s[%d]", field, len(list)), value, more...)
		if err == nil {
			list = append(list, *r)
		}
		return err
	})
	return list, err
}

// parseOneRecorded reads something about a proposal, which has some fields more.
func parseOneRecorded(field string, value []byte, more ...string) (*recorded, error) {
	if jcs.KindOf(value) != jcs.Object {
		return nil, fieldErrorf(field, "must be an object")
	}
	plain := map[string]bool{"position": true, "timestamp": true, "hash": true}
	for _, name := range more {
		plain[name] = true
	}
	r := &recorded{fields: map[string][]byte{}}
	err := jcs.Members(value, func(key, value []byte) (err error) {
		switch name := string(key); {
		case name == "body":
			r.body = bytes.Clone(value)
		case name == "ledger_proof":
			r.ledger, err = parseProof(field+".ledger_proof.", value)
		case plain[name]:
			r.fields[name], err = jcs.Append(nil, value)
		default:
			err = fieldErrorf(fmt.Sprintf("%s.%.64q", field, key), "is not a field of a story")
		}
		return err
	})
	if err == nil && r.body == nil {
		err = fieldErrorf(field+".body", "is missing; send the story as it came")
	}
	return r, err
}

// same holds what is said to what is shown. What was not said is nil.
func same(name string, said []byte, shown []byte) error {
	if said == nil || bytes.Equal(said, shown) {
		return nil
	}
	if shown == nil {
		return failf(StepStory, "%s is given as %.80s, and nothing shows that", name, said)
	}
	return failf(StepStory, "%s is given as %.80s, it is %.80s", name, said, shown)
}

// quoted is a text in canonical JSON.
func quoted(s string) []byte { return jcs.AppendString(nil, s) }

// membersOf are the fields of an object in canonical form.
func membersOf(object []byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := jcs.Members(object, func(key, value []byte) (err error) {
		out[string(key)], err = jcs.Append(nil, value)
		return err
	})
	return out, err
}

// within names a step that has failed in a part of a story.
func within(what string, err error) error {
	if e, ok := err.(*StepError); ok {
		return failf(e.Step, "%s: %s", what, e.Reason)
	}
	return err
}

// shows verifies the proof of something in the ledger, and holds what is said of it
// to that.
func (c *recount) shows(r *recorded, kind protocol.Kind) (*Report, error) {
	c.demands.Event = r.body
	report, err := Verify(c.policy, r.ledger, c.demands)
	if err != nil {
		return nil, err
	}
	if report.Position == nil || report.entry.Kind != kind {
		return nil, failf(StepEntry, "the proof is of a %s in %s, not of a %s in the ledger", report.Kind, report.Origin, kind)
	}
	for name, shown := range map[string][]byte{
		"position": fmt.Append(nil, *report.Position), "timestamp": fmt.Append(nil, report.Timestamp), "hash": quoted(report.Hash.String()),
	} {
		if err := same(name, r.fields[name], shown); err != nil {
			return nil, err
		}
	}
	return report, nil
}
