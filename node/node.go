// Package node puts a node together: storage, machines, peers and the API.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/api"
	"github.com/strataos/strataos/node/auth"
	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/deliver"
	"github.com/strataos/strataos/node/policy"
	"github.com/strataos/strataos/node/setup"
	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/p2p"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// Node is one running node.
type Node struct {
	cfg     *config.Config
	logger  *slog.Logger
	genesis *protocol.Genesis
	self    protocol.MemberID

	db        *pebbleds.Datastore
	store     *store.Store
	machines  *actors.Host
	host      *p2p.Host
	tokens    *auth.Tokens
	api       *api.Server
	voter     *policy.Voter
	deliverer *deliver.Deliverer
	delivers  bool
	registry  *prometheus.Registry

	listener net.Listener
	server   *http.Server
	workers  sync.WaitGroup
	running  context.Context // until the node is stopped
	stop     context.CancelFunc
	failed   chan error
	closed   sync.Once
}

// New opens what a node works with: its files, its store and its ports. What
// it opened before an error it closes.
func New(cfg *config.Config, logger *slog.Logger) (_ *Node, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, logger: logger, failed: make(chan error, 1), registry: prometheus.NewRegistry()}
	n.running, n.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	committee, err := n.readGenesis()
	if err != nil {
		return nil, err
	}
	if err := n.openStore(committee); err != nil {
		return nil, err
	}
	if n.tokens, err = auth.Open(cfg.Tokens, logger); err != nil {
		return nil, err
	}
	if err := n.openAccord(); err != nil {
		return nil, err
	}
	if err := n.join(committee); err != nil {
		return nil, err
	}
	if err := n.openAPI(committee); err != nil {
		return nil, err
	}
	n.watch()
	return n, nil
}

func (n *Node) readGenesis() (*quorum.Committee, error) {
	text, err := os.ReadFile(n.cfg.Genesis)
	if err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	if n.genesis, err = protocol.ParseGenesis(text); err != nil {
		return nil, fmt.Errorf("%s: %w", n.cfg.Genesis, err)
	}
	id, ok := n.genesis.Member(n.cfg.Member)
	if !ok {
		return nil, fmt.Errorf("member is %q, which %s does not name", n.cfg.Member, n.cfg.Genesis)
	}
	n.self = id
	return quorum.NewCommittee(n.genesis)
}

func (n *Node) openStore(c *quorum.Committee) error {
	if err := os.MkdirAll(n.cfg.Data, 0o700); err != nil {
		return err
	}
	db, err := pebbleds.Open(filepath.Join(n.cfg.Data, "store"), pebbleds.Options{
		MemTableSize: uint64(n.cfg.MemTableMB) << 20,
		Logger:       n.logger.With("part", "store"),
		OnFatal:      n.fail,
	})
	if err != nil {
		return err
	}
	n.db = db
	network, err := n.genesis.ID()
	if err != nil {
		return err
	}
	n.store, err = store.Open(db, c, n.genesis.Params, network, n.cfg.Member)
	return err
}

// join makes the machines and the host, which need each other.
func (n *Node) join(c *quorum.Committee) error {
	signer, err := setup.LoadSigner(n.cfg.SigningKey)
	if err != nil {
		return err
	}
	metrics, err := actors.NewMetrics(n.registry, c, n.self)
	if err != nil {
		return err
	}
	net := &network{
		committee: c, limit: wire.MaxMessage(n.genesis.Params),
		logger: n.logger.With("part", "network"),
	}
	n.machines = actors.New(actors.Config{
		Witness: witness.Config{
			Epochs: quorum.NewEpochs(c), Self: n.self, Signer: signer,
			Seed: uint64(time.Now().UnixNano()),
		},
		Chronos: chronos.Config{
			Epochs: quorum.NewEpochs(c), Self: n.self, Signer: signer,
			Seed: uint64(time.Now().UnixNano()),
		},
		Store: n.store, Network: net, Metrics: metrics, Fatal: n.fail, Consult: n.consult,
		Clock:  func() protocol.Micros { return protocol.Micros(time.Now().UnixMicro()) },
		Logger: n.logger.With("part", "witness"),
	})
	net.machines = n.machines
	hostConfig, err := n.hostConfig()
	if err != nil {
		return err
	}
	net.floods = hostConfig.Floods()
	if n.host, err = p2p.New(*hostConfig, net); err != nil {
		return err
	}
	net.host = n.host
	return nil
}

func (n *Node) hostConfig() (*p2p.Config, error) {
	key, err := setup.LoadPeerKey(n.cfg.PeerKey)
	if err != nil {
		return nil, err
	}
	network, err := n.genesis.ID()
	if err != nil {
		return nil, err
	}
	c := &p2p.Config{
		NetworkID: network, Key: key, Self: int(n.self),
		MaxMessage: wire.MaxMessage(n.genesis.Params),
		Logger:     n.logger.With("part", "p2p"), Registerer: n.registry,
	}
	for i := range n.genesis.Members {
		m := &n.genesis.Members[i]
		id, err := peer.Decode(m.PeerID)
		if err != nil {
			return nil, fmt.Errorf("genesis: members[%d].peer_id: %w", i, err)
		}
		addrs, err := parseAddrs(m.Addrs)
		if err != nil {
			return nil, fmt.Errorf("genesis: members[%d].addrs: %w", i, err)
		}
		c.Members = append(c.Members, p2p.Member{Number: i, Name: m.Name, ID: id, Addrs: addrs})
	}
	self := c.Members[n.self]
	if id, err := peer.IDFromPrivateKey(key); err != nil || id != self.ID {
		return nil, errors.Join(err, fmt.Errorf("the peer key is that of %s, the genesis names %s for %s", id, self.ID, self.Name))
	}
	c.Listen = self.Addrs
	for name, addr := range n.cfg.P2PDial {
		i := slices.IndexFunc(c.Members, func(m p2p.Member) bool { return m.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("p2p.dial: %s is not a member", name)
		}
		if c.Members[i].Addrs, err = parseAddrs([]string{addr}); err != nil {
			return nil, fmt.Errorf("p2p.dial: %s: %w", name, err)
		}
	}
	if len(n.cfg.P2PListen) > 0 {
		if c.Listen, err = parseAddrs(n.cfg.P2PListen); err != nil {
			return nil, fmt.Errorf("p2p.listen: %w", err)
		}
	}
	return c, nil
}

func parseAddrs(texts []string) ([]multiaddr.Multiaddr, error) {
	var out []multiaddr.Multiaddr
	for _, t := range texts {
		a, err := multiaddr.NewMultiaddr(t)
		if err != nil {
			return nil, fmt.Errorf("%q is not a multiaddr such as /ip4/127.0.0.1/tcp/9401: %w", t, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// fail notes why the node cannot go on.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default: // the first failure is the one to tell
	}
}

// Failed tells, at most once, why the node cannot go on. It is to be closed then.
func (n *Node) Failed() <-chan error { return n.failed }
