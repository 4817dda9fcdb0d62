package node

import (
	"testing"
)

func TestAttestAndVerify(t *testing.T) {
	c := newCluster(t, 4)
	for i := range 4 {
		hash := c.mustAttest(i, i)
		for j := range 4 {
			c.waitVerified(j, hash)
		}
	}
}

func TestMinorityAndMajorityStopped(t *testing.T) {
	c := newCluster(t, 4)
	c.stop(3)
	var missed []string
	for n := range 20 {
		missed = append(missed, c.mustAttest(n%3, n))
	}
	c.stop(2)
	for i := range 2 {
		for range 3 {
			status, a, text := c.attest(i, 100)
			if status != 504 || a.Error.Code != "QUORUM_TIMEOUT" {
				t.Fatalf("two of four: %d %s", status, text)
			}
			d := a.Error.Details
			if d["required"] != 3.0 || d["achieved"] != 2.0 {
				t.Errorf("details %v", d)
			}
		}
	}
	c.start(2)
	c.waitReady(2)
	c.mustAttest(0, 200)
	c.start(3)
	for _, hash := range missed {
		c.waitVerified(3, hash)
	}
}
