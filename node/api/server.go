// Package api is a node's HTTP/JSON interface.
package api

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/time/rate"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/node/api/openapi"
	"github.com/strataos/strataos/node/auth"
	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
	"github.com/strataos/strataos/protocol/proof"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Submitter puts things on record; actors.Gateway does.
type Submitter interface {
	Submit(ctx context.Context, s actors.Submission) (*actors.Outcome, error)
}

// Lookup finds what this node stores; store.Store does.
type Lookup interface {
	Find(hash protocol.Hash) (store.Found, int, error)
	First(hash protocol.Hash) (store.Found, bool, error)
	FindOwn(self protocol.MemberID, like protocol.Entry, from uint64) (store.Found, bool, error)
	Size(log protocol.MemberID) (uint64, error)
	Hashes(log protocol.MemberID) tlog.HashReader
	Prove(f store.Found) (*proof.Proof, *proof.Checkpoint, error)
	SignedByAuthor(cp *proof.Checkpoint, cert *quorum.Certificate) (*proof.Checkpoint, error)
	Evidence(log protocol.MemberID) (*wire.Evidence, error)
}

// Records keeps the answers of requests with an Idempotency-Key;
// store.Records does. A value that was put is durable.
type Records interface {
	Get(ctx context.Context, key string) ([]byte, bool, error)
	Put(ctx context.Context, key string, value []byte, made time.Time) error
}

// Deps is what a Server works with.
type Deps struct {
	Genesis *protocol.Genesis
	// Epochs are those that this node knows of, and Self is its number in the
	// newest one's roster, or protocol.Nobody; Name is what it is or will be called.
	Epochs    func() *quorum.Epochs
	Self      func() protocol.MemberID
	Name      string
	Submitter Submitter
	Lookup    Lookup
	Records   Records
	Ledger    Ledger
	Accord    Accord
	// Status and Order are where the node's machines stand, and Reachable which
	// members answer now, by number, this one included.
	Status    func() *actors.Status
	Order     func() *chronos.Status
	Reachable func() []bool
	// Wait returns once a condition holds, which is looked at whenever
	// something has been stored, or the context ends.
	Wait     func(ctx context.Context, condition func() bool) error
	Tokens   *auth.Tokens
	Version  string
	Now      func() time.Time
	Logger   *slog.Logger
	Registry *prometheus.Registry
}

// Server answers the API's requests.
type Server struct {
	Deps
	networkID protocol.Hash
	genesis   []byte // in canonical form
	policies  policies
	ids       requestIDs
	keys      keyLocks
	decisions decisions
	looking   chan struct{} // requests that look for what they come after
	metrics   *metrics
	tiles     *rate.Limiter
	exporter  http.Handler // of the registry
	page      []byte       // of the contract
	handler   http.Handler
}

// New returns a server. An error means that the genesis makes no policy.
func New(d Deps) (*Server, error) {
	s := &Server{
		Deps: d, ids: newRequestIDs(), looking: make(chan struct{}, maxLooking), tiles: newTilesLimiter(),
		exporter: promhttp.HandlerFor(d.Registry, promhttp.HandlerOpts{}),
	}
	var err error
	if s.genesis, err = d.Genesis.Canonical(); err != nil {
		return nil, err
	}
	s.networkID = sha256.Sum256(s.genesis)
	if _, err := s.policy(); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(d.Registry); err != nil {
		return nil, err
	}
	if s.page, err = openapi.Page(); err != nil {
		return nil, err
	}
	s.handler = s.routes()
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }
