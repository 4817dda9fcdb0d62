package proof

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	fproof "github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/cosign"
	"github.com/strataos/strataos/protocol/jcs"
)

// Step names what a verification looks at, in its order.
type Step string

// The steps of Verify.
const (
	StepFormat     Step = "format"     // the proof can be read
	StepEvent      Step = "event"      // the event can be read
	StepHash       Step = "hash"       // the event has the entry's hash
	StepEntry      Step = "entry"      // the entry is what the answer says
	StepInclusion  Step = "inclusion"  // the entry is in the checkpoint's tree
	StepCheckpoint Step = "checkpoint" // every signature of the checkpoint is good
	StepQuorum     Step = "quorum"     // they satisfy the policy
	StepTime       Step = "time"       // the author's time is vouched for
)

// StepError says which step of a verification failed.
type StepError struct {
	Step   Step
	Reason string
}

// Error implements error.
func (e *StepError) Error() string { return string(e.Step) + ": " + e.Reason }

func failf(s Step, format string, args ...any) error {
	return &StepError{Step: s, Reason: fmt.Sprintf(format, args...)}
}

// MaxProofBytes bounds the text of a proof.
const MaxProofBytes = 64 << 10

// vouchedSeconds is how far the author's time may lie from the median of the
// witnesses' to be vouched for.
const vouchedSeconds = 2

// Claims are what is said beside a proof and must fit it. Zero values are not
// checked, but for those that ParseAnswer has found in an answer.
type Claims struct {
	// Event is the event or the anchor as JSON, in any form.
	Event []byte
	// Hash is the event's hash in text form.
	Hash string
	// Timestamp is the author's time in Unix milliseconds.
	Timestamp int64
	// Position is the place in the ledger. Proofs of other logs don't show it.
	Position *uint64
	// Quorum is "achieved/asked": how many cosignatures there are, and how many
	// were asked for.
	Quorum string
	// StrictTime demands that the author's time be vouched for.
	StrictTime bool
	// EpochFrom demands that the committee of this epoch or a later one vouches.
	EpochFrom uint64

	hashGiven, timestampGiven, quorumGiven bool
	witnessedAt                            *uint64
	vouched                                *bool
	beside                                 beside
	act                                    act
}

// Report is what a good proof shows.
type Report struct {
	Hash protocol.Hash `json:"hash"`
	Kind string        `json:"kind"`
	// Origin names the log or the ledger, and Size is its size at the
	// checkpoint.
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	// Position is the leaf of the ledger, of which a proof against a member's
	// log says nothing.
	Position *uint64 `json:"position,omitempty"`
	// Log is the author's name, and Index the leaf in the author's log.
	Log   string `json:"log"`
	Index uint64 `json:"index"`
	// Timestamp is the author's time in Unix milliseconds.
	Timestamp int64 `json:"timestamp"`
	// WitnessedAt is the median time of the cosignatures in Unix seconds.
	WitnessedAt uint64 `json:"witnessed_at"`
	// TimestampVouched says that Timestamp lies within two seconds of
	// WitnessedAt. Otherwise only WitnessedAt is vouched for.
	TimestampVouched bool `json:"timestamp_vouched"`
	// Epoch is the newest one whose committee vouches. A policy that is no
	// network's has none but 0.
	Epoch uint64 `json:"epoch"`
	// Quorum is "achieved/required" in that epoch.
	Quorum    string    `json:"quorum"`
	Witnesses []Witness `json:"witnesses"`

	entry protocol.LedgerEntry
}

