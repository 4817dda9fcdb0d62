package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestStrength gives every setting in every place and demands that the
// strongest wins and is named.
func TestStrength(t *testing.T) {
	values := map[string][3]string{ // in the file, the environment, a flag
		"http.allow_remote": {"true", "false", "true"},
		"log.level":         {"warn", "error", "debug"},
		"log.format":        {"json", "text", "json"},
		"p2p.dial":          {"a=/ip4/10.0.0.1/tcp/1", "a=/ip4/10.0.0.2/tcp/1", ""},
		"store.memtable_mb": {"9", "10", "11"},
	}
	for _, s := range Settings {
		v, ok := values[s.Key]
		if !ok {
			v = [3]string{"/from/file", "/from/env", "/from/flag"}
		}
		section, key, nested := strings.Cut(s.Key, ".")
		text := s.Key + " = \"" + v[0] + "\"\n"
		if nested {
			text = "[" + section + "]\n" + key + " = \"" + v[0] + "\"\n"
		}
		file := write(t, text)
		env, flag := s.Env()+"="+v[1], map[string]string{s.Flag(): v[2]}
		for _, c := range []struct {
			file   string
			env    []string
			flags  map[string]string
			want   string
			source string
		}{
			{"", nil, nil, "", "default"},
			{file, nil, nil, v[0], "file"},
			{file, []string{env}, nil, v[1], s.Env()},
			{"", []string{env}, nil, v[1], s.Env()},
			{file, []string{env}, flag, v[2], "--" + s.Flag()},
		} {
			_, got, err := Load(c.file, c.env, c.flags)
			if err != nil {
				t.Errorf("%s: %v", s.Key, err)
				continue
			}
			for _, g := range got {
				if g.Key == s.Key && (c.want != "" && g.Value != c.want || !strings.Contains(string(g.Source), c.source)) {
					t.Errorf("%s is %q from %s, want %q from %s", s.Key, g.Value, g.Source, c.want, c.source)
				}
			}
		}
	}
}

func TestValuesReachTheConfig(t *testing.T) {
	file := write(t, `
member = "node-1"
data = "data"
tokens = "/etc/tokens.json"
[p2p]
listen = ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"]
[http]
listen = "127.0.0.1:9"
[store]
memtable_mb = 16
`)
	c, _, err := Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	if c.Member != "node-1" || c.Data != filepath.Join(dir, "data") || c.Tokens != "/etc/tokens.json" ||
		len(c.P2PListen) != 2 || c.HTTPListen != "127.0.0.1:9" || c.MemTableMB != 16 || c.Genesis != filepath.Join(dir, "genesis.json") {
		t.Errorf("%+v", c)
	}
	// Paths of flags are relative to where the command runs.
	c, _, err = Load(file, nil, map[string]string{"data": "elsewhere"})
	here, err2 := os.Getwd()
	if err != nil || err2 != nil || c.Data != filepath.Join(here, "elsewhere") {
		t.Errorf("%s %v %v", c.Data, err, err2)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"colour = 1", "colour"},
		{"[http]\nport = 1", "http.port"},
		{"[log]\nlevel = \"loud\"", "log.level"},
		{"[log]\nformat = \"xml\"", "log.format"},
		{"[store]\nmemtable_mb = 0", "store.memtable_mb"},
		{"[store]\nmemtable_mb = \"big\"", "store.memtable_mb"},
		{"[http]\nallow_remote = \"maybe\"", "http.allow_remote"},
		{"member = 1.5", "member"},
		{"[p2p]\nlisten = [1]", "p2p.listen"},
		{"[p2p]\ndial = \"acme\"", "p2p.dial"},
		{"member = ", "configuration"},
		{strings.Repeat("#", maxFileBytes+1), "bytes"},
	} {
		_, _, err := Load(write(t, c.text), nil, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want an error about %s", c.text, err, c.want)
		}
	}
	if _, _, err := Load("/no/such/file.toml", nil, nil); err == nil {
		t.Error("a file that is not there is read")
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		member, listen string
		remote, ok     bool
	}{
		{"", "127.0.0.1:1", false, false},
		{"a", "127.0.0.1:1", false, true},
		{"a", "localhost:1", false, true},
		{"a", "[::1]:1", false, true},
		{"a", "0.0.0.0:1", false, false},
		{"a", ":1", false, false},
		{"a", "10.0.0.1:1", false, false},
		{"a", "10.0.0.1:1", true, true},
		{"a", "127.0.0.1", false, false},
	} {
		err := (&Config{Member: c.member, HTTPListen: c.listen, HTTPAllowRemote: c.remote}).Validate()
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("member = \"a\"\n[http]\nlisten = \"127.0.0.1:1\"\n")
	f.Add("[p2p]\nlisten = [\"x\"]")
	f.Add("[[accord.policies]]\naction = \"a\"\nvote = \"accept\"\n[[accord.handlers]]\nname = \"a\"")
	file := filepath.Join(f.TempDir(), "config.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, values, err := Load(file, nil, nil); err == nil && (c == nil || len(values) != len(Settings)+len(c.Policies)+len(c.Handlers)) {
			t.Errorf("%q: %v %v", text, c, values)
		}
	})
}
