package protocol

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Hash is a SHA-256 digest. Its text form is 0x and 64 lower-case hexadecimal
// digits.
type Hash [32]byte

// String returns the text form.
func (h Hash) String() string { return string(h.Append(nil)) }

// Append appends the text form to dst.
func (h Hash) Append(dst []byte) []byte {
	return hex.AppendEncode(append(dst, '0', 'x'), h[:])
}

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return h.Append(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}

// ParseHash reads the text form of a hash.
func ParseHash(s string) (Hash, error) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits) != 64 || strings.ToLower(digits) != digits {
		return Hash{}, fmt.Errorf("a hash is 0x and 64 lower-case hexadecimal digits, got %.80q", s)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return Hash{}, fmt.Errorf("a hash is 0x and 64 lower-case hexadecimal digits, got %.80q", s)
	}
	return Hash(raw), nil
}

// Micros is a time in Unix microseconds, the protocol's unit: until the year
// 2255 it fits a JSON number exactly.
type Micros int64

// MaxMicros is the largest time that a JSON number holds exactly (2^53−1).
const MaxMicros Micros = 1<<53 - 1

const (
	// Millisecond is a millisecond in the protocol's unit.
	Millisecond Micros = 1_000
	// Second is a second in the protocol's unit.
	Second Micros = 1_000_000
)

// Millis is the time in Unix milliseconds, the API's unit, rounded down.
func (t Micros) Millis() int64 { return int64(t) / 1_000 }

// Seconds is the time in Unix seconds, the unit of cosignatures, rounded down.
func (t Micros) Seconds() uint64 { return uint64(max(t, 0)) / 1_000_000 }

// MemberID numbers a member of a network: its position in the roster, which
// begins with the genesis' list. Numbers are never given to another member.
type MemberID uint16

// Ledger is the number that stands for the ledger where logs are numbered. No
// member has it.
const Ledger MemberID = 1<<16 - 1

// Accord is the number of the log of decisions, which no member authors: every
// member derives it from the order.
const Accord = Ledger - 1

// Nobody is the number of who is not a member, or not yet.
const Nobody = Ledger - 2
