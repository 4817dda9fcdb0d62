package protocol

import (
	"encoding/json"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// LedgerName is the last part of the ledger's origin. No member has it.
const LedgerName = "ledger"

// AccordName is the name that the ledger has for the log of decisions. No member
// has it.
const AccordName = "accord"

// LedgerEntry is a leaf of the ledger: an entry and where it stands in its
// author's log. Its place in the ledger is its position.
type LedgerEntry struct {
	Entry
	// Log is the name of the member that authored the entry, and Index its
	// leaf in that member's log.
	Log   string
	Index uint64
}

// Append appends the leaf, its RFC 8785 form, to dst.
func (e LedgerEntry) Append(dst []byte) []byte {
	dst = append(dst, `{"hash":"`...)
	dst = e.Hash.Append(dst)
	dst = append(dst, `","index":`...)
	dst = strconv.AppendUint(dst, e.Index, 10)
	dst = append(dst, `,"kind":"`...)
	dst = append(dst, e.Kind.String()...)
	dst = append(dst, `","log":"`...)
	dst = append(dst, e.Log...)
	dst = append(dst, '"')
	return append(e.appendTimes(dst), `,"v":1}`...)
}

// LeafHash is the RFC 6962 leaf hash. The buffer is scratch space that is
// returned for reuse.
func (e LedgerEntry) LeafHash(buf []byte) (tlog.Hash, []byte) {
	buf = e.Append(buf[:0])
	return tlog.RecordHash(buf), buf
}

// ParseLedgerEntry reads a leaf of the ledger. The text must be exactly what
// Append writes.
func ParseLedgerEntry(leaf []byte) (LedgerEntry, error) {
	var raw rawEntry
	if err := json.Unmarshal(leaf, &raw); err != nil {
		return LedgerEntry{}, fieldErrorf("entry", "is not an entry: %v", err)
	}
	e, err := raw.entry()
	if err != nil {
		return LedgerEntry{}, err
	}
	if err := checkLedgerLog(e.Kind, raw.Log); err != nil {
		return LedgerEntry{}, err
	}
	out := LedgerEntry{Entry: e, Log: raw.Log, Index: raw.Index}
	if string(out.Append(nil)) != string(leaf) {
		return LedgerEntry{}, fieldErrorf("entry", "is not in canonical form")
	}
	return out, nil
}

// checkLedgerLog checks whose log an entry of a kind may be of.
func checkLedgerLog(kind Kind, log string) error {
	if derived := kind == KindDecide; derived != (log == AccordName) {
		return fieldErrorf("entry.log", "%.64q has no entries of the kind %s", log, kind)
	} else if derived {
		return nil
	}
	return CheckMemberName("entry.log", log)
}
