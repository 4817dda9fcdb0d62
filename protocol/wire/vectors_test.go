package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol/wire"
)

var update = flag.Bool("update", false, "write the golden vectors")

// messageVector is a message of a kind as it travels.
type messageVector struct {
	Message string `json:"message"`
	Wire    string `json:"wire"` // in hexadecimal
}

// TestMessageVectors pins the bytes of every kind of message: members of
// different versions must understand each other.
func TestMessageVectors(t *testing.T) {
	var vectors []messageVector
	for _, m := range messages(t) {
		data, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(fmt.Sprintf("%T", m), "*wire.")
		vectors = append(vectors, messageVector{name, hex.EncodeToString(data)})
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	if err := enc.Encode(vectors); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "testdata", "messages.json")
	if *update {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text.Bytes(), want) {
		t.Errorf("%s differs from what is made now:\n%s", file, text.String())
	}
}

// TestEveryKind demands that messages has one of each type byte that decodes.
func TestEveryKind(t *testing.T) {
	seen := map[byte]bool{}
	for _, m := range messages(t) {
		data, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		seen[data[0]] = true
	}
	for i := range 256 {
		tag := byte(i)
		_, err := wire.Decode([]byte{tag, 0xf6}, limit)
		if known := err != nil && !strings.Contains(err.Error(), "unknown"); known != seen[tag] {
			t.Errorf("messages of type %d: known %t, pinned %t", tag, known, seen[tag])
		}
	}
}

func FuzzDecodeClaim(f *testing.F) {
	for _, m := range messages(f) {
		if c, ok := m.(*wire.Certificate); ok {
			data, err := wire.EncodeClaim(c.Claim)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		claim, err := wire.DecodeClaim(data)
		if err != nil {
			return
		}
		if again, err := wire.EncodeClaim(claim); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x is read as %+v, and written as %x (%v)", data, claim, again, err)
		}
	})
}
