package simulation

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// Duration is a length of virtual time, written like "1m30s".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Micros is the length in microseconds.
func (d Duration) Micros() int64 { return time.Duration(d).Microseconds() }

func (d Duration) micros() protocol.Micros { return protocol.Micros(d.Micros()) }

// Scenario says what a run is to go through.
type Scenario struct {
	Name        string `toml:"-"`
	Description string `toml:"description"`
	// Nodes is the number of members, 1 to 100.
	Nodes int `toml:"nodes"`
	// Duration is how long faults come, and Settle how long the network may
	// take to converge afterwards.
	Duration Duration       `toml:"duration"`
	Settle   Duration       `toml:"settle"`
	Load     LoadSettings   `toml:"load"`
	Network  NetworkSetting `toml:"network"`
	Clock    ClockSettings  `toml:"clock"`
	Disk     DiskSettings   `toml:"disk"`
	Liars    LiarSettings   `toml:"liars"`
	Members  MemberSettings `toml:"members"`
	Faults   []Fault        `toml:"fault"`
}

// LoadSettings say what clients do.
type LoadSettings struct {
	Rate       float64  `toml:"rate"`        // events a second, over all nodes
	EventBytes int      `toml:"event_bytes"` // 64 to 4,096
	Timeout    Duration `toml:"timeout"`     // how long a client waits
	// Anchors is the share of events, 0 to 1, whose clients wait for a place in
	// the ledger.
	Anchors float64 `toml:"anchors"`
	// Proposals is how often, as a share of the rate, clients put something to the
	// vote, one or several at once.
	Proposals float64 `toml:"proposals"`
}

// NetworkSetting says what links are like.
type NetworkSetting struct {
	// Profile is a name, such as lan, or a list of regions that members are
	// spread over in turn. Delay, if set, is every link's one-way time instead.
	Profile       string   `toml:"profile"`
	Delay         Duration `toml:"delay"`
	Jitter        float64  `toml:"jitter"` // sigma of the log-normal factor
	BandwidthMbit float64  `toml:"bandwidth_mbit"`
	Chances
	// LossyMembers is the share of members whose messages are lost with the
	// chance LossyEgress.
	LossyMembers float64 `toml:"lossy_members"`
	LossyEgress  float64 `toml:"lossy_egress"`
}

// Chances are what may happen to every message, from 0 to 1.
type Chances struct {
	Loss      float64 `toml:"loss"`
	Duplicate float64 `toml:"duplicate"`
	Reorder   float64 `toml:"reorder"`
	Corrupt   float64 `toml:"corrupt"`
}

// ClockSettings say how wrong clocks are, at most.
type ClockSettings struct {
	Offset   Duration `toml:"offset"`
	DriftPPM float64  `toml:"drift_ppm"`
}

// DiskSettings say how fast disks are.
type DiskSettings struct {
	Sync Duration `toml:"sync"` // median time of an fsync
}

// LiarSettings say how many members lie, and how.
type LiarSettings struct {
	Members int `toml:"members"`
	// Behaviours are names; without any, the seed chooses for each liar.
	Behaviours []string `toml:"behaviours"`
	// BeyondBound allows more than f liars, to see what breaks.
	BeyondBound bool `toml:"beyond_bound"`
}

// MemberSettings say how the network changes, by what its members decide.
type MemberSettings struct {
	// Changes is how many there are. When all are made, faults end, too.
	Changes int `toml:"changes"`
	// Every is the mean time between the end of one and what is proposed next.
	Every Duration `toml:"every"`
	// Least and Most bound how many members there are at a time. The number goes up
	// and down between them.
	Least int `toml:"least"`
	Most  int `toml:"most"`
}

// Fault is something that goes wrong again and again, or once.
type Fault struct {
	Kind string `toml:"kind"`
	// Every is the mean time between two, or At the time of the only one.
	Every Duration `toml:"every"`
	At    Duration `toml:"at"`
	// For is how long it lasts in the mean.
	For Duration `toml:"for"`
	// Nodes are the members that it may hit, by number from 1; none means all.
	Nodes []int `toml:"nodes"`
}

//go:embed scenarios/*.toml
var shipped embed.FS

