package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strataos/strataos/node/api"
)

// Limits of the HTTP server.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	// drainTime is how long requests under way may take when the node stops.
	drainTime = 6 * time.Second
	// sweepEvery is how often records that have expired are removed.
	sweepEvery = time.Hour
)

func (n *Node) openAPI() error {
	var err error
	n.api, err = api.New(api.Deps{
		Genesis: n.genesis, Epochs: n.epochs, Self: n.self, Name: n.cfg.Member,
		Submitter: n.machines.Gateway(), Lookup: n.store, Records: n.store.Records(),
		Ledger: n.store, Accord: n.store,
		Status: n.machines.Status, Order: n.machines.Order, Reachable: n.host.Reachable, Wait: n.machines.Wait,
		Tokens: n.tokens, Version: Version(), Now: time.Now,
		Logger: n.logger.With("part", "api"), Registry: n.registry,
	})
	if err != nil {
		return err
	}
	if n.listener, err = listen(n.cfg.HTTPListen); err != nil {
		return fmt.Errorf("http.listen: %w; another process may use the port: set another one", err)
	}
	n.server = &http.Server{
		Handler:           n.api,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	return nil
}

// listenFor is how long a node waits for a port that somebody still has: its own
// earlier process, say.
const listenFor = 5 * time.Second

// listen listens on an address, and waits a little for a port that is in use.
func listen(address string) (net.Listener, error) {
	for end := time.Now().Add(listenFor); ; time.Sleep(100 * time.Millisecond) {
		l, err := net.Listen("tcp", address)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end) {
			return l, err
		}
	}
}

// watch registers the figures that are read when they are asked for.
func (n *Node) watch() {
	n.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "strata_witness_submissions_waiting", Help: "Events and anchors that wait to be certified or ordered.",
		}, func() float64 { return float64(n.machines.Gateway().Waiting()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "strata_chronos_round", Help: "The first round of the order that is not decided.",
		}, func() float64 { return float64(n.machines.Order().Round) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "strata_chronos_unordered", Help: "Certified entries that wait for their places in the ledger.",
		}, func() float64 { return float64(n.machines.Order().Unordered) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "strata_accord_open", Help: "Proposals that are open in the ledger at this node.",
		}, func() float64 { return float64(n.machines.Order().Open) }),
		&handlerFigures{n.deliverer.Status},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "strata_chronos_halted", Help: "1 if this node's ledger is halted by a fork alarm.",
		}, func() float64 {
			if n.machines.Order().Halted {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "strata_witness_messages_dropped_total", Help: "Messages of peers that the inbox had no room for.",
		}, func() float64 { return float64(n.machines.Dropped()) }),
	)
}

// Start sets the node going. It is ready once /readyz says so.
func (n *Node) Start(context.Context) error {
	if err := n.machines.Start(); err != nil {
		return err
	}
	n.host.Start()
	ctx := n.running
	n.workers.Go(func() { n.tokens.Run(ctx) })
	n.workers.Go(func() { n.sweep(ctx) })
	n.workers.Go(func() { n.eraseExpired(ctx) })
	n.workers.Go(func() { n.deliver(ctx) })
	n.workers.Go(func() {
		if err := n.server.Serve(n.listener); !errors.Is(err, http.ErrServerClosed) {
			n.fail(fmt.Errorf("http: %w", err))
		}
	})
	n.logger.Info("started", "member", n.cfg.Member, "network", n.genesis.Network, "url", n.URL())
	return nil
}

// sweep removes records that have expired.
func (n *Node) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if err := n.store.Records().Expire(ctx, now.Add(-api.IdempotencyLife)); err != nil {
				n.logger.Error("expired records cannot be removed", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// URL is the root of the node's API.
func (n *Node) URL() string { return "http://" + n.listener.Addr().String() }

// Close stops the node: the API first, so that requests under way are
// answered, and the store last.
func (n *Node) Close() (err error) {
	n.closed.Do(func() {
		keep := func(e error) { err = errors.Join(err, e) }
		if n.server != nil {
			ctx, cancel := context.WithTimeout(context.Background(), drainTime)
			defer cancel()
			if e := n.server.Shutdown(ctx); errors.Is(e, context.DeadlineExceeded) {
				keep(n.server.Close())
			}
			_ = n.listener.Close() // Serve closes it, if it was called
		}
		n.stop()
		n.workers.Wait()
		if n.host != nil {
			keep(n.host.Close())
		}
		if n.machines != nil {
			keep(n.machines.Close())
		}
		n.asking.Wait()
		if n.voter != nil {
			n.voter.Close()
		}
		if n.db != nil {
			keep(n.db.Close())
		}
	})
	return err
}
