package cosign_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/strataos/strataos/protocol/cosign"
)

func signer(t testing.TB, name string) *cosign.Signer {
	t.Helper()
	s, err := cosign.NewSigner(name, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestForeignVerifier has the format's own library read what is signed here.
func TestForeignVerifier(t *testing.T) {
	s := signer(t, "strata.example/dev/node-1")
	cp := cosign.Checkpoint{Origin: "strata.example/dev/node-2", Size: 42, Root: [32]byte{1, 2, 3}}
	sig := s.Cosign(cp, 1_700_000_000)
	signed := s.Verifier().AppendLine(append(cp.Append(nil), '\n'), sig)

	v, err := fnote.NewVerifierForCosignatureV1(s.Verifier().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	at, err := fnote.CoSigV1Timestamp(n.Sigs[0])
	if err != nil || !at.Equal(time.Unix(1_700_000_000, 0)) {
		t.Errorf("time %v, %v", at, err)
	}
}

// TestForeignSigner reads what the format's own library signs.
func TestForeignSigner(t *testing.T) {
	s := signer(t, "strata.example/dev/node-1")
	cp := cosign.Checkpoint{Origin: "strata.example/dev/node-2", Size: 7}
	fs, err := fnote.NewSignerForCosignatureV1(s.Secret())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: string(cp.Append(nil))}, fs)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(signed), "\n\n")
	sig, ok, err := s.Verifier().ParseLine(line)
	if err != nil || !ok || !s.Verifier().Verify(cp, sig) {
		t.Errorf("%q: %v %v", line, ok, err)
	}
}

func TestKeysRoundTrip(t *testing.T) {
	s := signer(t, "strata.example/dev/node-1")
	again, err := cosign.ParseSigner(s.Secret())
	if err != nil || again.Secret() != s.Secret() {
		t.Fatalf("%v", err)
	}
	v, err := cosign.ParseVerifier(s.Verifier().String())
	if err != nil || v.String() != s.Verifier().String() || v.Name() != "strata.example/dev/node-1" {
		t.Fatalf("%v", err)
	}
}

func TestInvalidKeys(t *testing.T) {
	good := signer(t, "a/b").Verifier().String()
	name, rest, _ := strings.Cut(good, "+")
	hash, key, _ := strings.Cut(rest, "+")
	for _, vkey := range []string{
		"", "a/b", name + "+" + hash, name + "++" + key, name + "+zzzzzzzz+" + key, name + "+" + hash + "+",
		name + "+" + hash + "+!" + key, "+" + hash + "+" + key, "a b+" + hash + "+" + key,
		"other+" + hash + "+" + key, name + "+00000000+" + key,
		name + "+" + hash + "+AQ" + key[2:], // type 0x01
		name + "+" + hash + "+" + key[:len(key)-4],
		name + "+" + strings.ToUpper(hash) + "+" + key,
		name + "+" + hash + "+" + key[:4] + "\n" + key[4:],
	} {
		if v, err := cosign.ParseVerifier(vkey); err == nil {
			t.Errorf("%q is read as %v", vkey, v)
		}
		if _, err := cosign.ParseSigner("PRIVATE+KEY+" + vkey); err == nil && vkey != good {
			t.Errorf("secret %q is read", vkey)
		}
	}
	if _, err := cosign.ParseSigner(good); err == nil {
		t.Error("a vkey is read as a secret key")
	}
}

func TestVerifyRefuses(t *testing.T) {
	s, other := signer(t, "a"), signer(t, "b")
	cp := cosign.Checkpoint{Origin: "o", Size: 3, Root: [32]byte{9}}
	sig := s.Cosign(cp, 100)
	testRefuses(t, s.Verifier(), other.Verifier(), s, cp, sig)
	memo := cosign.NewMemo()
	testRefuses(t, s.Verifier().WithMemo(memo), other.Verifier(), s, cp, sig)
	testRefuses(t, s.Verifier().WithMemo(memo), other.Verifier(), s.WithMemo(memo), cp, sig)
}

func testRefuses(t *testing.T, v, other *cosign.Verifier, s *cosign.Signer, cp cosign.Checkpoint, sig cosign.Signature) {
	t.Helper()
	if first := v.Verify(cp, sig); !first || v.Verify(cp, sig) != first {
		t.Fatal("a good signature is refused")
	}
	late := sig
	late.Time++
	flipped := sig
	flipped.Bytes[0] ^= 1
	for name, bad := range map[string]bool{
		"other size":   v.Verify(cosign.Checkpoint{Origin: "o", Size: 4, Root: cp.Root}, sig),
		"other origin": v.Verify(cosign.Checkpoint{Origin: "p", Size: 3, Root: cp.Root}, sig),
		"other root":   v.Verify(cosign.Checkpoint{Origin: "o", Size: 3}, sig),
		"other time":   v.Verify(cp, late),
		"other bytes":  v.Verify(cp, flipped),
	} {
		if bad {
			t.Errorf("%s is accepted", name)
		}
	}
	// The name is no part of what is signed, but of the key's hash.
	if _, ok, _ := other.ParseLine(string(s.Verifier().AppendLine(nil, sig))); ok {
		t.Error("a line of another key is taken")
	}
}

func TestParseLine(t *testing.T) {
	s := signer(t, "a")
	line := string(s.Verifier().AppendLine(nil, s.Cosign(cosign.Checkpoint{Origin: "o"}, 5)))
	if _, ok, err := s.Verifier().ParseLine(line); !ok || err != nil {
		t.Fatalf("%v %v", ok, err)
	}
	for _, bad := range []string{"— a \n", "— a !!!!\n", "— a " + line[6:20] + "\n", line[:len(line)-5] + "\n"} {
		if _, ok, err := s.Verifier().ParseLine(bad); ok {
			t.Errorf("%q is read (%v)", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	s := signer(f, "a")
	f.Add(s.Verifier().String())
	f.Add(s.Secret())
	f.Add(string(s.Verifier().AppendLine(nil, s.Cosign(cosign.Checkpoint{Origin: "o"}, 5))))
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := cosign.ParseVerifier(text); err == nil && v.String() != text {
			t.Errorf("%q reads as %q", text, v)
		}
		if k, err := cosign.ParseSigner(text); err == nil && k.Secret() != text {
			t.Errorf("%q reads as %q", text, k.Secret())
		}
		if sig, ok, err := s.Verifier().ParseLine(text); ok && err == nil {
			again := string(s.Verifier().AppendLine(nil, sig))
			if again != text && again != text+"\n" {
				t.Errorf("%q reads as %q", text, again)
			}
		}
	})
}

func BenchmarkCosign(b *testing.B) {
	s, cp := signer(b, "a"), cosign.Checkpoint{Origin: "strata.example/dev/node-1", Size: 1 << 20}
	for b.Loop() {
		s.Cosign(cp, 1)
	}
}

func BenchmarkVerify(b *testing.B) {
	s, cp := signer(b, "a"), cosign.Checkpoint{Origin: "strata.example/dev/node-1", Size: 1 << 20}
	sig := s.Cosign(cp, 1)
	for b.Loop() {
		s.Verifier().Verify(cp, sig)
	}
}
