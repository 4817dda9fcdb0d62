package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"

	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/jcs"
)

// MaxMembers bounds a committee: a signed note holds at most 100 signatures.
const MaxMembers = 100

// MaxGenesisBytes bounds the size of a genesis file.
const MaxGenesisBytes = 1 << 20

// Genesis founds a network: it names the first committee and the parameters.
// Nodes whose genesis differs in one byte of its canonical form never talk.
type Genesis struct {
	// Network is a schema-less name such as "strata.example/dev".
	Network string `json:"network"`
	// Epoch is the version of the committee; a founding committee has epoch 0.
	Epoch uint64 `json:"epoch"`
	// Members is the founding committee. A member's position is its MemberID.
	Members []Member `json:"members"`
	// Params are the parameters every member holds the others to.
	Params Params `json:"params"`
}

// Member is an organisation's node: it authors a log and witnesses the others'.
type Member struct {
	// Name is unique in the network: lower-case letters, digits, dots and dashes.
	Name string `json:"name"`
	// PeerID is the libp2p identity. Its key is not the signing key.
	PeerID string `json:"peer_id"`
	// Addrs are the multiaddrs at which the other members find the node.
	Addrs []string `json:"addrs"`
	// VKey is the signing key: a C2SP vkey of type 0x04 named <network>/<name>.
	VKey string `json:"vkey"`
	// URL is the root of the node's HTTP API, if it is meant to be known.
	URL string `json:"url,omitempty"`
}

// Upper bounds of what a network's parameters may allow.
const (
	MostBatchEntries = 65_536
	MostBatchBytes   = 4 << 20
)

// Params are limits and times that must be the same everywhere, since members
// refuse batches that break them.
type Params struct {
	// MaxFutureMS is how far, in milliseconds, a batch's time may lie ahead of
	// a voter's clock before the voter holds it back. 1 … 60,000.
	MaxFutureMS int64 `json:"max_future_ms"`
	// MaxBatchEntries bounds the entries of a batch, its header not counted. 1 … 65,536.
	MaxBatchEntries int `json:"max_batch_entries"`
	// MaxBatchBytes bounds the payload bytes of a batch. It must be at least
	// MaxEventBytes. 1,024 … 4 MiB.
	MaxBatchBytes int `json:"max_batch_bytes"`
	// MaxEventBytes bounds an event's canonical form. 256 … 1 MiB.
	MaxEventBytes int `json:"max_event_bytes"`
	// CheckpointMS is the interval, in milliseconds of the ledger's time, at
	// which members cosign the ledger. 10 … 3,600,000.
	CheckpointMS int64 `json:"checkpoint_ms"`
}

// DefaultParams are the parameters of a new network.
func DefaultParams() Params {
	return Params{
		MaxFutureMS:     250,
		MaxBatchEntries: 4096,
		MaxBatchBytes:   512 << 10,
		MaxEventBytes:   64 << 10,
		CheckpointMS:    100,
	}
}

// MaxFuture is MaxFutureMS in the protocol's unit.
func (p Params) MaxFuture() Micros { return Micros(p.MaxFutureMS) * Millisecond }

// Checkpoint is CheckpointMS in the protocol's unit.
func (p Params) Checkpoint() Micros { return Micros(p.CheckpointMS) * Millisecond }

