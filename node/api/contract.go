package api

import (
	"net/http"

	"github.com/strataos/strataos/node/api/openapi"
)

// contractCache is for how long clients may keep the contract: a node may be
// restarted with another version.
const contractCache = "public, max-age=60"

// contract answers GET /v1/openapi.json.
func (s *Server) contract(x *exchange) error {
	x.Header().Set("Cache-Control", contractCache)
	s.writeBytes(x, http.StatusOK, openapi.Document())
	return nil
}

// docs answers GET /docs with the contract as a page.
func (s *Server) docs(x *exchange) error {
	h := x.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", contractCache)
	h.Set("Content-Security-Policy", openapi.PagePolicy())
	x.WriteHeader(http.StatusOK)
	_, _ = x.Write(s.page) // the client may have gone
	return nil
}
