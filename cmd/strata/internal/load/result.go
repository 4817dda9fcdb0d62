package load

import "github.com/HdrHistogram/hdrhistogram-go"

// The latency that every operation of the API promises, in milliseconds. A
// percentile must stay below its bound.
const (
	boundP50 = 15
	boundP95 = 30
	boundP99 = 50
)

// Latency summarises times in milliseconds, to three significant digits.
type Latency struct {
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

func newLatency(h *hdrhistogram.Histogram) Latency {
	p := h.ValueAtPercentilesSlice([]float64{50, 95, 99, 99.9})
	return Latency{
		P50:  millis(p[0]),
		P95:  millis(p[1]),
		P99:  millis(p[2]),
		P999: millis(p[3]),
		Max:  millis(h.Max()),
		Mean: h.Mean() / 1_000,
	}
}

// Counts says what became of the measured events.
type Counts struct {
	// Sent is OK + Failed + Beaten.
	Sent int64 `json:"sent"`
	// OK counts answers with status 200 that passed the check, if made.
	OK int64 `json:"ok"`
	// Beaten counts proposals that another one on their subject has beaten.
	Beaten int64 `json:"beaten,omitempty"`
	// Failed counts all other answers and those that did not come.
	Failed int64 `json:"failed"`
	// Dropped counts events that were due but not sent, because too many
	// waited for a connection, or they themselves for too long.
	Dropped int64 `json:"dropped"`
	// Unfinished counts events that waited for a connection or an answer when
	// the run was interrupted.
	Unfinished int64 `json:"unfinished"`
	// Verified counts answers that were checked.
	Verified int64 `json:"verified"`
	// FailedByCode divides Failed by the code of the node's error, or the
	// Code constants of this package.
	FailedByCode map[string]int64 `json:"failed_by_code"`
}

func (t *tally) counts() Counts {
	return Counts{
		Sent:         t.ok + t.failed + t.beaten,
		OK:           t.ok,
		Beaten:       t.beaten,
		Failed:       t.failed,
		Dropped:      t.dropped,
		Unfinished:   t.unfinished,
		Verified:     t.verified,
		FailedByCode: t.codes,
	}
}

// URLResult is what was measured of one URL.
type URLResult struct {
	URL string `json:"url"`
	Counts
	// Latency is of the events answered well.
	Latency Latency `json:"latency_ms"`
}

// SLO compares a run with the promised latency.
type SLO struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	// Held says that all percentiles were below these bounds and that no
	// event failed or was dropped.
	Held bool `json:"held"`
	// BrokenBy names what was not held: p50, p95, p99, failed, dropped, or
	// nothing_measured.
	BrokenBy []string `json:"broken_by"`
}

func newSLO(l Latency, c Counts) SLO {
	s := SLO{P50: boundP50, P95: boundP95, P99: boundP99, BrokenBy: []string{}}
	for _, check := range []struct {
		name   string
		broken bool
	}{
		{"p50", l.P50 >= s.P50},
		{"p95", l.P95 >= s.P95},
		{"p99", l.P99 >= s.P99},
		{"failed", c.Failed > 0},
		{"dropped", c.Dropped > 0},
		{"nothing_measured", c.OK == 0},
	} {
		if check.broken {
			s.BrokenBy = append(s.BrokenBy, check.name)
		}
	}
	s.Held = len(s.BrokenBy) == 0
	return s
}

// CPU is what the generator, the process that called Run, used of the
// processors while it measured. It is zero on systems that do not tell.
type CPU struct {
	UserSeconds   float64 `json:"user_s"`
	SystemSeconds float64 `json:"system_s"`
	// MicrosPerEvent is their sum divided by the events sent.
	MicrosPerEvent float64 `json:"us_per_event"`
}

// Result is what a run measured. Its JSON names are stable.
type Result struct {
	// Loop is "open" or "closed".
	Loop string `json:"loop"`
	// Arrival spaced the events of the open loop.
	Arrival Arrival `json:"arrival,omitempty"`
	// Clients, EventBytes, Timeout and Seed are those of the Config, with its
	// defaults filled in.
	Clients    int    `json:"clients"`
	Subject    string `json:"subject,omitempty"`
	EventBytes int    `json:"event_bytes"`
	TimeoutMS  int64  `json:"timeout_ms"`
	Seed       uint64 `json:"seed"`
	// WarmupSeconds came before what was measured.
	WarmupSeconds float64 `json:"warmup_s"`
	// DurationSeconds is the time measured: until the last event was due or
	// the last answer came, whichever was later.
	DurationSeconds float64 `json:"duration_s"`
	// Interrupted says that the run was ended early.
	Interrupted bool `json:"interrupted"`

	// RateAsked is the Config's rate in events a second, 0 in the closed loop;
	// RateAchieved is OK events by DurationSeconds.
	RateAsked    float64 `json:"rate_asked"`
	RateAchieved float64 `json:"rate_achieved"`
	Counts
	// Latency is of the events answered well: in the open loop from when they
	// were due, in the closed loop from when they were sent.
	Latency Latency `json:"latency_ms"`
	// SendLag is the part of the latency that passed before the event was
	// sent: waiting for a connection, and for this process to be scheduled.
	SendLag Latency `json:"send_lag_ms"`
	SLO     SLO     `json:"slo"`
	CPU     CPU     `json:"client_cpu"`

	ByURL  []URLResult `json:"by_url"`
	Series []Second    `json:"series"`
}

// newResult sums up a run that is over, or was interrupted.
func newResult(g *generator, interrupted bool, series []Second, cpu cpuTime) *Result {
	r := &Result{
		Loop:          "closed",
		Clients:       g.Clients,
		Subject:       g.Subject,
		EventBytes:    g.EventBytes,
		TimeoutMS:     g.Timeout.Milliseconds(),
		Seed:          g.Seed,
		WarmupSeconds: g.Warmup.Seconds(),
		Interrupted:   interrupted,
		RateAsked:     g.Rate,
		Series:        append([]Second{}, series...),
	}
	if g.Rate > 0 {
		r.Loop, r.Arrival = "open", g.Arrival
	}
	total := newTally()
	for i, rec := range g.recorders {
		total.merge(&rec.total)
		r.ByURL = append(r.ByURL, URLResult{
			URL:     g.targets[i].url,
			Counts:  rec.total.counts(),
			Latency: newLatency(rec.total.latency),
		})
	}
	r.Counts = total.counts()
	r.Latency = newLatency(total.latency)
	r.SendLag = newLatency(total.lag)
	r.SLO = newSLO(r.Latency, r.Counts)

	until := g.end()
	if interrupted {
		until = min(until, g.now())
	}
	r.DurationSeconds = max(max(total.last, until)-g.Warmup, 0).Seconds()
	if r.DurationSeconds > 0 {
		r.RateAchieved = float64(r.OK) / r.DurationSeconds
	}
	r.CPU = CPU{UserSeconds: cpu.user.Seconds(), SystemSeconds: cpu.system.Seconds()}
	if r.Sent > 0 {
		r.CPU.MicrosPerEvent = float64((cpu.user + cpu.system).Microseconds()) / float64(r.Sent)
	}
	return r
}
