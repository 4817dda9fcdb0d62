package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/node/auth"
	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

const (
	devName   = "strata.example/dev"
	devTokens = "tokens.json"
	// devReady is how long the nodes may take to be ready.
	devReady = 30 * time.Second
	// devStop is how long a node may take to stop before it is killed.
	devStop = 10 * time.Second
)

// devOptions are what strata dev is asked for.
type devOptions struct {
	nodes     int
	data      string
	httpPort  int
	inProcess bool
	network   string // "" takes the network that the folder has
	logLevel  string
	// settings are more settings of a node, if not nil.
	settings func(name string) map[string]string
}

func newDev() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a local network, until it is interrupted",
		Long: `Runs a network of nodes on this machine, one process a node, and prints how to
use it. Its data is kept and used again at the next start. For scripts, the
folder has a file dev.json with the network's name, a token, the policy file
and the nodes.`,
		Example: `  strata dev
  strata dev --nodes 7 --data /tmp/seven --http-port 9001`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.IntVar(&o.nodes, "nodes", 4, "number of nodes")
	f.StringVar(&o.data, "data", defaultDev, "folder of the network")
	f.IntVar(&o.httpPort, "http-port", 8401, "the first node's port of the API; the others' follow (0: any that are free)")
	f.BoolVar(&o.inProcess, "in-process", false, "run all nodes in this process")
	f.StringVar(&o.network, "network", "", "name of the network (default: that of --data, or "+devName+")")
	f.StringVar(&o.logLevel, "log-level", "info", "least severe messages in the nodes' logs")
	completeWords(cmd, "log-level", wordsOf("log.level")...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runDev(cmd, o) }
	return cmd
}

func runDev(cmd *cobra.Command, o devOptions) error {
	if o.nodes < 1 || o.nodes > protocol.MaxMembers {
		return fmt.Errorf("--nodes is %d: want 1 to %d", o.nodes, protocol.MaxMembers)
	}
	if o.httpPort < 0 || o.httpPort+o.nodes-1 > 65535 {
		return fmt.Errorf("--http-port is %d: want ports from 1 to 65535 for %d nodes, or 0", o.httpPort, o.nodes)
	}
	data, err := filepath.Abs(o.data)
	if err != nil {
		return err
	}
	o.data = data
	out := term.NewPrinter(cmd.OutOrStdout())
	progress := term.NewProgress(out)
	d, err := startDev(cmd.Context(), o, progress)
	progress.Stop()
	if d != nil {
		defer d.stop(out)
	}
	if err != nil {
		return err
	}
	d.greet(out)
	d.wait(cmd.Context(), out)
	return nil
}

// devNetwork is a running local network.
type devNetwork struct {
	options devOptions
	info    devInfo
	runners []runner
}

// startDev makes the network's files where there are none, starts its nodes
// and waits until they are ready. With an error it may return a network that
// has to be stopped.
func startDev(ctx context.Context, o devOptions, progress *term.Progress) (*devNetwork, error) {
	g, err := devGenesis(o)
	if err != nil {
		return nil, err
	}
	token, err := devToken(o.data)
	if err != nil {
		return nil, err
	}
	d := &devNetwork{options: o, info: devInfo{
		Network: g.Network, Token: token, Policy: filepath.Join(o.data, setup.PolicyFile),
	}}
	ports, err := apiPorts(o, g)
	if err != nil {
		return nil, err
	}
	for i, m := range g.Members {
		port := ports[i]
		progress.Update("starting %s", m.Name)
		r, err := startRunner(ctx, o, m.Name, port)
		if err != nil {
			return d, failedf("%s: %w", m.Name, err)
		}
		d.runners = append(d.runners, r)
		d.info.Nodes = append(d.info.Nodes, devNode{
			Name: m.Name, URL: fmt.Sprintf("http://127.0.0.1:%d", port), PID: r.pid(), Data: filepath.Join(o.data, m.Name),
		})
	}
	if err := d.awaitReady(ctx, progress); err != nil {
		return d, err
	}
	return d, d.writeInfo()
}

// restart starts a node that has stopped, where it was.
func (d *devNetwork) restart(ctx context.Context, i int) error {
	n := &d.info.Nodes[i]
	_, port, err := net.SplitHostPort(strings.TrimPrefix(n.URL, "http://"))
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	r, err := startRunner(ctx, d.options, n.Name, number)
	if err != nil {
		return failedf("%s: %w", n.Name, err)
	}
	d.runners[i], n.PID = r, r.pid()
	return d.writeInfo()
}

