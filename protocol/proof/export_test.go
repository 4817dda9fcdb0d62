package proof

// VouchedFor checks the signatures and the quorum of a signed note that is that of
// a proof.
func VouchedFor(policy *Policy, p *Proof, note []byte) error {
	cp, lines, err := splitNote(note)
	if err != nil {
		return err
	}
	signers, err := checkSignatures(policy, p, cp, lines)
	if err != nil {
		return err
	}
	_, err = policy.vouching(note, signers, p.Witnesses, 0)
	return err
}
