package simulation

import (
	"slices"
	"strings"

	"github.com/strataos/strataos/protocol"
)

// Stats are the figures of a run.
type Stats struct {
	Submitted    int `json:"submitted"`
	Acknowledged int `json:"acknowledged"`
	Refused      int `json:"refused"`
	TimedOut     int `json:"timed_out"`
	Interrupted  int `json:"interrupted"`
	Certificates int `json:"certificates"` // distinct ones
	Ordered      int `json:"ordered"`      // anchors answered with their places in the ledger
	Ledger       int `json:"ledger"`       // entries of the ledger
	Checkpoints  int `json:"checkpoints"`  // distinct certificates of the ledger
	// Proposed counts what clients have proposed, Votes how often members voted,
	// and Decided what came of proposals, those of liars among them, by status.
	Proposed int            `json:"proposed"`
	Votes    int            `json:"votes"`
	Decided  map[string]int `json:"decided"`
	// Epochs is how many began behind the founding one.
	Epochs      int `json:"epochs"`
	Accusations int `json:"accusations"`
	Alarms      int `json:"alarms"` // cosignatures of another ledger that were noticed
	Blames      int `json:"blames"`
	Rejected    int `json:"rejected"`   // messages that could not be read
	Overflowed  int `json:"overflowed"` // messages that an inbox had no room for
	Messages    int `json:"messages"`
	Bytes       int `json:"bytes"`
	// Faults counts what went wrong, by kind, and FaultPairs how often a kind
	// began while another was at work.
	Faults     map[string]int `json:"faults"`
	FaultPairs map[string]int `json:"fault_pairs"`
	// Latency is from submission to answer, in milliseconds.
	Latency Percentiles `json:"latency_ms"`
	// OrderLatency is from the submission of an anchor to its place.
	OrderLatency Percentiles `json:"order_latency_ms"`
	Nodes        []NodeStats `json:"nodes"`

	closed    bool // what members send is not counted any more
	latencies []protocol.Micros
	orders    []protocol.Micros
	history   []operation
	changes   []change
	active    map[string]int
	spans     []Span
	marks     []Mark
}

// Percentiles of a distribution.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// NodeStats are the figures of one member.
type NodeStats struct {
	Acknowledged int     `json:"acknowledged"`
	Messages     int     `json:"messages"`
	Bytes        int     `json:"bytes"`
	FloorMs      float64 `json:"floor_ms"` // least time to a certificate that the links allow
	Liar         string  `json:"liar,omitempty"`
	LostDisk     bool    `json:"lost_disk,omitempty"`
}

// Span is a fault and when it was at work, in microseconds of the run. Node is
// the member that it hit, or −1.
type Span struct {
	Kind     string
	Node     int
	From, To protocol.Micros
}

// Mark is something that happened at a member.
type Mark struct {
	Kind string // certificate, recovered, violation
	Node int
	At   protocol.Micros
}

func newStats(nodes int) *Stats {
	return &Stats{
		Decided: map[string]int{},
		Faults:  map[string]int{}, FaultPairs: map[string]int{}, active: map[string]int{},
		Nodes: make([]NodeStats, nodes),
	}
}

func (s *Stats) sent(from protocol.MemberID, bytes int) {
	if s.closed {
		return
	}
	s.Messages++
	s.Bytes += bytes
	s.Nodes[from].Messages++
	s.Nodes[from].Bytes += bytes
}

func (s *Stats) acknowledged(d protocol.Micros, node protocol.MemberID) {
	s.Acknowledged++
	s.Nodes[node].Acknowledged++
	s.latencies = append(s.latencies, d)
}

// certified notes how long an anchor took to be certified.
func (s *Stats) certified(d protocol.Micros) { s.latencies = append(s.latencies, d) }

// operation is an anchor and the place that it got, as its client saw it.
type operation struct {
	client           int
	called, answered protocol.Micros
	position         uint64
}

// change is a proposal on a subject and what it came to, as its client saw it: to
// version, which it made if it was accepted. One whose client was never told has
// answered 0; it is there only if it was accepted.
type change struct {
	client           int
	subject          string
	called, answered protocol.Micros
	// expected is the version that it was to replace, or −1 for any.
	expected int64
	accepted bool
	version  uint64
}

// ordered counts an anchor that is answered with its place.
func (s *Stats) ordered(op operation) {
	s.Acknowledged++
	s.Nodes[op.client].Acknowledged++
	s.Ordered++
	s.orders = append(s.orders, op.answered-op.called)
	s.history = append(s.history, op)
}

// fault counts something that chance did to a message.
func (s *Stats) fault(kind string) { s.Faults[kind]++ }

// begin counts a fault that lasts, and the pairs that it makes with others.
func (s *Stats) begin(kind string) {
	s.Faults[kind]++
	for other, n := range s.active {
		if n > 0 {
			s.FaultPairs[pair(kind, other)]++
		}
	}
	s.active[kind]++
}

func (s *Stats) end(kind string) { s.active[kind]-- }

// standing lists what is wrong in a scenario all the time.
func (s *Scenario) standing() []string {
	var out []string
	n := &s.Network
	for name, there := range map[string]bool{
		"loss": n.Loss > 0 || n.LossyMembers > 0 && n.LossyEgress > 0, "duplicate": n.Duplicate > 0,
		"reorder": n.Reorder > 0, "corrupt": n.Corrupt > 0, "drift": s.Clock.DriftPPM > 0, "liars": s.Liars.Members > 0,
	} {
		if there {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// stand counts what is wrong from the beginning to the end as at work beside
// all that comes.
func (s *Stats) stand(names []string) {
	for i, name := range names {
		s.active[name] = 1
		for _, other := range names[:i] {
			s.FaultPairs[pair(name, other)]++
		}
	}
}

// Pairs counts the pairs of faults that were at work at once: first of those
// that come and go, which are the kinds of a scenario's faults, then of one that
// is there all the time (loss, duplicate, reorder, corrupt, drift, liars) with
// any other.
func Pairs(counts map[string]int) (lasting, standing int) {
	for kinds := range counts {
		a, b, _ := strings.Cut(kinds, "+")
		_, x := faultKinds[a]
		_, y := faultKinds[b]
		if x && y {
			lasting++
		} else {
			standing++
		}
	}
	return lasting, standing
}

// standingKinds is how many things can be wrong all the time.
const standingKinds = 6

// PossiblePairs is how many pairs there are, as Pairs counts them: a fault can
// meet one of its own kind, what is there all the time cannot.
func PossiblePairs() (lasting, standing int) {
	n := len(faultKinds)
	return n * (n + 1) / 2, standingKinds*n + standingKinds*(standingKinds-1)/2
}

func pair(a, b string) string {
	if b < a {
		a, b = b, a
	}
	return a + "+" + b
}

// stepped notes when a member that has booted has caught up with the others.
func (s *Stats) stepped(n *node) {
	if !n.behind || !n.machine.Ready() {
		return
	}
	for i, l := range n.machine.Status() {
		if l.Certified < n.w.check.newest[i] {
			return
		}
	}
	n.behind = false
	s.marks = append(s.marks, Mark{"recovered", int(n.id), n.w.sched.now - epoch})
}

// close computes what is a function of the rest.
func (s *Stats) close(w *world) {
	slices.Sort(s.latencies)
	s.Latency = percentiles(s.latencies)
	slices.Sort(s.orders)
	s.OrderLatency = percentiles(s.orders)
	for i, n := range w.nodes {
		s.Nodes[i].FloorMs = float64(w.net.floor(i, w.founding.Quorum())) / 1000
		s.Nodes[i].LostDisk = n.lostDisk
		if n.liar != nil {
			s.Nodes[i].Liar = n.liar.String()
		}
	}
}

func percentiles(sorted []protocol.Micros) Percentiles {
	at := func(q float64) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]) / 1000
	}
	return Percentiles{at(0.50), at(0.95), at(0.99), at(1)}
}

// SortedKinds lists the keys of a count of faults in order.
func SortedKinds(counts map[string]int) []string { return sortedKeys(counts) }
