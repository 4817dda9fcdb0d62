package api

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/chronos"
)

// causalityHeader carries what a client has seen: a node authors and reads only
// after it has seen as much itself.
const causalityHeader = "Strata-Causality"

// maxToken bounds a causal token in bytes. One that has all logs of the largest
// roster fits, and so does the header that it is in.
const maxToken = 14 << 10

// appendToken appends the text of a causal token: for each log its member's
// number, a colon, and how much of it has been seen.
func appendToken(dst []byte, seen []protocol.Seen) []byte {
	for i, p := range seen {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(p.Member), 10)
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, p.Size, 10)
	}
	return dst
}

// parseToken reads a causal token of a network of n members. It is for who made
// it to read, and clients hold it for opaque.
func parseToken(text string, n int) ([]protocol.Seen, error) {
	bad := invalid(causalityHeader, "is not a causal token of this network; send back what an answer's causal_token was")
	if len(text) > maxToken {
		return nil, bad
	}
	var out []protocol.Seen
	for part := range strings.SplitSeq(text, ",") {
		member, size, ok := strings.Cut(part, ":")
		id, err := strconv.ParseUint(member, 10, 16)
		s, err2 := strconv.ParseUint(size, 10, 63)
		if !ok || err != nil || err2 != nil || id >= uint64(n) || len(out) > 0 && out[len(out)-1].Member >= protocol.MemberID(id) {
			return nil, bad
		}
		out = append(out, protocol.Seen{Member: protocol.MemberID(id), Size: s})
	}
	return out, nil
}

// seenByClient is what the request's token says that its client has seen.
func (s *Server) seenByClient(x *exchange) ([]protocol.Seen, error) {
	given := x.r.Header[causalityHeader]
	if len(given) == 0 || given[0] == "" {
		return nil, nil
	}
	return parseToken(given[0], s.Committee().Logs())
}

// awaitOrdered returns once this node's ledger holds what the request's client
// has seen, or the context ends.
func (s *Server) awaitOrdered(ctx context.Context, x *exchange) error {
	seen, err := s.seenByClient(x)
	if err != nil || len(seen) == 0 {
		return err
	}
	err = s.Wait(ctx, func() bool {
		st, ok, err := s.Ledger.State()
		return err == nil && ok && covers(st.Order.Emitted, seen)
	})
	if err != nil {
		return behind(err)
	}
	return nil
}

// awaitCertified returns once this node holds certificates of what the request's
// client has seen, or fails after a while.
func (s *Server) awaitCertified(x *exchange) error {
	seen, err := s.seenByClient(x)
	if err != nil || len(seen) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), defaultTimeout*time.Millisecond)
	defer cancel()
	err = s.Wait(ctx, func() bool {
		logs := s.Status().Logs
		return !slices.ContainsFunc(seen, func(p protocol.Seen) bool {
			return int(p.Member) >= len(logs) || logs[p.Member].Certified < p.Size
		})
	})
	if err != nil {
		return behind(err)
	}
	return nil
}

// seenHere is everything that this node's ledger has put in order: what whoever
// has seen something of the ledger itself, such as a decision, has seen.
func (s *Server) seenHere() ([]protocol.Seen, error) {
	st, _, err := s.Ledger.State()
	return seenIn(st), err
}

// seenBehind is what whoever has seen an entry of the ledger has seen. What is
// stored of it may show a moment before the state that it led to.
func (s *Server) seenBehind(ctx context.Context, position uint64) ([]protocol.Seen, error) {
	var st chronos.State
	var err error
	if e := s.Wait(ctx, func() bool {
		st, _, err = s.Ledger.State()
		return err != nil || st.Size > position
	}); e != nil {
		return nil, e
	}
	return seenIn(st), err
}

func seenIn(st chronos.State) []protocol.Seen {
	var out []protocol.Seen
	for i, size := range st.Order.Emitted {
		if size > 0 {
			out = append(out, protocol.Seen{Member: protocol.MemberID(i), Size: size})
		}
	}
	return out
}

// covers reports whether a clock has seen parts of logs.
func covers(clock []uint64, seen []protocol.Seen) bool {
	for _, p := range seen {
		if int(p.Member) >= len(clock) || clock[p.Member] < p.Size {
			return false
		}
	}
	return true
}

// behind is the answer where this node has not seen enough in time.
func behind(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return errorf(codeBehind, "this node has not seen in time what the request comes after; try again, or another node")
}
