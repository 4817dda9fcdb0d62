package simulation

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/strataos/strataos/protocol"
)

//go:embed report.html
var reportText string

var reportTemplate = template.Must(template.New("report").Parse(reportText))

// Sizes of the plots in pixels.
const (
	plotWidth  = 900
	plotHeight = 220
	laneHeight = 26
	laneLeft   = 80
)

// WriteReport writes a page about a run that needs nothing beside itself. The
// command again repeats the run.
func WriteReport(w io.Writer, s *Scenario, r *Result, again string) error {
	stats := r.Stats
	var nodes []reportNode
	for i, n := range stats.Nodes {
		note := n.Liar
		if note != "" {
			note = "lies: " + note
		} else if n.LostDisk {
			note = "lost its disk"
		}
		nodes = append(nodes, reportNode{
			Name: fmt.Sprintf("node-%d", i+1), Acknowledged: n.Acknowledged, Messages: n.Messages,
			KiB: fmt.Sprintf("%.1f", float64(n.Bytes)/1024), Floor: fmt.Sprintf("%.2f", n.FloorMs), Note: note,
		})
	}
	var faults []reportCount
	for _, kind := range sortedKeys(stats.Faults) {
		faults = append(faults, reportCount{kind, stats.Faults[kind]})
	}
	return reportTemplate.Execute(w, map[string]any{
		"Again": again, "Scenario": s, "Result": r, "Good": r.Good(), "Nodes": nodes, "Faults": faults,
		"Speed":        fmt.Sprintf("%.0f", r.VirtualSeconds/max(r.WallSeconds, 1e-9)),
		"Latency":      latencyPlot(stats.latencies),
		"OrderLatency": latencyPlot(stats.orders),
		"Timeline":     timelinePlot(stats, r.Nodes, r.VirtualSeconds),
		"Messages":     barPlot(stats.Nodes, func(n NodeStats) float64 { return float64(n.Messages) }),
		"Bytes":        barPlot(stats.Nodes, func(n NodeStats) float64 { return float64(n.Bytes) / 1024 }),
	})
}

type reportNode struct {
	Name, KiB, Floor, Note string
	Acknowledged, Messages int
}

type reportCount struct {
	Kind  string
	Count int
}

// latencyPlot is a histogram over a logarithmic scale of time.
func latencyPlot(sorted []protocol.Micros) template.HTML {
	if len(sorted) == 0 {
		return "<p>There was nothing to measure.</p>"
	}
	const bins = 60
	low := math.Log10(max(float64(sorted[0]), 100))
	high := max(math.Log10(float64(sorted[len(sorted)-1])), low+0.1)
	var counts [bins]int
	for _, d := range sorted {
		at := (math.Log10(max(float64(d), 100)) - low) / (high - low)
		counts[min(int(at*bins), bins-1)]++
	}
	top := float64(slices.Max(counts[:]))
	var b strings.Builder
	svgOpen(&b, plotWidth, plotHeight+24)
	for i, n := range counts {
		h := float64(n) / top * plotHeight
		fmt.Fprintf(&b, `<rect x="%d" y="%.1f" width="%d" height="%.1f" class="bar"><title>%d</title></rect>`,
			i*plotWidth/bins, plotHeight-h, plotWidth/bins-1, h, n)
	}
	for _, ms := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000} {
		at := (math.Log10(ms*1000) - low) / (high - low)
		if at >= 0 && at <= 1 {
			fmt.Fprintf(&b, `<text x="%.0f" y="%d" class="tick">%g ms</text>`, at*plotWidth, plotHeight+16, ms)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // made of numbers alone
}

// timelinePlot shows the faults, certificates and recoveries of every node.
func timelinePlot(s *Stats, nodes int, length float64) template.HTML {
	var b strings.Builder
	width := float64(plotWidth - laneLeft)
	x := func(t protocol.Micros) float64 { return laneLeft + seconds(t)/max(length, 1e-9)*width }
	svgOpen(&b, plotWidth, (nodes+1)*laneHeight+20)
	for lane := range nodes + 1 {
		name := "network"
		if lane > 0 {
			name = fmt.Sprintf("node-%d", lane)
		}
		fmt.Fprintf(&b, `<text x="0" y="%d" class="lane">%s</text><line x1="%d" x2="%d" y1="%d" y2="%d" class="rule"/>`,
			lane*laneHeight+17, name, laneLeft, plotWidth, (lane+1)*laneHeight, (lane+1)*laneHeight)
	}
	for _, f := range s.spans {
		to := f.To
		if to < 0 {
			to = protocol.Micros(length * float64(protocol.Second))
		}
		fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" class="fault"><title>%s, %s to %s</title></rect>`,
			x(f.From), (f.Node+1)*laneHeight+4, max(x(to)-x(f.From), 2), laneHeight-8, template.HTMLEscapeString(f.Kind), text(f.From), text(to))
	}
	// Many certificates fall onto one pixel: each pixel is drawn once.
	seen := map[[2]int]bool{}
	for _, m := range s.marks {
		at := [2]int{m.Node, int(x(m.At))}
		if m.Kind == "certificate" && seen[at] {
			continue
		}
		seen[at] = true
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%d" r="%d" class="%s"><title>%s at %s</title></circle>`,
			x(m.At), (m.Node+1)*laneHeight+laneHeight/2, map[string]int{"certificate": 1, "recovered": 4, "violation": 6}[m.Kind], m.Kind, m.Kind, text(m.At))
	}
	for i := range 6 {
		t := length * float64(i) / 5
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" class="tick">%.1f s</text>`, laneLeft+width*float64(i)/5, (nodes+1)*laneHeight+16, t)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // names are escaped
}

// barPlot is a bar a node.
func barPlot(nodes []NodeStats, value func(NodeStats) float64) template.HTML {
	top := 1.0
	for _, n := range nodes {
		top = max(top, value(n))
	}
	var b strings.Builder
	svgOpen(&b, plotWidth/2, plotHeight+24)
	step := float64(plotWidth/2) / float64(len(nodes))
	for i, n := range nodes {
		h := value(n) / top * (plotHeight - 16)
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="bar"><title>node-%d: %.0f</title></rect>`,
			float64(i)*step, plotHeight-h, step*0.8, h, i+1, value(n))
		if len(nodes) <= 16 {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" class="tick">%d</text>`, (float64(i)+0.4)*step, plotHeight+16, i+1)
		}
	}
	fmt.Fprintf(&b, `<text x="0" y="12" class="lane">%.0f</text></svg>`, top)
	return template.HTML(b.String()) // made of numbers alone
}

func svgOpen(b *strings.Builder, width, height int) {
	fmt.Fprintf(b, `<svg viewBox="0 0 %d %d" width="%d" role="img">`, width, height, width)
}
