package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/protocol/jcs"
)

func TestWhereNodesListen(t *testing.T) {
	for peer, want := range map[string][]string{
		"10.0.0.1:9401":          {"/ip4/10.0.0.1/tcp/9401", "/ip4/0.0.0.0/tcp/9401"},
		"127.0.0.1:9401":         {"/ip4/127.0.0.1/tcp/9401", "/ip4/127.0.0.1/tcp/9401"},
		"[2001:db8::1]:9401":     {"/ip6/2001:db8::1/tcp/9401", "/ip6/::/tcp/9401"},
		"[::1]:9401":             {"/ip6/::1/tcp/9401", "/ip6/::1/tcp/9401"},
		"peer.acme.example:9401": {"/dns/peer.acme.example/tcp/9401", "/ip4/0.0.0.0/tcp/9401", "/ip6/::/tcp/9401"},
		"localhost:9401":         {"/dns/localhost/tcp/9401", "/ip4/127.0.0.1/tcp/9401", "/ip6/::1/tcp/9401"},
	} {
		n, err := parseMember("acme=" + peer + ",127.0.0.1:8401,https://acme.example/")
		if err != nil || n.PeerAddr != want[0] || !slices.Equal(n.PeerListen, want[1:]) || n.URL != "https://acme.example" {
			t.Errorf("%s: %+v %v", peer, n, err)
		}
	}
	for _, m := range []string{"acme=:9401,127.0.0.1:8401", "acme=a:0,127.0.0.1:8401", "acme=a:9401,b", "acme=a:9401,b:1,c", "acme=a:9401"} {
		if n, err := parseMember(m); err == nil {
			t.Errorf("%s is taken as %+v", m, n)
		}
	}
}

// TestInitStarts makes a network whose members know each other by name, and
// runs it.
func TestInitStarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	ports, err := freePorts(8)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"init", "--network", "ledger.example/test", "--out", dir}
	var names []string
	for i := range 4 {
		names = append(names, fmt.Sprintf("acme-%d", i))
		args = append(args, "--member", fmt.Sprintf("%s=localhost:%d,127.0.0.1:%d", names[i], ports[i], ports[4+i]))
	}
	var out strings.Builder
	if code := run(args, &out, &out); code != 0 {
		t.Fatal(out.String())
	}
	if text, err := os.ReadFile(filepath.Join(dir, setup.GenesisFile)); err != nil || strings.Contains(string(text), "http") {
		t.Errorf("a loopback address is told as a URL: %s %v", text, err)
	}
	for i, name := range names {
		log := &output{}
		r, err := startInProcess(context.Background(), filepath.Join(dir, name, setup.ConfigFile),
			map[string]string{"log-level": "debug", "log-format": "json"}, nopCloser{log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			r.interrupt()
			<-r.done()
			if err := r.err(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for line := range strings.Lines(log.String()) {
				if err := jcs.Members([]byte(line), func(_, _ []byte) error { return nil }); err != nil {
					t.Errorf("a line of the log: %v: %s", err, line)
					break
				}
			}
		})
		cfg, _, err := config.Load(filepath.Join(dir, name, setup.ConfigFile), nil, nil)
		if err != nil || cfg.HTTPListen != fmt.Sprintf("127.0.0.1:%d", ports[4+i]) {
			t.Errorf("%+v %v", cfg, err)
		}
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for _, port := range ports[4:] {
		if err := poll(readyIn, func() error { return ready(fmt.Sprintf("http://127.0.0.1:%d", port)) }); err != nil {
			t.Fatal(err)
		}
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
