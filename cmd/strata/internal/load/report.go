package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Second is one second of a run. The last may be shorter or, where answers
// were waited for, counts what came after the end.
type Second struct {
	// Second numbers the measured seconds from 1.
	Second int `json:"second"`
	// Count is the number of events answered well.
	Count int64 `json:"count"`
	// P50 and P99 are percentiles of their latency in milliseconds.
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	// Errors is the number of events that failed or were dropped.
	Errors int64 `json:"errors"`
}

// Snapshot is the state of a run in progress.
type Snapshot struct {
	// Elapsed is the time since the run began, its warm-up included, and Total
	// the time at which the last event is due.
	Elapsed, Total time.Duration
	// Warmup says that nothing is measured yet; only WarmedUp counts then.
	Warmup bool
	// WarmedUp is the number of events of the warm-up that are over.
	WarmedUp int64
	// OK, Failed and Dropped count the measured events so far.
	OK, Failed, Dropped int64
	// InFlight and Backlog count the events that a node is asked about now and
	// that wait for a connection.
	InFlight, Backlog int
	// Second is the last second.
	Second Second
}

// reporter keeps the series of seconds and calls the progress function.
type reporter struct {
	g        *generator
	progress func(Snapshot)
	scratch  *hdrhistogram.Histogram
	series   []Second
	begin    cpuTime // when measuring began
	measured bool    // it did begin
	quit     chan struct{}
	done     chan struct{}
}

func startReporter(g *generator, progress func(Snapshot)) *reporter {
	if progress == nil {
		progress = func(Snapshot) {}
	}
	r := &reporter{
		g:        g,
		progress: progress,
		scratch:  newHistogram(),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	go r.loop()
	return r
}

// loop reports at every full second before and after the end of the warm-up.
func (r *reporter) loop() {
	defer close(r.done)
	for at := r.g.Warmup % time.Second; ; at += time.Second {
		timer := time.NewTimer(at - r.g.now())
		select {
		case <-r.quit:
			timer.Stop()
			return
		case <-timer.C:
		}
		if at == r.g.Warmup {
			r.begin, r.measured = readCPU(), true
		}
		if at > 0 {
			s := r.snapshot(at > r.g.Warmup)
			if !s.Warmup {
				r.series = append(r.series, s.Second)
			}
			r.progress(s)
		}
	}
}

// stop ends the reports with a last one. It returns the series and the CPU
// time that this process took since measuring began.
func (r *reporter) stop() ([]Second, cpuTime) {
	close(r.quit)
	<-r.done
	s := r.snapshot(true)
	if s.Second.Count+s.Second.Errors > 0 {
		r.series = append(r.series, s.Second)
	}
	r.progress(s)
	if !r.measured {
		return r.series, cpuTime{}
	}
	return r.series, readCPU().since(r.begin)
}

// snapshot collects what the recorders have counted, and the last second of
// it unless that belongs to the warm-up.
func (r *reporter) snapshot(measured bool) Snapshot {
	s := Snapshot{
		Elapsed: r.g.now(),
		Total:   r.g.end(),
		Warmup:  !measured,
		Second:  Second{Second: len(r.series) + 1},
	}
	r.scratch.Reset()
	for _, rec := range r.g.recorders {
		rec.snapshot(&s)
		if measured {
			rec.takeSecond(r.scratch, &s.Second)
		}
	}
	s.Second.Count = r.scratch.TotalCount()
	s.Second.P50 = millis(r.scratch.ValueAtPercentile(50))
	s.Second.P99 = millis(r.scratch.ValueAtPercentile(99))
	for _, p := range r.g.pools {
		inFlight, backlog := p.load()
		s.InFlight += inFlight
		s.Backlog += backlog
	}
	if r.g.Rate == 0 {
		s.InFlight = r.g.Clients
	}
	return s
}

// millis converts microseconds.
func millis(us int64) float64 { return float64(us) / 1_000 }
