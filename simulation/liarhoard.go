package simulation

import (
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// hoard keeps certificates from all but a few members. It answers nil for what
// is nothing but a certificate.
func (l *liar) hoard(msg wire.Message, to protocol.MemberID) wire.Message {
	if !l.does["hoard"] || l.few[to] {
		return msg
	}
	switch msg := msg.(type) {
	case *wire.Certificate:
		return nil
	case *wire.Batch:
		b := *msg // a certificate is no part of what its author signs
		b.Cert = quorum.Claim{Log: b.Author}
		return &b
	case *wire.LedgerHead:
		h := *msg
		h.Cert = quorum.Claim{Log: protocol.Ledger}
		return &h
	}
	return msg
}
