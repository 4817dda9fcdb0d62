package proof_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	fproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
)

// since are the seconds in which the epochs of threeEpochs begin.
var since = []uint64{0, fixture.Start.Seconds() + 100, fixture.Start.Seconds() + 200}

// threeEpochs is a network of four; node-5 joins, then node-1 leaves.
func threeEpochs(t testing.TB) (*quorum.Epochs, []*fixture.Network) {
	t.Helper()
	return fixture.NewEpochs(t, 4,
		fixture.Turn{Since: fixture.Start + 100*protocol.Second, Members: []protocol.MemberID{0, 1, 2, 3, 4}},
		fixture.Turn{Since: fixture.Start + 200*protocol.Second, Members: []protocol.MemberID{1, 2, 3, 4}})
}

func parsePolicy(t testing.TB, text string) *proof.Policy {
	t.Helper()
	p, err := proof.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return p
}

// upTo is the policy as it was when an epoch was the newest.
func upTo(t testing.TB, e *quorum.Epochs, epoch uint64) *proof.Policy {
	t.Helper()
	founding, _ := e.At(0)
	known := quorum.NewEpochs(founding)
	for n := uint64(1); n <= epoch; n++ {
		c, _ := e.At(n)
		if err := known.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	return parsePolicy(t, proof.PolicyText(known))
}

// proven is a proof of the only event in a member's log, cosigned in an epoch by
// voters at a time in Unix seconds.
func proven(t testing.TB, w *fixture.Network, author protocol.MemberID, time uint64, voters ...protocol.MemberID) *proof.Proof {
	t.Helper()
	l := w.Log(author)
	e := fixture.Event(t, event)
	b := l.Append(fixture.Start, e)
	path, err := l.Tree.Inclusion(1)
	if err != nil {
		t.Fatal(err)
	}
	cp := proof.NewCheckpoint(w.Committee, l.Certify(t, time, voters...))
	cp = cp.SignedBy(w.Committee.Verifier(author), b.AuthorVote().Signature())
	return cp.Prove(protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash, Time: fixture.Start}, 1, path)
}

// TestVerifyEpochs verifies proofs of every epoch by the policies that know them,
// and shows that the others refuse them and say what to do.
func TestVerifyEpochs(t *testing.T) {
	e, in := threeEpochs(t)
	const founders, five = "3/3 of epoch 0", "4/4 of epoch 1"
	for _, c := range []struct {
		name  string
		proof *proof.Proof
		want  [3]string // by the policies up to epoch 0, 1 and 2
	}{
		{"of the founders", proven(t, in[0], 0, 5, 0, 1, 2), [3]string{founders, founders, founders}},
		{"of the founders, all", proven(t, in[0], 0, 5, 0, 1, 2, 3), [3]string{"4/3 of epoch 0", "4/3 of epoch 0", "4/3 of epoch 0"}},
		{"of five", proven(t, in[1], 0, since[1], 0, 1, 2, 4), [3]string{
			"signature 4: is of no witness that the policy names; the policy knows epochs up to 0, and what is newer is in /v1/network/policy", five, five,
		}},
		// Four of five are a quorum of the first four, too, if the fifth is not among them.
		{"of five, by founders", proven(t, in[1], 0, since[1], 0, 1, 2, 3), [3]string{"4/3 of epoch 0", five, five}},
		{"of five, just in time", proven(t, in[1], 0, since[1]-2, 0, 1, 2, 4), [3]string{"knows epochs up to 0", five, five}},
		{"of the last four", proven(t, in[2], 1, since[2], 1, 2, 4), [3]string{
			"knows epochs up to 0",
			"3 cosignatures do not satisfy the policy, which asks for 4 of the newest committee, and no former one's are a quorum; the policy knows epochs up to 1",
			"3/3 of epoch 2",
		}},
		{"of the last four, all", proven(t, in[2], 1, since[2], 1, 2, 3, 4), [3]string{"knows epochs up to 0", five, "4/3 of epoch 2"}},
		{"of the log of who has joined", proven(t, in[1], 4, since[1], 0, 1, 2, 4), [3]string{
			`no log named "strata.example/test/node-5"; the policy knows epochs up to 0`, five, five,
		}},
		{"of the log of who has left", proven(t, in[2], 0, since[2], 1, 2, 4), [3]string{"knows epochs up to 0", "knows epochs up to 1", "3/3 of epoch 2"}},
		{"of an author that signed before", proven(t, in[1], 3, since[1], 0, 1, 2, 4), [3]string{"knows epochs up to 0", five, five}},
	} {
		for known, want := range c.want {
			r, err := proof.Verify(upTo(t, e, uint64(known)), c.proof, proof.Claims{})
			got := fmt.Sprint(err)
			if err == nil {
				got = fmt.Sprintf("%s of epoch %d", r.Quorum, r.Epoch)
			}
			if !strings.Contains(got, want) {
				t.Errorf("%s, by the policy up to epoch %d: %s, want %s", c.name, known, got, want)
			}
		}
	}
}

