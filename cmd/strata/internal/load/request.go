package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net"
	"net/url"
	"strings"

	"github.com/strataos/strataos/protocol/jcs"
)

const (
	attestPath  = "/v1/witness/attest"
	anchorPath  = "/v1/chronos/anchor"
	proposePath = "/v1/accord/propose"
)

// target is a node as its URL names it.
type target struct {
	url     string // as configured
	address string // host:port to dial
	host    string // Host header
	path    string
	tls     bool
}

// parseTarget reads a base URL.
func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, fmt.Errorf("urls: %w; use a base URL such as http://127.0.0.1:8401", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return target{}, fmt.Errorf("urls: %.100q is not a base URL such as http://127.0.0.1:8401", raw)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return target{
		url:     raw,
		address: net.JoinHostPort(u.Hostname(), port),
		host:    u.Host,
		path:    strings.TrimRight(u.EscapedPath(), "/"),
		tls:     u.Scheme == "https",
	}, nil
}

// An event is written in canonical form (RFC 8785: members sorted, no space),
// so its hash is the SHA-256 of the very bytes sent. Its data is random, as a
// constant filler would compress to nothing on the nodes' disks.
const (
	eventHead = `{"payload":{"data":"`
	eventRun  = `","run":"`
	eventSeq  = `","seq":"`
	eventTail = `"},"type":"bench.event"}`
	hexDigits = 16 // of a uint64

	// An anchor has a head and a tail of its own, which are no longer.
	anchorHead = `{"anchor_type":"event","data":{"data":"`
	anchorTail = `"}}`

	// So has the action of a proposal.
	actionHead = `{"payload":{"data":"`
	actionTail = `"},"type":"` + ProposedType + `"}`

	minEventBytes = len(eventHead) + len(eventRun) + hexDigits + len(eventSeq) + hexDigits + len(eventTail)
)

// ProposedType is the type of the actions that are proposed.
const ProposedType = "demo.bench"

// request is a whole HTTP request that can be sent again and again with
// another event. It belongs to one goroutine.
type request struct {
	bytes []byte // head and body
	event []byte // these and the slices below are parts of bytes
	// closing is what the hashed text has behind event.
	closing string
	data    []byte
	seq     []byte
	seed    uint64
}

func newRequest(t target, c Config) *request {
	path, before, first, last := attestPath, `{"event":`, eventHead, eventTail
	after := fmt.Sprintf(`,"timeout_ms":%d}`, c.Timeout.Milliseconds())
	if c.Subject != "" {
		after = `,"subject":` + string(jcs.AppendString(nil, c.Subject)) + after
	}
	switch {
	case c.Anchor:
		// The anchor's own fields stand beside the request's.
		path, before, first, last = anchorPath, "", anchorHead, anchorTail
	case c.Propose:
		path, before, first, last = proposePath, `{"action":`, actionHead, actionTail
	}
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: strata-bench\r\n"+
		"Authorization: Bearer %s\r\nContent-Type: application/json\r\n", t.path+path, t.host, c.Token)
	data := c.EventBytes - (minEventBytes - len(eventHead) - len(eventTail) + len(first) + len(last))
	length := len(before) + c.EventBytes + len(after)
	if c.Anchor {
		length-- // one brace closes the request and the anchor
	}

	b := fmt.Appendf(head, "Content-Length: %d\r\n\r\n", length)
	b = append(b, before...)
	eventAt := len(b)
	b = append(b, first...)
	dataAt := len(b)
	b = append(b, make([]byte, data)...)
	b = fmt.Appendf(b, "%s%016x%s", eventRun, c.Seed, eventSeq)
	seqAt := len(b)
	b = append(b, make([]byte, hexDigits)...)
	b = append(b, last...)
	end, closing := eventAt+c.EventBytes, ""
	if c.Anchor {
		// The brace that closes the request closes the anchor too.
		end, closing = end-1, "}"
		b = b[:end]
	}
	b = append(b, after...)

	return &request{
		bytes: b,
		event: b[eventAt:end], closing: closing,
		data: b[dataAt : dataAt+data],
		seq:  b[seqAt : seqAt+hexDigits],
		seed: c.Seed,
	}
}

// set puts event number seq of the run into the request. The event is a
// function of seed and seq alone, and no two events of a run are equal.
func (r *request) set(seq uint64) {
	for i, s := len(r.seq)-1, seq; i >= 0; i, s = i-1, s>>4 {
		r.seq[i] = "0123456789abcdef"[s&15]
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	state := r.seed ^ bits.RotateLeft64(seq, 32)
	for rest := r.data; len(rest) > 0; {
		state += 0x9e3779b97f4a7c15
		word := mix(state)
		n := min(len(rest), 10) // a word holds ten 6-bit digits
		for i := range n {
			rest[i] = alphabet[word&63]
			word >>= 6
		}
		rest = rest[n:]
	}
}

// mix is the output function of SplitMix64 (Steele, Lea, Flood: "Fast
// splittable pseudorandom number generators", 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// hash is the hash the node must answer with, in its text form.
func (r *request) hash() string {
	h := sha256.New()
	h.Write(r.event)
	h.Write([]byte(r.closing))
	return "0x" + hex.EncodeToString(h.Sum(nil))
}
