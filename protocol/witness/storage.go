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
	// Handover returns the newest handover, or false if there is none.
	Handover() (wire.Handover, bool, error)
	// Evidence returns the evidence against an author, or nil.
	Evidence(log protocol.MemberID) (*wire.Evidence, error)
}

// Latest asks Storage.Certificate for the newest certificate.
const Latest = ^uint64(0)

// ReadRange reads the answer to a request: whole batches from the one that
// begins at From on, of about wire.MaxRange bytes together. A From that is not
// where a batch begins, or lies behind the log, gives no batches. Only batches
// that end at durable or before are read, and none that the asker cannot take,
// or verify the certificate of, in its epoch.
func ReadRange(s Storage, req wire.RangeRequest, durable uint64, p protocol.Params) (*wire.Range, error) {
	out := &wire.Range{Log: req.Log, From: req.From}
	head, ok, err := newestIn(s, req.Log, req.Epoch)
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
		b, err := wire.DecodeBatch(encoded, maxStored)
		if err != nil {
			return nil, fmt.Errorf("stored batch of log %d at %d: %w", req.Log, next, err)
		}
		if b.Old != next || b.Size() > durable || b.Epoch > req.Epoch {
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
		if ok && cert.Size == b.Size() && cert.Epoch <= req.Epoch {
			item.Cert = cert
		}
		out.Items = append(out.Items, item)
		bytes += len(encoded)
		next = b.Size()
	}
	out.More = next < durable
	return out, nil
}

// maxStored bounds what is decoded of storage: batches of earlier epochs may be
// larger than those of the newest one. A host bounds what peers send.
const maxStored = 32 << 20

// newestIn finds a certificate of an epoch or an earlier one behind which there
// are only those of later ones: one that the order of that epoch can end with.
func newestIn(s Storage, log protocol.MemberID, epoch uint64) (quorum.Claim, bool, error) {
	newest, ok, err := s.Certificate(log, Latest)
	if err != nil || !ok || newest.Epoch <= epoch {
		return newest, ok, err
	}
	var found quorum.Claim
	ok = false
	for low, high := uint64(0), newest.Size; low+1 < high; {
		mid := low + (high-low)/2
		c, _, err := s.Certificate(log, mid)
		if err != nil {
			return found, false, err
		}
		if c.Epoch > epoch {
			high = mid
		} else {
			found, ok, low = c, true, c.Size
		}
	}
	return found, ok, nil
}
