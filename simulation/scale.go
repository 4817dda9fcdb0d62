package simulation

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// ScalePoint is how a scenario does with a number of members.
type ScalePoint struct {
	Scenario string `json:"scenario"`
	Nodes    int    `json:"nodes"`
	Quorum   int    `json:"quorum"`
	// FloorMs is the median over the members of the least time to a
	// certificate that their links allow, without disks and processors.
	FloorMs float64     `json:"floor_ms"`
	Latency Percentiles `json:"latency_ms"`
	// OrderLatency is from the submission of an anchor to its place in the ledger.
	OrderLatency Percentiles `json:"order_latency_ms"`
	// Messages and Bytes are what a member sends for each event that the
	// network attests, everything included.
	Messages float64 `json:"messages_per_event_and_node"`
	Bytes    float64 `json:"bytes_per_event_and_node"`
}

// Scale runs a scenario with several numbers of members.
func Scale(ctx context.Context, s *Scenario, sizes []int, seed uint64, progress func(done int)) ([]ScalePoint, error) {
	var out []ScalePoint
	for i, n := range sizes {
		sized := *s
		sized.Resize(n)
		sized.Duration = scaleDuration(s.Duration, n)
		sized.Load.Proposals = 0 // each brings as many votes as there are members
		r, err := Run(ctx, &sized, seed, Options{})
		if err != nil {
			return nil, err
		}
		if !r.Good() {
			return nil, fmt.Errorf("%s with %d nodes: %s: %s", s.Name, n, r.Violations[0].Rule, r.Violations[0].Detail)
		}
		out = append(out, r.scalePoint())
		if progress != nil {
			progress(i + 1)
		}
	}
	return out, nil
}

// scaleDuration shortens a run with many members: what happens in a second grows
// with their square, and the second is no other than the one before it.
func scaleDuration(d Duration, members int) Duration {
	const enough, all = Duration(time.Second), 16
	if members <= all || d <= enough {
		return d
	}
	return max(enough, d*all*all/Duration(members*members))
}

func (r *Result) scalePoint() ScalePoint {
	floors := make([]float64, r.Nodes)
	for i, n := range r.Stats.Nodes {
		floors[i] = n.FloorMs
	}
	slices.Sort(floors)
	per := max(float64(r.Stats.Acknowledged), 1) * float64(r.Nodes)
	return ScalePoint{
		Scenario: r.Scenario, Nodes: r.Nodes, Quorum: 2*r.Nodes/3 + 1,
		FloorMs: floors[len(floors)/2], Latency: r.Stats.Latency, OrderLatency: r.Stats.OrderLatency,
		Messages: float64(r.Stats.Messages) / per, Bytes: float64(r.Stats.Bytes) / per,
	}
}

// Geometry of the plot of scales, in pixels.
const (
	scaleWidth  = 720
	scaleHeight = 300
	scaleLeft   = 60
	scaleTop    = 40
)

// WriteScalePlot draws the median latencies of each scenario and the floor over
// the number of members, as SVG. The points of a scenario follow one another.
func WriteScalePlot(w io.Writer, points []ScalePoint) error {
	var sizes []int
	top := 1.0
	for _, p := range points {
		if !slices.Contains(sizes, p.Nodes) {
			sizes = append(sizes, p.Nodes)
		}
		top = max(top, p.Latency.P50, p.OrderLatency.P50, p.FloorMs)
	}
	slices.Sort(sizes)
	pw := &plotWriter{w: w}
	x := func(nodes int) float64 {
		return scaleLeft + float64(slices.Index(sizes, nodes))/float64(max(len(sizes)-1, 1))*(scaleWidth-2*scaleLeft)
	}
	y := func(ms float64) float64 { return scaleTop + scaleHeight - ms/top*scaleHeight }
	pw.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", scaleWidth, scaleTop+scaleHeight+50)
	pw.printf(`<rect width="100%%" height="100%%" fill="white"/>` + "\n")
	for i := range 5 {
		ms := top * float64(i) / 4
		pw.printf(`<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f ms</text>`+"\n",
			scaleLeft, scaleWidth-scaleLeft, y(ms), y(ms), scaleLeft-8, y(ms)+4, ms)
	}
	for _, n := range sizes {
		pw.printf(`<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(n), scaleTop+scaleHeight+20, n)
	}
	pw.printf(`<text x="%d" y="%d" text-anchor="middle">members</text>`+"\n", scaleWidth/2, scaleTop+scaleHeight+40)
	colours := []string{"#3a6ea5", "#b3261e", "#176f2c", "#7b4ea3"}
	for i, name := range scenariosOf(points) {
		colour := colours[i%len(colours)]
		pw.line(points, name, colour, "", x, func(p ScalePoint) float64 { return y(p.Latency.P50) })
		pw.line(points, name, colour, ` stroke-dasharray="5 4"`, x, func(p ScalePoint) float64 { return y(p.FloorMs) })
		pw.line(points, name, colour, ` stroke-dasharray="1 3"`, x, func(p ScalePoint) float64 { return y(p.OrderLatency.P50) })
		pw.printf(`<text x="%d" y="%d" fill="%s">%s: certified, dashed the floor, dotted ordered</text>`+"\n", scaleLeft+i*340, 20, colour, name)
	}
	pw.printf("</svg>\n")
	return pw.err
}

func scenariosOf(points []ScalePoint) []string {
	var names []string
	for _, p := range points {
		if !slices.Contains(names, p.Scenario) {
			names = append(names, p.Scenario)
		}
	}
	return names
}

// plotWriter writes until an error comes.
type plotWriter struct {
	w   io.Writer
	err error
}

func (p *plotWriter) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *plotWriter) line(points []ScalePoint, scenario, colour, style string, x func(int) float64, y func(ScalePoint) float64) {
	p.printf(`<polyline fill="none" stroke="%s" stroke-width="2"%s points="`, colour, style)
	for _, pt := range points {
		if pt.Scenario == scenario {
			p.printf("%.1f,%.1f ", x(pt.Nodes), y(pt))
		}
	}
	p.printf("\"/>\n")
}
