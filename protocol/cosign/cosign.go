// Package cosign makes and checks the signatures of strataos: C2SP
// tlog-cosignature "cosignature/v1" signatures (Ed25519, key type 0x04) over
// C2SP tlog-checkpoint texts.
//
// A member signs its own log and witnesses those of others with the same key
// and the same signature format, so an author's signature is simply the first
// vote. The Go library for this format reads the wall clock while it signs;
// the deterministic core may not, so the signature is made here from a time
// that the caller passes, and the library checks it in the tests.
//
// Specifications: https://c2sp.org/tlog-checkpoint,
// https://c2sp.org/tlog-cosignature, https://c2sp.org/signed-note.
package cosign

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// algorithm is the signed-note type byte of an Ed25519 cosignature/v1 key.
const algorithm = 0x04

// SignatureSize is the length of a raw Ed25519 signature in bytes.
const SignatureSize = ed25519.SignatureSize

// Checkpoint is a tree head: the first Size leaves of the log named Origin
// have the RFC 6962 root Root. It has no extension lines.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
}

// Append appends the checkpoint's text (three lines, each ending in a
// newline) to dst.
func (c Checkpoint) Append(dst []byte) []byte {
	dst = append(dst, c.Origin...)
	dst = append(dst, '\n')
	dst = strconv.AppendUint(dst, c.Size, 10)
	dst = append(dst, '\n')
	dst = base64.StdEncoding.AppendEncode(dst, c.Root[:])
	return append(dst, '\n')
}

// Signature is a cosignature: Time, in Unix seconds, is the signer's own
// clock and part of what is signed.
type Signature struct {
	Time  uint64
	Bytes [SignatureSize]byte
}

// message appends the bytes that a cosignature/v1 signature covers to dst.
func message(dst []byte, cp Checkpoint, time uint64) []byte {
	dst = append(dst, "cosignature/v1\ntime "...)
	dst = strconv.AppendUint(dst, time, 10)
	dst = append(dst, '\n')
	return cp.Append(dst)
}

// Verifier is the public half of a signing key, under the name it signs as.
type Verifier struct {
	name string
	hash [4]byte
	key  ed25519.PublicKey
	memo *Memo
}

// NewVerifier returns the verifier for an Ed25519 public key under a name.
// The name must be non-empty and hold neither spaces nor plus signs.
func NewVerifier(name string, key ed25519.PublicKey) (*Verifier, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("public key has %d bytes, want %d", len(key), ed25519.PublicKeySize)
	}
	return &Verifier{name: name, hash: keyHash(name, key), key: key}, nil
}

// ParseVerifier reads a vkey of type 0x04: <name>+<key hash>+<base64>.
func ParseVerifier(vkey string) (*Verifier, error) {
	name, hash, key, err := splitKey(vkey, ed25519.PublicKeySize)
	if err != nil {
		return nil, fmt.Errorf("vkey: %w", err)
	}
	v, err := NewVerifier(name, key)
	if err != nil {
		return nil, fmt.Errorf("vkey: %w", err)
	}
	if v.hash != hash {
		return nil, errors.New("vkey: key hash does not belong to this name and key")
	}
	return v, nil
}

// Name is the name the key signs as.
func (v *Verifier) Name() string { return v.name }

// String returns the vkey.
func (v *Verifier) String() string {
	return v.name + "+" + hex.EncodeToString(v.hash[:]) + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{algorithm}, v.key...))
}

// Verify reports whether sig is this key's cosignature of cp.
func (v *Verifier) Verify(cp Checkpoint, sig Signature) bool {
	var buf [256]byte
	msg := message(buf[:0], cp, sig.Time)
	if v.memo == nil {
		return ed25519.Verify(v.key, msg, sig.Bytes[:])
	}
	key, good := v.memo.recall(v, msg, sig.Bytes[:])
	if !good && ed25519.Verify(v.key, msg, sig.Bytes[:]) {
		v.memo.remember(key)
		good = true
	}
	return good
}

// AppendLine appends the signed-note signature line for sig:
// "— <name> <base64(key hash, time, signature)>\n".
func (v *Verifier) AppendLine(dst []byte, sig Signature) []byte {
	var raw [4 + 8 + SignatureSize]byte
	copy(raw[:], v.hash[:])
	binary.BigEndian.PutUint64(raw[4:], sig.Time)
	copy(raw[12:], sig.Bytes[:])
	dst = append(dst, "— "...)
	dst = append(dst, v.name...)
	dst = append(dst, ' ')
	dst = base64.StdEncoding.AppendEncode(dst, raw[:])
	return append(dst, '\n')
}

