package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/protocol"
)

// TestDevSaysWhatWorks runs every command that strata dev prints, as a shell
// does. Settings in the environment are no node's.
func TestDevSaysWhatWorks(t *testing.T) {
	t.Setenv("STRATA_MEMBER", "nobody")
	t.Setenv("STRATA_LOG_LEVEL", "loud")
	net := startProcesses(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	if out := net.out.String(); !strings.Contains(out, "4 nodes, of which 1 may fail or lie") {
		t.Errorf("%s", out)
	}

	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("there is no curl: its line was not run")
	} else {
		net.shell(net.line("curl "))
		if got := net.shell(net.line(" verify ")); !strings.Contains(got, "the proof is valid") {
			t.Errorf("%s", got)
		}
	}

	// A node that has stopped is started again as the line says.
	n := net.info.Nodes[1]
	net.kill(1)
	net.await("start it again: ")
	if out := net.out.String(); strings.Contains(out, "<nil>") {
		t.Errorf("%s", out)
	}
	_, again, _ := strings.Cut(net.line("start it again: "), "start it again: ")
	cmd := exec.Command("sh", "-c", "exec "+again)
	cmd.Env = withoutSettings(os.Environ())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGTERM)
	if err := poll(readyIn, func() error { return ready(n.URL) }); err != nil {
		t.Errorf("%s: %v\n%s", again, err, logTail(n.Data))
	}
}

// line finds the line of strata dev's output that has a text.
func (p *processes) line(text string) string {
	p.t.Helper()
	for line := range strings.Lines(p.out.String()) {
		if strings.Contains(line, text) {
			return strings.TrimSpace(line)
		}
	}
	p.t.Fatalf("no line has %q:\n%s", text, p.out)
	return ""
}

func (p *processes) shell(line string) string {
	p.t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = filepath.Dir(p.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// TestDevFiles demands that the files of a local network say what is so.
func TestDevFiles(t *testing.T) {
	o := devOptions{nodes: 2, data: filepath.Join(t.TempDir(), "net")}
	g, err := devGenesis(o)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := apiPorts(o, g)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range g.Members {
		cfg, _, err := config.Load(filepath.Join(o.data, m.Name, setup.ConfigFile), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Tokens != filepath.Join(o.data, devTokens) || m.URL != "http://"+cfg.HTTPListen || !strings.HasSuffix(m.URL, ":"+strconv.Itoa(ports[i])) {
			t.Errorf("%+v, %s, port %d", cfg, m.URL, ports[i])
		}
	}
	for network, good := range map[string]bool{"": true, g.Network: true, "strata.example/other": false} {
		o.network = network
		if _, err := devGenesis(o); (err == nil) != good {
			t.Errorf("the data taken for %q: %v", network, err)
		}
	}
	o.nodes, o.network = 3, ""
	if _, err := devGenesis(o); err == nil {
		t.Error("three nodes of a network of two")
	}
}

func TestShellLine(t *testing.T) {
	for _, want := range []string{"plain", "two words", "it's", "$HOME;ls", "", "a=b,c:d/é"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellLine(want)).Output()
		if err != nil || string(out) != want {
			t.Errorf("%q becomes %q, %v", want, out, err)
		}
	}
}

// TestDevStops demands that the start of a network is given up as soon as any
// of its nodes stops.
func TestDevStops(t *testing.T) {
	o := devOptions{nodes: 3, data: filepath.Join(t.TempDir(), "net"), inProcess: true, logLevel: "info"}
	var g *protocol.Genesis
	var err error
	if g, err = devGenesis(o); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	close(ended)
	d := &devNetwork{options: o}
	for i, m := range g.Members {
		r := &process{}
		if r.ended = make(chan struct{}); i == 2 {
			r.ended = ended
		}
		d.runners = append(d.runners, r)
		d.info.Nodes = append(d.info.Nodes, devNode{Name: m.Name, URL: "http://127.0.0.1:1", Data: filepath.Join(o.data, m.Name)})
	}
	err = d.awaitReady(t.Context(), term.NewProgress(term.NewPrinter(io.Discard)))
	if err == nil || !strings.HasPrefix(err.Error(), "node-3 stopped\n") {
		t.Errorf("%v", err)
	}
}

func FuzzParseDev(f *testing.F) {
	f.Add([]byte(`{"network":"a.b","token":"t","policy":"p","nodes":[{"name":"node-1","url":"http://127.0.0.1:1","pid":1,"data":"d"}]}`))
	f.Add([]byte(`{"nodes":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, ok := parseDev(text); ok && len(d.Nodes) == 0 {
			t.Errorf("%q: a network without nodes", text)
		}
	})
}
