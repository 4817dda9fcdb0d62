package term

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// on is a Printer to a terminal in an environment.
func on(w *strings.Builder, environment map[string]string) *Printer {
	return newPrinter(w, true, func(key string) string { return environment[key] })
}

func TestColoursOnlyWhereTheyAreWanted(t *testing.T) {
	tests := []struct {
		name             string
		terminal         bool
		environment      map[string]string
		rewrite, colours bool
	}{
		{"terminal", true, map[string]string{"TERM": "xterm-256color"}, true, true},
		{"pipe", false, map[string]string{"TERM": "xterm-256color"}, false, false},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, true, false},
		{"NO_COLOR empty", true, map[string]string{"NO_COLOR": ""}, true, true},
		{"dumb terminal", true, map[string]string{"TERM": "dumb"}, false, false},
	}
	for _, tt := range tests {
		p := newPrinter(nil, tt.terminal, func(key string) string { return tt.environment[key] })
		if p.Terminal() != tt.rewrite || p.Colour() != tt.colours {
			t.Errorf("%s: terminal %v, colour %v", tt.name, p.Terminal(), p.Colour())
		}
		want := "ok"
		if tt.colours {
			want = "\x1b[32mok\x1b[0m"
		}
		if got := p.Green("ok"); got != want {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
		if got := p.Bold(""); got != "" {
			t.Errorf("%s: an empty text became %q", tt.name, got)
		}
	}
}

func TestWhatIsNoTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if IsTerminal(w) || IsTerminal(nil) || NewPrinter(w).Terminal() || NewPrinter(&strings.Builder{}).Terminal() {
		t.Error("a pipe, nothing or a buffer was taken for a terminal")
	}
}

func TestProgressInPlainLines(t *testing.T) {
	var out strings.Builder
	g := NewProgress(NewPrinter(&out))
	g.Update("starting %s", "node-1")
	g.Update("starting %s", "node-1")
	g.Done("node-1 ready")
	g.Update("starting node-2")
	g.Fail("node-2: port in use")
	g.Stop()
	g.Update("too late")
	g.Done("network stopped")
	g.Stop()
	want := "starting node-1\nnode-1 ready\nstarting node-2\nfailed: node-2: port in use\nnetwork stopped\n"
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		g := NewProgress(on(&out, map[string]string{"NO_COLOR": "1"}))
		g.Update("starting\n%s", strings.Repeat("node-1 ", 20))
		time.Sleep(frameTime)
		synctest.Wait()
		g.Done("node-1 ready")
		g.Stop()
		g.Done("bye")
		cut := "starting " + strings.Repeat("node-1 ", 9) + "node…"
		want := clearLine + "⠋ " + cut +
			clearLine + "⠙ " + cut +
			clearLine + "✓ node-1 ready\n" + clearLine + "⠙ " + cut +
			clearLine +
			clearLine + "✓ bye\n"
		if out.String() != want {
			t.Errorf("got:\n%q\nwant:\n%q", out.String(), want)
		}
	})
}

func TestTable(t *testing.T) {
	var out strings.Builder
	p := on(&out, nil)
	table := NewTable(Left, Right, Left)
	table.Row(p.Bold("name"), "ms", "note")
	table.Row("node-1", "12.5", p.Green("µ"))
	table.Row("n", "1,000")
	table.Row("a", "b", "c", "no such column")
	n, err := table.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		t.Errorf("%d bytes of %d, %v", n, out.Len(), err)
	}
	want := "\x1b[1mname\x1b[0m       ms  note\n" +
		"node-1   12.5  \x1b[32mµ\x1b[0m\n" +
		"n       1,000\n" +
		"a           b  c\n"
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}
