package proof

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// unread are the fields of the API's answers that say nothing which a proof
// could be held to.
var unread = map[string]bool{
	"latency_ms": true, "status": true, "valid": true, "count": true, "count_is_lower_bound": true,
	"causal_token": true, "ledger_status": true, "ledger_time": true, "erased": true,
	// What has come of a proposal, its own proof does not show; see Story.
	"version": true, "votes": true, "decided_at": true, "decision_position": true,
}

// ParseAnswer reads a proof and what is said beside it from an answer of the
// API, as it came, or from an object of "proof" and "event", or a proof alone.
// Keys are read as they are written, in one case and once, so that nobody else
// can read another value there, and unknown ones are errors: FieldErrors, or of
// package jcs where the text is no JSON.
func ParseAnswer(text []byte) (*Proof, Claims, error) {
	proofs, claims, err := ParseProofs(text)
	if err != nil {
		return nil, Claims{}, err
	}
	return proofs[0], claims, nil
}

// ParseProofs reads like ParseAnswer all proofs that an answer has, at least
// one: that of the author's log, and that of the ledger.
func ParseProofs(text []byte) ([]*Proof, Claims, error) {
	if _, err := jcs.Append(nil, text); err != nil {
		return nil, Claims{}, err
	}
	if jcs.KindOf(text) != jcs.Object {
		return nil, Claims{}, fieldErrorf("proof", "is missing; send an attestation's answer as it came")
	}
	bare := false
	if err := jcs.Members(text, func(key, _ []byte) error {
		bare = bare || string(key) == "tlog_proof"
		return nil
	}); err != nil {
		return nil, Claims{}, err
	}
	if bare {
		p, err := parseProof("", text)
		return []*Proof{p}, Claims{}, err
	}
	var a answer
	if err := jcs.Members(text, a.member); err != nil {
		return nil, Claims{}, err
	}
	var proofs []*Proof
	for _, p := range []*Proof{a.proof, a.ledger} {
		if p != nil {
			proofs = append(proofs, p)
		}
	}
	if proofs == nil {
		return nil, Claims{}, fieldErrorf("proof", "is missing; send an attestation's answer as it came")
	}
	return proofs, a.claims, nil
}

// VerifyAll verifies the proofs of one entry, in its author's log and in the
// ledger, and what is claimed beside them. Errors are StepErrors.
func VerifyAll(policy *Policy, proofs []*Proof, claims Claims) ([]*Report, error) {
	var reports []*Report
	for i, p := range proofs {
		if i > 0 {
			// What is said of cosignatures is said of the first proof's.
			claims.Quorum, claims.quorumGiven, claims.witnessedAt, claims.vouched = "", false, nil, nil
		}
		r, err := Verify(policy, p, claims)
		if err != nil {
			return nil, err
		}
		if i > 0 && reports[0].entry != r.entry {
			return nil, failf(StepEntry, "the proofs are not about the same entry")
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// answer is an answer that is being read.
type answer struct {
	proof, ledger *Proof
	claims        Claims
}

func (a *answer) member(key, value []byte) (err error) {
	switch string(key) {
	case "proof":
		a.proof, err = parseProof("proof.", value)
	case "ledger_proof":
		a.ledger, err = parseProof("ledger_proof.", value)
	case "position":
		n, e := number("position", value)
		a.claims.Position, err = &n, e
	case "event", "payload", "body":
		if a.claims.Event != nil {
			return fieldErrorf(string(key), "is there beside an event, a payload or a body already")
		}
		a.claims.Event = bytes.Clone(value)
	case "hash":
		a.claims.hashGiven = true
		a.claims.Hash, err = text("hash", value)
	case "quorum":
		a.claims.quorumGiven = true
		a.claims.Quorum, err = text("quorum", value)
	case "timestamp":
		a.claims.timestampGiven = true
		if a.claims.Timestamp, err = strconv.ParseInt(string(value), 10, 64); err != nil {
			err = fieldErrorf("timestamp", "must be a whole number of milliseconds")
		}
	case "witnessed_at":
		n, e := number("witnessed_at", value)
		a.claims.witnessedAt, err = &n, e
	case "timestamp_vouched":
		vouched := string(value) == "true"
		a.claims.vouched = &vouched
		if jcs.KindOf(value) != jcs.Bool {
			err = fieldErrorf("timestamp_vouched", "must be true or false")
		}
	default:
		var ok bool
		ok, err = a.claims.beside.member(string(key), value)
		if !ok && err == nil {
			ok, err = a.claims.act.member(string(key), value)
		}
		if !ok && err == nil && !unread[string(key)] {
			err = fieldErrorf(fmt.Sprintf("%.64q", key), "is not a field of an answer")
		}
	}
	return err
}

// parseProof reads the JSON form of a proof. The field's name is for errors.
func parseProof(field string, value []byte) (*Proof, error) {
	if jcs.KindOf(value) != jcs.Object {
		return nil, fieldErrorf("proof", "must be an object")
	}
	p := &Proof{}
	err := jcs.Members(value, func(key, value []byte) (err error) {
		name := field + string(key)
		switch string(key) {
		case "tlog_proof":
			p.TLogProof, err = text(name, value)
		case "entry":
			p.Entry = bytes.Clone(value)
		case "origin":
			p.Origin, err = text(name, value)
		case "index":
			p.Index, err = number(name, value)
		case "size":
			p.Size, err = number(name, value)
		case "witnesses":
			p.Witnesses, err = parseWitnesses(name, value)
		default:
			err = fieldErrorf(fmt.Sprintf("%s%.64q", field, key), "is not a field of a proof")
		}
		return err
	})
	return p, err
}

func parseWitnesses(field string, value []byte) ([]Witness, error) {
	var list []Witness
	err := jcs.Elements(value, func(value []byte) error {
		name := fmt.Sprintf("%s[%d]", field, len(list))
		if len(list) >= protocol.MaxMembers {
			return fieldErrorf(field, "there are more than %d", protocol.MaxMembers)
		}
		if jcs.KindOf(value) != jcs.Object {
			return fieldErrorf(name, "must be an object")
		}
		var w Witness
		err := jcs.Members(value, func(key, value []byte) (err error) {
			switch string(key) {
			case "name":
				w.Name, err = text(name+".name", value)
			case "time":
				w.Time, err = number(name+".time", value)
			default:
				err = fieldErrorf(fmt.Sprintf("%s.%.64q", name, key), "is not a field of a witness")
			}
			return err
		})
		list = append(list, w)
		return err
	})
	return list, err
}

func text(field string, value []byte) (string, error) {
	s, err := jcs.Unquote(value)
	if err != nil {
		return "", fieldErrorf(field, "must be a string")
	}
	return s, nil
}

func number(field string, value []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, fieldErrorf(field, "must be a whole number")
	}
	return n, nil
}

func fieldErrorf(field, format string, args ...any) error {
	return &protocol.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
