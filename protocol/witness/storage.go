package witness

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// Storage reads what Persist effects have written. The machine reads it when
// it starts and, rarely, to look up old batches; it never reads what it has
// not been told is durable. An error stops the node.
type Storage interface {
	// Size is the number of leaves stored of a log.
	Size(log protocol.MemberID) (uint64, error)
	// BatchAt returns the encoded batch that holds a leaf, or nil if the log
	// is shorter.
	BatchAt(log protocol.MemberID, leaf uint64) ([]byte, error)
	// Hashes reads the stored hashes of a log's tree.
	Hashes(log protocol.MemberID) tlog.HashReader
	// Certificate returns the certificate of the smallest size that is at
	// least size, or, with Latest, the newest. It answers false if there is none.
	Certificate(log protocol.MemberID, size uint64) (quorum.Claim, bool, error)
	// Evidence returns the evidence against an author, or nil.
	Evidence(log protocol.MemberID) (*wire.Evidence, error)
}

// Latest asks Storage.Certificate for the newest certificate.
const Latest = ^uint64(0)

// ReadRange reads the answer to a request: whole batches from the one that
// begins at From on, of about wire.MaxRange bytes together. A From that is not
// where a batch begins, or lies behind the log, gives no batches. Only batches
// that end at durable or before are read.
func ReadRange(s Storage, req wire.RangeRequest, durable uint64, p protocol.Params) (*wire.Range, error) {
	out := &wire.Range{Log: req.Log, From: req.From}
	head, ok, err := s.Certificate(req.Log, Latest)
	if err != nil {
		return nil, err
	}
	out.Head = quorum.Claim{Log: req.Log}
	if ok {
		out.Head = head
	}
	next := req.From
	for bytes := 0; bytes < wire.MaxRange(p); {
		encoded, err := s.BatchAt(req.Log, next)
		if err != nil || encoded == nil {
			return out, err
		}
		b, err := wire.DecodeBatch(encoded, wire.MaxMessage(p))
		if err != nil {
			return nil, fmt.Errorf("stored batch of log %d at %d: %w", req.Log, next, err)
		}
		if b.Old != next || b.Size() > durable {
			return out, nil
		}
		if len(out.Items) == wire.MaxRangeItems {
			break
		}
		item := wire.RangeItem{Batch: encoded, Cert: quorum.Claim{Log: req.Log}}
		cert, ok, err := s.Certificate(req.Log, b.Size())
		if err != nil {
			return nil, err
		}
		if ok && cert.Size == b.Size() {
			item.Cert = cert
		}
		out.Items = append(out.Items, item)
		bytes += len(encoded)
		next = b.Size()
	}
	out.More = next < durable
	return out, nil
}
