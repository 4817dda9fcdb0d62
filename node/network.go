package node

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/p2p"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// network joins the machines to their peers: it turns messages into bytes and
// back, and decides which way they go.
type network struct {
	host      *p2p.Host
	machines  *actors.Host
	committee *quorum.Committee
	limit     int
	floods    bool
	logger    *slog.Logger
	blamed    atomic.Int64 // when a blame was last logged, in Unix nanoseconds
}

// Publish implements actors.Network.
func (n *network) Publish(msg wire.Message) {
	if data, ok := n.encode(msg); ok {
		if err := n.host.Publish(topicOf(msg), data); err != nil {
			n.logger.Warn("a message was not published", "error", err)
		}
	}
}

// Send implements actors.Network.
func (n *network) Send(to protocol.MemberID, msg wire.Message) {
	if data, ok := n.encode(msg); ok {
		n.host.Send(int(to), data)
	}
}

// Blame implements actors.Network.
func (n *network) Blame(member protocol.MemberID, reason string) {
	n.host.Blame(int(member))
	now := time.Now().UnixNano()
	if last := n.blamed.Load(); now-last > int64(time.Second) && n.blamed.CompareAndSwap(last, now) {
		n.logger.Warn("a member delivered something invalid", "member", n.committee.Name(member), "reason", reason)
	}
}

func (n *network) encode(msg wire.Message) ([]byte, bool) {
	data, err := wire.Encode(msg)
	if err != nil {
		n.logger.Error("a message cannot be encoded", "error", err)
	}
	return data, err == nil
}

// topicOf is the topic that messages of a kind are gossiped on.
func topicOf(msg wire.Message) p2p.Topic {
	switch msg.(type) {
	case *wire.Batch:
		return p2p.TopicBatch
	case *wire.Votes, *wire.Certificate, *wire.LedgerHead:
		return p2p.TopicVote
	}
	return p2p.TopicNotice
}

// Gossip implements p2p.Handler.
func (n *network) Gossip(from int, topic p2p.Topic, data []byte) p2p.Verdict {
	msg, err := wire.Decode(data, n.limit)
	if err != nil || topicOf(msg) != topic || !n.fitsGossip(msg) {
		return p2p.Reject
	}
	return n.deliver(from, msg, len(data))
}

// fitsGossip reports whether a message may be gossiped. Where peers pass on
// what others said, they check its author's signature first, so that who
// passes on a forgery can be held to it.
func (n *network) fitsGossip(msg wire.Message) bool {
	switch msg := msg.(type) {
	case *wire.Batch:
		if n.floods {
			return true
		}
		return n.committee.Has(msg.Author) && n.committee.Verifier(msg.Author).Verify(
			n.committee.Checkpoint(msg.Author, msg.Size(), msg.Root), msg.AuthorVote().Signature())
	case *wire.Votes:
		return n.committee.Has(msg.Voter)
	case *wire.Evidence, *wire.Certificate:
		return true
	case *wire.LedgerHead:
		return n.floods || n.committee.Has(msg.Voter) && n.committee.Verifier(msg.Voter).Verify(
			n.committee.Checkpoint(protocol.Ledger, msg.Head.Size, msg.Head.Root),
			cosign.Signature{Time: msg.Head.Time, Bytes: msg.Head.Sig})
	}
	return false
}

// Direct implements p2p.Handler.
func (n *network) Direct(from int, data []byte) p2p.Verdict {
	msg, err := wire.Decode(data, n.limit)
	if err != nil {
		return p2p.Reject
	}
	return n.deliver(from, msg, len(data))
}

// deliver hands a message of a member to the machines.
func (n *network) deliver(from int, msg wire.Message, bytes int) p2p.Verdict {
	if from < 0 || !n.machines.Deliver(protocol.MemberID(from), msg, bytes) {
		return p2p.Ignore
	}
	return p2p.Accept
}

// PeerUp implements p2p.Handler.
func (n *network) PeerUp(member int) {
	n.logger.Info("connected", "member", n.committee.Name(protocol.MemberID(member)))
	n.machines.PeerUp(protocol.MemberID(member))
}

// PeerDown implements p2p.Handler.
func (n *network) PeerDown(member int) {
	n.logger.Info("disconnected", "member", n.committee.Name(protocol.MemberID(member)))
}
