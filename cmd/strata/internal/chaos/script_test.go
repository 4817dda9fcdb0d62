package chaos

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var names = []string{"acme", "globex", "initech"}

func TestParseScript(t *testing.T) {
	got, err := ParseScript(strings.NewReader(`
# first a partition
1s   partition acme initech
1.5s delay 20ms+5ms 2   # by number
2s   delay 1s
2s   cut acme globex
3s   heal
`), names)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range got {
		lines = append(lines, c.At.String()+" "+c.String(names))
	}
	if want := []string{"1s partition acme initech", "1.5s delay 20ms+5ms globex", "2s delay 1s", "2s cut acme globex", "3s heal"}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
}

func TestScriptErrors(t *testing.T) {
	for script, want := range map[string]string{
		"partition acme":         "want a time and a command",
		"1s explode acme":        "no command",
		"1s":                     "no command",
		"1s kill hooli":          "there are acme, globex, initech",
		"1s kill 4":              "no node",
		"1s kill":                "takes 1 to",
		"1s kill acme 1":         "named twice",
		"1s cut acme acme":       "named twice",
		"1s partition 1 2 3":     "all nodes",
		"1s cut acme":            "takes 2 to 2",
		"1s delay":               "by how much",
		"1s delay fast":          "want a time",
		"1s delay 20ms+x":        "want a time",
		"1s delay 1h":            "want a time",
		"-1s heal":               "want a time and a command",
		"2s heal\n1s heal":       "comes before",
		"1s heal acme":           "takes 0 to 0",
		"0s status\n1s status x": "line 2",
	} {
		if _, err := ParseScript(strings.NewReader(script), names); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", script, err, want)
		}
	}
}

// TestRandom holds random faults to what a network must survive.
func TestRandom(t *testing.T) {
	for seed := range uint64(200) {
		broken := map[int]int{}
		out := Random(seed, 7, 2, time.Minute)
		for _, c := range out {
			switch c.Verb {
			case "heal":
				clear(broken)
			case "resume", "start":
				for _, i := range c.Nodes {
					delete(broken, i)
				}
			default:
				for _, i := range c.Nodes {
					broken[i]++
				}
			}
			if len(broken) > 2 {
				t.Fatalf("seed %d: %d of 7 nodes are out of order at %v", seed, len(broken), c.At)
			}
		}
		if len(out) < 4 || len(broken) > 0 {
			t.Errorf("seed %d: %d commands, %v left broken", seed, len(out), broken)
		}
	}
}

func FuzzParseScript(f *testing.F) {
	names := []string{"node-1", "node-2", "node-3"}
	f.Add("1s kill node-2\n2s delay 20ms+5ms 1 3 # slow\n\n3s cut node-1 node-3\n4s wait 1s\n5s quit")
	f.Fuzz(func(t *testing.T, text string) {
		commands, err := ParseScript(strings.NewReader(text), names)
		if err != nil {
			return
		}
		for _, c := range commands {
			// As it is printed it is read again.
			again, err := ParseCommand(c.String(names), names)
			if again.At = c.At; err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("%+v is printed as %q, and read as %+v, %v", c, c.String(names), again, err)
			}
		}
	})
}

func FuzzParseCommand(f *testing.F) {
	names := []string{"node-1", "node-2"}
	f.Add("partition node-1 2")
	f.Add("delay 5ms")
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseCommand(line, names)
		if err != nil {
			return
		}
		for _, i := range c.Nodes {
			if i < 0 || i >= len(names) {
				t.Errorf("%q: node %d of %d", line, i, len(names))
			}
		}
	})
}
