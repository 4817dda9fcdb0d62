package wire

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
)

// Bounds of what a decoded message holds.
const (
	MaxItems      = 65_536
	MaxParents    = protocol.MaxRoster
	MaxVotes      = 1_024
	MaxRangeItems = 256
	MaxProof      = 128
	// MaxHeads is more than there are logs: a member that has not caught up since
	// its epoch began also tells what it was told of then.
	MaxHeads = 4 * protocol.MaxRoster
)

var (
	encMode = mustEnc()
	decMode = mustDec()
)

func mustEnc() cbor.EncMode {
	opts := cbor.CoreDetEncOptions()
	opts.NilContainers = cbor.NilContainerAsEmpty // null is no second way to write an empty list
	m, err := opts.EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}

func mustDec() cbor.DecMode {
	m, err := cbor.DecOptions{
		MaxArrayElements: MaxItems,
		MaxMapPairs:      16,
		MaxNestedLevels:  8,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}

// Encode writes a message.
func Encode(m Message) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(sizeHint(m))
	buf.WriteByte(m.tag())
	if err := encMode.NewEncoder(&buf).Encode(m); err != nil {
		return nil, fmt.Errorf("encode message %d: %w", m.tag(), err)
	}
	return buf.Bytes(), nil
}

func sizeHint(m Message) int {
	n := 256
	if b, ok := m.(*Batch); ok {
		n += 48 * len(b.Parents)
		for i := range b.Items {
			n += 8 + len(b.Items[i].Body)
		}
	}
	return n
}

// Decode reads a message. maxBytes bounds its length.
func Decode(data []byte, maxBytes int) (Message, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("message has %d bytes, at most %d are read", len(data), maxBytes)
	}
	if len(data) == 0 {
		return nil, errors.New("message is empty")
	}
	var m Message
	for _, candidate := range [...]Message{new(Batch), new(Votes), new(Heads), new(RangeRequest), new(Range), new(Evidence), new(Certificate), new(LedgerHead)} {
		if candidate.tag() == data[0] {
			m = candidate
		}
	}
	if m == nil {
		return nil, fmt.Errorf("message type %d is unknown", data[0])
	}
	if err := decMode.Unmarshal(data[1:], m); err != nil {
		return nil, fmt.Errorf("message %d: %w", data[0], err)
	}
	if err := checkBounds(m); err != nil {
		return nil, fmt.Errorf("message %d: %w", data[0], err)
	}
	// A value has one encoding only, so that equal messages are equal bytes.
	again, err := Encode(m)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, fmt.Errorf("message %d: is not in deterministic CBOR", data[0])
	}
	return m, nil
}

// DecodeBatch reads a message that must be a batch.
func DecodeBatch(data []byte, maxBytes int) (*Batch, error) {
	m, err := Decode(data, maxBytes)
	if err != nil {
		return nil, err
	}
	b, ok := m.(*Batch)
	if !ok {
		return nil, fmt.Errorf("message %d is not a batch", data[0])
	}
	return b, nil
}

// EncodeClaim writes a certificate for storage.
func EncodeClaim(c quorum.Claim) ([]byte, error) { return encMode.Marshal(c) }

// DecodeClaim reads a stored certificate; it has not been verified.
func DecodeClaim(data []byte) (quorum.Claim, error) {
	var c quorum.Claim
	if err := decMode.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("certificate: %w", err)
	}
	if again, err := EncodeClaim(c); err != nil || !bytes.Equal(again, data) {
		return c, errors.New("certificate: is not in deterministic CBOR")
	}
	return c, checkClaim("certificate", c)
}

// EncodeHandover writes a handover for storage.
func EncodeHandover(h Handover) ([]byte, error) { return encMode.Marshal(h) }

// DecodeHandover reads a stored handover.
func DecodeHandover(data []byte) (h Handover, err error) {
	if err := decMode.Unmarshal(data, &h); err != nil {
		return h, fmt.Errorf("handover: %w", err)
	}
	return h, nil
}

func checkBounds(m Message) error {
	switch m := m.(type) {
	case *Batch:
		return checkBatch(m)
	case *Certificate:
		return checkClaim("claim", m.Claim)
	case *LedgerHead:
		return checkClaim("cert", m.Cert)
	case *Votes:
		return atMost("votes", len(m.Votes), MaxVotes)
	case *Heads:
		return atMost("heads", len(m.Heads), MaxHeads)
	case *Range:
		for _, it := range m.Items {
			if err := checkClaim("items.cert", it.Cert); err != nil {
				return err
			}
		}
		if err := checkClaim("head", m.Head); err != nil {
			return err
		}
		return atMost("items", len(m.Items), MaxRangeItems)
	case *Evidence:
		return atMost("proof", len(m.Proof), MaxProof)
	}
	return nil
}

func checkBatch(b *Batch) error {
	if err := atMost("parents", len(b.Parents), MaxParents); err != nil {
		return err
	}
	if err := atMost("items", len(b.Items), MaxItems-1); err != nil {
		return err
	}
	if err := checkClaim("cert", b.Cert); err != nil {
		return err
	}
	for i := range b.Items {
		switch it := &b.Items[i]; {
		case it.TTL > protocol.MaxTTL:
			return fmt.Errorf("items[%d].ttl: %d seconds, at most %d are allowed", i, it.TTL, int64(protocol.MaxTTL))
		case it.Kind.IsAccord() && it.TTL != 0:
			return fmt.Errorf("items[%d].ttl: is %d; what decisions are made of is kept", i, it.TTL)
		case it.Erased && (it.TTL == 0 || len(it.Body) != len(protocol.Hash{})):
			return fmt.Errorf("items[%d]: erased without a time to live, or without its hash", i)
		}
	}
	// Sizes stay far from where sums or the tree's numbering would overflow.
	if b.Old > 1<<48 {
		return fmt.Errorf("old: %d leaves are more than a log can have", b.Old)
	}
	if b.Time < 0 || b.Time > protocol.MaxMicros {
		return fmt.Errorf("time: %d is not a time", b.Time)
	}
	return nil
}

func checkClaim(field string, c quorum.Claim) error {
	return atMost(field+".cosigs", len(c.Cosigs), protocol.MaxMembers)
}

func atMost(field string, n, limit int) error {
	if n > limit {
		return fmt.Errorf("%s: there are %d, at most %d are read", field, n, limit)
	}
	return nil
}

// MaxMessage bounds the messages of a network, in bytes: a range holds at
// least one whole batch.
func MaxMessage(p protocol.Params) int {
	const overhead = 64 << 10 // headers, parents, certificates
	return MaxRange(p) + p.MaxBatchBytes + 16*p.MaxBatchEntries + overhead
}

// MostMessage bounds the messages of any network at any time, in bytes.
func MostMessage() int {
	return MaxMessage(protocol.Params{MaxBatchEntries: protocol.MostBatchEntries, MaxBatchBytes: protocol.MostBatchBytes})
}

// MaxRange is the size, in bytes, from which a range takes no further batch.
func MaxRange(p protocol.Params) int { return max(512<<10, p.MaxBatchBytes) }