// ParseLine reads a signature line as AppendLine writes it. It answers false
// when the line is not of this key; an error means that it claims to be but
// is malformed.
func (v *Verifier) ParseLine(line string) (Signature, bool, error) {
	rest, ok := strings.CutPrefix(line, "— "+v.name+" ")
	if !ok {
		return Signature{}, false, nil
	}
	raw, err := decode64(strings.TrimSuffix(rest, "\n"))
	if err != nil || len(raw) < 4 {
		return Signature{}, false, fmt.Errorf("signature line of %s is not base64", v.name)
	}
	if [4]byte(raw[:4]) != v.hash {
		return Signature{}, false, nil
	}
	if len(raw) != 4+8+SignatureSize {
		return Signature{}, false, fmt.Errorf("signature line of %s has %d bytes, want %d", v.name, len(raw), 4+8+SignatureSize)
	}
	return Signature{Time: binary.BigEndian.Uint64(raw[4:12]), Bytes: [SignatureSize]byte(raw[12:])}, true, nil
}

// Signer is a signing key under the name it signs as.
type Signer struct {
	verifier *Verifier
	key      ed25519.PrivateKey
}

// NewSigner returns the signer for an Ed25519 seed of 32 bytes.
func NewSigner(name string, seed []byte) (*Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("signing seed has %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	key := ed25519.NewKeyFromSeed(seed)
	v, err := NewVerifier(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return &Signer{verifier: v, key: key}, nil
}

const secretPrefix = "PRIVATE+KEY+"

// ParseSigner reads a signed-note private key of type 0x04:
// PRIVATE+KEY+<name>+<key hash>+<base64>.
func ParseSigner(skey string) (*Signer, error) {
	rest, ok := strings.CutPrefix(skey, secretPrefix)
	if !ok {
		return nil, fmt.Errorf("signing key: does not begin with %q", secretPrefix)
	}
	name, hash, seed, err := splitKey(rest, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	s, err := NewSigner(name, seed)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if s.verifier.hash != hash {
		return nil, errors.New("signing key: key hash does not belong to this name and key")
	}
	return s, nil
}

// Verifier is the public half.
func (s *Signer) Verifier() *Verifier { return s.verifier }

// Secret returns the private key in signed-note form, for a key file.
func (s *Signer) Secret() string {
	v := s.verifier
	return secretPrefix + v.name + "+" + hex.EncodeToString(v.hash[:]) + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{algorithm}, s.key.Seed()...))
}

// Cosign signs cp at a time in Unix seconds. It is deterministic.
func (s *Signer) Cosign(cp Checkpoint, time uint64) Signature {
	var buf [256]byte
	msg := message(buf[:0], cp, time)
	sig := Signature{Time: time, Bytes: [SignatureSize]byte(ed25519.Sign(s.key, msg))}
	if memo := s.verifier.memo; memo != nil {
		key, _ := memo.recall(s.verifier, msg, sig.Bytes[:])
		memo.remember(key)
	}
	return sig
}

func keyHash(name string, key []byte) [4]byte {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{'\n', algorithm})
	h.Write(key)
	return [4]byte(h.Sum(nil)[:4])
}

func splitKey(s string, size int) (name string, hash [4]byte, key []byte, err error) {
	name, rest, _ := strings.Cut(s, "+")
	hash16, key64, _ := strings.Cut(rest, "+")
	raw, err := hex.DecodeString(hash16)
	if err != nil || len(raw) != len(hash) || hex.EncodeToString(raw) != hash16 {
		return "", hash, nil, errors.New("key hash is not 8 lower-case hexadecimal digits")
	}
	if key, err = decode64(key64); err != nil {
		return "", hash, nil, errors.New("key is not base64")
	}
	if len(key) != 1+size {
		return "", hash, nil, fmt.Errorf("key has %d bytes, want %d", len(key), 1+size)
	}
	if key[0] != algorithm {
		return "", hash, nil, fmt.Errorf("key has type 0x%02x, want 0x%02x (Ed25519 cosignature/v1)", key[0], algorithm)
	}
	return name, [4]byte(raw), key[1:], nil
}

// decode64 reads base64 in its one canonical form. The library's reader skips
// line breaks.
func decode64(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && strings.ContainsAny(text, "\r\n") {
		err = errors.New("base64 with line breaks")
	}
	return raw, err
}

func checkName(name string) error {
	if name == "" || !utf8.ValidString(name) || strings.Contains(name, "+") ||
		strings.IndexFunc(name, unicode.IsSpace) >= 0 {
		return fmt.Errorf("key name %.80q is empty or holds a space or a plus sign", name)
	}
	return nil
}

// PublicKey is the raw Ed25519 public key in base64, the same under every name.
func (v *Verifier) PublicKey() string { return base64.StdEncoding.EncodeToString(v.key) }
