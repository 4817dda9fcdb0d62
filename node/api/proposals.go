package api

import (
	"net/http"

	"github.com/strataos/strataos/node/glob"
	"github.com/strataos/strataos/node/store"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/accord"
)

// Bounds of what one page of proposals looks at.
const (
	maxListed      = 2000    // proposals
	maxListedBytes = 8 << 20 // of those that match
	// maxOpenListed bounds the open proposals that are found without looking at
	// others.
	maxOpenListed = 4096
)

var proposalsParams = []string{"status", "subject", "action", "limit", "cursor", "timeout_ms"}

// proposalsAnswer is the answer to GET /v1/accord/proposals.
type proposalsAnswer struct {
	Proposals []caseAnswer `json:"proposals"`
	// Cursor is where the next page begins, if there may be More.
	Cursor string `json:"cursor,omitempty"`
	More   bool   `json:"more"`
}

// wanted says which proposals a page is of.
type wanted struct {
	status  *accord.Status
	subject string
	action  *glob.Pattern // of its type
	limit   int
	before  uint64 // the place in the ledger
}

// proposals answers GET /v1/accord/proposals, the newest first.
func (s *Server) proposals(x *exchange) error {
	params, err := readParams(x.r.URL.RawQuery, proposalsParams)
	if err != nil {
		return err
	}
	if err := s.awaitSeen(x, params); err != nil {
		return err
	}
	w, err := parseWanted(params)
	if err != nil {
		return err
	}
	l := listing{wanted: w}
	if err := s.list(&l); err != nil {
		return err
	}
	a := proposalsAnswer{Proposals: []caseAnswer{}, More: l.more}
	for i := range l.cases {
		a.Proposals = append(a.Proposals, caseOf(&l.cases[i]))
	}
	if l.more {
		a.Cursor = cursorText(store.Place{Position: l.last}, params)
	}
	s.writeJSON(x, http.StatusOK, a)
	return nil
}

func parseWanted(params map[string]string) (*wanted, error) {
	w := &wanted{limit: defaultLimit, before: maxPosition + 1, subject: params["subject"]}
	if text, ok := params["status"]; ok {
		status, known := accord.ParseStatus(text)
		if !known {
			return nil, invalid("status", "must be open, accepted, rejected, expired, conflict or withdrawn")
		}
		w.status = &status
	}
	if len(w.subject) > protocol.MaxSubjectBytes {
		return nil, invalid("subject", "must be a text of 1 to %d bytes", protocol.MaxSubjectBytes)
	}
	if text, ok := params["action"]; ok {
		pattern, err := glob.Parse(text)
		if err != nil {
			return nil, invalid("action", "%q is no pattern of types: %v", text, err)
		}
		w.action = &pattern
	}
	if text, ok := params["limit"]; ok {
		n, err := readNumber("limit", text, 1, maxLimit)
		if err != nil {
			return nil, err
		}
		w.limit = int(n)
	}
	if text, ok := params["cursor"]; ok {
		at, err := parseCursor(text, params)
		if err != nil {
			return nil, err
		}
		w.before = at.Position
	}
	return w, nil
}

// has reports whether a proposal is among those that are wanted.
func (w *wanted) has(c *accord.Case) bool {
	if c.Position >= w.before || w.status != nil && c.Status != *w.status || w.subject != "" && c.Proposal.Subject != w.subject {
		return false
	}
	return w.action == nil || w.action.Match(c.Proposal.Action.Type)
}

// listing is a page that is being put together.
type listing struct {
	*wanted
	cases         []accord.Case
	looked, bytes int
	last          uint64 // the place that was looked at last
	more          bool
}

// list puts a page together, from the open proposals where only those are wanted
// and there are not too many.
func (s *Server) list(l *listing) error {
	if l.status != nil && *l.status == accord.Open {
		open, complete, err := s.Accord.Open(maxOpenListed)
		if err != nil {
			return err
		}
		if complete {
			for i := range open {
				if !l.look(&open[i]) {
					break
				}
			}
			return nil
		}
	}
	return s.Accord.Proposals(l.subject, l.before, func(id protocol.Hash, position uint64) (bool, error) {
		if l.full() || l.looked >= maxListed {
			l.more = true
			return false, nil
		}
		c, ok, err := s.Accord.Case(id)
		if err != nil || !ok {
			return ok, err
		}
		l.looked++
		return l.look(&c), nil
	})
}

// full reports whether there is no room on the page.
func (l *listing) full() bool { return len(l.cases) >= l.limit || l.bytes >= maxListedBytes }

// look takes a proposal if it is wanted. It answers false if there is no room.
func (l *listing) look(c *accord.Case) bool {
	if l.has(c) {
		if l.full() {
			l.more = true
			return false
		}
		l.cases = append(l.cases, *c)
		l.bytes += len(c.Proposal.Canonical)
	}
	l.last = c.Position
	return true
}
