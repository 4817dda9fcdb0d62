package webhook

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Unix(1_700_000_000, 0)

func testSecret(t testing.TB) Secret {
	t.Helper()
	s, err := NewSecret([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSignature holds the form to what `openssl dgst -sha256 -hmac` makes.
func TestSignature(t *testing.T) {
	s, body := testSecret(t), []byte(`{"a":1}`)
	header := s.Sign(body, now)
	const want = "t=1700000000,v1=f05f2539e3ae1c49aec5f8cfdad75ef6b06480b133973ffbb7ec9e18827af177"
	if header != want {
		t.Errorf("the signature is %s, want %s", header, want)
	}
	other, err := NewSecret([]byte(strings.Repeat("x", MinSecretBytes)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		secret Secret
		header string
		body   string
		at     time.Time
		good   bool
	}{
		{"good", s, header, `{"a":1}`, now.Add(time.Minute), true},
		{"clock behind", s, header, `{"a":1}`, now.Add(-time.Minute), true},
		{"another body", s, header, `{"a":2}`, now, false},
		{"another secret", other, header, `{"a":1}`, now, false},
		{"another time", s, strings.Replace(header, "t=17", "t=18", 1), `{"a":1}`, now, false},
		{"old", s, header, `{"a":1}`, now.Add(6 * time.Minute), false},
		{"future", s, header, `{"a":1}`, now.Add(-6 * time.Minute), false},
		{"empty", s, "", `{"a":1}`, now, false},
		{"no digits", s, "t=1700000000,v1=", `{"a":1}`, now, false},
		{"no hex", s, "t=1700000000,v1=zz", `{"a":1}`, now, false},
	} {
		if err := c.secret.Verify(c.header, []byte(c.body), c.at, 5*time.Minute); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDeliveryID(t *testing.T) {
	a := DeliveryID("decision", "node-1", "7")
	if len(a) != 32 || a != DeliveryID("decision", "node-1", "7") {
		t.Errorf("%q is not what stays the same", a)
	}
	if a == DeliveryID("decision", "node-17", "") || a == DeliveryID("decision", "node-1", "8") {
		t.Error("two deliveries have one id")
	}
}

func TestLoadSecret(t *testing.T) {
	dir, good := t.TempDir(), strings.Repeat("s", MinSecretBytes)
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		return file
	}
	for _, file := range []string{write("good", good+"\n", 0o600), write("readonly", "  "+good, 0o400)} {
		s, err := LoadSecret(file)
		if err != nil || string(s.key) != good {
			t.Errorf("%s: %v", file, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, "s"+good[1:]) || !strings.Contains(text, "(secret)") {
			t.Errorf("a secret prints: %s", text)
		}
	}
	for _, c := range []struct{ file, want string }{
		{filepath.Join(dir, "absent"), "openssl rand"},
		{dir, "is not a file"},
		{write("open", good, 0o640), "chmod 600"},
		{write("short", good[1:], 0o600), "31 bytes"},
		{write("empty", "\n", 0o600), "0 bytes"},
		{write("long", strings.Repeat("s", 3*MaxSecretBytes), 0o600), "want 32 to 4096"},
	} {
		if _, err := LoadSecret(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error about %s", c.file, err, c.want)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for _, c := range []struct {
		url   string
		allow bool
		want  string // "" is good
	}{
		{"https://rules.example/strata?x=1", false, ""},
		{"http://127.0.0.1:9000/vote", false, ""},
		{"http://[::1]:9000", false, ""},
		{"http://localhost", false, ""},
		{"http://rules.internal/vote", true, ""},
		{"http://rules.internal/vote", false, "allow_http"},
		{"http://localhost.example", false, "allow_http"},
		{"", false, "missing"},
		{"rules.example", false, "want a URL"},
		{"ftp://rules.example", false, "want a URL"},
		{"https://", false, "want a URL"},
		{"https://:443/x", false, "want a URL"},
		{"https://a b/", false, "want a URL"},
		{"https://me:pw@rules.example", false, "user or password"},
		{"https://rules.example/#here", false, "fragment"},
		{"https://rules.example/" + strings.Repeat("x", maxURLBytes), false, "bytes"},
	} {
		err := CheckURL(c.url, c.allow)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v, want %q", c.url, err, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{First: time.Second, Most: 5 * time.Second}
	for _, c := range []struct {
		failures int
		random   float64
		want     time.Duration
	}{
		{1, 0, 500 * time.Millisecond}, {1, 0.5, 750 * time.Millisecond},
		{2, 0, time.Second}, {3, 0, 2 * time.Second}, {4, 0, 2500 * time.Millisecond},
		{1_000_000, 0.999999, 5 * time.Second},
	} {
		if got := b.After(c.failures, c.random); (got - c.want).Abs() > time.Millisecond {
			t.Errorf("after %d failures %v, want %v", c.failures, got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"fine\n\tso", 100, "fine\n\tso"},
		{"a\x00b\x1b[31m\r\u0085c", 100, "ab[31mc"},
		{"\xff", 100, "\uFFFD"},
		{"äöü", 3, "ä"},
		{"äöü", 4, "äö"},
		{"日", 2, ""},
		{"", 0, ""},
	} {
		if got := Text(c.in, c.limit); got != c.want {
			t.Errorf("%q cut to %d is %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}
