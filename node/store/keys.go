package store

import (
	"encoding/hex"

	"github.com/strataos/strataos/protocol"
)

// The schema. Keys are datastore keys; numbers in them are in hexadecimal with
// a fixed width, so that their order is the numbers'.
//
//	/b/<log>/<old>          the batch that begins at leaf old: its size, then its message
//	/h/<log>/<old>          the stored hashes that the batch adds to the tree
//	/c/<log>/<size>         the certificate of the tree head of that size
//	/e/<log>                the evidence against the author
//	/s/handover             what was told of the logs when the epoch began
//	/x/<hash>/<log><index>  an entry of the body whose hash begins so: its time, kind and life
//	/n/<log>/<size>         what follows from the past of the batch that ends at size
//	/l/<position>           a run of the ledger: its log, old, time, length and the ledger's time
//	/o/<log>/<old>          the position of a batch's run
//	/w/<time><position>     a run by its time
//	/k/<key>/<position>     an anchor of a state, by the hash of its key
//	/z/<second><log><old>   a batch of which a body expires in that second
//	/s/state, /s/checkpoint where the order and the ledger stand
//	/s/erased               where bodies were erased whose space is not given back
//	/s/epoch/<number>       an epoch behind the founding one
//	/p/<id>                 a proposal and what has become of it
//	/po/<id>                a proposal that is open
//	/pp/<position>          the proposal at a place of the ledger
//	/pa/<subject>/<position> the same, by the hash of its subject
//	/pd/<position>          the proposal whose decision is there
//	/ps/<subject>           a subject's version
//	/pv/<id>/<position>     a vote on a proposal
//	/pr/<id>/<position>     a report on a proposal
//	/r/<key>                a small record of the API
//	/d/<handler>            the position up to which a handler has been told of decisions
//	/m/<name>               what the folder belongs to
const (
	spaceBatch       = "/b/"
	spaceHashes      = "/h/"
	spaceCertificate = "/c/"
	spaceEvidence    = "/e/"
	spaceEvent       = "/x/"
	spaceNode        = "/n/"
	spaceRun         = "/l/"
	spacePlace       = "/o/"
	spaceTime        = "/w/"
	spaceState       = "/k/"
	spaceExpiry      = "/z/"
	keyHandover      = "/s/handover"
	keyOrder         = "/s/state"
	keyCheckpoint    = "/s/checkpoint"
	keyErased        = "/s/erased"
	spaceEpoch       = "/s/epoch/"
	spaceCase        = "/p/"
	spaceOpen        = "/po/"
	spaceProposal    = "/pp/"
	spaceAbout       = "/pa/"
	spaceDecided     = "/pd/"
	spaceSubject     = "/ps/"
	spaceVote        = "/pv/"
	spaceReport      = "/pr/"
	spaceRecord      = "/r/"
	spaceDelivery    = "/d/"
	spaceMeta        = "/m/"
)

// logPrefix is the beginning of a log's keys in a space.
func logPrefix(space string, log protocol.MemberID) []byte {
	key := append(make([]byte, 0, 32), space...)
	key = appendHex(key, uint64(log), 4)
	return append(key, '/')
}

// logKey is the key of a place in a log.
func logKey(space string, log protocol.MemberID, at uint64) []byte {
	return appendHex(logPrefix(space, log), at, 16)
}

func evidenceKey(log protocol.MemberID) []byte {
	return appendHex([]byte(spaceEvidence), uint64(log), 4)
}

func epochKey(number uint64) []byte { return appendHex([]byte(spaceEpoch), number, 16) }

// indexedHash is how many bytes of an event's hash its keys have. They are the
// store's most frequent and least orderly keys, and what a lookup finds is held
// to the whole hash anyway.
const indexedHash = 16

func eventPrefix(hash protocol.Hash) []byte {
	key := append(make([]byte, 0, 64), spaceEvent...)
	key = hex.AppendEncode(key, hash[:indexedHash])
	return append(key, '/')
}

func eventKey(hash protocol.Hash, log protocol.MemberID, index uint64) []byte {
	return appendHex(appendHex(eventPrefix(hash), uint64(log), 4), index, 16)
}

const digits = "0123456789abcdef"

func appendHex(dst []byte, n uint64, width int) []byte {
	for shift := 4 * (width - 1); shift >= 0; shift -= 4 {
		dst = append(dst, digits[n>>shift&15])
	}
	return dst
}

// parseHex reads what appendHex wrote; other text reads as some number.
func parseHex(s []byte) uint64 {
	var n uint64
	for _, c := range s {
		d := uint64(c - '0')
		if c >= 'a' {
			d = uint64(c-'a') + 10
		}
		n = n<<4 | d&15
	}
	return n
}

// upper is the smallest key behind all that begin with prefix, whose last
// byte is a slash.
func upper(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}
