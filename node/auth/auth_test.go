package auth

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestLifeOfAToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	token, rec, err := Create(path, Spec{Name: "ops", Tier: Development})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(token, TestPrefix) {
		t.Errorf("token %q has no test prefix", token)
	}
	text, _ := os.ReadFile(path)
	if strings.Contains(string(text), token) {
		t.Error("the file holds the token itself")
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("file mode %v", info.Mode())
	}
	tokens, err := Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	p, err := tokens.Authenticate("Bearer "+token, now)
	if err != nil || p.ID != rec.ID || !p.May(Write) || p.May(Vote) || p.May(Admin) {
		t.Fatalf("principal %+v, error %v", p, err)
	}
	for header, want := range map[string]error{
		"": ErrMissing, "Basic x": ErrMissing, "Bearer ": ErrMissing,
		"Bearer " + token + "0": ErrUnknown, "Bearer " + strings.Repeat("x", 300): ErrUnknown,
	} {
		if _, err := tokens.Authenticate(header, now); !errors.Is(err, want) {
			t.Errorf("%.30q: error %v, want %v", header, err, want)
		}
	}
	if ids, err := Revoke(path, "ops"); err != nil || len(ids) != 1 || ids[0] != rec.ID {
		t.Fatal(ids, err)
	}
	if err := tokens.load(); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Authenticate("Bearer "+token, now); !errors.Is(err, ErrUnknown) {
		t.Errorf("revoked token: error %v", err)
	}
	if _, err := Revoke(path, "ops"); err == nil {
		t.Error("a revoked token can be revoked again")
	}
}

func TestExpiry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	token, _, err := Create(path, Spec{Name: "short", Tier: Production, Live: true, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	tokens, _ := Open(path, quiet())
	if _, err := tokens.Authenticate("Bearer "+token, time.Now()); err != nil {
		t.Errorf("fresh token: %v", err)
	}
	if _, err := tokens.Authenticate("Bearer "+token, time.Now().Add(2*time.Hour)); !errors.Is(err, ErrUnknown) {
		t.Errorf("expired token: %v", err)
	}
}

func TestRate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	token, _, _ := Create(path, Spec{Name: "dev", Tier: Development})
	tokens, _ := Open(path, quiet())
	now := time.Now()
	p, _ := tokens.Authenticate("Bearer "+token, now)
	for i := range 200 {
		if ok, _, _ := p.Allow(now); !ok {
			t.Fatalf("request %d of the burst is refused", i+1)
		}
	}
	ok, remaining, retry := p.Allow(now)
	if ok || remaining != 0 || retry <= 0 || retry > 20*time.Millisecond {
		t.Errorf("past the burst: %v, %d, %v", ok, remaining, retry)
	}
	if ok, _, _ := p.Allow(now.Add(10 * time.Millisecond)); !ok {
		t.Error("refused after the time it was told to wait")
	}
}

// TestTiers pins what the tiers promise.
func TestTiers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	for _, want := range []Spec{
		{Name: "d", Tier: Development, Rate: 100, Burst: 200},
		{Name: "p", Tier: Production, Rate: 10_000, Burst: 50_000},
		{Name: "e", Tier: Enterprise, Rate: 3, Burst: 70_000},
	} {
		spec := want
		if want.Tier != Enterprise {
			spec.Rate, spec.Burst = 0, 0
		}
		token, rec, err := Create(path, spec)
		if err != nil || rec.Rate != want.Rate || rec.Burst != want.Burst {
			t.Fatalf("%+v %v", rec, err)
		}
		tokens, err := Open(path, quiet())
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		p, err := tokens.Authenticate("Bearer "+token, now)
		if err != nil {
			t.Fatal(err)
		}
		allowed := 0
		for ok := true; ok && allowed <= want.Burst; allowed++ {
			ok, _, _ = p.Allow(now)
		}
		if allowed-1 != want.Burst {
			t.Errorf("%s allows %d requests at once, want %d", want.Tier, allowed-1, want.Burst)
		}
	}
}

func TestSpecErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	for _, s := range []Spec{
		{Tier: Development}, {Name: "x", Tier: "gold"}, {Name: "x", Tier: Enterprise},
		{Name: "x", Tier: Production, Rate: 5}, {Name: "x", Tier: Production, Scopes: []Scope{"root"}},
		{Name: "a\nb", Tier: Production}, {Name: "x", Tier: Production, Lifetime: -5 * time.Second},
	} {
		if _, _, err := Create(path, s); err == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused token left a file behind")
	}
}

func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	for _, text := range []string{
		"{", `{"tokens":[{"id":"x"}]}`, `{"other":1}`,
		`{"tokens":[{"id":"","hash":"00","rate":1,"burst":1}]}`,
	} {
		os.WriteFile(path, []byte(text), 0o600)
		if _, err := Open(path, quiet()); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func TestConcurrentWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := Create(path, Spec{Name: "x", Tier: Production}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	records, err := List(path)
	if err != nil || len(records) != 8 {
		t.Errorf("%d records, %v", len(records), err)
	}
	// All have one name, and one of them is ended by its id.
	if ids, err := Revoke(path, records[3].ID); err != nil || len(ids) != 1 || ids[0] != records[3].ID {
		t.Errorf("%v %v", ids, err)
	}
	if ids, err := Revoke(path, "x"); err != nil || len(ids) != 7 || slices.Contains(ids, records[3].ID) {
		t.Errorf("%v %v", ids, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"tokens":[{"id":"00","name":"x","hash":"` + strings.Repeat("00", 32) + `","tier":"production","scopes":["read"],"rate":1,"burst":1}]}`))
	f.Add([]byte(`{"tokens":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		records, err := parse("tokens.json", text)
		if err != nil {
			return
		}
		for _, r := range records {
			if raw, err := hex.DecodeString(r.Hash); err != nil || len(raw) != 32 || r.Rate <= 0 || r.Burst < 1 {
				t.Errorf("%q: %+v is taken", text, r)
			}
		}
		// What is read can be written and read again.
		again, err := json.Marshal(map[string]any{"tokens": records})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse("tokens.json", again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}
