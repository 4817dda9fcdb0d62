package wire_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// messages are one of each kind, with every field set.
func messages(t testing.TB) []wire.Message {
	w := fixture.New(t, 4)
	log := w.Log(1)
	first := log.Append(fixture.Start, fixture.Event(t, `{"type":"a.b","payload":{"n":1}}`))
	cert := log.Certify(t, 1_700_000_000, 0, 1, 2).Claim()
	second := log.Append(fixture.Start+1, fixture.Event(t, `{"type":"a.b","payload":{}}`), fixture.Event(t, `{"type":"c","payload":{}}`))
	second.Cert = cert
	second.Items[1].TTL = 60
	erased := sha256.Sum256(second.Items[0].Body)
	second.Items = append(second.Items, wire.Item{Kind: protocol.KindAnchorState, TTL: 1, Erased: true, Body: erased[:]})
	second.Parents = []protocol.Parent{{Member: 0, Size: 9, Root: protocol.Hash{1}}, {Member: 3, Size: 4}}
	encoded, err := wire.Encode(first)
	if err != nil {
		t.Fatal(err)
	}
	signed := wire.Signed{Size: first.Size(), Root: first.Root, Time: first.CosignTime, Sig: first.Cosignature}
	return []wire.Message{
		first, second,
		&wire.Votes{Voter: 2, Votes: []wire.Vote{{Log: 1, Size: 2, Root: first.Root, Time: 5, Sig: first.Cosignature}}},
		&wire.Heads{Epoch: 2, Knows: 1, Want: true, Heads: []wire.Head{{Log: 1, Signed: signed, Certified: 2, Frozen: true, Knows: 1}}},
		&wire.RangeRequest{Log: 1, From: 77, Epoch: 2},
		&wire.Range{Log: 1, Items: []wire.RangeItem{{Batch: encoded, Cert: cert}}, Head: cert, More: true},
		&wire.Evidence{Author: 1, Low: signed, High: signed, Prefix: protocol.Hash{3}, Proof: []protocol.Hash{{4}}},
		&wire.Certificate{Claim: cert},
		&wire.LedgerHead{Voter: 2, Head: signed, Cert: cert, Want: true},
	}
}

const limit = 1 << 22

func TestRoundTrip(t *testing.T) {
	for _, m := range messages(t) {
		data, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.Decode(data, limit)
		if err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		again, err := wire.Encode(got)
		if err != nil || !bytes.Equal(again, data) || reflect.TypeOf(got) != reflect.TypeOf(m) {
			t.Errorf("%T does not round-trip: %v", m, err)
		}
	}
}

// TestDamage cuts every message everywhere, changes its every byte and adds to
// it: what still decodes must be exactly what was written.
func TestDamage(t *testing.T) {
	for _, m := range messages(t) {
		data, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			if _, err := wire.Decode(data[:i], limit); err == nil {
				t.Errorf("%T cut at %d decodes", m, i)
			}
			for _, x := range []byte{1, 0x20, 0x80, 0xff} {
				bad := bytes.Clone(data)
				bad[i] ^= x
				got, err := wire.Decode(bad, limit)
				if err != nil {
					continue
				}
				if again, err := wire.Encode(got); err != nil || !bytes.Equal(again, bad) {
					t.Errorf("%T with byte %d changed has another encoding", m, i)
				}
			}
		}
		if _, err := wire.Decode(append(data, 0), limit); err == nil {
			t.Errorf("%T with a trailing byte decodes", m)
		}
		if _, err := wire.Decode(data, len(data)-1); err == nil {
			t.Errorf("%T decodes past its limit", m)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":              "",
		"unknown type":       "6380",
		"no value":           "05",
		"null":               "05f6",
		"null for a list":    "02820 1f6",
		"a map":              "05a20001014d",
		"a longer number":    "05821801184d",
		"indefinite array":   "059f01184dff",
		"too few fields":     "058101",
		"too many fields":    "05830118 4d00",
		"negative number":    "058220184d",
		"number too large":   "05821a00010000184d",
		"text for a number":  "05826131184d",
		"a tag":              "05c18201184d",
		"bytes for an array": "05420118",
	} {
		data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := wire.Decode(data, limit); err == nil {
			t.Errorf("%s decodes as %+v", name, m)
		}
	}
}

