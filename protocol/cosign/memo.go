package cosign

import "crypto/sha256"

// Memo remembers signatures that verified, so that a host that runs many
// members of a network in one process checks each of them at most once. It is not safe
// for concurrent use.
type Memo struct{ good map[[32]byte]struct{} }

// maxMemo bounds what a Memo remembers.
const maxMemo = 1 << 17

// NewMemo returns an empty memo.
func NewMemo() *Memo { return &Memo{good: map[[32]byte]struct{}{}} }

// WithMemo returns the same verifier with a memory.
func (v *Verifier) WithMemo(m *Memo) *Verifier {
	w := *v
	w.memo = m
	return &w
}

// WithMemo returns the same signer, whose signatures the memo knows to be good
// from the beginning.
func (s *Signer) WithMemo(m *Memo) *Signer {
	t := *s
	t.verifier = s.verifier.WithMemo(m)
	return &t
}

// recall is the key of a signature, and whether it is known to be good.
func (m *Memo) recall(v *Verifier, message, sig []byte) ([32]byte, bool) {
	h := sha256.New()
	h.Write(v.key) // of one length, like the signature
	h.Write(sig)
	h.Write(message)
	key := [32]byte(h.Sum(nil))
	_, ok := m.good[key]
	return key, ok
}

func (m *Memo) remember(key [32]byte) {
	if len(m.good) >= maxMemo {
		clear(m.good)
	}
	m.good[key] = struct{}{}
}