// TestHeads shows checkpoints of the ledger, most of which no committee vouches for,
// though all who have signed are somebody in the network.
func TestHeads(t *testing.T) {
	e, in := threeEpochs(t)
	policy := upTo(t, e, 2)
	size, root := uint64(7), protocol.Hash(sha256.Sum256([]byte("root")))
	for name, c := range map[string]struct {
		time   uint64
		voters []protocol.MemberID
		want   string
	}{
		"founders":                              {5, []protocol.MemberID{0, 1, 2}, "3/3 of epoch 0"},
		"five":                                  {since[1], []protocol.MemberID{0, 1, 2, 3, 4}, "5/4 of epoch 1"},
		"the last four":                         {since[2], []protocol.MemberID{1, 3, 4}, "3/3 of epoch 2"},
		"founders and a later member":           {5, []protocol.MemberID{0, 1, 4}, ""},
		"before the epoch":                      {since[1] - 3, []protocol.MemberID{0, 1, 2, 4}, ""},
		"the one who left among the others":     {since[2], []protocol.MemberID{0, 2, 4}, ""},
		"a quorum of the last four, too early":  {since[2] - 3, []protocol.MemberID{1, 2, 4}, ""},
		"two of four":                           {since[2], []protocol.MemberID{2, 4}, ""},
		"a quorum with the one who left beside": {since[2] - 3, []protocol.MemberID{0, 1, 4}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cp := in[2].Committee.Checkpoint(protocol.Ledger, size, root)
			note := append(cp.Append(nil), '\n')
			for _, v := range c.voters {
				note = in[2].Committee.Verifier(v).AppendLine(note, in[2].Signers[v].Cosign(cp, c.time))
			}
			h, err := proof.VerifyHead(policy, note)
			var failed *proof.StepError
			switch {
			case c.want != "":
				if err != nil || fmt.Sprintf("%s of epoch %d", h.Quorum, h.Epoch) != c.want || h.Size != size || h.Root != root || h.Origin != policy.Ledger() {
					t.Errorf("%+v %v", h, err)
				}
			case !errors.As(err, &failed) || failed.Step != proof.StepQuorum:
				t.Errorf("%+v %v", h, err)
			}
		})
	}
}

