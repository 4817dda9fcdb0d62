package main

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
	"github.com/strataos/strataos/node/setup"
)

func newInit() *cobra.Command {
	var (
		network, out, host string
		nodes              int
		peerPort, httpPort int
		members            []string
		asJSON             bool
		join               joinOptions
	)
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the files of a new network, or of a node that is to join one",
		Long: `Makes the files of a new network in a folder that does not exist yet:

  genesis.json  founds the network; every node needs the same one
  policy        the C2SP trust policy that proofs are checked against
  NAME/         a node's configuration and keys: give it to who runs the node,
                and to nobody else

PEERHOST is where the other members reach the node, by address or name; the
node listens on all of its own addresses at that port. APIHOST is where its API
listens, and URL where others find the API, if they are meant to.

With --join, it makes the files of one node that is to become a member of a
network that there is, by the network's genesis: a file, or the URL of a node
that is asked for it. Everything that the new node takes from others it checks
against the genesis, so whoever gives it a false one takes it into a network of
his own: --network-id, which one of the members tells over another way, makes
sure. The node may be started at once; it takes part once the members have
accepted the proposal in member.json.`,
		Example: `  strata init --network ledger.example/prod --out net \
    --member acme=10.0.0.1:9401,127.0.0.1:8401 \
    --member globex=peer.globex.example:9401,127.0.0.1:8401,https://strata.globex.example …
  strata init --network ledger.example/test --nodes 4 --out net
  strata init --join https://strata.acme.example --network-id 0x4f… --out net \
    --member hooli=10.0.9.1:9401,127.0.0.1:8401`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&network, "network", "", "name of the new network, such as ledger.example/prod")
	f.StringVar(&join.from, "join", "", "instead of --network: genesis file of the network to join, or URL of one of its nodes")
	f.StringVar(&join.id, "network-id", "", "with --join: the id that the network must have")
	f.StringVar(&join.token, "token", "", "with --join by URL: token of that node's API [STRATA_TOKEN]")
	f.StringVar(&out, "out", "", "folder to make (required)")
	f.StringArrayVar(&members, "member", nil, "a node: NAME=PEERHOST:PORT,APIHOST:PORT[,URL] (repeat)")
	f.IntVar(&nodes, "nodes", 0, "instead of --member: that many nodes on --host, named node-1 and so on")
	f.StringVar(&host, "host", "127.0.0.1", "with --nodes: the address of all")
	f.IntVar(&peerPort, "p2p-port", 9401, "with --nodes: the first node's port for peers")
	f.IntVar(&httpPort, "http-port", 8401, "with --nodes: the first node's port of the API")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("out")
	cmd.MarkFlagsOneRequired("network", "join")
	cmd.MarkFlagsMutuallyExclusive("network", "join")
	cmd.MarkFlagsMutuallyExclusive("nodes", "join")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var plan []setup.Node
		for _, m := range members {
			n, err := parseMember(m)
			if err != nil {
				return err
			}
			plan = append(plan, n)
		}
		if join.from != "" {
			if len(plan) != 1 {
				return fmt.Errorf("--member says who is to join: name one")
			}
			return join.run(cmd, out, plan[0], asJSON)
		}
		if (len(plan) == 0) == (nodes == 0) {
			return fmt.Errorf("say who the members are: either --member for each, or --nodes N")
		}
		for i := range nodes {
			n, err := planNode(fmt.Sprintf("node-%d", i+1), net.JoinHostPort(host, strconv.Itoa(peerPort+i)), fmt.Sprintf("127.0.0.1:%d", httpPort+i))
			if err != nil {
				return err
			}
			plan = append(plan, n)
		}
		g, err := setup.Create(out, network, plan)
		if err != nil {
			return err
		}
		id, err := g.ID()
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), map[string]any{
				"network": network, "id": id, "members": len(plan),
				"genesis": filepath.Join(out, setup.GenesisFile), "policy": filepath.Join(out, setup.PolicyFile),
			})
		}
		p := term.NewPrinter(cmd.OutOrStdout())
		p.Printf("%s %s with %d members\n", p.Green("made"), p.Bold(network), len(plan))
		p.Printf("  network id  %s\n  genesis     %s\n  policy      %s\n", id,
			filepath.Join(out, setup.GenesisFile), filepath.Join(out, setup.PolicyFile))
		p.Printf("\nOn each node, beside the genesis:\n  %s\n  %s\n",
			p.Cyan(opsToken("NAME/config.toml")),
			p.Cyan("strata run --config NAME/config.toml"))
		return nil
	}
	return cmd
}

func parseMember(s string) (setup.Node, error) {
	name, rest, ok := strings.Cut(s, "=")
	parts := strings.SplitN(rest, ",", 3)
	if !ok || len(parts) < 2 {
		return setup.Node{}, fmt.Errorf("--member %q: want NAME=PEERHOST:PORT,APIHOST:PORT[,URL]", s)
	}
	n, err := planNode(name, parts[0], parts[1])
	if err == nil && len(parts) == 3 {
		n.URL = strings.TrimSuffix(parts[2], "/")
		if u, e := url.Parse(n.URL); e != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			err = fmt.Errorf("member %s: %q is not a URL such as https://api.acme.example", name, parts[2])
		}
	}
	return n, err
}

// planNode turns addresses with ports into what setup takes.
func planNode(name, peer, api string) (setup.Node, error) {
	host, port, err := net.SplitHostPort(peer)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 1 || n > 65535 || host == "" {
		return setup.Node{}, fmt.Errorf("member %s: %q is not an address with a port from 1 to 65535", name, peer)
	}
	if _, apiPort, err := net.SplitHostPort(api); err != nil || apiPort == "" {
		return setup.Node{}, fmt.Errorf("member %s: %q is not an address with a port", name, api)
	}
	kind, listen := listenHosts(host)
	n := setup.Node{Name: name, PeerAddr: fmt.Sprintf("/%s/%s/tcp/%s", kind, host, port), HTTPListen: api}
	for _, l := range listen {
		n.PeerListen = append(n.PeerListen, l+"/tcp/"+port)
	}
	return n, nil
}

// listenHosts tells how a host's multiaddr begins, and where a node listens
// that is dialled there. A name, or the address of a router, is not the node's
// own: it listens on all that it has, but for a host that nobody else can reach.
func listenHosts(host string) (kind string, listen []string) {
	ip := net.ParseIP(host)
	switch {
	case host == "localhost":
		return "dns", []string{"/ip4/127.0.0.1", "/ip6/::1"}
	case ip == nil:
		return "dns", []string{"/ip4/0.0.0.0", "/ip6/::"}
	case ip.To4() != nil:
		kind, listen = "ip4", []string{"/ip4/0.0.0.0"}
	default:
		kind, listen = "ip6", []string{"/ip6/::"}
	}
	if ip.IsLoopback() {
		listen = []string{"/" + kind + "/" + host}
	}
	return kind, listen
}
