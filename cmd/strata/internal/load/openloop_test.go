package load

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func config() Config {
	return Config{URLs: []string{"http://node-1"}, Token: "secret", Duration: time.Second, Seed: 1}
}

// A node that stalls for a second must show in the latency of every event
// that was due meanwhile, also of those that it answered at once afterwards.
func TestStallCountsForEveryEventItDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := fakeNode{answer: func(n int64) (int, string) {
			if n == 0 {
				time.Sleep(time.Second)
			}
			return 200, `{}`
		}}
		c := config()
		c.Rate, c.Clients, c.Duration, c.Timeout = 10, 1, 2*time.Second, 5*time.Second
		r, err := run(t.Context(), c, node.dial, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK != 20 || r.Sent != 20 || r.Failed != 0 || r.Dropped != 0 {
			t.Fatalf("counts: %+v", r.Counts)
		}
		// Due at 0, 100, … 900 ms and answered at 1,000 ms; ten more at once.
		l := r.Latency
		if !near(l.Max, 1000) || !near(l.P95, 900) || !near(l.P50, 0) || !near(l.Mean, 275) {
			t.Errorf("latency: %+v", l)
		}
		if !near(r.SendLag.Max, 900) {
			t.Errorf("send lag: %+v", r.SendLag)
		}
		if r.SLO.Held || !slices.Equal(r.SLO.BrokenBy, []string{"p95", "p99"}) {
			t.Errorf("slo: %+v", r.SLO)
		}
		if r.DurationSeconds != 2 || r.RateAchieved != 10 {
			t.Errorf("%v s at %v/s", r.DurationSeconds, r.RateAchieved)
		}
	})
}

func TestFullBacklogDropsAndReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := fakeNode{answer: func(n int64) (int, string) {
			if n == 0 {
				time.Sleep(time.Second)
			}
			return 200, `{}`
		}}
		c := config()
		c.Rate, c.Clients, c.MaxBacklog, c.Timeout = 100, 1, 5, 2*time.Second
		r, err := run(t.Context(), c, node.dial, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK != 6 || r.Dropped != 94 || r.Sent != 6 || !slices.Contains(r.SLO.BrokenBy, "dropped") {
			t.Fatalf("%+v %+v", r.Counts, r.SLO)
		}
	})
}

func TestEventThatWaitsLongerThanItsTimeoutIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := fakeNode{answer: func(int64) (int, string) {
			time.Sleep(90 * time.Millisecond)
			return 200, `{}`
		}}
		c := config()
		c.Rate, c.Clients, c.Timeout = 100, 1, 100*time.Millisecond
		begin := time.Now()
		r, err := run(t.Context(), c, node.dial, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Dropped == 0 || r.OK+r.Dropped != 100 || r.Latency.Max > 190.2 {
			t.Fatalf("%+v, max %v ms", r.Counts, r.Latency.Max)
		}
		// The backlog is not worked off for longer than an event may take.
		if took := time.Since(begin); took > 1200*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestSeriesAddsUpToTheTotals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := fakeNode{answer: func(n int64) (int, string) {
			time.Sleep(time.Duration(n%7) * 10 * time.Millisecond)
			if n%10 == 9 {
				return 503, `{"error":{"code":"OVERLOADED"}}`
			}
			return 200, `{}`
		}}
		c := config()
		c.URLs = []string{"http://node-1", "http://node-2", "http://node-3"}
		c.Rate, c.Duration, c.Warmup, c.Arrival = 300, 3*time.Second, 1500*time.Millisecond, Poisson
		var last Snapshot
		var warm, calls int
		r, err := run(t.Context(), c, node.dial, func(s Snapshot) {
			calls++
			if s.Warmup {
				warm++
			}
			last = s
		})
		if err != nil {
			t.Fatal(err)
		}
		var count, errs int64
		for i, s := range r.Series {
			count += s.Count
			errs += s.Errors
			if s.Second != i+1 {
				t.Errorf("second %d of the series is numbered %d", i+1, s.Second)
			}
		}
		if count != r.OK || errs != r.Failed || r.OK == 0 || r.Failed == 0 {
			t.Errorf("series has %d ok, %d errors; counts are %+v", count, errs, r.Counts)
		}
		if r.FailedByCode["OVERLOADED"] != r.Failed {
			t.Errorf("codes: %v", r.FailedByCode)
		}
		if last.OK != r.OK || last.Failed != r.Failed || last.InFlight != 0 || last.Backlog != 0 {
			t.Errorf("last snapshot: %+v", last)
		}
		if warm != 2 || calls < 5 || last.WarmedUp == 0 {
			t.Errorf("%d snapshots, %d of the warm-up, %d warmed up", calls, warm, last.WarmedUp)
		}
		if sent := r.Sent + last.WarmedUp; sent != node.count.Load() {
			t.Errorf("%d events accounted for, the node had %d", sent, node.count.Load())
		}
		var byURL int64
		for _, u := range r.ByURL {
			byURL += u.Sent
			if u.Sent < r.Sent/3-1 || u.Sent > r.Sent/3+1 {
				t.Errorf("%s had %d of %d events", u.URL, u.Sent, r.Sent)
			}
		}
		if byURL != r.Sent {
			t.Errorf("by url %d, in all %d", byURL, r.Sent)
		}
	})
}

