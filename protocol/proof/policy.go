package proof

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/transparency-dev/formats/witness"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
)

// MaxPolicyBytes bounds the size of a policy file.
const MaxPolicyBytes = 4 << 20

// Policy is a C2SP tlog-policy: which logs there are, and which witnesses make
// a quorum. It is the trust root of offline verification. One of a network names
// the committees of several epochs, each of which may vouch.
type Policy struct {
	logs      map[string]*cosign.Verifier // by origin
	ledger    string                      // the ledger's origin, or ""
	witnesses []namedVerifier
	group     witness.Group
	// committees are those that may vouch, the newest first. The first is what the
	// quorum line says.
	committees []committee
	// network says that it is the policy of a network with epochs.
	network bool
}

type namedVerifier struct {
	name string
	*cosign.Verifier
}

// committee is a group of witnesses that may vouch.
type committee struct {
	epoch    uint64
	required int
	// members are places in the policy's witnesses, in ascending order. The quorum of
	// a policy that is no network's may be of groups of groups: then there are none
	// here, and the group says whether it is satisfied.
	members []int
	// from is the earliest time, in Unix seconds, of cosignatures that count.
	from uint64
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
	r := policyReader{
		Policy: &Policy{logs: map[string]*cosign.Verifier{}, group: group},
		places: map[string]int{}, keys: map[string]string{}, groups: map[string]groupLineOf{}, froms: map[string]uint64{},
	}
	for n, line := range strings.Split(string(text), "\n") {
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("policy: line %d: %w", n+1, err)
		}
	}
	if len(r.logs) == 0 {
		return nil, errors.New("policy: there is no log line")
	}
	if err := r.gather(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	r.ledger = r.ledgerOrigin()
	return r.Policy, nil
}

// policyReader reads the lines of a policy that has been found to be one by the
// library's reader.
type policyReader struct {
	*Policy
	places map[string]int    // of witnesses, by name
	keys   map[string]string // names of witnesses, by public key
	groups map[string]groupLineOf
	order  []string // former groups as they stand in the file
	froms  map[string]uint64
	quorum string
}

// groupLineOf is a line that defines a group.
type groupLineOf struct {
	threshold string
	members   []string
	former    bool
}

// line reads a line. Those that other readers take for comments are read as
// strictly as the others.
func (r *policyReader) line(text string) error {
	own, former := strings.CutPrefix(text, ownPrefix)
	if !former {
		own, _, _ = strings.Cut(text, "#")
	}
	fields := strings.Fields(own)
	if len(fields) == 0 && !former {
		return nil
	}
	switch {
	case former && len(fields) == 3 && fields[0] == "from":
		return r.addFrom(fields[1], fields[2])
	case former && len(fields) == 4 && fields[0] == "witness":
		return r.addWitness(fields[1], fields[2])
	case former && len(fields) > 3 && fields[0] == "group":
		return r.addGroup(fields[1], groupLineOf{fields[2], fields[3:], true})
	case former:
		return errors.New("after " + ownPrefix + " there must be a witness, a group or a time as strata writes them")
	case fields[0] == "log":
		return r.addLog(fields)
	case fields[0] == "witness":
		return r.addWitness(fields[1], fields[2])
	case fields[0] == "group":
		return r.addGroup(fields[1], groupLineOf{fields[2], fields[3:], false})
	case r.quorum != "":
		return errors.New("there is a quorum line already")
	default:
		r.quorum = fields[1]
	}
	return nil
}

func (r *policyReader) addLog(fields []string) error {
	if len(fields) < 2 {
		return errors.New("a log line is: log <vkey> [<url>]")
	}
	v, err := cosign.ParseVerifier(fields[1])
	if err != nil {
		return err
	}
	r.logs[v.Name()] = v
	return nil
}

