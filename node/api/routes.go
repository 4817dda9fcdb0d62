package api

import (
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/strataos/strataos/node/auth"
)

// exchange is one request and what is known of it.
type exchange struct {
	http.ResponseWriter
	r         *http.Request
	id        string
	start     time.Time
	principal *auth.Principal
	status    int
}

// WriteHeader notes the status for the metrics.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// handler answers a request, or returns an error to be answered with.
type handler func(s *Server, x *exchange) error

// route is a path and what it needs. An empty scope means that no token is
// asked for.
type route struct {
	method, path string
	scope        auth.Scope
	handle       handler
}

var routeTable = []route{
	{"POST", "/v1/witness/attest", auth.Write, (*Server).attest},
	{"GET", "/v1/witness/verify/{hash}", auth.Read, (*Server).verifyHash},
	{"POST", "/v1/witness/verify", auth.Read, (*Server).verifyProof},
	{"GET", "/v1/witness/evidence", auth.Read, (*Server).evidence},
	{"POST", "/v1/chronos/anchor", auth.Write, (*Server).anchor},
	{"GET", "/v1/chronos/query", auth.Read, (*Server).query},
	{"GET", "/v1/chronos/anchors/{hash}", auth.Read, (*Server).anchorByHash},
	{"GET", "/v1/chronos/relation", auth.Read, (*Server).relation},
	{"GET", "/v1/chronos/checkpoint", auth.Read, (*Server).checkpoint},
	{"POST", "/v1/accord/propose", auth.Write, (*Server).propose},
	{"GET", "/v1/accord/proposals", auth.Read, (*Server).proposals},
	{"GET", "/v1/accord/proposals/{id}", auth.Read, (*Server).proposalByID},
	{"POST", "/v1/accord/proposals/{id}/vote", auth.Vote, (*Server).vote},
	{"POST", "/v1/accord/proposals/{id}/withdraw", auth.Write, (*Server).withdraw},
	{"POST", "/v1/accord/proposals/{id}/report", auth.Write, (*Server).report},
	{"GET", "/v1/accord/subjects/{subject...}", auth.Read, (*Server).subject},
	{"GET", "/ledger/checkpoint", "", (*Server).ledgerCheckpoint},
	{"GET", "/ledger/tile/{path...}", "", (*Server).ledgerTile},
	{"GET", "/v1/network", auth.Read, (*Server).network},
	{"GET", "/v1/network/genesis", auth.Read, (*Server).networkGenesis},
	{"GET", "/v1/network/policy", auth.Read, (*Server).networkPolicy},
	{"GET", "/healthz", "", (*Server).healthz},
	{"GET", "/readyz", "", (*Server).readyz},
	{"GET", "/metrics", "", (*Server).figures},
	{"GET", "/v1/openapi.json", "", (*Server).contract},
	{"GET", "/docs", "", (*Server).docs},
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	allowed := map[string]string{}
	for _, rt := range routeTable {
		mux.Handle(rt.method+" "+rt.path, s.serve(rt))
		if allowed[rt.path] != "" {
			allowed[rt.path] += ", "
		}
		allowed[rt.path] += rt.method
	}
	for path, methods := range allowed {
		mux.Handle(path, s.serve(route{path: path, handle: func(_ *Server, x *exchange) error {
			x.Header().Set("Allow", methods)
			return errorf(codeMethodNotAllowed, "this path answers %s", methods)
		}}))
	}
	other := s.serve(route{path: "other", handle: func(_ *Server, x *exchange) error {
		return errorf(codeNotFound, "there is nothing at %.200q", x.r.URL.Path)
	}})
	mux.Handle("/", other)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isClean(r) {
			mux.ServeHTTP(w, r)
		} else {
			other.ServeHTTP(w, r)
		}
	})
}

// isClean reports whether the mux takes a request's path as it is. Others it
// would answer by itself, with a redirection that no client of an API expects.
func isClean(r *http.Request) bool {
	p := r.URL.EscapedPath()
	return p == path.Clean(p) && strings.HasPrefix(p, "/") && r.RequestURI != "*"
}

// serve wraps a route in what all have in common.
func (s *Server) serve(rt route) http.Handler {
	observe := s.metrics.route(rt.path)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{ResponseWriter: w, r: r, start: s.Now(), id: s.ids.of(r)}
		w.Header()["X-Request-Id"] = []string{x.id}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.Logger.Error("a request panicked", "path", r.URL.Path, "request_id", x.id,
					"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				s.fail(x, errorf(codeInternal, "the request failed in a way that nobody expected; the node's log has it under this request_id"))
			}
			observe(x.status, s.Now().Sub(x.start))
		}()
		if err := s.answer(rt, x); err != nil {
			s.fail(x, err)
		}
	})
}

func (s *Server) answer(rt route, x *exchange) error {
	if rt.scope != "" {
		if err := s.authorize(rt.scope, x); err != nil {
			return err
		}
	}
	return rt.handle(s, x)
}

// authorize finds who asks, whether they may, and whether not too often.
func (s *Server) authorize(scope auth.Scope, x *exchange) error {
	p, err := s.Tokens.Authenticate(x.r.Header.Get("Authorization"), x.start)
	if err != nil {
		x.Header().Set("WWW-Authenticate", `Bearer realm="strataos"`)
		return errorf(codeUnauthorized, "%v", err)
	}
	x.principal = p
	ok, remaining, retry := p.Allow(x.start)
	h := x.Header()
	h["Ratelimit-Limit"] = []string{strconv.Itoa(p.Burst)}
	h["Ratelimit-Remaining"] = []string{strconv.Itoa(remaining)}
	// The time until the whole burst is there again, in whole seconds.
	h["Ratelimit-Reset"] = []string{strconv.Itoa(int(float64(p.Burst-remaining)/p.Rate + 0.999))}
	if !ok {
		h.Set("Retry-After", strconv.Itoa(int(retry/time.Second)+1))
		return errorf(codeRateLimited, "this token allows %g requests a second, %d at once", p.Rate, p.Burst).
			with("retry_after_ms", retry.Milliseconds()+1)
	}
	if !p.May(scope) {
		return errorf(codeForbidden, "this token has not the scope %s; `strata token create --scope …` makes one that has", scope).with("scope", string(scope))
	}
	return nil
}