func TestConnectionsAreAsFewAsTheLoadNeeds(t *testing.T) {
	tests := []struct {
		name     string
		rate     float64
		answer   time.Duration
		duration time.Duration
		dials    int64
	}{
		{"one is enough", 100, 5 * time.Millisecond, time.Second, 1},
		{"three overlap", 100, 25 * time.Millisecond, time.Second, 3},
		{"idle ones are replaced", 0.05, 0, time.Minute, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node := fakeNode{answer: func(int64) (int, string) {
					time.Sleep(tt.answer)
					return 200, `{}`
				}}
				c := config()
				c.Rate, c.Duration = tt.rate, tt.duration
				if _, err := run(t.Context(), c, node.dial, nil); err != nil {
					t.Fatal(err)
				}
				if n := node.dials.Load(); n != tt.dials {
					t.Errorf("%d connections, want %d", n, tt.dials)
				}
			})
		})
	}
}

func TestCancelStopsAtOnce(t *testing.T) {
	for _, rate := range []float64{0, 10} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			over := make(chan struct{})
			defer close(over)
			node := fakeNode{answer: func(n int64) (int, string) {
				if n > 0 {
					<-over
				}
				return 200, `{}`
			}}
			c := config()
			c.Rate, c.Clients, c.Duration, c.Timeout = rate, 1, time.Minute, 5*time.Second
			time.AfterFunc(1050*time.Millisecond, cancel)
			begin := time.Now()
			r, err := run(ctx, c, node.dial, nil)
			if took := time.Since(begin); took != 1050*time.Millisecond {
				t.Errorf("took %v", took)
			}
			if !errors.Is(err, context.Canceled) || r == nil || !r.Interrupted {
				t.Fatalf("result %+v, error %v", r, err)
			}
			// Due until then in the open loop: 11, of which one was answered.
			want := int64(1)
			if rate > 0 {
				want = 10
			}
			if r.OK != 1 || r.Failed != 0 || r.Unfinished != want || !near(r.DurationSeconds, 1.05) {
				t.Errorf("%+v in %v s", r.Counts, r.DurationSeconds)
			}
		})
	}
}

func TestSilentNodeTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		node := fakeNode{answer: func(int64) (int, string) {
			<-over
			return 200, `{}`
		}}
		c := config()
		c.Rate, c.Timeout = 10, 100*time.Millisecond
		begin := time.Now()
		r, err := run(t.Context(), c, node.dial, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed != 10 || r.FailedByCode[CodeTimeout] != 10 {
			t.Errorf("%+v", r.Counts)
		}
		if took := time.Since(begin); took > 900*time.Millisecond+c.Timeout+2*grace {
			t.Errorf("took %v", took)
		}
	})
}

func TestArrivals(t *testing.T) {
	for _, arrival := range []Arrival{Constant, Poisson} {
		c := Config{Rate: 1000, Arrival: arrival, Seed: 7}
		a, b := newSchedule(c), newSchedule(c)
		const n = 100_000
		var last time.Duration
		for range n {
			if a.next != b.next {
				t.Fatalf("%s: one seed gave %v and %v", arrival, a.next, b.next)
			}
			if a.next.due < last {
				t.Fatalf("%s: %v is before the event before it", arrival, a.next)
			}
			last = a.next.due
			a.advance()
			b.advance()
		}
		// 100 s; the deviation of Poisson's sum is 0.3 s.
		if s := last.Seconds(); s < 98 || s > 102 {
			t.Errorf("%s: %d events took %v s", arrival, n, s)
		}
	}
}
