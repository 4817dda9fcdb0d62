package order

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
)

// The tests write graphs down like this, one batch a line:
//
//	a2: r1 t5 <- b1 c1
//
// is the second batch of member a, which claims round 1, is of time 5, and
// names the first batches of b and c. Every batch has one leaf. r9=1 claims
// round 9 and demands that the effective round be 1; without "=" the two are
// the same, and r* claims the largest number there is. Without t, a batch is
// later than everything above it. Several members that do the same share a
// line: "abc2: r1 <- abc1" has each of the three name the other two.
//
// Decisions are written like this, one slot a line:
//
//	0a: a1 b1
//	0b: skip
//	0c:
//
// is the slot of member a in round 0, which emits two batches, that of b, which
// is skipped, and that of c, which emits nothing that was not emitted before.

// drawn is a batch of a drawn graph, with the round it should come to.
type drawn struct {
	Batch
	round uint64
}

var linePattern = regexp.MustCompile(`^([a-z]+)(\d+): r(\d+|\*)(?:=(\d+))?(?: t(\d+))?(?: <-((?: [a-z]+\d+)+))?$`)

// parseDAG reads a graph in the order of its lines.
func parseDAG(t *testing.T, text string) []drawn {
	t.Helper()
	var out []drawn
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		m := linePattern.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("cannot read %q", line)
		}
		d := drawn{Batch: Batch{Size: number(m[2]), Time: protocol.Micros(100 * (len(out) + 1))}}
		d.Old = d.Size - 1
		if d.Claim = math.MaxUint64; m[3] != "*" {
			d.Claim = number(m[3])
		}
		if d.round = d.Claim; m[4] != "" {
			d.round = number(m[4])
		}
		if m[5] != "" {
			d.Time = protocol.Micros(number(m[5]))
		}
		for _, c := range m[1] {
			b := d
			b.Log = protocol.MemberID(c - 'a')
			b.Parents = parseParents(b.Log, m[6])
			out = append(out, b)
		}
	}
	return out
}

func parseParents(self protocol.MemberID, text string) []Parent {
	var out []Parent
	for _, word := range strings.Fields(text) {
		names := strings.TrimRight(word, "0123456789")
		for _, c := range names {
			if p := (Parent{protocol.MemberID(c - 'a'), number(word[len(names):])}); p.Member != self {
				out = append(out, p)
			}
		}
	}
	return out
}

func number(s string) uint64 {
	v, _ := strconv.ParseUint(s, 10, 64)
	return v
}

func name(m protocol.MemberID) string { return string(rune('a' + m)) }

// write writes decisions down.
func write(decisions []Decision) string {
	var out strings.Builder
	for _, d := range decisions {
		fmt.Fprintf(&out, "%d%s:", d.Round, name(d.Member))
		if !d.Committed {
			out.WriteString(" skip")
		}
		for _, b := range d.Batches {
			fmt.Fprintf(&out, " %s%d", name(b.Log), b.Size)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// trim removes the indentation of a text of several lines.
func trim(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line+"\n")
		}
	}
	return strings.Join(lines, "")
}

// insertAll inserts a drawn graph, deciding after every batch, and checks the
// rounds.
func insertAll(t *testing.T, o *Order, dag []drawn) []Decision {
	t.Helper()
	var out []Decision
	for _, d := range dag {
		node, err := o.Insert(d.Batch)
		if err != nil {
			t.Fatal(err)
		}
		if node.Round != d.round {
			t.Errorf("%s%d has round %d, want %d", name(d.Log), d.Size, node.Round, d.round)
		}
		decisions, err := o.decideAll()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, decisions...)
	}
	return out
}

// decideAll returns all decisions that there are.
func (o *Order) decideAll() ([]Decision, error) {
	var out []Decision
	for {
		d, err := o.Decide()
		if err != nil || len(d) == 0 {
			return out, err
		}
		out = append(out, d...)
	}
}

// memory is a Past in memory.
type memory struct {
	nodes map[Parent]Node
	reads int
	// denied says which batches are not to be asked for now.
	denied func(Parent) bool
}

func newMemory() *memory { return &memory{nodes: map[Parent]Node{}} }

func (m *memory) put(n Node) {
	n.Parents = slices.Clone(n.Parents)
	n.Clock, n.Rounds = slices.Clone(n.Clock), slices.Clone(n.Rounds)
	m.nodes[Parent{n.Log, n.Size}] = n
}

// Node implements Past.
func (m *memory) Node(log protocol.MemberID, size uint64) (Node, error) {
	p := Parent{log, size}
	n, ok := m.nodes[p]
	if !ok {
		return Node{}, fmt.Errorf("%s%d is not stored", name(log), size)
	}
	if m.denied != nil && m.denied(p) {
		return Node{}, fmt.Errorf("%s%d is asked for too early", name(log), size)
	}
	m.reads++
	return n, nil
}
