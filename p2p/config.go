// Package p2p connects the members of a network: bytes in, bytes out. It knows
// who its peers are, and nothing of what they say to each other.
//
// What every member must hear is gossiped on topics; what one must hear is sent
// on a direct stream. Both are hints that may be lost: a full queue drops, and
// counts what it drops. Only members of the network and observers that it
// allows can connect at all; who the members are may change while it runs.
package p2p

import (
	"errors"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// Member is a peer of the network. It is known by a number, which is nobody
// else's, ever; so is its name.
type Member struct {
	Number int
	Name   string
	ID     peer.ID
	Addrs  []multiaddr.Multiaddr
}

// Topic is a stream of gossip.
type Topic uint8

// The topics. The first two are busy.
const (
	TopicBatch Topic = iota
	TopicVote
	TopicNotice
	topics int = iota
)

var topicNames = [topics]string{"batch", "vote", "notice"}

// String is the topic's name.
func (t Topic) String() string { return topicNames[t] }

// Handler takes what comes in. Its methods must not block, and are called from
// many goroutines. It owns the data it is given. A member is named by its
// number; an observer is -1.
type Handler interface {
	// Gossip takes a gossiped message from the peer that passed it on.
	Gossip(from int, topic Topic, data []byte) Verdict
	// Direct takes a message that a peer sent to this one.
	Direct(from int, data []byte) Verdict
	// PeerUp and PeerDown say that the connection with a member has come up,
	// or gone.
	PeerUp(member int)
	PeerDown(member int)
}

// Config is what a Host is made of.
type Config struct {
	// NetworkID separates networks: it is part of every protocol and topic.
	NetworkID [32]byte
	Key       crypto.PrivKey
	Listen    []multiaddr.Multiaddr
	// Members are those that there are at first; see SetMembers.
	Members []Member
	// Self is this peer's number at first, or -1 if it is no member, or not yet. It
	// is never linked to itself, even where the list has another ID for it.
	Self int
	// Observers are peers that may connect without being members.
	Observers []peer.ID
	// MaxMembers bounds the members that there are at once, 128 by default.
	MaxMembers int
	// MaxMessage bounds a message in bytes, 2 MiB by default.
	MaxMessage int
	// QueueMessages bounds the messages that wait for one peer, 1,024 by
	// default, and QueueBytes their bytes, 16 MiB by default.
	QueueMessages int
	QueueBytes    int64
	// EchoEvery is how often each member is asked for an echo, 1 s by default;
	// one that has not answered for three times as long is unreachable.
	EchoEvery time.Duration
	Logger    *slog.Logger
	// Registerer takes the figures; nil keeps them to the host.
	Registerer prometheus.Registerer
}

func (c *Config) setDefaults() error {
	if c.Key == nil {
		return errors.New("p2p: there is no key")
	}
	if c.MaxMembers == 0 {
		c.MaxMembers = 128
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = 2 << 20
	}
	if c.QueueMessages == 0 {
		c.QueueMessages = 1024
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = 16 << 20
	}
	if c.EchoEvery == 0 {
		c.EchoEvery = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// floodLimit is the largest committee in which every message goes from its
// author to every member in one hop. Larger ones use gossipsub's mesh as well.
const floodLimit = 16

// Floods reports whether messages go to every member in one hop, so that
// nobody passes on what others said. It is by the members that there are when
// the host is made: gossipsub takes its parameters once. Hosts of both kinds
// understand each other, so that a network may grow or shrink past the limit
// while it runs.
func (c *Config) Floods() bool { return len(c.Members) <= floodLimit }
