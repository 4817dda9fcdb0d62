package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// devInfo is dev.json: what scripts, and the other commands, need to know of a
// local network.
type devInfo struct {
	Network string    `json:"network"`
	Token   string    `json:"token"`
	Policy  string    `json:"policy"` // file
	Nodes   []devNode `json:"nodes"`
}

type devNode struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	PID  int    `json:"pid"`
	Data string `json:"data"` // the node's folder
}

const (
	devFile    = "dev.json"
	defaultDev = ".strata"
)

func readDev(dir string) (*devInfo, error) {
	text, err := os.ReadFile(filepath.Join(dir, devFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no local network in %s: start one with `strata dev`, or give --url and --token", dir)
	}
	if err != nil {
		return nil, err
	}
	d, ok := parseDev(text)
	if !ok {
		return nil, fmt.Errorf("%s is damaged; `strata dev` writes it anew", filepath.Join(dir, devFile))
	}
	return d, nil
}

func parseDev(text []byte) (*devInfo, bool) {
	var d devInfo
	if err := json.Unmarshal(text, &d); err != nil || len(d.Nodes) == 0 {
		return nil, false
	}
	return &d, true
}

// target are the flags of commands that talk to nodes.
type target struct {
	urls  []string
	token string
	dev   string
}

func addTarget(cmd *cobra.Command) *target {
	t := &target{}
	f := cmd.Flags()
	f.StringArrayVar(&t.urls, "url", nil, "root of a node's API (repeat for several)")
	// The variable's value is no default: --help would print it.
	f.StringVar(&t.token, "token", "", "token of the API [STRATA_TOKEN]")
	f.StringVar(&t.dev, "dev", defaultDev, "without --url: folder of a local network of strata dev")
	return t
}

// resolve fills in what the flags leave open from the local network. The
// answer is nil where --url names the nodes.
func (t *target) resolve() (*devInfo, error) {
	if t.token == "" {
		t.token = os.Getenv("STRATA_TOKEN")
	}
	if len(t.urls) > 0 {
		if t.token == "" {
			return nil, errors.New("--token is missing: with --url, give the API's token or set STRATA_TOKEN")
		}
		return nil, nil
	}
	d, err := readDev(t.dev)
	if err != nil {
		return nil, err
	}
	for _, n := range d.Nodes {
		t.urls = append(t.urls, n.URL)
	}
	if t.token == "" {
		t.token = d.Token
	}
	return d, nil
}
