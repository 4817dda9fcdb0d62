package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/chaos"
	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// chaosOptions are what strata chaos is asked for.
type chaosOptions struct {
	dev    devOptions
	script string
	length time.Duration
	rate   float64
	seed   uint64
	asJSON bool
}

func newChaos() *cobra.Command {
	var o chaosOptions
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Run a local network under fire, and judge what it acknowledged",
		Long: `Runs a real local network with a TCP proxy between every two peers, and a load,
while nodes are partitioned, slowed, paused, killed and started again: as the
seed says, as a script says, or as you type. At the end everything heals, and
every event that was acknowledged must be verified by every node. It exits with
1 if one is lost or if two nodes contradict each other.

A script has lines of a time and a command; with --script - commands are read
from standard input and done at once:

` + chaos.Usage,
		Example: `  strata chaos --for 30s --rate 100
  strata chaos --script - --nodes 7
  strata chaos --script faults.txt --for 1m`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.IntVar(&o.dev.nodes, "nodes", 4, "number of nodes")
	f.StringVar(&o.dev.data, "data", "", "folder of the network (default: one that is removed at the end)")
	f.StringVar(&o.dev.logLevel, "log-level", "info", "least severe messages in the nodes' logs")
	f.StringVar(&o.script, "script", "", "file of commands; - is standard input (default: random faults)")
	f.DurationVar(&o.length, "for", time.Minute, "how long faults come")
	f.Float64Var(&o.rate, "rate", 50, "events a second to attest meanwhile")
	f.Uint64Var(&o.seed, "seed", 1, "decides the random faults")
	f.BoolVar(&o.asJSON, "json", false, "print the verdict as JSON")
	completeWords(cmd, "log-level", wordsOf("log.level")...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runChaos(cmd, o) }
	return cmd
}

