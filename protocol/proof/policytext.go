package proof

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// Lines of a policy that other readers take for comments. C2SP tlog-policy lets a
// witness be in one group only, so that one policy of that format cannot name the
// committees of several epochs.
const (
	// ownPrefix begins such a line. What follows reads as the format's own lines do:
	// witness and group, of former committees, and
	// from <group> <Unix seconds>: cosignatures before that do not count in the group.
	ownPrefix = "#:"
	// epochPrefix begins the name of an epoch's group. Names of members hold no
	// underscore, so it is a group's alone.
	epochPrefix = "epoch_"
)

// formerNote tells who reads a policy what the lines behind it are.
const formerNote = `
# Former committees, for strata verify. A witness can be in one group of a policy
# only, so that for other readers these lines are comments: they check a former
# committee's proofs by the policy of its epoch, /v1/network/policy?epoch=N. Who
# does not trust a committee any more removes its line.
`

// PolicyText writes the policy of a network over all of its epochs: that of the
// newest one, and behind it the former committees. The oldest are left out if
// there are too many for MaxPolicyBytes.
func PolicyText(e *quorum.Epochs) string {
	latest := e.Latest()
	text := EpochPolicyText(latest)
	if latest.Epoch() == 0 {
		return text
	}
	var b strings.Builder
	b.WriteString(text + formerNote)
	for i := range latest.Roster() {
		if !latest.Has(protocol.MemberID(i)) {
			b.WriteString(ownPrefix + witnessLine(latest, i))
		}
	}
	for number := latest.Epoch(); number > 0; number-- {
		c, _ := e.At(number - 1)
		lines := ownPrefix + groupLine(c) + fromLine(c)
		if b.Len()+len(lines) > MaxPolicyBytes {
			break
		}
		b.WriteString(lines)
	}
	return b.String()
}

// EpochPolicyText writes the policy of one epoch: a log for each member that there
// was until then, a witness for each that votes, and a quorum of these.
func EpochPolicyText(c *quorum.Committee) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Trust policy of the strataos network %s, epoch %d.\n", c.Network(), c.Epoch())
	b.WriteString("# Format: https://c2sp.org/tlog-policy\n\n")
	for i := range c.Roster() {
		fmt.Fprintf(&b, "log %s %s\n", c.Roster()[i].VKey, memberURL(c, i))
	}
	b.WriteByte('\n')
	for _, id := range c.Members() {
		b.WriteString(witnessLine(c, int(id)))
	}
	b.WriteString("\n" + groupLine(c))
	fmt.Fprintf(&b, "quorum %s\n", epochName(c.Epoch()))
	b.WriteString(fromLine(c))
	return b.String()
}

func witnessLine(c *quorum.Committee, i int) string {
	m := &c.Roster()[i]
	return fmt.Sprintf("witness %s %s %s\n", m.Name, m.VKey, memberURL(c, i))
}

// groupLine names an epoch's committee and how many of it are a quorum.
func groupLine(c *quorum.Committee) string {
	names := make([]string, c.N())
	for i, id := range c.Members() {
		names[i] = c.Name(id)
	}
	return fmt.Sprintf("group %s %d %s\n", epochName(c.Epoch()), c.Quorum(), strings.Join(names, " "))
}

// fromLine says from when on cosignatures count in an epoch. In the first one all do.
func fromLine(c *quorum.Committee) string {
	if c.Epoch() == 0 {
		return ""
	}
	return fmt.Sprintf("%sfrom %s %d\n", ownPrefix, epochName(c.Epoch()), c.From())
}

func epochName(number uint64) string { return epochPrefix + strconv.FormatUint(number, 10) }

// parseEpochName reads what epochName writes.
func parseEpochName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, epochPrefix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil && epochName(n) == name
}

// memberURL is never empty: some readers insist on one.
func memberURL(c *quorum.Committee, i int) string {
	if u := c.Roster()[i].URL; u != "" {
		return u
	}
	return "https://" + c.Origin(protocol.MemberID(i))
}