// TestHeadRefused shows texts that are no checkpoint of the ledger.
func TestHeadRefused(t *testing.T) {
	e, in := threeEpochs(t)
	policy := upTo(t, e, 2)
	sign := func(log protocol.MemberID, voters ...protocol.MemberID) string {
		cp := in[0].Committee.Checkpoint(log, 7, protocol.Hash{1})
		note := append(cp.Append(nil), '\n')
		for _, v := range voters {
			note = in[2].Committee.Verifier(v).AppendLine(note, in[2].Signers[v].Cosign(cp, 5))
		}
		return string(note)
	}
	good := sign(protocol.Ledger, 0, 1, 2)
	if _, err := proof.VerifyHead(policy, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":            "",
		"a member's log":     sign(0, 0, 1, 2),
		"unsigned":           sign(protocol.Ledger),
		"signed twice":       sign(protocol.Ledger, 0, 1, 1),
		"another size":       strings.Replace(good, "\n7\n", "\n8\n", 1),
		"a line too many":    strings.Replace(good, "\n7\n", "\n7\nx\n", 1),
		"a stranger's":       strings.Replace(good, "node-2", "node-9", 1),
		"without line break": strings.TrimSuffix(good, "\n"),
		"too long":           good + strings.Repeat("x", proof.MaxProofBytes),
	} {
		var failed *proof.StepError
		if _, err := proof.VerifyHead(policy, []byte(text)); !errors.As(err, &failed) || failed.Step != proof.StepCheckpoint {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEpochFrom refuses committees of former epochs, if that is asked for.
func TestEpochFrom(t *testing.T) {
	e, in := threeEpochs(t)
	policy := upTo(t, e, 2)
	for from := range uint64(4) {
		_, err := proof.Verify(policy, proven(t, in[1], 0, since[1], 0, 1, 2, 4), proof.Claims{EpochFrom: from})
		if (err == nil) != (from < 2) || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("the committee of epoch 1 vouches, and none of epoch %d or later", from)) {
			t.Errorf("from %d: %v", from, err)
		}
	}
}

// TestAuthorBeside changes every byte of a proof that its author, who has left,
// signed beside the committee.
func TestAuthorBeside(t *testing.T) {
	e, in := threeEpochs(t)
	policy := upTo(t, e, 2)
	p := proven(t, in[2], 0, since[2], 1, 2, 4)
	if len(p.Witnesses) != 3 || strings.Count(p.TLogProof, "\n— ") != 4 {
		t.Fatalf("%+v", p)
	}
	for i := range p.TLogProof {
		for _, x := range []byte{1, 2, 4, 0x20, 0x80} {
			bad := *p
			text := []byte(p.TLogProof)
			text[i] ^= x
			bad.TLogProof = string(text)
			if _, err := proof.Verify(policy, &bad, proof.Claims{}); err == nil {
				t.Errorf("byte %d (%q) changed to %q is accepted", i, p.TLogProof[i], text[i])
			}
		}
	}
	lines := strings.SplitAfter(strings.TrimSuffix(p.TLogProof, "\n"), "\n")
	last := lines[len(lines)-1] + "\n"
	for name, text := range map[string]string{
		"without":         strings.TrimSuffix(p.TLogProof, last),
		"twice":           p.TLogProof + last,
		"another witness": strings.TrimSuffix(p.TLogProof, last) + lines[len(lines)-2],
		"a member beside": strings.TrimSuffix(p.TLogProof, last) + string(in[2].Committee.Verifier(3).AppendLine(nil, in[2].Signers[3].Cosign(in[2].Committee.Checkpoint(0, 2, root(t, p)), since[2]))),
	} {
		bad := *p
		bad.TLogProof = text
		var failed *proof.StepError
		if _, err := proof.Verify(policy, &bad, proof.Claims{}); !errors.As(err, &failed) || failed.Step != proof.StepCheckpoint {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Who is among the committee's cosignatures is not there twice.
	if q := proven(t, in[2], 1, since[2], 1, 2, 4); strings.Count(q.TLogProof, "\n— ") != 3 {
		t.Errorf("%s", q.TLogProof)
	}
}

// root is that of a proof's checkpoint.
func root(t *testing.T, p *proof.Proof) protocol.Hash {
	t.Helper()
	var parsed fproof.TLogProof
	if err := parsed.Unmarshal([]byte(p.TLogProof)); err != nil {
		t.Fatal(err)
	}
	var cp log.Checkpoint
	if _, err := cp.Unmarshal(parsed.Checkpoint); err != nil {
		t.Fatal(err)
	}
	return protocol.Hash(cp.Hash)
}

// TestForeignEpochs holds the policies of a network to the specification, as far
// as the library that is used elsewhere does not: a name is in one group only,
// and no two witnesses have one key. In the library's eyes each epoch's proofs satisfy
// its own policy.
func TestForeignEpochs(t *testing.T) {
	e, in := threeEpochs(t)
	proofs := []*proof.Proof{
		proven(t, in[0], 0, 5, 0, 1, 3), proven(t, in[1], 0, since[1], 0, 1, 2, 4), proven(t, in[2], 0, since[2], 2, 3, 4),
	}
	for n, p := range proofs {
		var parsed fproof.TLogProof
		if err := parsed.Unmarshal([]byte(p.TLogProof)); err != nil {
			t.Fatal(err)
		}
		text := proof.EpochPolicyText(in[n].Committee)
		checkSpecification(t, text)
		group, err := witness.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if !group.Satisfied(parsed.Checkpoint) {
			t.Errorf("epoch %d: its policy is not satisfied", n)
		}
		v, err := fnote.NewVerifierForCosignatureV1(in[2].Genesis.Members[0].VKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := log.ParseCheckpoint(parsed.Checkpoint, p.Origin, v); err != nil {
			t.Errorf("epoch %d: %v", n, err)
		}
	}
	text := proof.PolicyText(e)
	checkSpecification(t, text)
	if !strings.HasPrefix(text, proof.EpochPolicyText(e.Latest())) {
		t.Error("the network's policy is not that of its newest epoch for other readers")
	}
}

// checkSpecification holds what a policy says to other readers to
// https://c2sp.org/tlog-policy.
func checkSpecification(t *testing.T, text string) {
	t.Helper()
	names, keys, member, quorums := map[string]bool{}, map[string]bool{}, map[string]bool{}, 0
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch f[0] {
		case "log":
			if keys[line] {
				t.Errorf("%q is there twice", line)
			}
			keys[line] = true
		case "witness":
			v, err := cosign.ParseVerifier(f[2])
			if err != nil || names[f[1]] || keys[v.PublicKey()] {
				t.Errorf("%q: %v, or twice", line, err)
				continue
			}
			names[f[1]], keys[v.PublicKey()] = true, true
		case "group":
			for _, m := range f[3:] {
				if !names[m] || member[m] {
					t.Errorf("%q names %s, which is not defined, or a member already", line, m)
				}
				member[m] = true
			}
			names[f[1]] = true
		case "quorum":
			if quorums++; quorums > 1 || !names[f[1]] {
				t.Errorf("%q is the second, or of no group", line)
			}
		default:
			t.Errorf("%q", line)
		}
	}
	if quorums != 1 {
		t.Error("there is no quorum line")
	}
}

// TestFormerRefused shows what may not stand in the lines about former epochs.
func TestFormerRefused(t *testing.T) {
	e, _ := threeEpochs(t)
	good := proof.PolicyText(e)
	parsePolicy(t, good)
	for name, text := range map[string]string{
		"a word":                strings.Replace(good, "#:from", "#:until", 1),
		"nothing":               good + "#:\n",
		"a log":                 good + "#:log x\n",
		"a quorum":              good + "#:quorum epoch_1\n",
		"a second quorum":       good + "quorum epoch_2\n",
		"no number":             strings.Replace(good, "#:group epoch_1 4", "#:group epoch_1 all", 1),
		"nobody":                strings.Replace(good, "#:group epoch_1 4", "#:group epoch_1 0", 1),
		"more than there are":   strings.Replace(good, "#:group epoch_1 4", "#:group epoch_1 6", 1),
		"a stranger":            strings.Replace(good, "#:group epoch_1 4 node-1", "#:group epoch_1 4 node-9", 1),
		"one twice":             strings.Replace(good, "#:group epoch_1 4 node-1", "#:group epoch_1 4 node-2", 1),
		"a group":               strings.Replace(good, "#:group epoch_1 4 node-1", "#:group epoch_1 4 epoch_2", 1),
		"the newest again":      strings.Replace(good, "#:group epoch_1", "#:group epoch_2", 1),
		"a newer one":           strings.Replace(good, "#:group epoch_1", "#:group epoch_3", 1),
		"one twice, named":      strings.Replace(good, "#:group epoch_0", "#:group epoch_1", 1),
		"no epoch":              strings.Replace(good, "#:group epoch_0", "#:group founders", 1),
		"a number like another": strings.Replace(good, "#:group epoch_0", "#:group epoch_00", 1),
		"of no network":         strings.ReplaceAll(strings.ReplaceAll(good, "group epoch_2", "group us"), "quorum epoch_2", "quorum us"),
		"no time":               strings.Replace(good, "#:from epoch_1 17", "#:from epoch_1 x", 1),
		"a time of nothing":     good + "#:from epoch_7 5\n",
		"two times":             good + "#:from epoch_1 5\n",
		"a witness again":       good + "#:witness node-2 " + e.Latest().Verifier(1).String() + " https://x\n",
		"a key again":           good + "#:witness node-x " + e.Latest().Verifier(1).String() + " https://x\n",
		"no key":                strings.Replace(good, "#:witness node-1 strata", "#:witness node-1 xtrata", 1),
	} {
		if text == good {
			t.Errorf("%s changes nothing", name)
		}
		if _, err := proof.ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	// Who does not trust a committee removes its lines.
	_, in := threeEpochs(t)
	lines := strings.SplitAfter(good, "\n")
	for i := range lines {
		if strings.HasPrefix(lines[i], "#:group epoch_0") {
			lines[i] = ""
		}
	}
	policy := parsePolicy(t, strings.Join(lines, ""))
	if _, err := proof.Verify(policy, proven(t, in[0], 0, 5, 0, 1, 2), proof.Claims{}); err == nil {
		t.Error("a committee vouches whose line was removed")
	}
	if _, err := proof.Verify(policy, proven(t, in[1], 0, since[1], 0, 1, 2, 4), proof.Claims{}); err != nil {
		t.Error(err)
	}
}

// TestManyEpochs shows that a policy stays within its bound, and knows the newest
// epochs then.
func TestManyEpochs(t *testing.T) {
	const n, epochs = 100, 6000
	var members []protocol.MemberID
	for i := range n {
		members = append(members, protocol.MemberID(i))
	}
	w := fixture.New(t, n)
	e := quorum.NewEpochs(w.Committee)
	for i := range uint64(epochs) {
		next := protocol.Epoch{Number: i + 1, Members: members, Params: w.Genesis.Params, Since: fixture.Start}
		c, err := quorum.NewEpoch(w.Genesis.Network, w.Genesis.Members, next)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	text := proof.PolicyText(e)
	policy := parsePolicy(t, text)
	if policy.Epoch() != epochs || len(text) > proof.MaxPolicyBytes || len(text) < proof.MaxPolicyBytes-2000 ||
		!strings.Contains(text, fmt.Sprintf("#:group epoch_%d ", epochs-1)) || strings.Contains(text, "#:group epoch_0 ") {
		t.Errorf("%d bytes, up to epoch %d", len(text), policy.Epoch())
	}
}
