package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strataos/strataos/node/audit"
	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// anchored is the answer to an anchor.
type anchored struct {
	Hash        string  `json:"hash"`
	Position    *uint64 `json:"position"`
	Retention   any     `json:"retention"`
	ExpiresAt   int64   `json:"expires_at"`
	CausalToken string  `json:"causal_token"`
	Error       struct {
		Code    string         `json:"code"`
		Details map[string]any `json:"details"`
	} `json:"error"`
}

func (c *cluster) anchor(i int, body string, headers ...string) (int, anchored) {
	c.t.Helper()
	status, text := c.call("POST", i, "/v1/chronos/anchor", []byte(body), headers...)
	var a anchored
	if status != 0 {
		if err := json.Unmarshal(text, &a); err != nil {
			c.t.Fatalf("%s: %v", text, err)
		}
	}
	if status == 200 {
		c.verifyOffline(text)
	}
	return status, a
}

// runs is a node's whole ledger.
func (c *cluster) runs(i int) []store.Run {
	c.t.Helper()
	var out []store.Run
	if err := c.nodes[i].store.Runs(0, false, func(r store.Run) (bool, error) {
		out = append(out, r)
		return true, nil
	}); err != nil {
		c.t.Fatal(err)
	}
	return out
}

// waitLedgers waits until the nodes have the same ledger of at least so many
// entries, and a certificate of all of it.
func (c *cluster) waitLedgers(entries uint64, nodes ...int) {
	c.t.Helper()
	c.eventually("the ledgers are one", 30*time.Second, func() bool {
		first := c.nodes[nodes[0]].machines.Order()
		for _, i := range nodes {
			st := c.nodes[i].machines.Order()
			if st.Size < entries || st.Size != first.Size || st.Root != first.Root || st.Checkpoint != st.Size {
				return false
			}
			// The ledger is stored behind what the machine has come to.
			if stored, _, err := c.nodes[i].store.State(); err != nil || stored.Size != st.Size {
				return false
			}
		}
		return true
	})
	want := c.runs(nodes[0])
	for _, i := range nodes[1:] {
		if !slices.Equal(c.runs(i), want) {
			c.t.Fatalf("node %d has another ledger than node %d", i+1, nodes[0]+1)
		}
	}
}

// TestOneLedger has anchors put on record through all nodes at once, while one
// of them stops and returns: all come to one ledger, in which every anchor that
// was answered before another was sent comes before it.
func TestOneLedger(t *testing.T) {
	c := newCluster(t, 4)
	var mu sync.Mutex
	highest, answered := int64(-1), 0
	positions := map[uint64]bool{}
	anchor := func(i, n int) {
		mu.Lock()
		before := highest
		mu.Unlock()
		status, a := c.anchor(i, fmt.Sprintf(`{"data":{"node":%d,"n":%d},"anchor_type":"event","timeout_ms":5000}`, i, n))
		if status != 200 {
			return // the node was stopped meanwhile
		}
		mu.Lock()
		defer mu.Unlock()
		p := int64(*a.Position)
		if p <= before {
			t.Errorf("place %d was answered behind %d", p, before)
		}
		if positions[*a.Position] {
			t.Errorf("place %d was given twice", p)
		}
		positions[*a.Position] = true
		highest = max(highest, p)
		answered++
	}
	var clients sync.WaitGroup
	for i := range 3 {
		clients.Go(func() {
			for n := range 60 {
				anchor(i, n)
			}
		})
	}
	for n := range 10 {
		anchor(3, n)
	}
	c.stop(3)
	for n := range 10 {
		anchor(n%3, 1000+n)
	}
	c.start(3)
	c.waitReady(3)
	for n := range 10 {
		anchor(3, 2000+n)
	}
	clients.Wait()
	if answered < 190 {
		t.Errorf("only %d anchors were answered", answered)
	}
	c.waitLedgers(uint64(answered), 0, 1, 2, 3)
	// A node that starts again goes on from the same ledger.
	before := c.runs(1)
	c.stop(1)
	c.start(1)
	c.waitReady(1)
	if got := c.runs(1); !slices.Equal(got, before) {
		t.Error("a restart changes the ledger")
	}
	status, a := c.anchor(1, `{"data":{},"anchor_type":"event","timeout_ms":5000}`)
	if status != 200 || int64(*a.Position) <= highest {
		t.Errorf("%d: place %v behind %d", status, a.Position, highest)
	}
	c.waitLedgers(uint64(answered)+1, 0, 1, 2, 3)
	var root protocol.Hash
	for i := range 4 {
		c.stop(i)
		r, err := c.audit(i, nil)
		if err != nil {
			t.Fatalf("node %d: %v", i+1, err)
		}
		if i > 0 && r.Root != root || r.Ledger < uint64(answered) || r.Checkpoint != r.Ledger {
			t.Errorf("node %d: %+v, the root before is %s", i+1, r, root)
		}
		root = r.Root
	}
	c.auditChanges(0)
}

