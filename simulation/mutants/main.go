// Command mutants shows that the simulation's checker can fail: it builds the
// simulation with one deliberate bug after another and sweeps seeds until one
// catches it.
//
//	go run ./simulation/mutants
//
// It prints a table of the bugs with a seed that catches each, and exits with 1
// if one is not caught. Run it in the module's root. Seeds that have caught a bug
// before are in seeds.json and tried first; -update writes the file anew, with the
// first seeds that catch.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/strataos/strataos/simulation"
)

func main() {
	seeds := flag.Int("seeds", 200, "seeds to try for each bug")
	only := flag.String("only", "", "try the bug of this name only")
	update := flag.Bool("update", false, "write the seeds that catch to "+seedsFile)
	workers := flag.Int("workers", 2, "bugs to try at once")
	flag.Parse()
	if err := run(*seeds, *only, *workers, *update); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// catch is the run that caught a bug.
type catch struct {
	found    bool
	tried    int
	scenario string
	seed     uint64
	nodes    int
	rule     string
	err      error
}

// seedsFile has a seed that catches each bug, by name.
const seedsFile = "simulation/mutants/seeds.json"

func readSeeds() (map[string]uint64, error) {
	known := map[string]uint64{}
	text, err := os.ReadFile(seedsFile)
	if err != nil {
		return nil, err
	}
	return known, json.Unmarshal(text, &known)
}

func writeSeeds(catches []catch) error {
	known := map[string]uint64{}
	for i, c := range catches {
		if c.found {
			known[table[i].name] = c.seed
		}
	}
	text, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(seedsFile, append(text, '\n'), 0o644)
}

func run(seeds int, only string, workers int, update bool) error {
	known, err := readSeeds()
	if update {
		known, err = nil, nil
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	catches := make([]catch, len(table))
	todo := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range todo {
				catches[i] = hunt(dir, table[i], seeds, known)
				fmt.Fprintf(os.Stderr, "%s: %s\n", table[i].name, catches[i])
			}
		})
	}
	for i, m := range table {
		if only == "" || m.name == only {
			todo <- i
		}
	}
	close(todo)
	wg.Wait()
	if update && only == "" {
		if err := writeSeeds(catches); err != nil {
			return err
		}
	}
	return tell(catches, only)
}

func (c catch) String() string {
	switch {
	case c.err != nil:
		return c.err.Error()
	case !c.found:
		return fmt.Sprintf("NOT CAUGHT in %d seeds", c.tried)
	}
	return fmt.Sprintf("%s, seed %d, %d nodes: %s", c.scenario, c.seed, c.nodes, c.rule)
}

func tell(catches []catch, only string) error {
	var missed []error
	fmt.Println("| Bug | A member that | Caught by | Scenario | Seed |\n|---|---|---|---|---:|")
	for i, c := range catches {
		m := table[i]
		switch {
		case only != "" && m.name != only:
		case c.err != nil:
			missed = append(missed, fmt.Errorf("%s: %w", m.name, c.err))
		case !c.found:
			missed = append(missed, fmt.Errorf("%s is not caught in %d seeds", m.name, c.tried))
		default:
			fmt.Printf("| `%s` | %s | %s | %s | %d |\n", m.name, m.what, c.rule, c.scenario, c.seed)
		}
	}
	return errors.Join(missed...)
}

// hunt builds the simulation with a bug and looks for a seed that catches it: the
// one that is known to, or the first one.
func hunt(dir string, m mutant, seeds int, known map[string]uint64) catch {
	bin, err := build(dir, m)
	if err != nil {
		return catch{err: err}
	}
	defer os.Remove(bin)
	if seed, ok := known[m.name]; ok {
		if c := sweep(bin, m.scenario(), seed, 1); c.found || c.err != nil {
			return c
		}
	}
	return sweep(bin, m.scenario(), 0, seeds)
}

// sweep runs a simulation with a bug.
func sweep(bin, scenario string, first uint64, seeds int) catch {
	cmd := exec.Command(bin, "-scenario", scenario, "-first", fmt.Sprint(first), "-seeds", fmt.Sprint(seeds))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return catch{err: err}
	}
	var sum simulation.Summary
	if err := json.Unmarshal(out, &sum); err != nil {
		return catch{err: fmt.Errorf("sweep: %w: %.200s", err, out)}
	}
	c := catch{tried: sum.Runs}
	if len(sum.Failures) > 0 {
		r := sum.Failures[0]
		c.found, c.scenario, c.seed, c.nodes, c.rule = true, r.Scenario, r.Seed, r.Nodes, r.Violations[0].Rule
	}
	return c
}

// build builds the simulation with the source as the bug has it.
func build(dir string, m mutant) (string, error) {
	text, err := m.apply(".")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, m.name)
	changed := bin + ".go"
	if err := os.WriteFile(changed, text, 0o600); err != nil {
		return "", err
	}
	file, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: changed}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(bin+".json", overlay, 0o600); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-overlay", bin+".json", "-o", bin, "./simulation/mutants/hunter")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
}

// apply returns the file as the bug has it.
func (m mutant) apply(root string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	text := string(raw)
	for _, e := range m.edits {
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s: %d places in %s to change, want 1: %q", m.name, n, m.file, e.old)
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return []byte(text), nil
}