func TestBounds(t *testing.T) {
	w := fixture.New(t, 4)
	batch := func(change func(*wire.Batch)) wire.Message {
		b := w.Log(0).Append(fixture.Start)
		change(b)
		return b
	}
	for name, m := range map[string]wire.Message{
		"items":   batch(func(b *wire.Batch) { b.Items = make([]wire.Item, wire.MaxItems) }),
		"parents": batch(func(b *wire.Batch) { b.Parents = make([]protocol.Parent, wire.MaxParents+1) }),
		"cosigs":  batch(func(b *wire.Batch) { b.Cert.Cosigs = make([]quorum.Cosignature, protocol.MaxMembers+1) }),
		"old":     batch(func(b *wire.Batch) { b.Old = 1<<48 + 1 }),
		"before":  batch(func(b *wire.Batch) { b.Time = -1 }),
		"after":   batch(func(b *wire.Batch) { b.Time = protocol.MaxMicros + 1 }),
		"votes":   &wire.Votes{Votes: make([]wire.Vote, wire.MaxVotes+1)},
		"heads":   &wire.Heads{Heads: make([]wire.Head, wire.MaxHeads+1)},
		"range":   &wire.Range{Items: make([]wire.RangeItem, wire.MaxRangeItems+1)},
		"proof":   &wire.Evidence{Proof: make([]protocol.Hash, wire.MaxProof+1)},
		"head":    &wire.LedgerHead{Cert: quorum.Claim{Cosigs: make([]quorum.Cosignature, protocol.MaxMembers+1)}},
		"life":    batch(func(b *wire.Batch) { b.Items = []wire.Item{{TTL: protocol.MaxTTL + 1}} }),
		"erased":  batch(func(b *wire.Batch) { b.Items = []wire.Item{{Erased: true, Body: make([]byte, 32)}} }),
		"no hash": batch(func(b *wire.Batch) { b.Items = []wire.Item{{TTL: 1, Erased: true, Body: make([]byte, 31)}} }),
		"claim":   &wire.Certificate{Claim: quorum.Claim{Cosigs: make([]quorum.Cosignature, protocol.MaxMembers+1)}},
	} {
		data, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.Decode(data, limit); err == nil {
			t.Errorf("%s: decodes past its bound", name)
		}
	}
}

func TestClaim(t *testing.T) {
	log := fixture.New(t, 4).Log(1)
	log.Append(fixture.Start)
	claim := log.Certify(t, 100, 0, 1, 2).Claim()
	data, err := wire.EncodeClaim(claim)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.DecodeClaim(data)
	if err != nil || !reflect.DeepEqual(got, claim) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := wire.DecodeClaim(data[:len(data)-1]); err == nil {
		t.Error("a cut claim decodes")
	}
	for _, bad := range [][]byte{append(bytes.Clone(data), 0), {0xf6}, {0xf7}} {
		if got, err := wire.DecodeClaim(bad); err == nil {
			t.Errorf("%x decodes as %+v", bad, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range messages(f) {
		data, err := wire.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := wire.Decode(data, limit)
		if err != nil {
			return
		}
		again, err := wire.Encode(m)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x decodes and encodes as %x (%v)", data, again, err)
		}
	})
}

func benchmarkBatch(b *testing.B) *wire.Batch {
	log := fixture.New(b, 4).Log(0)
	events := make([]protocol.Event, 100)
	for i := range events {
		events[i] = fixture.Event(b, `{"type":"order.created","payload":{"pad":"`+strings.Repeat("x", 250)+`"}}`)
	}
	return log.Append(fixture.Start, events...)
}

func BenchmarkEncodeBatch(b *testing.B) {
	m := benchmarkBatch(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Encode(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBatch(b *testing.B) {
	data, err := wire.Encode(benchmarkBatch(b))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(data, limit); err != nil {
			b.Fatal(err)
		}
	}
}
