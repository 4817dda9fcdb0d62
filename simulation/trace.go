package simulation

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/strataos/strataos/protocol"
)

// trace is the record of a run: a running hash of everything that happens, and
// a readable log of it for whoever asks.
type trace struct {
	hash  hash.Hash
	buf   []byte
	out   io.Writer // nil for no log
	start protocol.Micros
	err   error
}

func newTrace(out io.Writer, start protocol.Micros) *trace {
	return &trace{hash: sha256.New(), out: out, start: start}
}

// code says what kind of thing happened.
type code byte

const (
	traceStep code = iota + 1
	traceSend
	traceDrop
	traceDeliver
	traceSync
	traceCrash
	traceBoot
	traceFault
	traceResolve
	traceRefuse
	traceCertify
	traceAccuse
	traceOrder
	traceCheckpoint
	traceEpoch
)

// note records that something happened at a node. The numbers and data are
// what matters about it.
func (t *trace) note(now protocol.Micros, c code, node int, data []byte, numbers ...uint64) {
	b := append(t.buf[:0], byte(c))
	b = binary.BigEndian.AppendUint64(b, uint64(now))
	b = binary.BigEndian.AppendUint32(b, uint32(node))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(len(data)))
	t.buf = b
	t.hash.Write(b)
	t.hash.Write(data)
}

// say writes a line of the readable log. The arguments are not evaluated into
// text where nobody reads it.
func (t *trace) say(now protocol.Micros, node int, format string, args ...any) {
	if t.out == nil || t.err != nil {
		return
	}
	who := "network"
	if node >= 0 {
		who = fmt.Sprintf("node-%d", node+1)
	}
	_, t.err = fmt.Fprintf(t.out, "%12.6f  %-8s %s\n",
		float64(now-t.start)/float64(protocol.Second), who, fmt.Sprintf(format, args...))
}

// sum is the hash of the run so far.
func (t *trace) sum() string { return hex.EncodeToString(t.hash.Sum(nil)) }
