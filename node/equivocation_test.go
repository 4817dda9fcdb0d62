package node

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/p2p"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// liar is a member with real keys on the real network that signs whatever it
// likes, and notes the votes that it gets for it.
type liar struct {
	c         *cluster
	host      *p2p.Host
	signer    *cosign.Signer
	committee *quorum.Committee
	self      protocol.MemberID
	limit     int

	mu    sync.Mutex
	votes map[uint64]map[protocol.Hash]map[protocol.MemberID]bool
}

func newLiar(c *cluster, member int) *liar {
	c.t.Helper()
	l := &liar{
		c: c, self: protocol.MemberID(member), limit: wire.MaxMessage(c.genesis.Params),
		votes: map[uint64]map[protocol.Hash]map[protocol.MemberID]bool{},
	}
	var err error
	if l.committee, err = quorum.NewCommittee(c.genesis); err != nil {
		c.t.Fatal(err)
	}
	if l.signer, err = setup.LoadSigner(c.configs[member].SigningKey); err != nil {
		c.t.Fatal(err)
	}
	n := &Node{
		cfg: c.configs[member], genesis: c.genesis, signer: l.signer,
		logger: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry(),
	}
	cfg, err := n.hostConfig(quorum.NewEpochs(l.committee))
	if err != nil {
		c.t.Fatal(err)
	}
	if l.host, err = p2p.New(*cfg, l); err != nil {
		c.t.Fatal(err)
	}
	l.host.Start()
	c.t.Cleanup(func() {
		if err := l.host.Close(); err != nil {
			c.t.Error(err)
		}
	})
	c.eventually("the liar is connected", 20*time.Second, func() bool {
		up := 0
		for _, ok := range l.host.Reachable() {
			if ok {
				up++
			}
		}
		return up == 4
	})
	return l
}

// Gossip implements p2p.Handler.
func (l *liar) Gossip(from int, _ p2p.Topic, data []byte) p2p.Verdict { return l.Direct(from, data) }

// Direct implements p2p.Handler.
func (l *liar) Direct(_ int, data []byte) p2p.Verdict {
	m, err := wire.Decode(data, l.limit)
	votes, ok := m.(*wire.Votes)
	if err != nil || !ok {
		return p2p.Accept
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range votes.Votes {
		if v.Log != l.self {
			continue
		}
		if l.votes[v.Size] == nil {
			l.votes[v.Size] = map[protocol.Hash]map[protocol.MemberID]bool{}
		}
		if l.votes[v.Size][v.Root] == nil {
			l.votes[v.Size][v.Root] = map[protocol.MemberID]bool{}
		}
		l.votes[v.Size][v.Root][votes.Voter] = true
	}
	return p2p.Accept
}

// PeerUp implements p2p.Handler.
func (l *liar) PeerUp(int) {}

// PeerDown implements p2p.Handler.
func (l *liar) PeerDown(int) {}

// batch signs a batch with one event at the end of a history.
func (l *liar) batch(tree *merkle.Tail, n int) *wire.Batch {
	e, err := protocol.ParseEvent(fmt.Appendf(nil, `{"type":"liar.event","payload":{"n":%d}}`, n), 1<<16)
	if err != nil {
		l.c.t.Fatal(err)
	}
	b := &wire.Batch{
		Author: l.self, Old: tree.Size(), Time: protocol.Micros(time.Now().UnixMicro()),
		Items: []wire.Item{{Kind: protocol.KindAttest, Body: e.Canonical}}, Cert: quorum.Claim{Log: l.self},
	}
	tree.Append(tlog.RecordHash(b.Header().Append(nil)))
	tree.Append(tlog.RecordHash(protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash, Time: b.Time}.Append(nil)))
	b.Root = tree.Root()
	sig := l.signer.Cosign(l.committee.Checkpoint(l.self, b.Size(), b.Root), b.Time.Seconds())
	b.CosignTime, b.Cosignature = sig.Time, sig.Bytes
	return b
}

func (l *liar) send(b *wire.Batch, to ...int) {
	l.c.t.Helper()
	data, err := wire.Encode(b)
	if err != nil {
		l.c.t.Fatal(err)
	}
	for _, i := range to {
		if !l.host.Send(i, data) {
			l.c.t.Fatalf("node %d is not connected", i+1)
		}
	}
}

func (l *liar) voters(b *wire.Batch) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.votes[b.Size()][b.Root])
}

// TestEquivocationOverNetwork has a member show two histories to two parts of
// a real network. One of them may get a certificate, never both; everybody ends
// with evidence, which the API shows, and goes on without that member.
func TestEquivocationOverNetwork(t *testing.T) {
	c := newClusterOf(t, 4, 3)
	l := newLiar(c, 3)
	a, b := l.batch(&merkle.Tail{}, 1), l.batch(&merkle.Tail{}, 2)
	l.send(a, 0)
	l.send(b, 1, 2)
	c.eventually("both are voted for", 10*time.Second, func() bool { return l.voters(a) == 1 && l.voters(b) == 2 })
	// Everybody sees the other history now.
	l.send(a, 1, 2)
	l.send(b, 0)
	for i := range 3 {
		c.eventually(fmt.Sprintf("node %d shows evidence", i+1), 10*time.Second, func() bool { return l.accusedBy(i) })
	}
	for i := range 3 {
		c.mustAttest(i, i)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for size, roots := range l.votes {
		seen := map[protocol.MemberID]bool{}
		certificates := 0
		for _, voters := range roots {
			for v := range voters {
				if seen[v] {
					t.Errorf("member %d cosigned two roots at size %d", v, size)
				}
				seen[v] = true
			}
			if len(voters)+1 >= l.committee.Quorum() {
				certificates++
			}
		}
		if certificates > 1 {
			t.Errorf("%d certificates at size %d", certificates, size)
		}
	}
}

// accusedBy asks a node for its evidence, and checks that it holds.
func (l *liar) accusedBy(i int) bool {
	status, text := l.c.call("GET", i, "/v1/witness/evidence", nil)
	var answer struct {
		Evidence []struct {
			Author      string    `json:"author"`
			Checkpoints [2]string `json:"checkpoints"`
		} `json:"evidence"`
	}
	if status != 200 || json.Unmarshal(text, &answer) != nil || len(answer.Evidence) == 0 {
		return false
	}
	e := answer.Evidence[0]
	if e.Author != "node-4" {
		l.c.t.Fatalf("node %d accuses %s: %s", i+1, e.Author, text)
	}
	var roots [2]string
	for k, note := range e.Checkpoints {
		cp, line, _ := strings.Cut(note, "\n\n")
		lines := strings.Split(cp, "\n")
		sig, ok, err := l.committee.Verifier(l.self).ParseLine(line)
		var size uint64
		if _, e := fmt.Sscan(lines[1], &size); e != nil || err != nil || !ok {
			l.c.t.Fatalf("node %d: %s: %v", i+1, note, err)
		}
		var root tlog.Hash
		if err := root.UnmarshalJSON([]byte(`"` + lines[2] + `"`)); err != nil {
			l.c.t.Fatal(err)
		}
		if !l.committee.Verifier(l.self).Verify(l.committee.Checkpoint(l.self, size, protocol.Hash(root)), sig) {
			l.c.t.Fatalf("node %d: a checkpoint is not signed by the accused: %s", i+1, note)
		}
		roots[k] = lines[1] + lines[2]
	}
	if roots[0] == roots[1] {
		l.c.t.Fatalf("node %d: the checkpoints are the same: %s", i+1, text)
	}
	return true
}
