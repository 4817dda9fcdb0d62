package node

import (
	"fmt"
	"testing"
)

// BenchmarkAnchor has four nodes in one process order one anchor after the
// other; BenchmarkAttest certifies events in the same way. Their ratio is what
// an order costs beside a certificate.
func BenchmarkAnchor(b *testing.B) {
	c := newCluster(b, 4)
	n := 0
	for b.Loop() {
		n++
		if status, text := c.call("POST", n%4, "/v1/chronos/anchor", fmt.Appendf(nil, `{"data":{"n":%d},"anchor_type":"event"}`, n)); status != 200 {
			b.Fatalf("%d %s", status, text)
		}
	}
}

func BenchmarkAttest(b *testing.B) {
	c := newCluster(b, 4)
	n := 0
	for b.Loop() {
		n++
		if status, text := c.call("POST", n%4, "/v1/witness/attest", eventBody(n)); status != 200 {
			b.Fatalf("%d %s", status, text)
		}
	}
}
