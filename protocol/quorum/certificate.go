package quorum

import (
	"fmt"
	"slices"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
)

// Cosignature is a member's signature of a tree head that the context names.
type Cosignature struct {
	_      struct{} `cbor:",toarray"`
	Member protocol.MemberID
	Time   uint64 // Unix seconds, the member's own clock
	Sig    [cosign.SignatureSize]byte
}

// Signature is the cosignature without its signer.
func (c Cosignature) Signature() cosign.Signature {
	return cosign.Signature{Time: c.Time, Bytes: c.Sig}
}

// Claim is a certificate as somebody else tells it: nothing of it has been
// checked. It is the stored and the sent form of a Certificate.
type Claim struct {
	_   struct{} `cbor:",toarray"`
	Log protocol.MemberID
	// Epoch is the one whose committee the signers are a quorum of. They do not
	// sign it: the same cosignatures may be a quorum of several epochs.
	Epoch  uint64
	Size   uint64
	Root   protocol.Hash
	Cosigs []Cosignature // in member order, no member twice
}

// Certificate proves that a quorum cosigned a tree head of a log, and with it
// every smaller size of that log. One that is not nil has been verified.
type Certificate struct {
	claim Claim
}

// Log is the member whose log is certified.
func (c *Certificate) Log() protocol.MemberID { return c.claim.Log }

// Epoch is the one whose committee the signers are a quorum of; 0 for a nil
// certificate.
func (c *Certificate) Epoch() uint64 {
	if c == nil {
		return 0
	}
	return c.claim.Epoch
}

// Size is the number of leaves certified; 0 for a nil certificate.
func (c *Certificate) Size() uint64 {
	if c == nil {
		return 0
	}
	return c.claim.Size
}

// Root is the certified root.
func (c *Certificate) Root() protocol.Hash { return c.claim.Root }

// Cosignatures returns the signatures in member order; the slice is shared.
func (c *Certificate) Cosignatures() []Cosignature { return c.claim.Cosigs }

// Claim is the form to store and to send.
func (c *Certificate) Claim() Claim { return c.claim }

// Verify checks every cosignature of a claim and that they are a quorum's of
// this committee, which must be the one that the claim names.
func (c *Committee) Verify(claim Claim) (*Certificate, error) {
	if claim.Epoch != c.Epoch() {
		return nil, fmt.Errorf("certificate: of epoch %d, not %d", claim.Epoch, c.Epoch())
	}
	if !c.HasLog(claim.Log) {
		return nil, fmt.Errorf("certificate: log %d is neither a member's nor the ledger", claim.Log)
	}
	if len(claim.Cosigs) > c.N() {
		return nil, fmt.Errorf("certificate: %d cosignatures from %d members", len(claim.Cosigs), c.N())
	}
	cp := c.Checkpoint(claim.Log, claim.Size, claim.Root)
	for i, s := range claim.Cosigs {
		if !c.Has(s.Member) || i > 0 && claim.Cosigs[i-1].Member >= s.Member {
			return nil, fmt.Errorf("certificate: cosignature %d: member %d is unknown, repeated or out of order", i, s.Member)
		}
		if !c.Counts(s.Member, s.Time) {
			return nil, fmt.Errorf("certificate: cosignature of %s is older than epoch %d", c.Name(s.Member), c.Epoch())
		}
		if !c.verifiers[s.Member].Verify(cp, s.Signature()) {
			return nil, fmt.Errorf("certificate: cosignature of %s does not verify", c.Name(s.Member))
		}
	}
	if len(claim.Cosigs) < c.Quorum() {
		return nil, fmt.Errorf("certificate: %d cosignatures, a quorum is %d", len(claim.Cosigs), c.Quorum())
	}
	return &Certificate{claim: claim}, nil
}

// Tally gathers the verified votes of one epoch's members for one tree head. Its
// root is fixed when it is made, so votes for another root cannot be counted.
type Tally struct {
	committee *Committee
	cp        cosign.Checkpoint
	log       protocol.MemberID
	votes     []Cosignature // in member order
}

