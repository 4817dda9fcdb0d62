package load

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// example is a result with every field set.
func example(t *testing.T) *Result {
	t.Helper()
	c := Config{
		URLs: []string{"http://127.0.0.1:8401", "http://127.0.0.1:8402"}, Token: "secret",
		Rate: 2000, Duration: 10 * time.Second, Warmup: 2 * time.Second, Seed: 42,
	}
	c, err := c.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{Config: c, start: time.Now().Add(-12 * time.Second)}
	for i, url := range c.URLs {
		r := newRecorder(c.Warmup)
		for n := range 1000 {
			due := c.Warmup + time.Duration(n)*10*time.Millisecond
			o := outcome{due: due, sent: due + 700*time.Microsecond, verified: n%10 == 0}
			o.done = due + time.Duration(n+1)*50*time.Microsecond*time.Duration(i+1)
			if n == 999 {
				o.code = "OVERLOADED"
			}
			r.finished(o)
		}
		r.dropped(c.Warmup)
		r.dropped(0)
		r.unfinished(c.Warmup)
		g.targets = append(g.targets, target{url: url})
		g.recorders = append(g.recorders, r)
	}
	series := []Second{{Second: 1, Count: 1998, P50: 37.5, P99: 99, Errors: 4}}
	return newResult(g, true, series, cpuTime{user: 20 * time.Millisecond, system: 30 * time.Millisecond})
}

// The JSON form is read by programs: a change to this file changes an
// interface.
func TestResultGolden(t *testing.T) {
	r := example(t)
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/result.json", append(encoded, '\n'))

	var table bytes.Buffer
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/result.txt", table.Bytes())
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (rewrite it with -update); got:\n%s", path, got)
	}
}

func TestSLO(t *testing.T) {
	good := Latency{P50: 14.9, P95: 29.9, P99: 49.9}
	tests := []struct {
		latency Latency
		counts  Counts
		held    bool
	}{
		{good, Counts{OK: 1}, true},
		{Latency{P50: 15, P95: 20, P99: 20}, Counts{OK: 1}, false},
		{Latency{P50: 1, P95: 30, P99: 40}, Counts{OK: 1}, false},
		{Latency{P50: 1, P95: 2, P99: 50}, Counts{OK: 1}, false},
		{good, Counts{OK: 1, Failed: 1}, false},
		{good, Counts{OK: 1, Dropped: 1}, false},
		{Latency{}, Counts{}, false},
	}
	for _, tt := range tests {
		if s := newSLO(tt.latency, tt.counts); s.Held != tt.held || s.Held != (len(s.BrokenBy) == 0) {
			t.Errorf("%+v %+v: %+v", tt.latency, tt.counts, s)
		}
	}
}
