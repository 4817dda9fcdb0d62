package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

// Table writes the result for people, with colours if w is a terminal that
// wants them.
func (r *Result) Table(w io.Writer) error {
	p := term.NewPrinter(w)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", p.Bold(r.headline()))
	r.latencies(p, &b)
	b.WriteByte('\n')
	r.summary(p, &b)
	_, err := io.WriteString(w, b.String())
	return err
}

// headline says what was run.
func (r *Result) headline() string {
	var s string
	if r.RateAsked > 0 {
		s = fmt.Sprintf("open loop, %s events/s asked (%s)", rate(r.RateAsked), r.Arrival)
	} else {
		s = fmt.Sprintf("closed loop, %s clients", term.Number(int64(r.Clients)))
	}
	s += fmt.Sprintf(", %s-byte events, %s", term.Number(int64(r.EventBytes)), term.Duration(seconds(r.DurationSeconds)))
	if r.Subject != "" {
		s += ", all on " + r.Subject
	}
	if r.WarmupSeconds > 0 {
		s += fmt.Sprintf(" after %s of warm-up", term.Duration(seconds(r.WarmupSeconds)))
	}
	if r.Interrupted {
		s += ", interrupted"
	}
	return s
}

// latencies writes a line for each URL and one for all.
func (r *Result) latencies(p *term.Printer, b *strings.Builder) {
	t := term.NewTable(term.Left, term.Right, term.Right, term.Right,
		term.Right, term.Right, term.Right, term.Right, term.Right, term.Right)
	header := []string{"latency in ms", "ok", "failed", "dropped", "p50", "p95", "p99", "p99.9", "max", "mean"}
	for i := range header {
		header[i] = p.Dim(header[i])
	}
	t.Row(header...)
	row := func(name string, c Counts, l Latency) {
		cells := []string{name, term.Number(c.OK), term.Number(c.Failed), term.Number(c.Dropped)}
		for _, v := range []float64{l.P50, l.P95, l.P99, l.P999, l.Max, l.Mean} {
			cells = append(cells, fmt.Sprintf("%.2f", v))
		}
		t.Row(cells...)
	}
	if len(r.ByURL) > 1 {
		for _, u := range r.ByURL {
			row(u.URL, u.Counts, u.Latency)
		}
	}
	row("all", r.Counts, r.Latency)
	_, _ = t.WriteTo(b) // a strings.Builder never fails
}

// summary writes what else there is to know.
func (r *Result) summary(p *term.Printer, b *strings.Builder) {
	t := term.NewTable(term.Left, term.Left)
	t.Row("achieved", rate(r.RateAchieved)+" events/s")
	target := fmt.Sprintf("p50 < %g, p95 < %g, p99 < %g ms: ", r.SLO.P50, r.SLO.P95, r.SLO.P99)
	if r.SLO.Held {
		target += p.Green("held")
	} else {
		target += p.Red("not held") + " (" + strings.ReplaceAll(strings.Join(r.SLO.BrokenBy, ", "), "_", " ") + ")"
	}
	t.Row("target", target)
	if r.Beaten > 0 {
		t.Row("beaten", term.Number(r.Beaten)+" proposals, by another one on the subject")
	}
	if len(r.FailedByCode) > 0 {
		var codes []string
		for _, code := range slices.Sorted(maps.Keys(r.FailedByCode)) {
			codes = append(codes, code+" "+term.Number(r.FailedByCode[code]))
		}
		t.Row("failed", p.Red(strings.Join(codes, ", ")))
	}
	if r.Unfinished > 0 {
		t.Row("unfinished", term.Number(r.Unfinished))
	}
	if r.Verified > 0 {
		t.Row("verified", term.Number(r.Verified)+" answers")
	}
	t.Row("generator", fmt.Sprintf("%.1f s of CPU (%.0f µs an event), events sent late by p50 %.2f, p99 %.2f, max %.2f ms",
		r.CPU.UserSeconds+r.CPU.SystemSeconds, r.CPU.MicrosPerEvent, r.SendLag.P50, r.SendLag.P99, r.SendLag.Max))
	_, _ = t.WriteTo(b)
}

// rate formats events a second: whole where there are many.
func rate(v float64) string {
	if v >= 100 {
		return term.Number(int64(v + 0.5))
	}
	return fmt.Sprintf("%.3g", v)
}
