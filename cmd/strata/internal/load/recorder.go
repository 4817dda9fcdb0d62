package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// newHistogram holds latencies in microseconds, from 1 µs to a minute, to
// three significant digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, time.Minute.Microseconds(), 3)
}

// record adds a latency to a histogram. What is out of range counts as the
// nearest bound.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	// Within the range RecordValue cannot fail.
	_ = h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue()))
}

// outcome is what became of an event.
type outcome struct {
	due, sent, done time.Duration // since the start of the run
	code            string        // of the failure; empty: answered well
	beaten          bool          // by another proposal
	verified        bool
}

// tally is what has been counted of measured events.
type tally struct {
	latency    *hdrhistogram.Histogram // of ok events, from due to done
	lag        *hdrhistogram.Histogram // of all that were sent, from due to sent
	ok         int64
	failed     int64
	dropped    int64
	beaten     int64
	unfinished int64
	verified   int64
	codes      map[string]int64
	last       time.Duration // when the last answer came
}

func newTally() tally {
	return tally{latency: newHistogram(), lag: newHistogram(), codes: map[string]int64{}}
}

func (t *tally) merge(from *tally) {
	t.latency.Merge(from.latency)
	t.lag.Merge(from.lag)
	t.ok += from.ok
	t.failed += from.failed
	t.dropped += from.dropped
	t.beaten += from.beaten
	t.unfinished += from.unfinished
	t.verified += from.verified
	for code, n := range from.codes {
		t.countCode(code, n)
	}
	t.last = max(t.last, from.last)
}

func (t *tally) countCode(code string, n int64) {
	if _, known := t.codes[code]; !known && len(t.codes) >= maxCodes {
		code = CodeOther
	}
	t.codes[code] += n
}

// recorder counts the events of one URL. One per URL rather than one per
// connection: a histogram takes 139 KB, there may be thousands of connections,
// and a lock taken 10,000 times a second is hardly ever contended.
type recorder struct {
	warmup time.Duration // events due earlier are not measured

	mu     sync.Mutex
	total  tally
	second *hdrhistogram.Histogram // latencies since the last takeSecond
	errors int64                   // failed and dropped since then
	warmed int64                   // events of the warm-up that are over
}

func newRecorder(warmup time.Duration) *recorder {
	return &recorder{warmup: warmup, total: newTally(), second: newHistogram()}
}

// finished counts an event that was sent and has come to an end.
func (r *recorder) finished(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.due < r.warmup {
		r.warmed++
		return
	}
	t := &r.total
	t.last = max(t.last, o.done)
	record(t.lag, o.sent-o.due)
	if o.verified {
		t.verified++
	}
	if o.beaten {
		t.beaten++
		return
	}
	if o.code != "" {
		t.failed++
		t.countCode(o.code, 1)
		r.errors++
		return
	}
	t.ok++
	record(t.latency, o.done-o.due)
	record(r.second, o.done-o.due)
}

// dropped counts an event that was never sent.
func (r *recorder) dropped(due time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if due < r.warmup {
		r.warmed++
		return
	}
	r.total.dropped++
	r.errors++
}

// unfinished counts an event that was given up because the run was ended.
func (r *recorder) unfinished(due time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if due >= r.warmup {
		r.total.unfinished++
	}
}

// snapshot adds what has been counted in all.
func (r *recorder) snapshot(s *Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.WarmedUp += r.warmed
	s.OK += r.total.ok
	s.Failed += r.total.failed
	s.Dropped += r.total.dropped
}

// takeSecond adds what has been counted since it was last called.
func (r *recorder) takeSecond(latencies *hdrhistogram.Histogram, s *Second) {
	r.mu.Lock()
	defer r.mu.Unlock()
	latencies.Merge(r.second)
	r.second.Reset()
	s.Errors += r.errors
	r.errors = 0
}
