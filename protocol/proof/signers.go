package proof

import (
	"errors"
	"slices"
	"strings"

	"github.com/strataos/strataos/protocol/cosign"
)

// checkSignatures checks every signature line: each must be of a witness of the
// policy, good, and listed in the proof. That is stricter than signed notes
// ask for, which let unknown signers pass, so that no byte is without effect. The
// last may be its author's, not listed, where no witness' is. It returns the
// listed signers, as places in the policy.
func checkSignatures(policy *Policy, p *Proof, cp cosign.Checkpoint, lines []string) ([]int, error) {
	// A log is signed by its author too. The ledger has no author: the quorum
	// is all there is to it.
	author, ok := policy.logs[cp.Origin]
	if !ok && !policy.isLedger(cp.Origin) {
		return nil, failf(StepCheckpoint, "the policy knows no log named %q%s", cp.Origin, policy.newer())
	}
	extra := len(lines) - len(p.Witnesses)
	if extra < 0 || extra > 1 || extra == 1 && author == nil {
		return nil, failf(StepCheckpoint, "there are %d signatures, and %d witnesses are listed", len(lines), len(p.Witnesses))
	}
	signedByAuthor := author == nil
	var signers []int
	for i := range p.Witnesses {
		at, sig, err := policy.signer(lines[i])
		if err != nil {
			return nil, failf(StepCheckpoint, "signature %d: %v", i+1, err)
		}
		signer := policy.witnesses[at]
		if slices.Contains(signers, at) {
			return nil, failf(StepCheckpoint, "%s signed twice", signer.name)
		}
		signers = append(signers, at)
		if !signer.Verify(cp, sig) {
			return nil, failf(StepCheckpoint, "the signature of %s does not verify", signer.name)
		}
		if w := p.Witnesses[i]; w.Name != signer.name || w.Time != sig.Time {
			return nil, failf(StepCheckpoint, "witness %d is listed as %.80q at %d, the signature is of %s at %d", i+1, w.Name, w.Time, signer.name, sig.Time)
		}
		signedByAuthor = signedByAuthor || signer.String() == author.String()
	}
	if extra == 1 {
		if signedByAuthor {
			return nil, failf(StepCheckpoint, "there are %d signatures, and %d witnesses are listed", len(lines), len(p.Witnesses))
		}
		return signers, checkAuthor(author, cp, lines[len(lines)-1])
	}
	if !signedByAuthor {
		return nil, failf(StepCheckpoint, "the log %s has not signed it", cp.Origin)
	}
	return signers, nil
}

// checkAuthor checks the signature that an author adds to those of a committee
// that it is not a member of, or not with a signature of that time.
func checkAuthor(author *cosign.Verifier, cp cosign.Checkpoint, line string) error {
	sig, ok, err := author.ParseLine(strings.TrimSuffix(line, "\n"))
	switch {
	case err != nil:
		return failf(StepCheckpoint, "the last signature: %v", err)
	case !ok:
		return failf(StepCheckpoint, "the last signature is of no listed witness, nor of the log %s", cp.Origin)
	case !author.Verify(cp, sig):
		return failf(StepCheckpoint, "the signature of the log %s does not verify", cp.Origin)
	}
	return nil
}

// signer finds the witness that a signature line is of, as a place in the policy.
func (p *Policy) signer(line string) (int, cosign.Signature, error) {
	line = strings.TrimSuffix(line, "\n")
	for i, w := range p.witnesses {
		sig, ok, err := w.ParseLine(line)
		if err != nil || ok {
			return i, sig, err
		}
	}
	return 0, cosign.Signature{}, errors.New("is of no witness that the policy names" + p.newer())
}

// vouching finds the newest committee that signers, whose signatures of a
// checkpoint are good, are a quorum of. One of an epoch before from is refused.
func (p *Policy) vouching(checkpoint []byte, signers []int, times []Witness, from uint64) (*committee, error) {
	for i := range p.committees {
		c := &p.committees[i]
		switch {
		case c.members == nil && !p.group.Satisfied(checkpoint):
		case c.members != nil && !c.vouches(signers, times):
		case c.epoch < from:
			return nil, failf(StepQuorum, "the committee of epoch %d vouches, and none of epoch %d or later", c.epoch, from)
		default:
			return c, nil
		}
	}
	asked := ""
	if len(p.committees) > 1 {
		asked = " of the newest committee, and no former one's are a quorum"
	}
	return nil, failf(StepQuorum, "%d cosignatures do not satisfy the policy, which asks for %d%s%s", len(signers), p.Required(), asked, p.newer())
}

// vouches reports whether signers, who signed at the listed times, are members
// and a quorum, in time for the epoch.
func (c *committee) vouches(signers []int, times []Witness) bool {
	if len(signers) < c.required {
		return false
	}
	for i, at := range signers {
		if _, ok := slices.BinarySearch(c.members, at); !ok || times[i].Time < c.from {
			return false
		}
	}
	return true
}