func (r *policyReader) addWitness(name, vkey string) error {
	v, err := cosign.ParseVerifier(vkey)
	if err != nil {
		return err
	}
	if _, ok := r.places[name]; ok {
		return fmt.Errorf("there is a witness %s already", name)
	}
	if other, ok := r.keys[v.PublicKey()]; ok {
		return fmt.Errorf("the witnesses %s and %s have the same key", other, name)
	}
	r.places[name], r.keys[v.PublicKey()] = len(r.witnesses), name
	r.witnesses = append(r.witnesses, namedVerifier{name, v})
	return nil
}

func (r *policyReader) addGroup(name string, g groupLineOf) error {
	if _, ok := r.groups[name]; ok {
		return fmt.Errorf("there is a group %s already", name)
	}
	r.groups[name] = g
	if g.former {
		r.order = append(r.order, name)
	}
	return nil
}

func (r *policyReader) addFrom(name, seconds string) error {
	from, err := strconv.ParseUint(seconds, 10, 64)
	if _, ok := r.froms[name]; ok || err != nil {
		return fmt.Errorf("the time of %s must be there once, as Unix seconds", name)
	}
	r.froms[name] = from
	return nil
}

// gather puts together the committees that may vouch, once all lines are read.
func (r *policyReader) gather() error {
	newest := committee{required: r.group.N, from: r.froms[r.quorum]}
	if g, ok := r.groups[r.quorum]; ok {
		members, flat, err := r.members(g.members)
		if err != nil {
			return fmt.Errorf("group %s: %w", r.quorum, err)
		}
		if flat {
			newest.members = members
			newest.epoch, r.network = parseEpochName(r.quorum)
		}
	}
	r.committees = append(r.committees, newest)
	if r.network {
		delete(r.froms, r.quorum)
	}
	for _, name := range r.order {
		c, err := r.former(name)
		if err != nil {
			return fmt.Errorf("former group %s: %w", name, err)
		}
		if before := r.committees[len(r.committees)-1]; !r.network || c.epoch >= before.epoch {
			return fmt.Errorf("former group %s: groups of epochs stand in the file from the newest, which is the quorum, to the oldest", name)
		}
		r.committees = append(r.committees, c)
		delete(r.froms, name)
	}
	for name := range r.froms {
		return fmt.Errorf("there is a time of %s, which is no epoch's group", name)
	}
	return nil
}

// former reads the committee of a former epoch.
func (r *policyReader) former(name string) (c committee, err error) {
	g, ok, flat := r.groups[name], false, false
	if c.epoch, ok = parseEpochName(name); !ok {
		return c, errors.New("is not named after an epoch")
	}
	if c.members, flat, err = r.members(g.members); err != nil || !flat {
		return c, errors.Join(err, errors.New("its members must be witnesses"))
	}
	if c.required, err = strconv.Atoi(g.threshold); err != nil || c.required < 1 || c.required > len(c.members) {
		return c, fmt.Errorf("its quorum of %.20q is no number from 1 to %d", g.threshold, len(c.members))
	}
	c.from = r.froms[name]
	return c, nil
}

// members finds the places of witnesses, and answers false if one of the names is
// none of a witness.
func (r *policyReader) members(names []string) (places []int, flat bool, err error) {
	for _, name := range names {
		at, ok := r.places[name]
		if !ok {
			return nil, false, nil
		}
		places = append(places, at)
	}
	slices.Sort(places)
	if len(slices.Compact(slices.Clone(places))) != len(places) {
		return nil, false, errors.New("names a witness twice")
	}
	return places, true, nil
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

// Required is the number of members that the newest committee's quorum asks for.
func (p *Policy) Required() int { return p.committees[0].required }

// Epoch is the newest epoch that the policy knows; 0 if it is no network's.
func (p *Policy) Epoch() uint64 { return p.committees[0].epoch }

// newer says where to look for what the policy does not know.
func (p *Policy) newer() string {
	if !p.network {
		return ""
	}
	return fmt.Sprintf("; the policy knows epochs up to %d, and what is newer is in /v1/network/policy", p.Epoch())
}