// Verify checks a proof and what is claimed beside it against a policy. Errors
// are StepErrors; the first step that fails is named.
func Verify(policy *Policy, p *Proof, claims Claims) (*Report, error) {
	parsed, err := parse(p)
	if err != nil {
		return nil, err
	}
	entry, err := checkEntry(policy, p, claims)
	if err != nil {
		return nil, err
	}
	cp, lines, err := splitNote(parsed.Checkpoint)
	if err != nil {
		return nil, err
	}
	if err := checkInclusion(p, parsed, cp); err != nil {
		return nil, err
	}
	signers, err := checkSignatures(policy, p, cp, lines)
	if err != nil {
		return nil, err
	}
	vouching, err := policy.vouching(parsed.Checkpoint, signers, p.Witnesses, claims.EpochFrom)
	if err != nil {
		return nil, err
	}
	if err := checkQuorum(p, claims); err != nil {
		return nil, err
	}
	r := &Report{
		Hash: entry.Hash, Kind: entry.Kind.String(), Origin: cp.Origin, Size: cp.Size,
		Log: entry.Log, Index: entry.Index, entry: entry,
		Timestamp:   entry.Time.Millis(),
		WitnessedAt: Median(p.Witnesses),
		Epoch:       vouching.epoch,
		Quorum:      fmt.Sprintf("%d/%d", len(p.Witnesses), vouching.required),
		Witnesses:   p.Witnesses,
	}
	if policy.isLedger(cp.Origin) {
		r.Position = &p.Index
	}
	r.TimestampVouched = Vouched(entry.Time, r.WitnessedAt)
	if w := claims.witnessedAt; w != nil && *w != r.WitnessedAt {
		return nil, failf(StepTime, "witnessed_at is given as %d, the witnesses' median is %d", *w, r.WitnessedAt)
	}
	if v := claims.vouched; v != nil && *v != r.TimestampVouched {
		return nil, failf(StepTime, "timestamp_vouched is given as %t, which it is not", *v)
	}
	if claims.StrictTime && !r.TimestampVouched {
		return nil, failf(StepTime, "the author's time %d and the witnesses' %d lie more than %d s apart", entry.Time.Seconds(), r.WitnessedAt, vouchedSeconds)
	}
	return r, nil
}

// checkQuorum holds what is said of the quorum to the cosignatures. How many
// were asked for only who asked can tell.
func checkQuorum(p *Proof, claims Claims) error {
	if !claims.quorumGiven && claims.Quorum == "" {
		return nil
	}
	achieved, asked, ok := strings.Cut(claims.Quorum, "/")
	n, err := strconv.ParseUint(asked, 10, 32)
	if !ok || err != nil || strconv.FormatUint(n, 10) != asked || achieved != strconv.Itoa(len(p.Witnesses)) {
		return failf(StepQuorum, "the quorum is given as %.80q, there are %d cosignatures", claims.Quorum, len(p.Witnesses))
	}
	return nil
}

// Vouched reports whether an author's time lies so near to the median of the
// witnesses' times, in Unix seconds, that they vouch for it.
func Vouched(author protocol.Micros, witnessedAt uint64) bool {
	a, w := author.Seconds(), witnessedAt
	return max(a, w)-min(a, w) <= vouchedSeconds
}

// Median is the median of the witnesses' times, the earlier one of two. With
// up to f liars among 2f+1 witnesses it lies between honest ones' times.
func Median(ws []Witness) uint64 {
	if len(ws) == 0 {
		return 0
	}
	times := make([]uint64, len(ws))
	for i, w := range ws {
		times[i] = w.Time
	}
	slices.Sort(times)
	return times[(len(times)-1)/2]
}

// parse reads the tlog-proof. The library's reader is lenient; a proof must be
// exactly what its writer would write, so that no byte of it is without effect.
func parse(p *Proof) (*fproof.TLogProof, error) {
	if len(p.TLogProof) > MaxProofBytes {
		return nil, failf(StepFormat, "the tlog-proof has %d bytes, at most %d are read", len(p.TLogProof), MaxProofBytes)
	}
	var t fproof.TLogProof
	if err := t.Unmarshal([]byte(p.TLogProof)); err != nil {
		return nil, failf(StepFormat, "%v", err)
	}
	if !bytes.Equal(t.Marshal(), []byte(p.TLogProof)) {
		return nil, failf(StepFormat, "the tlog-proof is not in the form its specification gives it")
	}
	if t.Index != p.Index {
		return nil, failf(StepFormat, "index is %d, the tlog-proof says %d", p.Index, t.Index)
	}
	return &t, nil
}