// Names lists the scenarios that come with the package.
func Names() []string {
	entries, err := shipped.ReadDir("scenarios")
	if err != nil {
		panic(err) // the folder is embedded
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".toml"))
	}
	return names
}

// Source returns the file of a scenario that comes with the package.
func Source(name string) (string, error) {
	text, err := shipped.ReadFile(path.Join("scenarios", name+".toml"))
	if err != nil {
		return "", fmt.Errorf("there is no scenario %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return string(text), nil
}

// Named returns a scenario that comes with the package.
func Named(name string) (*Scenario, error) {
	text, err := Source(name)
	if err != nil {
		return nil, err
	}
	return Parse(name, []byte(text))
}

// Load returns a scenario by its name or, if it ends in .toml, from a file.
func Load(nameOrFile string) (*Scenario, error) {
	if !strings.HasSuffix(nameOrFile, ".toml") {
		return Named(nameOrFile)
	}
	file, err := os.Open(nameOrFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxScenario+1))
	if err != nil {
		return nil, err
	}
	return Parse(strings.TrimSuffix(path.Base(nameOrFile), ".toml"), text)
}

// maxScenario bounds a scenario file in bytes.
const maxScenario = 1 << 20

// Parse reads a scenario. Settings that are not there have their defaults.
func Parse(name string, text []byte) (*Scenario, error) {
	if len(text) > maxScenario {
		return nil, fmt.Errorf("%s: a scenario has at most %d bytes", name, maxScenario)
	}
	s := &Scenario{
		Name: name, Nodes: 4, Duration: Duration(15 * time.Second), Settle: Duration(60 * time.Second),
		Load:    LoadSettings{Rate: 20, EventBytes: 128, Timeout: Duration(time.Second), Anchors: 0.25, Proposals: 0.025},
		Network: NetworkSetting{Profile: "lan", Jitter: 0.2},
		Disk:    DiskSettings{Sync: Duration(400 * time.Microsecond)},
	}
	meta, err := toml.NewDecoder(bytes.NewReader(text)).Decode(s)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", name, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("scenario %s: %s is not a setting", name, unknown[0])
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// Resize sets the number of members. No more of them lie than the protocol
// tolerates then, unless the scenario wants that.
func (s *Scenario) Resize(nodes int) {
	s.Nodes = nodes
	if m := &s.Members; m.Changes > 0 {
		m.Least, m.Most = min(m.Least, nodes), max(m.Most, nodes)
		m.Changes = min(m.Changes, protocol.MaxMembers-nodes)
		nodes = m.Least
	}
	if !s.Liars.BeyondBound {
		s.Liars.Members = min(s.Liars.Members, quorum.Faults(max(nodes, 1)))
	}
}

// Validate reports the first setting that is out of its range.
func (s *Scenario) Validate() error {
	fail := func(field, format string, args ...any) error {
		return fmt.Errorf("scenario %s: %s: %s", s.Name, field, fmt.Sprintf(format, args...))
	}
	if s.Nodes < 1 || s.Nodes > protocol.MaxMembers {
		return fail("nodes", "%d, want 1 to %d", s.Nodes, protocol.MaxMembers)
	}
	for _, d := range []struct {
		field      string
		is         Duration
		least, top time.Duration
	}{
		{"duration", s.Duration, time.Millisecond, 24 * 366 * time.Hour},
		{"settle", s.Settle, time.Second, 24 * time.Hour},
		{"load.timeout", s.Load.Timeout, time.Millisecond, time.Hour},
		{"network.delay", s.Network.Delay, 0, time.Minute},
		{"clock.offset", s.Clock.Offset, 0, 24 * time.Hour},
		{"disk.sync", s.Disk.Sync, time.Microsecond, time.Minute},
	} {
		if time.Duration(d.is) < d.least || time.Duration(d.is) > d.top {
			return fail(d.field, "%v, want %v to %v", time.Duration(d.is), d.least, d.top)
		}
	}
	c := s.Network.Chances
	for _, f := range []struct {
		field     string
		is, limit float64
	}{
		{"load.rate", s.Load.Rate, 1e5}, {"load.anchors", s.Load.Anchors, 1}, {"load.proposals", s.Load.Proposals, 1},
		{"load.event_bytes", float64(s.Load.EventBytes), 4096},
		{"network.jitter", s.Network.Jitter, 3}, {"network.bandwidth_mbit", s.Network.BandwidthMbit, 1e6},
		{"network.loss", c.Loss, 1}, {"network.duplicate", c.Duplicate, 1}, {"network.reorder", c.Reorder, 1},
		{"network.corrupt", c.Corrupt, 1}, {"network.lossy_members", s.Network.LossyMembers, 1},
		{"network.lossy_egress", s.Network.LossyEgress, 1}, {"clock.drift_ppm", s.Clock.DriftPPM, 1e5},
	} {
		if !(f.is >= 0 && f.is <= f.limit) {
			return fail(f.field, "%v, want 0 to %v", f.is, f.limit)
		}
	}
	if s.Load.EventBytes < 64 {
		return fail("load.event_bytes", "%d, want 64 to 4096", s.Load.EventBytes)
	}
	if _, err := places(s.Network.Profile, s.everMembers()); err != nil {
		return fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	return errors.Join(s.validateLiars(fail), s.validateMembers(fail), s.validateFaults(fail))
}

// everMembers is how many members there can be in all.
func (s *Scenario) everMembers() int { return s.Nodes + s.Members.Changes }

// fewest is how many members there are at any time at least.
func (s *Scenario) fewest() int {
	if s.Members.Changes == 0 {
		return s.Nodes
	}
	return s.Members.Least
}

func (s *Scenario) validateMembers(fail func(field, format string, args ...any) error) error {
	m := s.Members
	if m.Changes == 0 {
		return nil
	}
	if most := protocol.MaxMembers - s.Nodes; m.Changes < 0 || m.Changes > most {
		return fail("members.changes", "%d, want 0 to %d", m.Changes, most)
	}
	if m.Every.Micros() < 1 {
		return fail("members.every", "%v, want at least 1µs", time.Duration(m.Every))
	}
	if m.Least < 1 || m.Least > s.Nodes || m.Most < s.Nodes || m.Most > protocol.MaxMembers {
		return fail("members", "from %d to %d members, and there are %d at first", m.Least, m.Most, s.Nodes)
	}
	if f := quorum.Faults(m.Least); s.Liars.Members > f && !s.Liars.BeyondBound {
		return fail("liars.members", "%d, the protocol tolerates %d of %d members", s.Liars.Members, f, m.Least)
	}
	return nil
}

func (s *Scenario) validateLiars(fail func(field, format string, args ...any) error) error {
	l := s.Liars
	if l.Members < 0 || l.Members > s.Nodes {
		return fail("liars.members", "%d of %d members", l.Members, s.Nodes)
	}
	if f := quorum.Faults(s.Nodes); l.Members > f && !l.BeyondBound {
		return fail("liars.members", "%d of %d, the protocol tolerates %d; beyond_bound = true allows more", l.Members, s.Nodes, f)
	}
	for _, b := range l.Behaviours {
		if _, ok := behaviours[b]; !ok {
			return fail("liars.behaviours", "%q is none of %s", b, strings.Join(sortedKeys(behaviours), ", "))
		}
	}
	return nil
}

func (s *Scenario) validateFaults(fail func(field, format string, args ...any) error) error {
	for i, f := range s.Faults {
		field := fmt.Sprintf("fault[%d]", i)
		if _, ok := faultKinds[f.Kind]; !ok {
			return fail(field+".kind", "%q is none of %s", f.Kind, strings.Join(sortedKeys(faultKinds), ", "))
		}
		if (f.Every > 0) == (f.At > 0) || f.Every < 0 || f.At < 0 || f.For < 0 {
			return fail(field, "say either every or at, and for how long")
		}
		if f.Every > 0 && time.Duration(f.Every) < time.Millisecond {
			return fail(field+".every", "%v, want at least 1ms", time.Duration(f.Every))
		}
		if slices.ContainsFunc(f.Nodes, func(n int) bool { return n < 1 || n > s.Nodes }) {
			return fail(field+".nodes", "%v, want numbers from 1 to %d", f.Nodes, s.Nodes)
		}
	}
	return nil
}
