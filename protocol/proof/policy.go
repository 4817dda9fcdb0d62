package proof

import (
	"errors"
	"fmt"
	"strings"

	"github.com/transparency-dev/formats/witness"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/quorum"
)

// MaxPolicyBytes bounds the size of a policy file.
const MaxPolicyBytes = 1 << 20

// Policy is a C2SP tlog-policy: which logs there are, and which witnesses make
// a quorum. It is the trust root of offline verification.
type Policy struct {
	logs      map[string]*cosign.Verifier // by origin
	ledger    string                      // the ledger's origin, or ""
	witnesses []namedVerifier
	group     witness.Group
}

type namedVerifier struct {
	name string
	*cosign.Verifier
}

// PolicyText writes the policy of a network: a log and a witness a member, and
// a quorum of them.
func PolicyText(g *protocol.Genesis) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Trust policy of the strataos network %s, epoch %d.\n", g.Network, g.Epoch)
	b.WriteString("# Format: https://c2sp.org/tlog-policy\n\n")
	for i := range g.Members {
		fmt.Fprintf(&b, "log %s %s\n", g.Members[i].VKey, memberURL(g, i))
	}
	b.WriteByte('\n')
	names := make([]string, len(g.Members))
	for i := range g.Members {
		names[i] = g.Members[i].Name
		fmt.Fprintf(&b, "witness %s %s %s\n", names[i], g.Members[i].VKey, memberURL(g, i))
	}
	// Member names hold no underscore, so the group's name is its own.
	fmt.Fprintf(&b, "\ngroup epoch_%d %d %s\n", g.Epoch, quorum.Size(len(names)), strings.Join(names, " "))
	fmt.Fprintf(&b, "quorum epoch_%d\n", g.Epoch)
	return b.String()
}

// memberURL is never empty: some readers insist on one.
func memberURL(g *protocol.Genesis, i int) string {
	if u := g.Members[i].URL; u != "" {
		return u
	}
	return "https://" + g.Origin(protocol.MemberID(i))
}

// ParsePolicy reads a policy file. Its witness keys must be of type 0x04 and
// its witness lines must have URLs.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > MaxPolicyBytes {
		return nil, fmt.Errorf("policy: has %d bytes, at most %d are read", len(text), MaxPolicyBytes)
	}
	group, err := witness.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if group.N < 1 {
		return nil, errors.New("policy: the quorum asks for no witness at all")
	}
	p := &Policy{logs: map[string]*cosign.Verifier{}, group: group}
	for n, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if err := p.parseLine(fields); err != nil {
			return nil, fmt.Errorf("policy: line %d: %w", n+1, err)
		}
	}
	if len(p.logs) == 0 {
		return nil, errors.New("policy: there is no log line")
	}
	p.ledger = p.ledgerOrigin()
	return p, nil
}

// ledgerOrigin is the origin of the ledger of the network that the policy's logs
// belong to. A policy of several networks has no ledger. No log line says so,
// since those have keys, and the ledger has none: its members' quorum speaks for
// it.
func (p *Policy) ledgerOrigin() string {
	network := ""
	for origin := range p.logs {
		i := strings.LastIndexByte(origin, '/')
		if i < 1 || network != "" && network != origin[:i] {
			return ""
		}
		network = origin[:i]
	}
	return network + "/" + protocol.LedgerName
}

// Ledger is the origin of the ledger whose proofs the policy can verify, or
// empty.
func (p *Policy) Ledger() string { return p.ledger }

func (p *Policy) isLedger(origin string) bool { return p.ledger != "" && origin == p.ledger }

func (p *Policy) parseLine(fields []string) error {
	switch fields[0] {
	case "log":
		if len(fields) < 2 {
			return errors.New("a log line is: log <vkey> [<url>]")
		}
		v, err := cosign.ParseVerifier(fields[1])
		if err != nil {
			return err
		}
		p.logs[v.Name()] = v
	case "witness":
		v, err := cosign.ParseVerifier(fields[2])
		if err != nil {
			return err
		}
		p.witnesses = append(p.witnesses, namedVerifier{fields[1], v})
	}
	return nil
}

// Required is the number of members that the policy's quorum asks for.
func (p *Policy) Required() int { return p.group.N }
