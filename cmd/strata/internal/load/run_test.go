package load

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Over real connections, in both loops: every answer is about its event.
func TestRunAgainstHTTPServers(t *testing.T) {
	for _, rate := range []float64{0, 500} {
		var urls []string
		for range 2 {
			server := httptest.NewServer(http.HandlerFunc(attest))
			defer server.Close()
			urls = append(urls, server.URL)
		}
		var kept atomic.Int64
		r, err := Run(t.Context(), Config{
			URLs:     urls,
			Token:    "secret",
			Rate:     rate,
			Clients:  4,
			Duration: 200 * time.Millisecond,
			Verify:   1,
			KeepAnswers: func(body []byte) {
				if strings.Contains(string(body), `"quorum":"3/4"`) {
					kept.Add(1)
				}
			},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK == 0 || r.Failed != 0 || r.Verified != r.OK || kept.Load() != r.OK {
			t.Errorf("rate %v: %+v, %d kept", rate, r.Counts, kept.Load())
		}
		for _, u := range r.ByURL {
			if u.OK == 0 {
				t.Errorf("rate %v: nothing went to %s", rate, u.URL)
			}
		}
		if rate > 0 && r.OK+r.Dropped != 100 {
			t.Errorf("%d events at %v/s in 200 ms", r.OK+r.Dropped, rate)
		}
		if r.Seed == 0 || r.Latency.Max < r.Latency.P50 || r.Latency.P50 <= 0 {
			t.Errorf("seed %d, latency %+v", r.Seed, r.Latency)
		}
	}
}

func TestClosedLoopRunsBackToBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := fakeNode{answer: func(int64) (int, string) {
			time.Sleep(10 * time.Millisecond)
			return 200, `{}`
		}}
		c := config()
		c.URLs = append(c.URLs, "http://node-2")
		c.Clients = 3
		r, err := run(t.Context(), c, node.dial, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK != 300 || r.ByURL[0].OK != 200 || r.ByURL[1].OK != 100 || node.dials.Load() != 3 {
			t.Errorf("%+v, %d connections", r.Counts, node.dials.Load())
		}
		if !near(r.Latency.Max, 10) || !near(r.Latency.Mean, 10) || r.RateAchieved != 300 || !r.SLO.Held {
			t.Errorf("%+v at %v/s", r.Latency, r.RateAchieved)
		}
	})
}

func TestClosedLoopSparesANodeThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := httptest.NewUnstartedServer(nil)
		address := server.Listener.Addr().String()
		server.Listener.Close()
		c := config()
		c.URLs = []string{"http://" + address}
		r, err := Run(t.Context(), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed == 0 || r.Failed > 100 || r.FailedByCode[CodeConnectionRefused] != r.Failed || r.SLO.Held {
			t.Errorf("%+v %+v", r.Counts, r.SLO)
		}
	})
}

func TestConfigErrorsNameTheField(t *testing.T) {
	tests := []struct {
		field  string
		change func(*Config)
	}{
		{"urls", func(c *Config) { c.URLs = nil }},
		{"urls", func(c *Config) { c.URLs = []string{"127.0.0.1:8401"} }},
		{"urls", func(c *Config) { c.URLs = []string{"ftp://node-1"} }},
		{"urls", func(c *Config) { c.URLs = []string{"http://node-1?x=1"} }},
		{"urls", func(c *Config) { c.URLs = []string{"http://\x00"} }},
		{"token", func(c *Config) { c.Token = "" }},
		{"token", func(c *Config) { c.Token = "a\r\nX-Evil: b" }},
		{"rate", func(c *Config) { c.Rate = -1 }},
		{"rate", func(c *Config) { c.Rate = 1e-300 }},
		{"rate", func(c *Config) { c.Rate = math.NaN() }},
		{"rate", func(c *Config) { c.Rate = math.Inf(1) }},
		{"arrival", func(c *Config) { c.Arrival = "bursts" }},
		{"clients", func(c *Config) { c.Clients = -1 }},
		{"clients", func(c *Config) { c.Clients = 10_001 }},
		{"backlog", func(c *Config) { c.MaxBacklog = -1 }},
		{"duration", func(c *Config) { c.Duration = 0 }},
		{"warmup", func(c *Config) { c.Warmup = -1 }},
		{"event bytes", func(c *Config) { c.EventBytes = minEventBytes - 1 }},
		{"event bytes", func(c *Config) { c.EventBytes = 2 << 20 }},
		{"timeout", func(c *Config) { c.Timeout = 6 * time.Second }},
		{"timeout", func(c *Config) { c.Timeout = time.Microsecond }},
		{"verify", func(c *Config) { c.Verify = -1 }},
	}
	for _, tt := range tests {
		c := config()
		tt.change(&c)
		r, err := Run(t.Context(), c, nil)
		if r != nil || err == nil || !strings.HasPrefix(err.Error(), tt.field+": ") {
			t.Errorf("%s: result %v, error %v", tt.field, r, err)
		}
	}
}