// devGenesis reads the network's genesis, or makes the network.
func devGenesis(o devOptions) (*protocol.Genesis, error) {
	text, err := os.ReadFile(filepath.Join(o.data, setup.GenesisFile))
	if errors.Is(err, os.ErrNotExist) {
		return makeDev(o)
	}
	if err != nil {
		return nil, err
	}
	g, err := protocol.ParseGenesis(text)
	if err != nil {
		return nil, err
	}
	if o.network != "" && g.Network != o.network {
		return nil, fmt.Errorf("%s holds the network %s: use another --data folder for %s, or remove this one", o.data, g.Network, o.network)
	}
	if len(g.Members) != o.nodes {
		return nil, fmt.Errorf("%s holds a network of %d nodes: use --nodes %d, or another --data folder, or remove this one", o.data, len(g.Members), len(g.Members))
	}
	return g, nil
}

// makeDev makes the files of a network on this machine.
func makeDev(o devOptions) (*protocol.Genesis, error) {
	peers, err := freePorts(2 * o.nodes)
	if err != nil {
		return nil, err
	}
	apis := peers[o.nodes:]
	var plan []setup.Node
	for i := range o.nodes {
		if o.httpPort != 0 {
			apis[i] = o.httpPort + i
		}
		api := fmt.Sprintf("127.0.0.1:%d", apis[i])
		plan = append(plan, setup.Node{
			Name:     fmt.Sprintf("node-%d", i+1),
			PeerAddr: fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", peers[i]),
			// dev sets both again at each start.
			HTTPListen: api, Tokens: "../" + devTokens,
			URL: "http://" + api, Accept: devAccept,
		})
	}
	name := o.network
	if name == "" {
		name = devName
	}
	return setup.Create(o.data, name, plan)
}

// devAccept has a newcomer see a decision at once.
var devAccept = []string{"test.**", "demo.**"}

// Ports below those that systems give to outgoing connections: a node that is
// stopped finds its own free when it starts again.
const (
	firstPort = 10_000
	portRange = 20_000
)

// freePorts finds ports that nobody listens on, and holds them all while it looks.
func freePorts(n int) ([]int, error) {
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		port := firstPort + rand.IntN(portRange)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			if tries > 100*n {
				return nil, fmt.Errorf("no free ports from %d to %d: %w", firstPort, firstPort+portRange-1, err)
			}
			continue
		}
		defer l.Close()
		ports = append(ports, port)
	}
	return ports, nil
}

// apiPorts are the ports of the nodes' APIs, which must be free. Where any will
// do, they are those of the nodes' files, if nobody else has taken one.
func apiPorts(o devOptions, g *protocol.Genesis) ([]int, error) {
	if o.httpPort == 0 {
		if ports, err := portsOfFiles(o, g); err == nil {
			return ports, nil
		}
		return freePorts(o.nodes)
	}
	var ports []int
	for i := range o.nodes {
		if err := checkPort(o.httpPort + i); err != nil {
			return nil, err
		}
		ports = append(ports, o.httpPort+i)
	}
	return ports, nil
}