// NewTally returns an empty tally for a tree head of a log.
func (c *Committee) NewTally(log protocol.MemberID, size uint64, root protocol.Hash) *Tally {
	return &Tally{committee: c, cp: c.Checkpoint(log, size, root), log: log}
}

// Add verifies a vote and counts it, once a member. It answers whether the
// vote was new and valid, and counts in the epoch.
func (t *Tally) Add(v Cosignature) bool {
	if !t.committee.Counts(v.Member, v.Time) || t.Has(v.Member) ||
		!t.committee.verifiers[v.Member].Verify(t.cp, v.Signature()) {
		return false
	}
	t.AddVerified(v)
	return true
}

// AddVerified counts a member's vote that the caller made or has verified, if it
// counts in the epoch.
func (t *Tally) AddVerified(v Cosignature) {
	if !t.committee.Counts(v.Member, v.Time) {
		return
	}
	i, found := slices.BinarySearchFunc(t.votes, v.Member, byMember)
	if !found {
		t.votes = slices.Insert(t.votes, i, v)
	}
}

// Take counts the votes of a claim for the same tree head, and verifies no
// more of them than a quorum needs beside those counted already. An error says
// that the claim is not what this committee may say; valid votes that came
// before the invalid one are counted.
func (t *Tally) Take(claim Claim) error {
	if claim.Epoch != t.committee.Epoch() {
		return fmt.Errorf("certificate: of epoch %d, not %d", claim.Epoch, t.committee.Epoch())
	}
	if claim.Log != t.log || claim.Size != t.cp.Size || claim.Root != t.cp.Root {
		return fmt.Errorf("certificate: of another tree head")
	}
	for i, s := range claim.Cosigs {
		if !t.committee.Has(s.Member) || i > 0 && claim.Cosigs[i-1].Member >= s.Member {
			return fmt.Errorf("certificate: cosignature %d: member %d is unknown, repeated or out of order", i, s.Member)
		}
		if t.Len() >= t.committee.Quorum() {
			return nil
		}
		if !t.Has(s.Member) && !t.Add(s) {
			return fmt.Errorf("certificate: cosignature of %s does not verify, or is older than epoch %d", t.committee.Name(s.Member), claim.Epoch)
		}
	}
	if t.Len() < t.committee.Quorum() {
		return fmt.Errorf("certificate: %d cosignatures, a quorum is %d", len(claim.Cosigs), t.committee.Quorum())
	}
	return nil
}

// In returns a tally of another epoch's members, with those of the votes that
// count in it.
func (t *Tally) In(c *Committee) *Tally {
	out := &Tally{committee: c, cp: t.cp, log: t.log}
	for _, v := range t.votes {
		out.AddVerified(v)
	}
	return out
}

func byMember(c Cosignature, id protocol.MemberID) int { return int(c.Member) - int(id) }

// Has reports whether the member's vote is counted.
func (t *Tally) Has(id protocol.MemberID) bool {
	_, ok := slices.BinarySearchFunc(t.votes, id, byMember)
	return ok
}

// Len is the number of members counted.
func (t *Tally) Len() int { return len(t.votes) }

// Epoch is the one whose members' votes count.
func (t *Tally) Epoch() uint64 { return t.committee.Epoch() }

// Size is the number of leaves voted on.
func (t *Tally) Size() uint64 { return t.cp.Size }

// Root is the root voted for.
func (t *Tally) Root() protocol.Hash { return t.cp.Root }

// Certificate returns the proof of a quorum with every vote so far, or nil
// while there are too few.
func (t *Tally) Certificate() *Certificate {
	if len(t.votes) < t.committee.Quorum() {
		return nil
	}
	return &Certificate{claim: Claim{
		Log: t.log, Epoch: t.committee.Epoch(), Size: t.cp.Size, Root: t.cp.Root, Cosigs: slices.Clone(t.votes),
	}}
}
