// Package config reads a node's settings from, in rising order of strength,
// defaults, a TOML file, STRATA_* environment variables and flags, and knows
// of each where it came from.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/multiformats/go-multiaddr"

	"github.com/strataos/strataos/node/deliver"
	"github.com/strataos/strataos/node/policy"
)

// maxFileBytes bounds the size of a configuration file.
const maxFileBytes = 1 << 20

// Config is the configuration of one node. Paths are absolute.
type Config struct {
	Member          string            // the node's name in the network
	Data            string            // folder of the store
	Genesis         string            // file
	SigningKey      string            // file
	PeerKey         string            // file
	Tokens          string            // file
	P2PListen       []string          // multiaddrs; empty means those of the genesis
	P2PDial         map[string]string // multiaddr by member, instead of those of the genesis
	HTTPListen      string            // host:port
	HTTPAllowRemote bool              // HTTPListen may be other than loopback
	LogLevel        string            // debug, info, warn, error
	LogFormat       string            // text, json
	MemTableMB      int               // size of the store's write buffer

	// Policies are how the node votes on proposals, and Handlers what it tells
	// of decisions. They are in the file only.
	Policies []policy.Rule
	Handlers []deliver.Handler
}

// Source says where a value came from.
type Source string

// Value is a setting in force.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source Source `json:"source"`
}

// Setting describes one setting. Its flag is Key with dashes for dots, its
// environment variable STRATA_ and Key in upper case with underscores.
type Setting struct {
	Key   string
	Usage string
	// Words are the values that there are, if they are few.
	Words []string
	init  string
	path  bool
	set   func(*Config, string) error
}

// Flag is the setting's flag without its dashes.
func (s Setting) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Key) }

// Env is the setting's environment variable.
func (s Setting) Env() string {
	return "STRATA_" + strings.ToUpper(strings.NewReplacer(".", "_").Replace(s.Key))
}

func text(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *field(c) = v; return nil }
}

func oneOf(field func(*Config) *string, words ...string) func(*Config, string) error {
	return func(c *Config, v string) error {
		for _, w := range words {
			if v == w {
				*field(c) = v
				return nil
			}
		}
		return fmt.Errorf("want one of %s", strings.Join(words, ", "))
	}
}

var (
	levels  = []string{"debug", "info", "warn", "error"}
	formats = []string{"text", "json"}
)

// Settings lists every setting, in the order in which they are printed.
var Settings = []Setting{
	{Key: "member", Usage: "this node's name in the network", set: text(func(c *Config) *string { return &c.Member })},
	{Key: "data", Usage: "folder of the node's store", init: "data", path: true, set: text(func(c *Config) *string { return &c.Data })},
	{Key: "genesis", Usage: "file that founds the network", init: "genesis.json", path: true, set: text(func(c *Config) *string { return &c.Genesis })},
	{Key: "signing_key", Usage: "file of the key that signs logs and votes", init: "signing.key", path: true, set: text(func(c *Config) *string { return &c.SigningKey })},
	{Key: "peer_key", Usage: "file of the key that peers know the node by", init: "peer.key", path: true, set: text(func(c *Config) *string { return &c.PeerKey })},
	{Key: "tokens", Usage: "file of the API's tokens", init: "tokens.json", path: true, set: text(func(c *Config) *string { return &c.Tokens })},
	{Key: "p2p.listen", Usage: "multiaddrs to listen on for peers, with commas between (default: those in the genesis)", set: func(c *Config, v string) error {
		c.P2PListen = nil
		for _, a := range strings.Split(v, ",") {
			if a = strings.TrimSpace(a); a != "" {
				c.P2PListen = append(c.P2PListen, a)
			}
		}
		return nil
	}},
	{Key: "p2p.dial", Usage: "where to dial members instead of where the genesis says: NAME=MULTIADDR, with commas between", set: func(c *Config, v string) error {
		c.P2PDial = map[string]string{}
		for _, pair := range strings.Split(v, ",") {
			if pair = strings.TrimSpace(pair); pair == "" {
				continue
			}
			name, addr, ok := strings.Cut(pair, "=")
			if !ok {
				return errors.New("want NAME=MULTIADDR, such as acme=/ip4/10.0.0.7/tcp/9401")
			}
			c.P2PDial[name] = addr
		}
		return nil
	}},
	{Key: "http.listen", Usage: "address and port of the HTTP API", init: "127.0.0.1:8401", set: text(func(c *Config) *string { return &c.HTTPListen })},
	{Key: "http.allow_remote", Words: []string{"true", "false"}, Usage: "let http.listen be other than loopback; put TLS in front of it", init: "false", set: func(c *Config, v string) (err error) {
		if c.HTTPAllowRemote, err = strconv.ParseBool(v); err != nil {
			return errors.New("want true or false")
		}
		return nil
	}},
	{Key: "log.level", Words: levels, Usage: "least severe messages to log: debug, info, warn, error", init: "info", set: oneOf(func(c *Config) *string { return &c.LogLevel }, levels...)},
	{Key: "log.format", Words: formats, Usage: "text or json", init: "text", set: oneOf(func(c *Config) *string { return &c.LogFormat }, formats...)},
	{Key: "store.memtable_mb", Usage: "write buffer of the store in MiB", init: "8", set: func(c *Config, v string) (err error) {
		if c.MemTableMB, err = strconv.Atoi(v); err != nil || c.MemTableMB < 1 || c.MemTableMB > 256 {
			return errors.New("want a number from 1 to 256")
		}
		return nil
	}},
}

