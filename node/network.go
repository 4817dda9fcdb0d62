package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/strataos/strataos/actors"
	"github.com/strataos/strataos/p2p"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/wire"
)

// network joins the machines to their peers: it turns messages into bytes and
// back, and decides which way they go.
type network struct {
	host     *p2p.Host
	machines *actors.Host
	floods   bool
	logger   *slog.Logger
	blamed   atomic.Int64 // when a blame was last logged, in Unix nanoseconds
}

// maxMessage bounds the messages of peers in bytes. What those of an epoch may have
// is less, and for the machines to say: peers may be in another one.
var maxMessage = wire.MostMessage()

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
		n.logger.Warn("a member delivered something invalid", "member", n.machines.Committee().Name(member), "reason", reason)
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
	msg, err := wire.Decode(data, maxMessage)
	if err != nil || topicOf(msg) != topic {
		return p2p.Reject
	}
	if v := n.judge(msg); v != p2p.Accept {
		return v
	}
	return n.deliver(from, msg, len(data))
}

// judge says whether a message may be gossiped. Where peers pass on what others
// said, they check its author's signature first, so that who passes on a forgery
// can be held to it. An author that this node does not know may be one that others
// know already.
func (n *network) judge(msg wire.Message) p2p.Verdict {
	c := n.machines.Committee()
	signed := func(by protocol.MemberID, cp cosign.Checkpoint, sig cosign.Signature) p2p.Verdict {
		if !n.floods && !c.Verifier(by).Verify(cp, sig) {
			return p2p.Reject
		}
		return p2p.Accept
	}
	switch msg := msg.(type) {
	case *wire.Batch:
		if c.Known(msg.Author) {
			return signed(msg.Author, c.Checkpoint(msg.Author, msg.Size(), msg.Root), msg.AuthorVote().Signature())
		}
		return p2p.Ignore
	case *wire.Votes:
		if c.Known(msg.Voter) {
			return p2p.Accept
		}
		return p2p.Ignore
	case *wire.LedgerHead:
		if c.Known(msg.Voter) {
			return signed(msg.Voter, c.Checkpoint(protocol.Ledger, msg.Head.Size, msg.Head.Root), cosign.Signature{Time: msg.Head.Time, Bytes: msg.Head.Sig})
		}
		return p2p.Ignore
	case *wire.Evidence, *wire.Certificate:
		return p2p.Accept
	}
	return p2p.Reject
}

// Direct implements p2p.Handler.
func (n *network) Direct(from int, data []byte) p2p.Verdict {
	msg, err := wire.Decode(data, maxMessage)
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
	n.tell("connected", protocol.MemberID(member))
	n.machines.PeerUp(protocol.MemberID(member))
}

// PeerDown implements p2p.Handler.
func (n *network) PeerDown(member int) {
	n.tell("disconnected", protocol.MemberID(member))
}

// tell logs what has become of a connection. Members refuse who is none after it
// has connected, again and again.
func (n *network) tell(what string, member protocol.MemberID) {
	level, st := slog.LevelInfo, n.machines.Standing()
	if !st.Member() {
		level = slog.LevelDebug
	}
	n.logger.Log(context.Background(), level, what, "member", st.Committee().Name(member))
}