// audit checks a stopped node's data folder, after a change.
func (c *cluster) audit(i int, change func(db *pebbleds.Datastore)) (*audit.Report, error) {
	c.t.Helper()
	db, err := pebbleds.Open(filepath.Join(c.configs[i].Data, "store"), pebbleds.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	if change != nil {
		change(db)
	}
	committee, err := quorum.NewCommittee(c.genesis)
	if err != nil {
		c.t.Fatal(err)
	}
	id, err := c.genesis.ID()
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := store.Open(db, committee, id, c.configs[i].Member)
	if err != nil {
		return nil, err
	}
	return audit.Check(context.Background(), s, committee, nil)
}

// auditChanges changes a record of each space in a folder, and demands that an
// audit finds it.
func (c *cluster) auditChanges(i int) {
	c.t.Helper()
	for _, space := range []string{"/b/", "/l/", "/c/", "/s/checkpoint", "/s/state"} {
		var key, value []byte
		_, err := c.audit(i, func(db *pebbleds.Datastore) {
			if err := db.Scan([]byte(space), []byte(space[:len(space)-1]+"~"), true, func(k, v []byte) (bool, error) {
				key, value = bytes.Clone(k), bytes.Clone(v)
				return false, nil
			}); err != nil {
				c.t.Fatal(err)
			}
			changed := bytes.Clone(value)
			changed[len(changed)-1] ^= 1
			b := db.NewWriteBatch()
			b.Set(key, changed)
			if err := b.Commit(true); err != nil {
				c.t.Fatal(err)
			}
		})
		if err == nil {
			c.t.Errorf("a change of %s is not found", key)
		}
		if _, err := c.audit(i, func(db *pebbleds.Datastore) {
			b := db.NewWriteBatch()
			b.Set(key, value)
			if err := b.Commit(true); err != nil {
				c.t.Fatal(err)
			}
		}); err != nil {
			c.t.Errorf("put right again: %v", err)
		}
	}
}

// TestCausalSession moves a client between nodes: what it does next comes
// behind what it has seen.
func TestCausalSession(t *testing.T) {
	c := newCluster(t, 4)
	token, last, lastHash := "", int64(-1), ""
	for n := range 12 {
		body := fmt.Sprintf(`{"data":{"n":%d},"anchor_type":"event","wait":"certified","timeout_ms":5000}`, n)
		if n%3 == 2 { // by name instead of by token
			body = fmt.Sprintf(`{"data":{"n":%d},"anchor_type":"event","timeout_ms":5000,"after":[%q]}`, n, lastHash)
			token = ""
		}
		status, a := c.anchor(n%4, body, "Strata-Causality", token)
		if status != 200 {
			t.Fatalf("%d %+v", status, a.Error)
		}
		token, lastHash = a.CausalToken, a.Hash
		if a.Position != nil {
			if int64(*a.Position) <= last+2 {
				t.Errorf("anchor %d has place %d, and two others come before it behind %d", n, *a.Position, last)
			}
			last = int64(*a.Position)
		}
	}
	for name, r := range map[string]struct{ body, token, code string }{
		"a token of the future":  {`{"data":{},"anchor_type":"event","timeout_ms":100}`, "2:1000000", "CAUSALITY_TIMEOUT"},
		"a token of nobody":      {`{"data":{},"anchor_type":"event"}`, "9:1", "INVALID_REQUEST"},
		"no token at all":        {`{"data":{},"anchor_type":"event"}`, "x", "INVALID_REQUEST"},
		"an anchor nobody knows": {`{"data":{},"anchor_type":"event","timeout_ms":100,"after":["0x` + fmt.Sprintf("%064d", 1) + `"]}`, "", "CAUSALITY_TIMEOUT"},
	} {
		if status, a := c.anchor(0, r.body, "Strata-Causality", r.token); status == 200 || a.Error.Code != r.code {
			t.Errorf("%s: %d %+v", name, status, a.Error)
		}
	}
}

// TestOrderNeedsAQuorum stops two of four nodes: anchors wait, say what they
// wait for, and have their places when a quorum is back.
func TestOrderNeedsAQuorum(t *testing.T) {
	c := newCluster(t, 4)
	if status, a := c.anchor(0, `{"data":{"n":0},"anchor_type":"proof","retention":3600,"timeout_ms":5000}`); status != 200 || a.Retention != 3600.0 || a.ExpiresAt == 0 {
		t.Fatalf("%d %+v", status, a)
	}
	c.stop(2)
	c.stop(3)
	status, a := c.anchor(0, `{"data":{"n":1},"anchor_type":"event","timeout_ms":300}`)
	if status != 504 || a.Error.Code != "QUORUM_TIMEOUT" || a.Error.Details["definite"] != false {
		t.Fatalf("%d %+v", status, a.Error)
	}
	c.start(2)
	c.waitReady(2)
	if status, a := c.anchor(1, `{"data":{"n":2},"anchor_type":"event","timeout_ms":5000}`); status != 200 {
		t.Fatalf("%d %+v", status, a.Error)
	}
	c.waitLedgers(3, 0, 1, 2)
}

// TestAnchorOnce sends one anchor again and again with one key, also behind a
// restart of the node: it is put on record once.
func TestAnchorOnce(t *testing.T) {
	c := newCluster(t, 4)
	body := `{"data":{"once":true},"anchor_type":"event","timeout_ms":5000}`
	_, first := c.anchor(0, body, "Idempotency-Key", "k")
	c.stop(0)
	c.start(0)
	c.waitReady(0)
	status, again := c.anchor(0, body, "Idempotency-Key", "k")
	if status != 200 || first.Position == nil || *again.Position != *first.Position || again.CausalToken != first.CausalToken {
		t.Errorf("%d: first %+v, again %+v", status, first, again)
	}
	if status, a := c.anchor(0, `{"data":{},"anchor_type":"event"}`, "Idempotency-Key", "k"); status != 409 {
		t.Errorf("%d %+v", status, a.Error)
	}
	c.stop(2)
	c.stop(3)
	short := `{"data":{"late":true},"anchor_type":"event","timeout_ms":200}`
	if status, _ := c.anchor(0, short, "Idempotency-Key", "l"); status != 504 {
		t.Errorf("two of four: %d", status)
	}
	c.start(2)
	c.waitReady(2)
	c.eventually("the anchor is on record", 20*time.Second, func() bool {
		status, _ := c.anchor(0, short, "Idempotency-Key", "l")
		return status == 200
	})
	c.waitLedgers(2, 0, 1, 2)
	if st := c.nodes[0].machines.Order(); st.Size != 2 {
		t.Errorf("the ledger has %d entries, want 2", st.Size)
	}
}
