package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/strataos/strataos/node/deliver"
	"github.com/strataos/strataos/node/policy"
)

// takeTables takes a list of tables, such as accord.policies, out of a file: these
// are no settings, which have one text as their value.
func takeTables(tree map[string]any, section, key string) ([]*table, error) {
	path := section + "." + key
	in, ok := tree[section].(map[string]any)
	if !ok {
		return nil, nil
	}
	value, ok := in[key]
	delete(in, key)
	var tables []map[string]any
	switch value := value.(type) {
	case []map[string]any:
		tables = value
	case []any:
		for i, v := range value {
			t, ok := v.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s[%d]: want a table", path, i)
			}
			tables = append(tables, t)
		}
	default:
		if ok {
			return nil, fmt.Errorf("%s: want a list of tables: [[%s]]", path, path)
		}
	}
	out := make([]*table, len(tables))
	for i, t := range tables {
		out[i] = &table{path: fmt.Sprintf("%s[%d]", path, i), left: t}
	}
	return out, nil
}

// table reads the keys of a table, of which it holds to exactly those that are
// asked for. The first error is the one that stays.
type table struct {
	path string
	left map[string]any
	err  error
}

// take takes a value of a kind, or returns the initial one if there is none.
func take[T any](t *table, key, kind string, init T) T {
	raw, ok := t.left[key]
	delete(t.left, key)
	if !ok {
		return init
	}
	value, ok := raw.(T)
	if !ok && t.err == nil {
		t.err = fmt.Errorf("%s.%s: want %s", t.path, key, kind)
	}
	return value
}

func (t *table) text(key, init string) string { return take(t, key, "a text", init) }

func (t *table) flag(key string) bool { return take(t, key, "true or false", false) }

func (t *table) number(key string, init int) int {
	return int(take(t, key, "a whole number", int64(init)))
}

// done returns the first error, also that of a key that nobody asked for.
func (t *table) done() error {
	if t.err == nil && len(t.left) > 0 {
		t.err = fmt.Errorf("%s.%s is not a setting", t.path, slices.Min(slices.Collect(maps.Keys(t.left))))
	}
	return t.err
}

// file takes the name of a file, which is relative to a folder.
func (t *table) file(key, dir string) string {
	name := t.text(key, "")
	if name == "" || t.err != nil {
		return ""
	}
	name, t.err = absolute(dir, name)
	return name
}

// readAccord takes the policies and handlers out of a file, whose folder is dir,
// and shows them in brief.
func (c *Config) readAccord(tree map[string]any, dir string, source Source) ([]Value, error) {
	var values []Value
	policies, err := takeTables(tree, "accord", "policies")
	if err != nil {
		return nil, err
	}
	for _, t := range policies {
		r, err := readPolicy(t, dir)
		if err != nil {
			return nil, err
		}
		c.Policies = append(c.Policies, r)
		values = append(values, Value{Key: t.path, Value: r.String(), Source: source})
	}
	handlers, err := takeTables(tree, "accord", "handlers")
	if err != nil {
		return nil, err
	}
	for _, t := range handlers {
		h := deliver.Handler{
			Name: t.text("name", ""), Action: t.text("action", ""), URL: t.text("url", ""),
			SecretFile: t.file("secret_file", dir), TimeoutMS: t.number("timeout_ms", deliver.DefaultTimeoutMS),
			From: t.text("from", deliver.FromEnd), AllowHTTP: t.flag("allow_http"),
		}
		if err := t.done(); err != nil {
			return nil, err
		}
		c.Handlers = append(c.Handlers, h)
		values = append(values, Value{Key: t.path, Value: h.String(), Source: source})
	}
	return values, nil
}

func readPolicy(t *table, dir string) (policy.Rule, error) {
	r := policy.Rule{Action: t.text("action", ""), Proposer: t.text("proposer", ""), Vote: t.text("vote", "")}
	if inner, ok := t.left["webhook"].(map[string]any); ok {
		delete(t.left, "webhook")
		w := &table{path: t.path + ".webhook", left: inner}
		r.Webhook = &policy.Webhook{
			URL: w.text("url", ""), SecretFile: w.file("secret_file", dir),
			TimeoutMS: w.number("timeout_ms", policy.DefaultTimeoutMS), Retries: w.number("retries", policy.DefaultRetries),
			Silence: w.text("silence", policy.Manual.String()), AllowHTTP: w.flag("allow_http"),
		}
		if err := w.done(); err != nil {
			return r, err
		}
	}
	take[map[string]any](t, "webhook", "a table", nil)
	return r, t.done()
}
