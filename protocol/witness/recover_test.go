package witness

import (
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// TestRecoveryAsksOthers has a member that has lost its disk hear from all that
// they store its log, and never get it from them. It must not ask the same one
// forever: that one may be slow, or lie.
func TestRecoveryAsksOthers(t *testing.T) {
	c, m, _ := lone(t)
	lost := newForger(c, c.nodes[0])
	b := lost.extend(lost.branches[0])
	now := testStart
	step(t, m, now, Start{})
	for peer := protocol.MemberID(1); peer < 4; peer++ {
		head := wire.Head{Log: 0, Signed: markOf(b).signed}
		step(t, m, now, Receive{From: peer, Msg: &wire.Heads{Heads: []wire.Head{head}}})
	}
	asked := map[protocol.MemberID]int{}
	for range 60 {
		now += fetchTimeout / 2
		for _, f := range step(t, m, now, Tick{}) {
			if s, ok := f.(Send); ok {
				if r, ok := s.Msg.(*wire.RangeRequest); ok && r.Log == 0 {
					asked[s.To]++
				}
			}
		}
	}
	if len(asked) != 3 {
		t.Errorf("of three that have its log, it asks %v", asked)
	}
	if m.Ready() {
		t.Error("it authors without its log")
	}
}

// TestEmptyParent holds that an empty log is nobody's parent: no author names
// one, and a batch that does is refused.
func TestEmptyParent(t *testing.T) {
	c := newCluster(t, 4, 1)
	c.run(3*protocol.Second, nil)
	for _, h := range c.nodes[:2] {
		if !c.attest(h, protocol.Second) {
			t.Fatal("not certified")
		}
	}
	c.run(protocol.Second, nil)
	m := c.nodes[0].machine
	b := sealedBy(t, m, c.now+protocol.Second, Advance{Ready: 1}, anchorOf(t, 1))
	if b == nil || len(b.Parents) != 1 || b.Parents[0].Member != 1 {
		t.Fatalf("two of the three other logs are empty, and the batch is %+v", b)
	}

	f := newForger(c, c.nodes[3])
	for _, parents := range [][]protocol.Parent{
		{b.Parents[0], {Member: 2, Root: protocol.Hash(emptyRoot(t))}},
		{b.Parents[0]},
	} {
		f.parents = parents
		batch := f.extend(f.fork(f.branches[0], 0))
		blamed := false
		for _, e := range step(t, c.nodes[1].machine, c.now+protocol.Second, Receive{From: 3, Msg: batch}) {
			_, blame := e.(Blame)
			blamed = blamed || blame
		}
		if taken := c.nodes[1].machine.logs[3].size() > 0; blamed != (len(parents) > 1) || taken == blamed {
			t.Errorf("with the parents %v: blamed %v, taken %v", parents, blamed, taken)
		}
	}
}

func emptyRoot(t *testing.T) tlog.Hash {
	t.Helper()
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return root
}
