package chronos

import (
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/wire"
)

// TestPowerLoss stops all members at once when everything is ordered and the
// newest checkpoint is durable, but nobody has heard another's cosignature of
// it. When they are back they cosign it, though nothing new comes.
func TestPowerLoss(t *testing.T) {
	c := newCluster(t, 4)
	c.busy(300 * ms)
	c.must("settled", 3*second, c.settled)
	c.tamper = func(m wire.Message, _, _ protocol.MemberID) wire.Message {
		if _, ok := m.(*wire.LedgerHead); ok {
			return nil
		}
		return m
	}
	c.members[0].submit(protocol.KindAnchorEvent)
	c.run(5*second, nil)
	for _, m := range c.members {
		if m.machine.ledger.cut.Size <= m.machine.heads.cert.Size() {
			t.Fatal("the newest checkpoint has a certificate")
		}
	}
	c.tamper = nil
	for _, m := range c.members {
		m.crash(len(m.unsynced))
	}
	for _, m := range c.members {
		m.boot()
	}
	c.must("settled", 10*second, c.settled)
}

// TestRejoin has a witness machine begin anew behind a living chronos machine: it
// is told again what it must know.
func TestRejoin(t *testing.T) {
	c := newCluster(t, 4)
	c.busy(300 * ms)
	c.must("settled", 3*second, c.settled)
	m := c.members[0].machine
	if m.pace.last == (Advance{}) {
		t.Fatal("nothing is ready")
	}
	want := m.pace.last
	for i, in := range []Input{Tick{}, Rejoined{}, Tick{}} {
		effects, err := m.Step(c.now, in)
		if err != nil {
			t.Fatal(err)
		}
		told := false
		for _, e := range effects {
			a, ok := e.(Advance)
			told = told || ok && a == want
		}
		if told != (i == 1) {
			t.Errorf("input %d: told is %t", i, told)
		}
	}
}
