package simulation

import (
	"crypto/sha256"

	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
	"github.com/strataos/strataos/protocol/witness"
)

// decoded remembers what messages say that were read lately. A message to many
// is one text, which each of them reads; what they read they don't change.
type decoded struct {
	byText map[*byte]reading
	order  []*byte
	next   int
	stored map[[sha256.Size]byte][]byte
	claims map[[sha256.Size]byte][]quorum.Cosignature
}

type reading struct {
	text []byte
	msg  wire.Message
	err  error
}

// maxDecoded bounds the messages that are remembered.
const maxDecoded = 256

func newDecoded() *decoded {
	return &decoded{
		byText: map[*byte]reading{}, order: make([]*byte, maxDecoded),
		stored: map[[sha256.Size]byte][]byte{}, claims: map[[sha256.Size]byte][]quorum.Cosignature{},
	}
}

// read decodes a message.
func (d *decoded) read(data []byte, limit int) (wire.Message, error) {
	if len(data) == 0 {
		return wire.Decode(data, limit)
	}
	first := &data[0]
	if r, ok := d.byText[first]; ok && len(r.text) == len(data) {
		return r.msg, r.err
	}
	r := reading{text: data}
	r.msg, r.err = wire.Decode(data, limit)
	// The text is kept, so that its place in memory is not another's meanwhile.
	delete(d.byText, d.order[d.next])
	d.byText[first], d.order[d.next] = r, first
	d.next = (d.next + 1) % maxDecoded
	return r.msg, r.err
}

// batch decodes a stored batch.
func (d *decoded) batch(data []byte, limit int) (*wire.Batch, error) {
	m, err := d.read(data, limit)
	if b, ok := m.(*wire.Batch); ok && err == nil {
		return b, nil
	}
	return wire.DecodeBatch(data, limit)
}

// share lets all members store one copy of a batch, and of a certificate, as
// those of a hundred members would not fit into memory otherwise.
func (d *decoded) share(records []machine.Record) {
	for i, r := range records {
		switch r := r.(type) {
		case witness.PutBatch:
			sum := sha256.Sum256(r.Encoded)
			if d.stored[sum] == nil {
				d.stored[sum] = r.Encoded
			}
			r.Encoded = d.stored[sum]
			records[i] = r
		case witness.PutCertificate:
			text, err := wire.EncodeClaim(r.Claim)
			if err != nil {
				continue // it is stored as it is
			}
			sum := sha256.Sum256(text)
			if d.claims[sum] == nil {
				d.claims[sum] = r.Claim.Cosigs
			}
			r.Claim.Cosigs = d.claims[sum]
			records[i] = r
		}
	}
}
