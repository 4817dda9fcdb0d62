package proof

import (
	"fmt"

	"github.com/strataos/strataos/protocol"
)

// Head is a size of the ledger that a committee has cosigned.
type Head struct {
	Origin string
	Size   uint64
	Root   protocol.Hash
	// Epoch is the newest one whose committee vouches, and Quorum is
	// "achieved/required" in it.
	Epoch     uint64
	Quorum    string
	Witnesses []Witness
}

// VerifyHead checks a signed checkpoint of the ledger against a policy. Errors are
// StepErrors.
func VerifyHead(policy *Policy, note []byte) (*Head, error) {
	if len(note) > MaxProofBytes {
		return nil, failf(StepCheckpoint, "has %d bytes, at most %d are read", len(note), MaxProofBytes)
	}
	cp, lines, err := splitNote(note)
	if err != nil {
		return nil, err
	}
	if !policy.isLedger(cp.Origin) {
		return nil, failf(StepCheckpoint, "is of %.80q, not of the ledger of the policy's network", cp.Origin)
	}
	p := &Proof{Origin: cp.Origin, Size: cp.Size}
	for i, line := range lines {
		at, sig, err := policy.signer(line)
		if err != nil {
			return nil, failf(StepCheckpoint, "signature %d: %v", i+1, err)
		}
		p.Witnesses = append(p.Witnesses, Witness{Name: policy.witnesses[at].name, Time: sig.Time})
	}
	signers, err := checkSignatures(policy, p, cp, lines)
	if err != nil {
		return nil, err
	}
	c, err := policy.vouching(note, signers, p.Witnesses, 0)
	if err != nil {
		return nil, err
	}
	return &Head{
		Origin: cp.Origin, Size: cp.Size, Root: cp.Root, Epoch: c.epoch,
		Quorum: fmt.Sprintf("%d/%d", len(signers), c.required), Witnesses: p.Witnesses,
	}, nil
}
