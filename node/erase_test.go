package node

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strataos/strataos/protocol"
)

// TestExpiry puts anchors on record that expire: every node erases them by
// itself, proves them all the same, and an audit finds nothing wrong.
func TestExpiry(t *testing.T) {
	c := newCluster(t, 4)
	status, a := c.anchor(1, `{"data":{"n":1},"anchor_type":"state","metadata":{"key":"k"},"retention":1,"timeout_ms":5000}`)
	if status != 200 || a.Retention != 1.0 {
		t.Fatalf("%d %+v", status, a)
	}
	hash, err := protocol.ParseHash(a.Hash)
	if err != nil {
		t.Fatal(err)
	}
	c.waitLedgers(1, 0, 1, 2, 3)
	c.eventually("every node has erased it", 15*time.Second, func() bool {
		return !slices.ContainsFunc(c.nodes, func(n *Node) bool {
			first, ok, err := n.store.Earliest(hash)
			if err != nil || !ok {
				return true
			}
			row, _, err := n.store.RowAt(first.Position)
			return err != nil || row.Body != nil
		})
	})
	for i := range c.nodes {
		status, text := c.call("GET", i, "/v1/chronos/anchors/"+a.Hash, nil)
		var got struct {
			Erased       bool   `json:"erased"`
			LedgerStatus string `json:"ledger_status"`
		}
		if err := json.Unmarshal(text, &got); err != nil || status != 200 || !got.Erased || got.LedgerStatus != "checkpointed" || strings.Contains(string(text), "payload") {
			t.Errorf("%d %s %v", status, text, err)
		}
		c.verifyOffline(text)
	}
	for i := range c.nodes {
		c.stop(i)
		if r, err := c.audit(i, nil); err != nil || r.Ledger != 1 {
			t.Errorf("node %d: %+v %v", i+1, r, err)
		}
	}
}
