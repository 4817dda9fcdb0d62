package p2p

import (
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// gater lets members and observers connect, and nobody else.
type gater struct {
	allowed func(peer.ID) bool
	logger  *slog.Logger
	refused func()

	mu     sync.Mutex
	logged map[peer.ID]bool
}

// maxLogged bounds the strangers that are logged by name.
const maxLogged = 64

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.allowed(p) }

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g *gater) InterceptAddrDial(p peer.ID, _ multiaddr.Multiaddr) bool { return g.allowed(p) }

// InterceptAccept implements connmgr.ConnectionGater: who comes is not known yet.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured implements connmgr.ConnectionGater.
func (g *gater) InterceptSecured(_ network.Direction, p peer.ID, addrs network.ConnMultiaddrs) bool {
	if g.allowed(p) {
		return true
	}
	g.refused()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.logged[p] && len(g.logged) < maxLogged {
		g.logged[p] = true
		g.logger.Warn("a stranger was refused", "peer", p, "address", addrs.RemoteMultiaddr())
	}
	return false
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
