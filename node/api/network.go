package api

import (
	"net/http"

	"github.com/strataos/strataos/protocol"
)

// networkAnswer is the answer to GET /v1/network.
type networkAnswer struct {
	Network string        `json:"network"`
	ID      protocol.Hash `json:"id"`
	// Epoch is the committee's version, and Since the ledger's time when it began,
	// in Unix milliseconds; 0 for the founding one.
	Epoch   uint64            `json:"epoch"`
	Since   int64             `json:"since"`
	Quorum  int               `json:"quorum"`
	Params  protocol.Params   `json:"params"`
	Genesis *protocol.Genesis `json:"genesis"`
	// Members are all that there ever were.
	Members []memberAnswer `json:"members"`
	Node    nodeAnswer     `json:"node"`
}

type memberAnswer struct {
	protocol.Member
	// Status is "active", or "left".
	Status    string `json:"status"`
	Reachable bool   `json:"reachable"`
	// Stored and Certified are sizes of the member's log at this node.
	Stored    uint64 `json:"stored"`
	Certified uint64 `json:"certified"`
	// Frozen says that this node holds evidence against the member.
	Frozen bool `json:"frozen"`
}

type nodeAnswer struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Member says that the node is one in this epoch.
	Member bool           `json:"member"`
	Ready  bool           `json:"ready"`
	Ledger nodeLedgerInfo `json:"ledger"`
}

// nodeLedgerInfo is where the ledger stands at this node.
type nodeLedgerInfo struct {
	Size       uint64        `json:"size"`
	Root       protocol.Hash `json:"root"`
	Checkpoint uint64        `json:"checkpoint"` // entries that a quorum has cosigned
	Unordered  int           `json:"unordered"`  // certified entries that wait for their places
	Halted     bool          `json:"halted"`     // by a fork alarm
}

// network answers GET /v1/network.
func (s *Server) network(x *exchange) error {
	status, order, reachable, c := s.Status(), s.Order(), s.Reachable(), s.Committee()
	a := networkAnswer{
		Network: s.Genesis.Network, ID: s.networkID, Epoch: c.Epoch(), Since: c.Since().Millis(),
		Quorum: c.Quorum(), Params: c.Params(), Genesis: s.Genesis,
		Node: nodeAnswer{
			Name: s.Name, Version: s.Version, Member: c.Has(s.Self()), Ready: s.readiness().Ready,
			Ledger: nodeLedgerInfo{order.Size, order.Root, order.Checkpoint, order.Unordered, order.Halted},
		},
	}
	for i, member := range c.Roster() {
		m := memberAnswer{Member: member, Status: "left", Reachable: i < len(reachable) && reachable[i]}
		if c.Has(protocol.MemberID(i)) {
			m.Status = "active"
		}
		if i < len(status.Logs) {
			l := status.Logs[i]
			m.Stored, m.Certified, m.Frozen = l.Stored, l.Certified, l.Frozen
		}
		a.Members = append(a.Members, m)
	}
	s.writeJSON(x, http.StatusOK, a)
	return nil
}

// healthz answers while the process serves requests at all.
func (s *Server) healthz(x *exchange) error {
	s.writeJSON(x, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// readiness is whether the node can attest an event now.
type readiness struct {
	Ready     bool   `json:"ready"`
	Reachable int    `json:"reachable"`
	Required  int    `json:"required"`
	Reason    string `json:"reason,omitempty"`
}

func (s *Server) readiness() readiness {
	c := s.Committee()
	r := readiness{Required: c.Quorum()}
	for i, up := range s.Reachable() {
		if up && c.Has(protocol.MemberID(i)) {
			r.Reachable++
		}
	}
	status := s.Status()
	switch {
	case s.standing() != "":
		r.Reason = s.standing()
	case status.Stopped:
		r.Reason = "there is evidence that this node's key signed two histories"
	case s.Order().Halted:
		r.Reason = "its ledger is halted by a fork alarm: other members have cosigned another one"
	case r.Reachable < r.Required:
		r.Reason = "fewer members than a quorum can be reached"
	case !status.Recovered:
		r.Reason = "the node has not yet learned from the others how long its own log is"
	case !status.Ready:
		r.Reason = "the node has not yet learned from the others what it has to know to vote in this epoch"
	default:
		r.Ready = true
	}
	return r
}

// readyz answers 200 only if the node can reach a quorum now.
func (s *Server) readyz(x *exchange) error {
	r := s.readiness()
	status := http.StatusOK
	if !r.Ready {
		status = http.StatusServiceUnavailable
	}
	s.writeJSON(x, status, r)
	return nil
}
