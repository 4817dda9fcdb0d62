package proof

import (
	"encoding/json"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// answer is what an answer of the API may say of proofs.
type answer struct {
	Proof       *Proof          `json:"proof"`
	LedgerProof *Proof          `json:"ledger_proof"`
	Event       json.RawMessage `json:"event"`
	Payload     json.RawMessage `json:"payload"`
	Hash        string          `json:"hash"`
	Timestamp   int64           `json:"timestamp"`
	Position    *uint64         `json:"position"`
	Entry       json.RawMessage `json:"entry"` // a bare proof
}

// ParseAnswer reads a proof and what is said beside it from an answer of the
// API, as it came, or from an object of "proof" and "event". Fields that say
// nothing about the proof are left unread.
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
	var a answer
	if _, err := jcs.Append(nil, text); err != nil {
		return nil, Claims{}, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, Claims{}, &protocol.FieldError{Field: "proof", Problem: err.Error()}
	}
	if a.Proof == nil && a.Entry != nil {
		a.Proof = new(Proof)
		if err := json.Unmarshal(text, a.Proof); err != nil {
			return nil, Claims{}, &protocol.FieldError{Field: "proof", Problem: err.Error()}
		}
	}
	var proofs []*Proof
	for _, p := range []*Proof{a.Proof, a.LedgerProof} {
		if p != nil {
			proofs = append(proofs, p)
		}
	}
	if proofs == nil {
		return nil, Claims{}, &protocol.FieldError{Field: "proof", Problem: "is missing; send an attestation's answer as it came"}
	}
	claims := Claims{Event: a.Event, Hash: a.Hash, Timestamp: a.Timestamp, Position: a.Position}
	if claims.Event == nil {
		claims.Event = a.Payload
	}
	return proofs, claims, nil
}

// VerifyAll verifies proofs of one entry, in its author's log and in the
// ledger, and what is claimed beside them. Errors are StepErrors.
func VerifyAll(policy *Policy, proofs []*Proof, claims Claims) ([]*Report, error) {
	var reports []*Report
	for _, p := range proofs {
		r, err := Verify(policy, p, claims)
		if err != nil {
			return nil, err
		}
		if len(reports) > 0 && !reports[0].sameEntry(r) {
			return nil, failf(StepEntry, "the proofs are not about the same entry")
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// sameEntry reports whether two reports are about the same entry of a log.
func (r *Report) sameEntry(o *Report) bool {
	return r.Hash == o.Hash && r.Kind == o.Kind && r.Log == o.Log && r.Index == o.Index && r.time == o.time && r.ttl == o.ttl
}