func runChaos(cmd *cobra.Command, o chaosOptions) error {
	if o.dev.nodes < 1 || o.dev.nodes > 16 {
		return fmt.Errorf("--nodes is %d: want 1 to 16, which one machine carries", o.dev.nodes)
	}
	if o.rate < 1 || o.rate > 5000 {
		return fmt.Errorf("--rate is %v: want 1 to 5000", o.rate)
	}
	if o.length <= 0 {
		return fmt.Errorf("--for is %v: want a time, such as 30s", o.length)
	}
	if o.dev.data == "" {
		dir, err := os.MkdirTemp("", "strata-chaos-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dev.data, o.dev.network = filepath.Join(dir, "net"), "strata.example/chaos"
	}
	var err error
	if o.dev.data, err = filepath.Abs(o.dev.data); err != nil {
		return err
	}
	out := term.NewPrinter(cmd.OutOrStdout())
	if o.asJSON {
		out = term.NewPrinter(cmd.ErrOrStderr())
	}
	c, err := startChaos(cmd.Context(), o, out)
	if c != nil {
		defer c.stop()
	}
	if err != nil {
		return err
	}
	err = c.play(cmd.Context(), cmd.InOrStdin())
	interrupted := cmd.Context().Err() != nil
	if err != nil && !interrupted { // what an interrupt has cut short is no fault
		return err
	}
	// Who interrupts wants to know how it stands until now.
	v, err := c.judge(context.WithoutCancel(cmd.Context()))
	if err != nil {
		return err
	}
	v.Interrupted = interrupted
	if o.asJSON {
		err = printJSON(term.NewPrinter(cmd.OutOrStdout()), v)
	} else {
		v.tell(out)
	}
	if err == nil && !v.Good {
		err = &exitError{code: exitFailed}
	}
	return err
}

// chaosNetwork is a local network under fire.
type chaosNetwork struct {
	options chaosOptions
	out     *term.Printer
	script  []chaos.Command // if there is a file of one
	mesh    *chaos.Mesh
	dev     *devNetwork
	load    *chaosLoad
	names   []string
	paused  map[int]bool
	down    map[int]bool
	done    int // commands
}

func startChaos(ctx context.Context, o chaosOptions, out *term.Printer) (*chaosNetwork, error) {
	g, err := devGenesis(o.dev)
	if err != nil {
		return nil, err
	}
	c := &chaosNetwork{options: o, out: out, paused: map[int]bool{}, down: map[int]bool{}}
	targets, err := c.targets(g)
	if err != nil {
		return nil, err
	}
	if err := c.readScript(); err != nil {
		return nil, err
	}
	if c.mesh, err = chaos.NewMesh(targets); err != nil {
		return nil, err
	}
	o.dev.settings = func(name string) map[string]string {
		return map[string]string{"p2p-dial": c.dials(name)}
	}
	progress := term.NewProgress(out)
	c.dev, err = startDev(ctx, o.dev, progress)
	progress.Stop()
	if err != nil {
		return c, err
	}
	c.load, err = startChaosLoad(&c.dev.info, o.rate)
	return c, err
}

// targets are the TCP addresses that nodes listen on for peers.
func (c *chaosNetwork) targets(g *protocol.Genesis) ([]string, error) {
	var out []string
	for _, m := range g.Members {
		c.names = append(c.names, m.Name)
		addr, err := multiaddr.NewMultiaddr(m.Addrs[0])
		if err != nil {
			return nil, err
		}
		tcp, err := manet.ToNetAddr(addr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		if _, ok := tcp.(*net.TCPAddr); !ok {
			return nil, fmt.Errorf("%s: %s is no TCP address", m.Name, addr)
		}
		out = append(out, tcp.String())
	}
	return out, nil
}

// dials is the setting that has a node dial its peers by the proxies.
func (c *chaosNetwork) dials(name string) string {
	var pairs []string
	for i := range c.names {
		if c.names[i] != name {
			continue
		}
		for j, peer := range c.names {
			if j != i {
				pairs = append(pairs, fmt.Sprintf("%s=/ip4/127.0.0.1/tcp/%d", peer, c.mesh.Addr(i, j).Port))
			}
		}
	}
	return strings.Join(pairs, ",")
}

// readScript reads the script, if that is a file: before anything is started,
// since it may not be there, or say what cannot be done.
func (c *chaosNetwork) readScript() error {
	name := c.options.script
	if name == "" || name == "-" {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if c.script, err = chaos.ParseScript(file, c.names); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// play does what the script, the seed or the person says.
func (c *chaosNetwork) play(ctx context.Context, stdin io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.length)
	defer cancel()
	var commands []chaos.Command
	switch c.options.script {
	case "-":
		return c.listen(ctx, stdin)
	case "":
		n := len(c.names)
		commands = chaos.Random(c.options.seed, n, quorum.Faults(n), c.options.length)
	default:
		commands = c.script
	}
	start := time.Now()
	for _, cmd := range commands {
		if !sleep(ctx, time.Until(start.Add(cmd.At))) || cmd.Verb == "quit" {
			break
		}
		if err := c.do(ctx, cmd); err != nil {
			return err
		}
	}
	if len(commands) == 0 || commands[len(commands)-1].Verb != "quit" {
		sleep(ctx, time.Until(start.Add(c.options.length)))
	}
	return nil
}

// sleep waits, and answers false if the context ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// listen does what a person types.
func (c *chaosNetwork) listen(ctx context.Context, stdin io.Reader) error {
	c.out.Printf("%s", chaos.Usage)
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(stdin)
		for in.Scan() {
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			if strings.TrimSpace(line) == "" {
				continue
			}
			cmd, err := chaos.ParseCommand(line, c.names)
			if err == nil && cmd.Verb == "quit" {
				return nil
			}
			if err == nil {
				err = c.do(ctx, cmd)
			}
			if err != nil {
				c.out.Printf("%s %v\n", c.out.Red("✗"), err)
			}
		}
	}
}

// do carries out a command, and tells of it.
func (c *chaosNetwork) do(ctx context.Context, cmd chaos.Command) error {
	all := cmd.Nodes
	if len(all) == 0 {
		for i := range c.names {
			all = append(all, i)
		}
	}
	var errs []error
	switch cmd.Verb {
	case "partition":
		c.mesh.Partition(cmd.Nodes)
	case "cut":
		c.mesh.Cut(cmd.Nodes[0], cmd.Nodes[1])
	case "delay":
		c.mesh.Delay(all, cmd.Delay, cmd.Jitter)
	case "heal":
		c.mesh.Heal()
	case "wait":
		sleep(ctx, cmd.Delay)
		return nil
	case "status":
		c.status()
		return nil
	default:
		for _, i := range cmd.Nodes {
			errs = append(errs, c.doTo(ctx, cmd.Verb, i))
		}
	}
	c.done++
	c.out.Printf("%s  %s\n", c.load.summary(), c.out.Bold(cmd.String(c.names)))
	return errors.Join(errs...)
}

// doTo carries out a command to a process. One that it is not fit for is left.
func (c *chaosNetwork) doTo(ctx context.Context, verb string, i int) error {
	r := c.dev.runners[i]
	switch {
	case verb == "pause" && !c.down[i] && !c.paused[i]:
		c.paused[i] = true
		return suspend(r.pid())
	case verb == "resume" && c.paused[i]:
		delete(c.paused, i)
		return resume(r.pid())
	case verb == "kill" && !c.down[i]:
		c.down[i] = true
		delete(c.paused, i)
		r.kill()
		<-r.done()
	case verb == "start" && c.down[i]:
		delete(c.down, i)
		return c.dev.restart(ctx, i)
	}
	return nil
}

func (c *chaosNetwork) status() {
	c.out.Printf("%s; links: %s\n", c.load.summary(), c.mesh)
	for i, n := range c.dev.info.Nodes {
		state := c.out.Green("runs")
		if c.paused[i] {
			state = "paused"
		} else if c.down[i] {
			state = c.out.Red("killed")
		}
		c.out.Printf("  %s  %s  %s\n", n.Name, n.URL, state)
	}
}

// heal ends all that is wrong, and waits until every node is ready.
func (c *chaosNetwork) heal(ctx context.Context) error {
	c.mesh.Heal()
	for i := range c.names {
		if err := errors.Join(c.doTo(ctx, "resume", i), c.doTo(ctx, "start", i)); err != nil {
			return err
		}
	}
	progress := term.NewProgress(c.out)
	defer progress.Stop()
	return c.dev.awaitReady(ctx, progress)
}

func (c *chaosNetwork) stop() {
	if c.load != nil {
		c.load.stop()
	}
	for i := range c.paused {
		_ = resume(c.dev.runners[i].pid()) // so that it can end
	}
	if c.dev != nil {
		c.dev.stop(c.out)
	}
	_ = c.mesh.Close() // nobody uses it any more
}