// readLeaf reads the leaf that is proved: that of a member's log, whose name is
// in the origin, or of the ledger, which has the author's name and the place in
// its log in the leaf.
func readLeaf(policy *Policy, p *Proof) (protocol.LedgerEntry, error) {
	leaf, err := jcs.Append(nil, p.Entry)
	if err != nil {
		return protocol.LedgerEntry{}, err
	}
	if policy.isLedger(p.Origin) {
		return protocol.ParseLedgerEntry(leaf)
	}
	e, err := protocol.ParseEntry(leaf)
	name := p.Origin[strings.LastIndexByte(p.Origin, '/')+1:]
	return protocol.LedgerEntry{Entry: e, Log: name, Index: p.Index}, err
}

func checkEntry(policy *Policy, p *Proof, claims Claims) (protocol.LedgerEntry, error) {
	entry, err := readLeaf(policy, p)
	if err != nil {
		return entry, failf(StepEntry, "%v", err)
	}
	if claims.Event != nil {
		if err := checkBody(entry.Kind, entry.Hash, claims); err != nil {
			return entry, err
		}
	}
	if (claims.hashGiven || claims.Hash != "") && claims.Hash != entry.Hash.String() {
		return entry, failf(StepHash, "the hash is given as %.80q, the entry's is %s", claims.Hash, entry.Hash)
	}
	if (claims.timestampGiven || claims.Timestamp != 0) && claims.Timestamp != entry.Time.Millis() {
		return entry, failf(StepEntry, "the timestamp is given as %d, the entry's is %d", claims.Timestamp, entry.Time.Millis())
	}
	if claims.Position != nil && policy.isLedger(p.Origin) && *claims.Position != p.Index {
		return entry, failf(StepEntry, "the position is given as %d, the entry's is %d", *claims.Position, p.Index)
	}
	if err := claims.act.check(&entry.Entry); err != nil {
		return entry, err
	}
	return entry, claims.beside.check(&entry)
}

// splitNote takes a signed note apart into its checkpoint and signature lines.
func splitNote(note []byte) (cosign.Checkpoint, []string, error) {
	text, sigs, ok := strings.Cut(string(note), "\n\n")
	lines := strings.Split(text, "\n")
	if !ok || len(lines) != 3 || !strings.HasSuffix(sigs, "\n") {
		return cosign.Checkpoint{}, nil, failf(StepCheckpoint, "is not a checkpoint of three lines with signatures")
	}
	cp := cosign.Checkpoint{Origin: lines[0]}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(cp.Root) {
		return cp, nil, failf(StepCheckpoint, "the root is not a hash in base64")
	}
	cp.Root = [32]byte(root)
	if _, err := fmt.Sscanf(lines[1], "%d", &cp.Size); err != nil || string(cp.Append(nil)) != text+"\n" {
		return cp, nil, failf(StepCheckpoint, "the size is not a number in decimal")
	}
	return cp, strings.SplitAfter(strings.TrimSuffix(sigs, "\n"), "\n"), nil
}

func checkInclusion(p *Proof, t *fproof.TLogProof, cp cosign.Checkpoint) error {
	if cp.Origin != p.Origin {
		return failf(StepCheckpoint, "origin is %q, the checkpoint's is %q", p.Origin, cp.Origin)
	}
	if cp.Size != p.Size {
		return failf(StepCheckpoint, "size is %d, the checkpoint's is %d", p.Size, cp.Size)
	}
	if cp.Size > 1<<62 || t.Index >= cp.Size {
		return failf(StepInclusion, "leaf %d is not in a tree of %d", t.Index, cp.Size)
	}
	leaf, err := jcs.Append(nil, p.Entry)
	if err != nil {
		return failf(StepEntry, "%v", err)
	}
	path := make(tlog.RecordProof, len(t.Hashes))
	for i, h := range t.Hashes {
		path[i] = h
	}
	if err := tlog.CheckRecord(path, int64(cp.Size), cp.Root, int64(t.Index), tlog.RecordHash(leaf)); err != nil {
		return failf(StepInclusion, "the entry is not leaf %d of the checkpoint's tree", t.Index)
	}
	return nil
}
