package term

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// frames of the spinner, and how long each is shown.
var frames = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

const frameTime = 100 * time.Millisecond

// clearLine goes to the start of the line and erases it.
const clearLine = "\r\x1b[K"

// Progress shows steps as they are worked on and done. On a terminal the step
// being worked on is a line with a spinner, which is replaced:
//
//	✓ node-1 ready
//	⠹ starting node-2
//
// Elsewhere every message is a plain line of its own, written once. While a
// Progress runs, nothing else may write to its Printer. Its methods may be
// called from many goroutines.
type Progress struct {
	p *Printer

	mu      sync.Mutex
	message string // being worked on; empty: nothing is
	frame   int
	stopped bool

	quit chan struct{}
	done chan struct{}
}

// NewProgress starts a Progress. It must be stopped.
func NewProgress(p *Printer) *Progress {
	g := &Progress{p: p, quit: make(chan struct{}), done: make(chan struct{})}
	if p.terminal {
		go g.spin()
	} else {
		close(g.done)
	}
	return g
}

// Update says what is being worked on now.
func (g *Progress) Update(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped || message == g.message {
		return
	}
	g.message = message
	if g.p.terminal {
		g.draw()
	} else {
		g.p.Println(message)
	}
}

// Done says that a step is done.
func (g *Progress) Done(format string, args ...any) {
	g.line(g.p.Green("✓"), "", fmt.Sprintf(format, args...))
}

// Fail says that a step failed.
func (g *Progress) Fail(format string, args ...any) {
	g.line(g.p.Red("✗"), "failed: ", fmt.Sprintf(format, args...))
}

// line writes a lasting line above the spinner: with a mark on a terminal,
// with a prefix elsewhere.
func (g *Progress) line(mark, prefix, message string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.p.terminal {
		g.p.Println(prefix + message)
		return
	}
	g.p.Printf("%s%s %s\n", clearLine, mark, message)
	if !g.stopped {
		g.draw()
	}
}

// Stop takes the spinner away. Lasting lines stay, and more may be added.
func (g *Progress) Stop() {
	g.mu.Lock()
	if !g.stopped {
		g.stopped = true
		close(g.quit)
		if g.p.terminal {
			g.p.Printf(clearLine)
		}
	}
	g.mu.Unlock()
	<-g.done
}

func (g *Progress) spin() {
	defer close(g.done)
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	for {
		select {
		case <-g.quit:
			return
		case <-ticker.C:
		}
		g.mu.Lock()
		if !g.stopped {
			g.frame = (g.frame + 1) % len(frames)
			g.draw()
		}
		g.mu.Unlock()
	}
}

// draw rewrites the spinner's line, if there is something to show. A line
// that wraps could not be rewritten, so it is cut to the terminal's width.
func (g *Progress) draw() {
	if g.message == "" {
		return
	}
	message := []rune(strings.ReplaceAll(g.message, "\n", " "))
	if room := g.p.width() - 3; len(message) > room {
		message = append(message[:max(room-1, 0)], '…')
	}
	g.p.Printf("%s%s %s", clearLine, g.p.Cyan(string(frames[g.frame])), string(message))
}
