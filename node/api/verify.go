package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/jcs"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// verifyAnswer is the answer to GET /v1/witness/verify/{hash}.
type verifyAnswer struct {
	Hash  protocol.Hash `json:"hash"`
	Valid bool          `json:"valid"`
	// Status is "certified", or "pending" while there is no certificate yet.
	Status           string `json:"status"`
	Timestamp        int64  `json:"timestamp"`
	WitnessedAt      uint64 `json:"witnessed_at,omitempty"`
	TimestampVouched bool   `json:"timestamp_vouched"`
	Quorum           string `json:"quorum,omitempty"`
	Count            int    `json:"count"`
	// CountIsLowerBound says that there may be more than Count.
	CountIsLowerBound bool `json:"count_is_lower_bound,omitempty"`
	// Position is the place in the ledger, once there is one.
	Position *uint64      `json:"position,omitempty"`
	Proof    *proof.Proof `json:"proof,omitempty"`
}

// verifyHash answers GET /v1/witness/verify/{hash} with the earliest
// attestation of an event.
func (s *Server) verifyHash(x *exchange) error {
	hash, err := protocol.ParseHash(x.r.PathValue("hash"))
	if err != nil {
		return invalid("hash", "%v", err)
	}
	if err := s.awaitCertified(x); err != nil {
		return err
	}
	first, count, err := s.Lookup.Find(hash)
	if err != nil {
		return err
	}
	if count == 0 {
		return errorf(codeNotFound, "this node stores no attestation of %s", hash)
	}
	a := verifyAnswer{Hash: hash, Status: "pending", Timestamp: first.Entry.Time.Millis(), Count: count}
	if count > store.MaxCounted {
		a.Count, a.CountIsLowerBound = store.MaxCounted, true
	}
	position, ordered, err := s.Ledger.Position(first.Log, first.Index)
	if err != nil {
		return err
	}
	if ordered {
		a.Position = &position
	}
	if first.Certified {
		p, _, err := s.Lookup.Prove(first)
		if err != nil {
			return err
		}
		policy, err := s.policy()
		if err != nil {
			return err
		}
		report, err := proof.Verify(policy, p, proof.Claims{Hash: hash.String()})
		if err != nil {
			return err // what this node stores does not hold
		}
		a.Valid, a.Status, a.Proof = true, "certified", p
		a.WitnessedAt, a.TimestampVouched, a.Quorum = report.WitnessedAt, report.TimestampVouched, report.Quorum
	}
	s.writeJSON(x, http.StatusOK, a)
	return nil
}

// verifyProof answers POST /v1/witness/verify: it checks the proofs that are
// sent to it, as an answer of the API or as {"proof", "event"}.
func (s *Server) verifyProof(x *exchange) error {
	body, err := readBody(x, s.Committee().Params().MaxEventBytes+2*proof.MaxProofBytes+bodyMargin)
	if err != nil {
		return err
	}
	defer bodies.Put(body)
	if proof.IsStory(*body) {
		return s.verifyStory(x, *body)
	}
	proofs, claims, err := proof.ParseProofs(*body)
	if err != nil {
		return fromParser(err)
	}
	policy, err := s.policy()
	if err != nil {
		return err
	}
	reports, err := proof.VerifyAll(policy, proofs, claims)
	if err != nil {
		return s.failedProof(x, err)
	}
	a := struct {
		Valid bool `json:"valid"`
		*proof.Report
		Ledger *proof.Report `json:"ledger,omitempty"`
	}{Valid: true, Report: reports[0]}
	if len(reports) > 1 {
		a.Ledger = reports[1]
	}
	s.writeJSON(x, http.StatusOK, a)
	return nil
}

// failedProof says which step of a verification has failed.
func (s *Server) failedProof(x *exchange, err error) error {
	var failed *proof.StepError
	if errors.As(err, &failed) {
		s.writeJSON(x, http.StatusOK, map[string]any{"valid": false, "step": failed.Step, "reason": failed.Reason})
		return nil
	}
	return err
}

// verifyStory checks the story of a proposal.
func (s *Server) verifyStory(x *exchange, text []byte) error {
	story, err := proof.ParseStory(text)
	if err != nil {
		return fromParser(err)
	}
	policy, err := s.policy()
	if err != nil {
		return err
	}
	report, err := proof.VerifyStory(policy, story, proof.Claims{})
	if err != nil {
		return s.failedProof(x, err)
	}
	s.writeJSON(x, http.StatusOK, struct {
		Valid bool               `json:"valid"`
		Story *proof.StoryReport `json:"story"`
	}{true, report})
	return nil
}

// evidenceAnswer shows that an author signed two histories.
type evidenceAnswer struct {
	Author string `json:"author"`
	Origin string `json:"origin"`
	// Checkpoints are two signed notes that no one log has.
	Checkpoints [2]string `json:"checkpoints"`
	// Prefix is the root that the larger tree has at the smaller one's size,
	// and Proof the RFC 6962 consistency proof of that.
	Prefix protocol.Hash   `json:"prefix"`
	Proof  []protocol.Hash `json:"proof"`
}

// evidence answers GET /v1/witness/evidence.
func (s *Server) evidence(x *exchange) error {
	list, c := []evidenceAnswer{}, s.Committee()
	for i := range c.Logs() {
		id := protocol.MemberID(i)
		e, err := s.Lookup.Evidence(id)
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		list = append(list, evidenceAnswer{
			Author: c.Name(id), Origin: c.Origin(id),
			Checkpoints: [2]string{signedNote(c, id, e.Low), signedNote(c, id, e.High)},
			Prefix:      e.Prefix, Proof: append([]protocol.Hash{}, e.Proof...),
		})
	}
	s.writeJSON(x, http.StatusOK, map[string]any{"evidence": list})
	return nil
}

// signedNote writes an author's signed tree head as a signed note.
func signedNote(c *quorum.Committee, author protocol.MemberID, h wire.Signed) string {
	note := append(c.Checkpoint(author, h.Size, h.Root).Append(nil), '\n')
	return string(c.Verifier(author).AppendLine(note, cosign.Signature{Time: h.Time, Bytes: h.Sig}))
}

// stringList reads a JSON list of texts.
func stringList(value []byte, limit int) ([]string, error) {
	if jcs.KindOf(value) != jcs.Array {
		return nil, errors.New("not a list")
	}
	var out []string
	if err := json.Unmarshal(value, &out); err != nil {
		return nil, err
	}
	if len(out) > limit {
		return nil, errors.New("too long")
	}
	return out, nil
}
