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
	"sync"
	"time"

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
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/witness"
)

// Node is one running node.
type Node struct {
	cfg     *config.Config
	logger  *slog.Logger
	genesis *protocol.Genesis
	signer  *cosign.Signer

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
	asking   sync.WaitGroup  // of rules how to vote; the machines begin that, until they are closed
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
	if err := n.readGenesis(); err != nil {
		return nil, err
	}
	if n.signer, err = setup.LoadSigner(cfg.SigningKey); err != nil {
		return nil, err
	}
	if err := n.openStore(); err != nil {
		return nil, err
	}
	if err := n.checkSelf(); err != nil {
		return nil, err
	}
	if n.tokens, err = auth.Open(cfg.Tokens, logger); err != nil {
		return nil, err
	}
	if err := n.openAccord(); err != nil {
		return nil, err
	}
	if err := n.join(); err != nil {
		return nil, err
	}
	if err := n.openAPI(); err != nil {
		return nil, err
	}
	n.watch()
	return n, nil
}

func (n *Node) readGenesis() error {
	text, err := os.ReadFile(n.cfg.Genesis)
	if err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	if n.genesis, err = protocol.ParseGenesis(text); err != nil {
		return fmt.Errorf("%s: %w", n.cfg.Genesis, err)
	}
	return nil
}

func (n *Node) openStore() error {
	founding, err := quorum.NewCommittee(n.genesis)
	if err != nil {
		return err
	}
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
	n.store, err = store.Open(db, founding, network, n.cfg.Member)
	return err
}

// join makes the machines and the host, which need each other.
func (n *Node) join() error {
	metrics, err := actors.NewMetrics(n.registry)
	if err != nil {
		return err
	}
	net := &network{logger: n.logger.With("part", "network")}
	n.machines = actors.New(actors.Config{
		Witness: witness.Config{Signer: n.signer, Seed: uint64(time.Now().UnixNano())},
		Chronos: chronos.Config{Signer: n.signer, Seed: uint64(time.Now().UnixNano())},
		Store:   n.store, Network: net, Metrics: metrics, Fatal: n.fail, Begun: n.begun, Consult: n.consult,
		Clock:  func() protocol.Micros { return protocol.Micros(time.Now().UnixMicro()) },
		Logger: n.logger.With("part", "witness"),
	})
	net.machines = n.machines
	hostConfig, err := n.hostConfig(n.store.Epochs())
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

// fail notes why the node cannot go on.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default: // the first failure is the one to tell
	}
}

// Failed tells, at most once, why the node cannot go on. It is to be closed then.
func (n *Node) Failed() <-chan error { return n.failed }
