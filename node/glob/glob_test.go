package glob

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		yes, not []string
	}{
		{"config.set", []string{"config.set"}, []string{"config", "config.set.x", "config.sets", "Config.set", ""}},
		{"config.*", []string{"config.set", "config.-"}, []string{"config", "config.a.b", "configs.a", "x.config.a"}},
		{"*.set", []string{"a.set", "b.set"}, []string{"set", "a.b.set"}},
		{"membership.**", []string{"membership.add", "membership.a.b"}, []string{"membership", "memberships.add"}},
		{"a.*.**", []string{"a.b.c", "a.b.c.d"}, []string{"a.b", "a"}},
		{"**", []string{"a", "a.b", "a.b.c"}, nil},
		{"*", []string{"a", "node-1"}, []string{"a.b"}},
		{"node-*", []string{"node-1", "node-"}, []string{"node", "node-1.x", "xnode-1"}},
		{"*-eu-*", []string{"acme-eu-1", "-eu-", "a-eu-eu-b"}, []string{"acme-eu", "acme-us-1"}},
		{"a*b*c", []string{"abc", "axbxbc", "abcbc"}, []string{"ab", "abcd", "acb"}},
	} {
		p, err := Parse(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		for _, name := range c.yes {
			if !p.Match(name) {
				t.Errorf("%s does not match %q", p, name)
			}
		}
		for _, name := range c.not {
			if p.Match(name) {
				t.Errorf("%s matches %q", p, name)
			}
		}
	}
	if p, _ := Parse("**"); !p.Any() {
		t.Error("** is not any")
	}
	if p, _ := Parse("*"); p.Any() {
		t.Error("* is any")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ pattern, want string }{
		{"", "1 to 256 bytes"},
		{strings.Repeat("a", MaxBytes+1), "1 to 256 bytes"},
		{"a..b", `""`},
		{".a", `""`},
		{"a.", `""`},
		{"a b", `"a b"`},
		{"a.[bc]", `"[bc]"`},
		{"**.a", "last segment"},
		{"a**", "segment of their own"},
		{"a.***", "segment of their own"},
	} {
		if _, err := Parse(c.pattern); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q: %v, want an error about %s", c.pattern, err, c.want)
		}
	}
}

// FuzzMatch compares with a regular expression of the same meaning.
func FuzzMatch(f *testing.F) {
	f.Add("config.*", "config.set")
	f.Add("a*b*c.**", "axbxc.d")
	f.Add("**", "")
	f.Add("*.*", "a..b")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := Parse(pattern)
		if err != nil || len(name) > 1000 {
			return
		}
		twin := regexp.QuoteMeta(pattern)
		if stem, ok := strings.CutSuffix(twin, `\*\*`); ok {
			twin = strings.ReplaceAll(stem, `\*`, `[^.]*`) + `.*`
		} else {
			twin = strings.ReplaceAll(twin, `\*`, `[^.]*`)
		}
		if want := regexp.MustCompile(`(?s)\A(?:` + twin + `)\z`).MatchString(name); strings.ToValidUTF8(name, "") == name && p.Match(name) != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, p.Match(name), want)
		}
	})
}
