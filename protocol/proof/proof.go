// Package proof makes and checks what strataos hands out as evidence: a C2SP
// tlog-proof of an entry, against a checkpoint of its author's log, or of the
// ledger, with the cosignatures of a quorum. Whoever holds the network's C2SP
// tlog-policy can check one offline, with this package or with other
// implementations of the same formats.
//
// Specifications: https://c2sp.org/tlog-proof, https://c2sp.org/tlog-policy,
// https://c2sp.org/signed-note.
package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/quorum"
)

// Format is the first line of a tlog-proof.
const Format = "c2sp.org/tlog-proof@v1"

// Proof is the JSON form of a proof. Everything in it but TLogProof and Entry
// is a convenience that Verify holds to them.
type Proof struct {
	// TLogProof is the text of the C2SP tlog-proof.
	TLogProof string `json:"tlog_proof"`
	// Entry is the leaf that is proved; its RFC 8785 form is the leaf's bytes.
	Entry json.RawMessage `json:"entry"`
	// Origin names the log.
	Origin string `json:"origin"`
	// Index is the leaf's place in the log, and Size the size of the log at
	// the checkpoint.
	Index uint64 `json:"index"`
	Size  uint64 `json:"size"`
	// Witnesses are the cosignatures that count, in the order of the checkpoint.
	Witnesses []Witness `json:"witnesses"`
}

// Witness is a cosignature of a proof's checkpoint.
type Witness struct {
	Name string `json:"name"`
	// Time is when the witness signed, by its own clock, in Unix seconds.
	Time uint64 `json:"time"`
}

// Checkpoint is a certified tree head, ready to be put into many proofs.
type Checkpoint struct {
	note      []byte
	origin    string
	size      uint64
	witnesses []Witness
}

// NewCheckpoint writes a certificate as a C2SP checkpoint with a signature
// line a cosignature, in member order.
func NewCheckpoint(c *quorum.Committee, cert *quorum.Certificate) *Checkpoint {
	cp := c.Checkpoint(cert.Log(), cert.Size(), cert.Root())
	out := &Checkpoint{note: append(cp.Append(nil), '\n'), origin: cp.Origin, size: cp.Size}
	for _, s := range cert.Cosignatures() {
		out.note = c.Verifier(s.Member).AppendLine(out.note, s.Signature())
		out.witnesses = append(out.witnesses, Witness{Name: c.Name(s.Member), Time: s.Time})
	}
	return out
}

// SignedBy returns the checkpoint with the author's own signature behind the
// committee's, if it is not among these: of a log whose author has left the
// committee, or has signed before its epoch, they alone are no log's checkpoint.
func (c *Checkpoint) SignedBy(author *cosign.Verifier, sig cosign.Signature) *Checkpoint {
	if bytes.Contains(c.note, []byte("\n— "+author.Name()+" ")) {
		return c
	}
	d := *c
	d.note = author.AppendLine(bytes.Clone(c.note), sig)
	return &d
}

// Note is the signed note.
func (c *Checkpoint) Note() []byte { return c.note }

// WitnessedAt is the median of the cosignatures' times, in Unix seconds.
func (c *Checkpoint) WitnessedAt() uint64 { return Median(c.witnesses) }

// Origin names the log, or the ledger.
func (c *Checkpoint) Origin() string { return c.origin }

// Size is the number of leaves under the checkpoint.
func (c *Checkpoint) Size() uint64 { return c.size }

// Leaf is what a proof is about: a protocol.Entry in its author's log, or a
// protocol.LedgerEntry in the ledger.
type Leaf interface {
	// Append appends the leaf's bytes to dst.
	Append(dst []byte) []byte
}

// Prove returns the proof that an entry is the leaf at index, by its RFC 6962
// inclusion path in the checkpoint's tree.
func (c *Checkpoint) Prove(e Leaf, index uint64, path tlog.RecordProof) *Proof {
	text := make([]byte, 0, len(Format)+32+45*len(path)+len(c.note))
	text = append(text, Format+"\nindex "...)
	text = strconv.AppendUint(text, index, 10)
	text = append(text, '\n')
	for _, h := range path {
		text = base64.StdEncoding.AppendEncode(text, h[:])
		text = append(text, '\n')
	}
	text = append(text, '\n')
	text = append(text, c.note...)
	return &Proof{
		TLogProof: string(text),
		Entry:     e.Append(nil),
		Origin:    c.origin,
		Index:     index,
		Size:      c.size,
		Witnesses: c.witnesses,
	}
}

// AppendJSON appends the proof's JSON object to dst. It writes what
// json.Marshal would, without its cost.
func (p *Proof) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"tlog_proof":"`...)
	for i := 0; i < len(p.TLogProof); i++ {
		if ch := p.TLogProof[i]; ch == '\n' {
			dst = append(dst, `\n`...)
		} else {
			dst = append(dst, ch) // base64, digits and checked names only
		}
	}
	dst = append(dst, `","entry":`...)
	dst = append(dst, p.Entry...)
	dst = append(dst, `,"origin":"`...)
	dst = append(dst, p.Origin...)
	dst = append(dst, `","index":`...)
	dst = strconv.AppendUint(dst, p.Index, 10)
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendUint(dst, p.Size, 10)
	dst = append(dst, `,"witnesses":[`...)
	for i, w := range p.Witnesses {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"name":"`...)
		dst = append(dst, w.Name...)
		dst = append(dst, `","time":`...)
		dst = strconv.AppendUint(dst, w.Time, 10)
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}
