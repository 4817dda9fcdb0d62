package simulation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestShipped(t *testing.T) {
	for _, want := range []string{"calm", "lan", "wan-3-regions", "wan-5-continents", "partition", "flapping", "byzantine",
		"clock-chaos", "disk-chaos", "one-percent-loss", "churn", "storm", "membership"} {
		s := named(t, want)
		if s.Description == "" || s.Name != want {
			t.Errorf("%+v", s)
		}
	}
}

func TestLoadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.toml")
	if err := os.WriteFile(file, []byte("nodes = 10\n[network]\nprofile = \"us-east, eu-west\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(file)
	if err != nil || s.Nodes != 10 || s.Name != "mine" {
		t.Errorf("%+v %v", s, err)
	}
	for _, name := range []string{"none", "none.toml"} {
		if _, err := Load(name); err == nil || !strings.Contains(err.Error(), "none") {
			t.Errorf("%v", err)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"nodes = 0", "nodes"}, {"nodes = 101", "nodes"}, {"colour = 1", "colour"}, {"nodes = \"x\"", "nodes"},
		{"duration = \"0s\"", "duration"}, {"duration = \"soon\"", "duration"},
		{"[load]\nrate = -1", "load.rate"}, {"[load]\nevent_bytes = 5", "load.event_bytes"},
		{"[network]\nprofile = \"moon\"", "moon"}, {"[network]\nloss = 1.5", "network.loss"}, {"[network]\njitter = nan", "network.jitter"},
		{"[members]\nchanges = -1", "members.changes"}, {"[members]\nchanges = 97\nevery = \"1s\"", "members.changes"}, {"[members]\nchanges = 1", "members.every"},
		{"[members]\nchanges = 1\nevery = \"1s\"\nleast = 5\nmost = 9", "members"}, {"[members]\nchanges = 1\nevery = \"1s\"\nleast = 3\nmost = 4\n[liars]\nmembers = 1", "liars.members"},
		{"[liars]\nmembers = 2", "liars.members"}, {"[liars]\nmembers = 5", "liars.members"},
		{"[liars]\nmembers = 1\nbehaviours = [\"fly\"]", "fly"},
		{"[[fault]]\nkind = \"flood\"\nevery = \"1s\"", "flood"}, {"[[fault]]\nkind = \"crash\"", "every or at"},
		{"[[fault]]\nkind = \"crash\"\nevery = \"1s\"\nat = \"1s\"", "every or at"},
		{"[[fault]]\nkind = \"crash\"\nevery = \"1us\"", "every"}, {"[[fault]]\nkind = \"crash\"\nat = \"1s\"\nnodes = [9]", "nodes"},
		{strings.Repeat("#", maxScenario+1), "bytes"},
	} {
		if _, err := Parse("test", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want an error about %s", c.text, err, c.want)
		}
	}
}

func TestRoundTripsAreSymmetric(t *testing.T) {
	if len(roundTrips) != len(regions) {
		t.Fatal("the table has not a row for each region")
	}
	for i := range roundTrips {
		for j := range roundTrips {
			if roundTrips[i][j] != roundTrips[j][i] {
				t.Errorf("%s and %s: %v and %v", regions[i], regions[j], roundTrips[i][j], roundTrips[j][i])
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		text, err := shipped.ReadFile("scenarios/" + name + ".toml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := Parse("fuzz", text); err == nil && s.Validate() != nil {
			t.Errorf("%q is read and not valid", text)
		}
	})
}