// Load reads a configuration. The file may be "" for none; its relative paths
// are relative to its folder, those of environ and flags to the working
// directory. environ is in the form of os.Environ; flags has the flags that
// were given, by name.
func Load(file string, environ []string, flags map[string]string) (*Config, []Value, error) {
	tree, base, err := readFile(file)
	if err != nil {
		return nil, nil, err
	}
	c := &Config{}
	lists, err := c.readAccord(tree, base, Source("file "+file))
	fromFile := map[string]string{}
	if err == nil {
		err = flatten(fromFile, "", tree)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("configuration: %s: %w", file, err)
	}
	env := map[string]string{}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "STRATA_") {
			env[k] = v
		}
	}
	var values []Value
	for _, s := range Settings {
		v, dir := Value{Key: s.Key, Value: s.init, Source: "default"}, base
		if t, ok := fromFile[s.Key]; ok {
			v.Value, v.Source = t, Source("file "+file)
			delete(fromFile, s.Key)
		}
		if t, ok := env[s.Env()]; ok {
			v.Value, v.Source, dir = t, Source("environment "+s.Env()), ""
		}
		if t, ok := flags[s.Flag()]; ok {
			v.Value, v.Source, dir = t, Source("flag --"+s.Flag()), ""
		}
		if s.path && v.Value != "" {
			if v.Value, err = absolute(dir, v.Value); err != nil {
				return nil, nil, err
			}
		}
		if err := s.set(c, v.Value); err != nil {
			return nil, nil, fmt.Errorf("%s is %q (%s): %w", s.Key, v.Value, v.Source, err)
		}
		values = append(values, v)
	}
	for key := range fromFile {
		return nil, nil, fmt.Errorf("%s: %s is not a setting; `strata config` lists them", file, key)
	}
	return c, append(values, lists...), nil
}

// Validate reports what makes the configuration unfit to run a node.
func (c *Config) Validate() error {
	if c.Member == "" {
		return errors.New("member is not set: name this node as the genesis does, in the file, by STRATA_MEMBER or --member")
	}
	host, _, err := net.SplitHostPort(c.HTTPListen)
	if err != nil {
		return fmt.Errorf("http.listen is %q: want an address and a port, such as 127.0.0.1:8401", c.HTTPListen)
	}
	ip := net.ParseIP(host)
	if loopback := host == "localhost" || ip != nil && ip.IsLoopback(); !loopback && !c.HTTPAllowRemote {
		return fmt.Errorf("http.listen is %q, which others can reach, and the API has no TLS of its own: put a proxy in front and set http.allow_remote = true", c.HTTPListen)
	}
	for _, a := range c.P2PListen {
		if _, err := multiaddr.NewMultiaddr(a); err != nil {
			return fmt.Errorf("p2p.listen: %q is not a multiaddr such as /ip4/0.0.0.0/tcp/9401: %w", a, err)
		}
	}
	for name, a := range c.P2PDial {
		if _, err := multiaddr.NewMultiaddr(a); err != nil {
			return fmt.Errorf("p2p.dial: %s: %q is not a multiaddr such as /ip4/10.0.0.7/tcp/9401: %w", name, a, err)
		}
	}
	if err := policy.Check(c.Policies); err != nil {
		return err
	}
	return deliver.Check(c.Handlers)
}

func absolute(dir, path string) (string, error) {
	if dir != "" && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Abs(path)
}

// readFile reads a TOML file, and returns its folder.
func readFile(file string) (map[string]any, string, error) {
	if file == "" {
		return nil, "", nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, "", fmt.Errorf("configuration: %w", err)
	}
	if info.Size() > maxFileBytes {
		return nil, "", fmt.Errorf("configuration: %s has %d bytes, at most %d are read", file, info.Size(), maxFileBytes)
	}
	var tree map[string]any
	if _, err := toml.DecodeFile(file, &tree); err != nil {
		return nil, "", fmt.Errorf("configuration: %s: %w", file, err)
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	return tree, dir, err
}

// flatten makes dotted keys of tables.
func flatten(out map[string]string, prefix string, tree map[string]any) error {
	for key, v := range tree {
		key = prefix + key
		switch v := v.(type) {
		case map[string]any:
			if err := flatten(out, key+".", v); err != nil {
				return err
			}
		case string:
			out[key] = v
		case bool, int64:
			out[key] = fmt.Sprint(v)
		case []any:
			var parts []string
			for _, p := range v {
				s, ok := p.(string)
				if !ok {
					return fmt.Errorf("%s: want a list of texts", key)
				}
				parts = append(parts, s)
			}
			out[key] = strings.Join(parts, ",")
		default:
			return fmt.Errorf("%s: want a text, a whole number, true or false", key)
		}
	}
	return nil
}
