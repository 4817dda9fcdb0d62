// Package auth keeps the bearer tokens of a node's API: who may do what, and
// how often. Tokens are kept as hashes only.
package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Prefixes of tokens for production and for trying things out.
const (
	LivePrefix = "roxy_sk_live_"
	TestPrefix = "roxy_sk_test_"
)

// maxFileBytes bounds the size of a token file.
const maxFileBytes = 4 << 20

// Scope is something a token allows.
type Scope string

// The scopes.
const (
	Read  Scope = "read"  // look things up
	Write Scope = "write" // attest events, anchor, propose
	Vote  Scope = "vote"  // vote for the member whose node it is
	Admin Scope = "admin" // act for the node's operator
)

// Tier names how often a token may be used.
type Tier string

// The tiers.
const (
	Development Tier = "development" // 100 requests a second, 200 at once
	Production  Tier = "production"  // 10,000 a second, 50,000 at once
	Enterprise  Tier = "enterprise"  // as its record says
)

// Record is what is kept of a token.
type Record struct {
	// ID is the beginning of the token's hash.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Hash is the SHA-256 of the token in hexadecimal.
	Hash   string  `json:"hash"`
	Tier   Tier    `json:"tier"`
	Scopes []Scope `json:"scopes"`
	// Rate is in requests a second, Burst in requests at once.
	Rate    float64    `json:"rate"`
	Burst   int        `json:"burst"`
	Live    bool       `json:"live"`
	Created time.Time  `json:"created_at"`
	Expires *time.Time `json:"expires_at,omitempty"`
	Revoked *time.Time `json:"revoked_at,omitempty"`
}

// Spec is what a new token is to be.
type Spec struct {
	Name   string
	Live   bool
	Tier   Tier
	Scopes []Scope // none means read and write
	// Rate and Burst are for the enterprise tier only.
	Rate  float64
	Burst int
	// Lifetime is how long the token is good for; 0 means until revoked, and
	// less is an error.
	Lifetime time.Duration
}

// Validate reports what is wrong with a spec.
func (s *Spec) Validate() error {
	if s.Name == "" || len(s.Name) > 64 || strings.ContainsFunc(s.Name, func(r rune) bool { return r < ' ' }) {
		return errors.New("name: want 1 to 64 printable characters that say whose token it is")
	}
	if s.Lifetime < 0 {
		return fmt.Errorf("lifetime: %v is over before it begins", s.Lifetime)
	}
	for _, sc := range s.Scopes {
		if sc != Read && sc != Write && sc != Vote && sc != Admin {
			return fmt.Errorf("scope: %q is none of read, write, vote, admin", sc)
		}
	}
	switch s.Tier {
	case Development, Production:
		if s.Rate != 0 || s.Burst != 0 {
			return fmt.Errorf("rate and burst: the tier %s has its own; use the tier enterprise", s.Tier)
		}
	case Enterprise:
		if s.Rate <= 0 || s.Rate > 1e6 || s.Burst < 1 || s.Burst > 10_000_000 {
			return errors.New("rate and burst: the tier enterprise wants a rate up to 1,000,000 a second and a burst of at least 1")
		}
	default:
		return fmt.Errorf("tier: %q is none of development, production, enterprise", s.Tier)
	}
	return nil
}

// Create makes a token and adds its record to a file, which need not exist
// yet. Only the answer ever holds the token itself.
func Create(path string, spec Spec) (string, Record, error) {
	if err := spec.Validate(); err != nil {
		return "", Record{}, err
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	prefix := TestPrefix
	if spec.Live {
		prefix = LivePrefix
	}
	token := prefix + hex.EncodeToString(secret)
	sum := sha256.Sum256([]byte(token))
	rec := Record{
		ID: hex.EncodeToString(sum[:6]), Name: spec.Name, Hash: hex.EncodeToString(sum[:]),
		Tier: spec.Tier, Scopes: spec.Scopes, Rate: spec.Rate, Burst: spec.Burst,
		Live: spec.Live, Created: time.Now().UTC().Truncate(time.Second),
	}
	if len(rec.Scopes) == 0 {
		rec.Scopes = []Scope{Read, Write}
	}
	switch spec.Tier {
	case Development:
		rec.Rate, rec.Burst = 100, 200
	case Production:
		rec.Rate, rec.Burst = 10_000, 50_000
	}
	if spec.Lifetime > 0 {
		t := rec.Created.Add(spec.Lifetime)
		rec.Expires = &t
	}
	err := update(path, func(records []Record) ([]Record, error) { return append(records, rec), nil })
	return token, rec, err
}

// List reads the records of a file. A file that does not exist has none.
func List(path string) ([]Record, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(path, text)
}

// Revoke ends the tokens in force that have an id or a name, and returns their
// ids: several may have the same name.
func Revoke(path, idOrName string) ([]string, error) {
	now := time.Now().UTC().Truncate(time.Second)
	var ended []string
	err := update(path, func(records []Record) ([]Record, error) {
		for i := range records {
			if (records[i].ID == idOrName || records[i].Name == idOrName) && records[i].Revoked == nil {
				records[i].Revoked = &now
				ended = append(ended, records[i].ID)
			}
		}
		if len(ended) == 0 {
			return nil, fmt.Errorf("there is no token %q in force in %s; `strata token list` shows them", idOrName, path)
		}
		return records, nil
	})
	return ended, err
}

func parse(path string, text []byte) ([]Record, error) {
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", path, len(text), maxFileBytes)
	}
	var file struct {
		Tokens []Record `json:"tokens"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, r := range file.Tokens {
		if raw, err := hex.DecodeString(r.Hash); err != nil || len(raw) != sha256.Size || !strings.HasPrefix(r.Hash, r.ID) {
			return nil, fmt.Errorf("%s: tokens[%d].hash is not a SHA-256 in hexadecimal", path, i)
		}
		if r.Rate <= 0 || r.Burst < 1 {
			return nil, fmt.Errorf("%s: tokens[%d]: rate and burst must be more than 0", path, i)
		}
	}
	return file.Tokens, nil
}

// update changes a file as a whole, one writer at a time.
func update(path string, change func([]Record) ([]Record, error)) error {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	records, err := List(path)
	if err != nil {
		return err
	}
	if records, err = change(slices.Clone(records)); err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]any{"tokens": records}, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(path, append(text, '\n'))
}

// replaceFile writes a file so that a crash leaves the old or the new one.
func replaceFile(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tokens-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
