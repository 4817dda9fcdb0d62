package witness

import "github.com/strataos/strataos/protocol"

// Pace sets how events gather into batches. A batch has a fixed cost on every
// member (signatures, an fsync, messages), so batches a second are what limits
// throughput; waiting for company is what costs latency. Batches are therefore
// spaced: an idle author seals at once, and the next batch comes no sooner than
// the spacing after it. The spacing grows with what the whole network does, as
// this member sees it, since the cost of a batch is everybody's.
type Pace struct {
	// Window is how many batches may wait for their certificates.
	Window int
	// FreeBatches is how many batches a second of the network cost no spacing,
	// and PerBatch the spacing for each one more.
	FreeBatches int64
	PerBatch    protocol.Micros
	// FreeRounds takes the place of FreeBatches for a batch that others wait for
	// to order something: how many rounds a second, of a batch of each member,
	// cost no spacing.
	FreeRounds int64
	// PerThousand is the spacing for each thousand entries a second.
	PerThousand protocol.Micros
	// MaxSpacing bounds both.
	MaxSpacing protocol.Micros
	// MaxPending bounds the submissions that wait for a batch, and
	// MaxPendingBytes their bytes.
	MaxPending      int
	MaxPendingBytes int
}

// DefaultPace is what was measured to serve best; see docs/benchmarks.md.
func DefaultPace() Pace {
	return Pace{
		Window:          8,
		FreeBatches:     400,
		FreeRounds:      175,
		PerBatch:        100,
		PerThousand:     2000,
		MaxSpacing:      16 * protocol.Millisecond,
		MaxPending:      4_096,
		MaxPendingBytes: 16 << 20,
	}
}

// pacer measures what the spacing depends on.
type pacer struct {
	Pace
	members          int64
	entries, batches rateMeter
	lastSeal         protocol.Micros
	// roundTrip is the smoothed time from seal to certificate.
	roundTrip protocol.Micros
}

// note counts a batch of the network.
func (p *pacer) note(now protocol.Micros, entries int) {
	p.batches.add(now, 1)
	p.entries.add(now, int64(entries))
}

// spacing is how long after a batch the next may follow, with inflight batches
// waiting for their certificates. Round says that it begins a round. The window is spread evenly over the round
// trip, so that a slow network or a busy machine makes batches larger and not
// queues longer.
func (p *pacer) spacing(now protocol.Micros, inflight int, round bool) protocol.Micros {
	free := p.FreeBatches
	if round {
		free = p.FreeRounds * p.members
	}
	byBatches := protocol.Micros(p.batches.perSecond(now)-free) * p.PerBatch
	byEntries := protocol.Micros(p.entries.perSecond(now)) * p.PerThousand / 1000
	d := min(max(byBatches, byEntries), p.MaxSpacing)
	if inflight > 0 {
		d = max(d, p.roundTrip/protocol.Micros(p.Window))
	}
	return max(d, 0)
}

// sample takes the time that one batch took from seal to certificate.
func (p *pacer) sample(d protocol.Micros) {
	d = min(max(d, 0), 10*protocol.Second) // the clock may have jumped
	if p.roundTrip == 0 {
		p.roundTrip = d
		return
	}
	p.roundTrip += (d - p.roundTrip) / 8
}

// rateMeter counts over a sliding window of a quarter of a second.
type rateMeter struct {
	slots [rateSlots]int64
	slot  int64
}

const (
	rateSlots = 4
	slotTime  = 64 * protocol.Millisecond
)

func (r *rateMeter) add(now protocol.Micros, n int64) {
	r.advance(now)
	r.slots[r.slot%rateSlots] += n
}

func (r *rateMeter) perSecond(now protocol.Micros) int64 {
	r.advance(now)
	var sum int64
	for _, n := range r.slots {
		sum += n
	}
	return sum * int64(protocol.Second) / int64(rateSlots*slotTime)
}

func (r *rateMeter) advance(now protocol.Micros) {
	slot := max(int64(now/slotTime), 0)
	if slot < r.slot || slot-r.slot >= rateSlots {
		r.slots = [rateSlots]int64{}
		r.slot = slot
	}
	for r.slot < slot {
		r.slot++
		r.slots[r.slot%rateSlots] = 0
	}
}
