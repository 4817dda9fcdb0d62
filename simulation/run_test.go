package simulation

import (
	"context"
	"os"
	"strconv"
	"testing"
)

func TestQuick(t *testing.T) {
	name := os.Getenv("SCEN")
	s, err := Named(name)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(os.Getenv("N"))
	first, _ := strconv.Atoi(os.Getenv("FIRST"))
	for seed := range n {
		r, err := Run(context.Background(), s, uint64(first+seed), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if seed < 3 {
			t.Logf("%d: %d events %.1f virtual %.2f wall, conv %.1f ack %d of %d to %d int %d lat %+v %s", seed, r.Events, r.VirtualSeconds, r.WallSeconds, r.ConvergedSeconds, r.Stats.Acknowledged, r.Stats.Submitted, r.Stats.TimedOut, r.Stats.Interrupted, r.Stats.Latency, r.TraceHash[:8])
		}
		for _, v := range r.Violations[:min(len(r.Violations), 2)] {
			t.Errorf("%s seed %d: %d %s %s", name, first+seed, v.At, v.Rule, v.Detail)
		}
	}
}
