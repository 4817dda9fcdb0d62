package chaos

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Command is something to do to a network.
type Command struct {
	// At is when, from the beginning of the script; commands that a person
	// types have none.
	At    time.Duration
	Verb  string
	Nodes []int // by place
	// Delay is delay's and wait's, Jitter delay's.
	Delay, Jitter time.Duration
}

// Usage lists the commands.
const Usage = `  partition NODE…          cut these nodes off from the others
  cut FROM TO              stop what one node sends to another
  delay TIME [NODE…]       slow what nodes send, or all; 20ms+5ms adds up to 5 ms more
  heal                     make all links good
  pause NODE…              stop processes for a while (SIGSTOP)
  resume NODE…             let them go on
  kill NODE…               end processes (SIGKILL)
  start NODE…              start them again
  wait TIME                do nothing for a while
  status                   tell how the network is
  quit                     heal everything, and give the verdict
`

// verbs are the commands and how many nodes each takes, at least and at most.
var verbs = map[string][2]int{
	"partition": {1, 100}, "cut": {2, 2}, "delay": {0, 100}, "heal": {0, 0}, "pause": {1, 100},
	"resume": {1, 100}, "kill": {1, 100}, "start": {1, 100}, "wait": {0, 0}, "status": {0, 0}, "quit": {0, 0},
}

// ParseCommand reads a command. Nodes are names, or numbers from 1.
func ParseCommand(line string, names []string) (Command, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return Command{}, fmt.Errorf("no command: want one of\n%s", Usage)
	}
	c := Command{Verb: words[0]}
	bounds, ok := verbs[c.Verb]
	if !ok {
		return c, fmt.Errorf("%q is no command: want one of\n%s", c.Verb, Usage)
	}
	words = words[1:]
	if c.takesTime() {
		if len(words) == 0 {
			return c, fmt.Errorf("%s: by how much? For example: %s 20ms", c.Verb, c.Verb)
		}
		var err error
		base, more, _ := strings.Cut(words[0], "+")
		if c.Delay, err = parseDelay(base); err != nil {
			return c, err
		}
		if more != "" {
			if c.Jitter, err = parseDelay(more); err != nil {
				return c, err
			}
		}
		words = words[1:]
	}
	for _, w := range words {
		i := slices.Index(names, w)
		if n, err := strconv.Atoi(w); err == nil && n >= 1 && n <= len(names) {
			i = n - 1
		}
		if i < 0 {
			return c, fmt.Errorf("%s: there is no node %q; there are %s", c.Verb, w, strings.Join(names, ", "))
		}
		if slices.Contains(c.Nodes, i) {
			return c, fmt.Errorf("%s: %s is named twice", c.Verb, names[i])
		}
		c.Nodes = append(c.Nodes, i)
	}
	if n := len(c.Nodes); n < bounds[0] || n > bounds[1] {
		return c, fmt.Errorf("%s takes %d to %d nodes, not %d", c.Verb, bounds[0], bounds[1], n)
	}
	if c.Verb == "partition" && len(c.Nodes) == len(names) {
		return c, fmt.Errorf("partition: these are all nodes, so there is nobody to cut them off from")
	}
	return c, nil
}

// takesTime says that a time is the first thing that the command takes.
func (c *Command) takesTime() bool { return c.Verb == "delay" || c.Verb == "wait" }

// maxDelay bounds what a link may be slowed by, and a wait.
const maxDelay = 10 * time.Second

func parseDelay(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxDelay {
		return 0, fmt.Errorf("delay: %q: want a time from 0s to %v, such as 20ms", text, maxDelay)
	}
	return d, nil
}

// maxScript bounds the lines of a script.
const maxScript = 10_000

// ParseScript reads lines of a time and a command, such as "5s kill node-2", in
// the order of their times. Empty lines and what follows a # are left out.
func ParseScript(r io.Reader, names []string) ([]Command, error) {
	var out []Command
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		at, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		if at == "" {
			continue
		}
		d, err := time.ParseDuration(at)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("line %d: %q: want a time and a command, such as: 5s kill node-2", n, at)
		}
		c, err := ParseCommand(rest, names)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if c.At = d; len(out) > 0 && d < out[len(out)-1].At {
			return nil, fmt.Errorf("line %d: %v comes before the line above it", n, d)
		}
		if out = append(out, c); len(out) > maxScript {
			return nil, fmt.Errorf("more than %d lines", maxScript)
		}
	}
	return out, lines.Err()
}

// String is the command as it is typed.
func (c Command) String(names []string) string {
	words := []string{c.Verb}
	if c.takesTime() {
		d := c.Delay.String()
		if c.Jitter > 0 {
			d += "+" + c.Jitter.String()
		}
		words = append(words, d)
	}
	for _, i := range c.Nodes {
		words = append(words, names[i])
	}
	return strings.Join(words, " ")
}