// portsOfFiles reads the ports that the nodes' files name, if all are free.
func portsOfFiles(o devOptions, g *protocol.Genesis) ([]int, error) {
	var ports []int
	for _, m := range g.Members {
		cfg, _, err := config.Load(filepath.Join(o.data, m.Name, setup.ConfigFile), nil, nil)
		if err != nil {
			return nil, err
		}
		_, text, err := net.SplitHostPort(cfg.HTTPListen)
		if err != nil {
			return nil, err
		}
		port, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		if err := checkPort(port); err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

func checkPort(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return failedf("port %d is taken, perhaps by another local network: stop that, or use --http-port", port)
	}
	return l.Close()
}

// devToken returns the token of dev.json, or makes one for all nodes.
func devToken(data string) (string, error) {
	tokens := filepath.Join(data, devTokens)
	if old, err := readDev(data); err == nil {
		if known, err := auth.Open(tokens, nil); err == nil {
			if p, err := known.Authenticate("Bearer "+old.Token, time.Now()); err == nil && p.May(auth.Vote) {
				return old.Token, nil
			}
		}
	}
	token, _, err := auth.Create(tokens, auth.Spec{Name: "dev", Tier: auth.Production, Scopes: []auth.Scope{auth.Read, auth.Write, auth.Vote}})
	return token, err
}

func (d *devNetwork) writeInfo() error {
	text, err := json.MarshalIndent(d.info, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(d.options.data, devFile)
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// awaitReady waits until every node says that it is ready, or that its member has
// left, and no longer than until one of them stops.
func (d *devNetwork) awaitReady(parent context.Context, progress *term.Progress) error {
	ctx, cancel := context.WithTimeout(parent, devReady)
	defer cancel()
	ends := d.ends(ctx)
	for _, n := range d.info.Nodes {
		progress.Update("waiting for %s", n.Name)
		is := "ready"
		for {
			if _, err := call(ctx, "GET", n.URL+"/readyz", "", nil, nil); err == nil {
				break
			}
			if askStatus(ctx, n.URL, d.info.Token).Left {
				is = "has left the network"
				break
			}
			select {
			case e := <-ends:
				stopped := d.info.Nodes[e.node]
				return failedf("%s stopped%s\n%s", stopped.Name, e.reason(), logTail(stopped.Data))
			case <-ctx.Done():
				if parent.Err() != nil {
					return failedf("interrupted before the network was up")
				}
				return failedf("%s is not ready after %v\n%s", n.Name, devReady, logTail(n.Data))
			case <-time.After(50 * time.Millisecond):
			}
		}
		progress.Done("%s %s", n.Name, is)
	}
	return nil
}

// nodeEnd is a node that has stopped.
type nodeEnd struct {
	node int
	err  error
}

// reason tells why it has stopped, if it said.
func (e nodeEnd) reason() string {
	if e.err == nil {
		return ""
	}
	return ": " + e.err.Error()
}

// ends tells which nodes stop, until the context ends.
func (d *devNetwork) ends(ctx context.Context) <-chan nodeEnd {
	ends := make(chan nodeEnd)
	for i, r := range d.runners {
		go func() {
			select {
			case <-r.done():
				select {
				case ends <- nodeEnd{i, r.err()}:
				case <-ctx.Done():
				}
			case <-ctx.Done():
			}
		}()
	}
	return ends
}

// greet prints how to use the network.
func (d *devNetwork) greet(p *term.Printer) {
	self, err := os.Executable()
	if err != nil {
		self = "strata"
	}
	n := len(d.info.Nodes)
	p.Printf("\n%s is up: %d nodes, of which %d may fail or lie\n\n", p.Bold(d.info.Network), n, quorum.Faults(n))
	for _, n := range d.info.Nodes {
		p.Printf("  %s  %s\n", n.Name, n.URL)
	}
	p.Printf("  token   %s\n  policy  %s\n\n", d.info.Token, d.info.Policy)
	p.Printf("Attest an event, and keep the proof:\n\n  %s\n\n", p.Cyan(fmt.Sprintf(
		`curl -s %s/v1/witness/attest -H 'Authorization: Bearer %s' -d '{"event":{"type":"user.action","payload":{"action":"transfer","amount":1000}}}' | tee proof.json`,
		d.info.Nodes[0].URL, d.info.Token)))
	p.Printf("Check it offline:\n\n  %s\n\n", p.Cyan(shellLine(self, "verify", "--policy", d.info.Policy, "proof.json")))
	p.Printf("%s\n", p.Dim("Ctrl-C stops the network; its data stays in "+d.options.data))
}

// wait returns when the context ends. Nodes that stop meanwhile are told of;
// the others go on.
func (d *devNetwork) wait(ctx context.Context, p *term.Printer) {
	ends := d.ends(ctx)
	for range d.runners {
		select {
		case <-ctx.Done():
			return
		case e := <-ends:
			n := d.info.Nodes[e.node]
			p.Printf("%s %s stopped%s\n%s  start it again: %s\n", p.Red("✗"), n.Name, e.reason(), logTail(n.Data), d.again(n))
		}
	}
}

// again is the command line that starts a node as it ran.
func (d *devNetwork) again(n devNode) string {
	self, err := os.Executable()
	if err != nil {
		self = "strata"
	}
	listen := strings.TrimPrefix(n.URL, "http://")
	return shellLine(append([]string{self, "run"}, nodeArgs(d.options, n.Name, listen)...)...)
}

// shellLine writes a command so that a shell reads these arguments.
func shellLine(args ...string) string {
	for i, a := range args {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./:=,+@%", r)
		}) {
			args[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(args, " ")
}

// stop stops all nodes at once and waits for them.
func (d *devNetwork) stop(p *term.Printer) {
	p.Printf("\nstopping …\n")
	for _, r := range d.runners {
		r.interrupt()
	}
	deadline := time.After(devStop)
	for i, r := range d.runners {
		select {
		case <-r.done():
		case <-deadline:
			p.Printf("%s does not stop and is killed\n", d.info.Nodes[i].Name)
			r.kill()
		}
	}
}
