// Command hunter sweeps seeds until one fails, and prints the summary as JSON. It
// is what mutants builds with a bug: the simulation and nothing else, so that it
// links fast.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/strataos/strataos/simulation"
)

func main() {
	first := flag.Uint64("first", 0, "the first seed")
	seeds := flag.Int("seeds", 1, "seeds to try")
	only := flag.String("scenario", "", "the scenario (default: all in turn whose members stay)")
	flag.Parse()
	if err := run(*only, *first, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, "hunter:", err)
		os.Exit(1)
	}
}

func run(only string, first uint64, seeds int) error {
	sweep := simulation.Sweep{First: first, Seeds: seeds, Workers: 1, FailFast: true}
	for _, name := range simulation.Names() {
		s, err := simulation.Load(name)
		if err != nil {
			return err
		}
		if only == name || only == "" && s.Members.Changes == 0 {
			sweep.Scenarios = append(sweep.Scenarios, s)
		}
	}
	sum, err := sweep.Run(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(sum)
}