var (
	networkPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?(/[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?){0,3}$`)
	memberPattern  = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
	// policyWords mean something else in a C2SP tlog-policy file, or in the ledger.
	policyWords = map[string]bool{"any": true, "all": true, "none": true, "log": true, "witness": true, "group": true, "quorum": true, LedgerName: true, AccordName: true}
)

// ParseGenesis reads and validates a genesis file.
func ParseGenesis(data []byte) (*Genesis, error) {
	if len(data) > MaxGenesisBytes {
		return nil, fmt.Errorf("genesis: has %d bytes, at most %d are read", len(data), MaxGenesisBytes)
	}
	// The strict reader refuses what encoding/json lets pass, such as a key
	// given twice.
	if _, err := jcs.Append(nil, data); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var g Genesis
	if err := dec.Decode(&g); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("genesis: there is text behind the JSON object")
	}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	return &g, nil
}

// Validate reports the first rule the genesis breaks, naming the field.
func (g *Genesis) Validate() error {
	if err := CheckNetworkName(g.Network); err != nil {
		return err
	}
	if g.Epoch != 0 {
		return fieldErrorf("epoch", "is %d, a founding committee has epoch 0", g.Epoch)
	}
	if n := len(g.Members); n < 1 || n > MaxMembers {
		return fieldErrorf("members", "there are %d, want 1 to %d", n, MaxMembers)
	}
	seen := taken{}
	for i := range g.Members {
		field, m := fmt.Sprintf("members[%d]", i), &g.Members[i]
		if err := checkMember(field, g.Network, m); err != nil {
			return err
		}
		if err := seen.check(field, m); err != nil {
			return err
		}
		seen.add(m, field, true)
	}
	return g.Params.Validate()
}

// CheckNetworkName reports whether a network may have a name.
func CheckNetworkName(name string) error {
	if len(name) > 128 || !networkPattern.MatchString(name) {
		return fieldErrorf("network", "%q is not a name such as strata.example/dev (lower-case letters, digits, dots and dashes, at most 4 parts)", name)
	}
	return nil
}

// CheckMemberName reports whether a member may have a name. The field is for
// the error.
func CheckMemberName(field, name string) error {
	if !memberPattern.MatchString(name) || policyWords[name] {
		return fieldErrorf(field, "%.80q is not a member name (lower-case letters, digits, dots and dashes; no word of the policy format, nor of the ledger)", name)
	}
	return nil
}

// checkMember reports the first rule that a member of a network breaks by
// itself, naming the field.
func checkMember(field, network string, m *Member) error {
	if err := CheckMemberName(field+".name", m.Name); err != nil {
		return err
	}
	if m.PeerID == "" || len(m.PeerID) > 128 {
		return fieldErrorf(field+".peer_id", "is missing or longer than 128 bytes")
	}
	if len(m.Addrs) > 16 {
		return fieldErrorf(field+".addrs", "there are %d, want at most 16", len(m.Addrs))
	}
	for i, a := range m.Addrs {
		if a == "" || len(a) > 256 {
			return fieldErrorf(fmt.Sprintf("%s.addrs[%d]", field, i), "is empty or longer than 256 bytes")
		}
	}
	if len(m.URL) > 256 || strings.ContainsFunc(m.URL, notInURL) {
		// A policy has it as a word of a line.
		return fieldErrorf(field+".url", "is longer than 256 bytes, or has spaces or control characters")
	}
	v, err := cosign.ParseVerifier(m.VKey)
	if err != nil {
		return fieldErrorf(field+".vkey", "%v", err)
	}
	if want := network + "/" + m.Name; v.Name() != want {
		return fieldErrorf(field+".vkey", "is named %.200q, want %q", v.Name(), want)
	}
	return nil
}

func notInURL(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// Validate reports the first parameter that is out of its bounds, naming the
// field.
func (p Params) Validate() error {
	for _, b := range []struct {
		field       string
		is, min, to int64
	}{
		{"max_future_ms", p.MaxFutureMS, 1, 60_000},
		{"max_batch_entries", int64(p.MaxBatchEntries), 1, MostBatchEntries},
		{"max_batch_bytes", int64(p.MaxBatchBytes), 1 << 10, MostBatchBytes},
		{"max_event_bytes", int64(p.MaxEventBytes), 256, 1 << 20},
		{"checkpoint_ms", p.CheckpointMS, 10, 3_600_000},
	} {
		if b.is < b.min || b.is > b.to {
			return fieldErrorf("params."+b.field, "is %d, want %d to %d", b.is, b.min, b.to)
		}
	}
	if p.MaxEventBytes > p.MaxBatchBytes {
		return fieldErrorf("params.max_event_bytes", "is %d, more than max_batch_bytes (%d)", p.MaxEventBytes, p.MaxBatchBytes)
	}
	return nil
}

// ID identifies the network: the SHA-256 of the genesis in canonical JSON.
func (g *Genesis) ID() (Hash, error) {
	canonical, err := g.Canonical()
	if err != nil {
		return Hash{}, err
	}
	return sha256.Sum256(canonical), nil
}

// Canonical is the genesis in canonical JSON.
func (g *Genesis) Canonical() ([]byte, error) {
	raw, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	canonical, err := jcs.Append(nil, raw)
	if err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	return canonical, nil
}

// Member returns the number of the member with the given name.
func (g *Genesis) Member(name string) (MemberID, bool) {
	for i := range g.Members {
		if g.Members[i].Name == name {
			return MemberID(i), true
		}
	}
	return 0, false
}

// Origin is the origin line of a member's log: <network>/<name>.
func (g *Genesis) Origin(id MemberID) string {
	return g.Network + "/" + g.Members[id].Name
}
