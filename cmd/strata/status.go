package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

// nodeStatus is what one node says of itself and of the network.
type nodeStatus struct {
	URL  string `json:"url"`
	Name string `json:"name,omitempty"`
	// Epoch is the newest that the node knows of, in which its member is one, or
	// is not: yet, or any more.
	Epoch     uint64 `json:"epoch"`
	Member    bool   `json:"member"`
	Left      bool   `json:"left,omitempty"`
	Ready     bool   `json:"ready"`
	Reachable int    `json:"reachable"`
	Quorum    int    `json:"quorum,omitempty"`
	Entries   uint64 `json:"entries_certified"`
	// Ledger and Checkpoint are how many entries the ledger has at the node, and
	// how many of them a quorum has cosigned. Halted says that there is a fork
	// alarm.
	Ledger     uint64 `json:"ledger"`
	Checkpoint uint64 `json:"checkpoint"`
	Halted     bool   `json:"halted,omitempty"`
	// Frozen are members that the node holds evidence against.
	Frozen []string `json:"frozen,omitempty"`
	// Answers says that there is a node, also where it tells nothing.
	Answers bool   `json:"answers"`
	Error   string `json:"error,omitempty"`
}

func newStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the nodes of a network are",
		Long: `Asks nodes how they are. It exits with 1 if one of them is not ready, or does
not tell: one that is down does not answer, one that refuses does not know the
token.`,
		Args: cobra.NoArgs,
	}
	to := addTarget(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := to.resolve(); err != nil {
			return err
		}
		all := true
		var list []nodeStatus
		for _, url := range to.urls {
			s := askStatus(cmd.Context(), url, to.token)
			all = all && s.Ready
			list = append(list, s)
		}
		print := func() error { return printStatus(cmd, list) }
		if asJSON {
			print = func() error { return printJSON(cmd.OutOrStdout(), list) }
		}
		if err := print(); err != nil {
			return err
		}
		if !all {
			return &exitError{code: exitFailed}
		}
		return nil
	}
	return cmd
}

func askStatus(ctx context.Context, url, token string) nodeStatus {
	s := nodeStatus{URL: url}
	text, err := call(ctx, "GET", url+"/v1/network", token, nil, nil)
	var refusal *apiError
	s.Answers = err == nil || errors.As(err, &refusal)
	if err != nil {
		s.Error = err.Error()
		return s
	}
	var a struct {
		Epoch   uint64 `json:"epoch"`
		Quorum  int    `json:"quorum"`
		Members []struct {
			Name      string `json:"name"`
			Status    string `json:"status"`
			Reachable bool   `json:"reachable"`
			Certified uint64 `json:"certified"`
			Frozen    bool   `json:"frozen"`
		} `json:"members"`
		Node struct {
			Name   string `json:"name"`
			Member bool   `json:"member"`
			Ready  bool   `json:"ready"`
			Ledger struct {
				Size       uint64 `json:"size"`
				Checkpoint uint64 `json:"checkpoint"`
				Halted     bool   `json:"halted"`
			} `json:"ledger"`
		} `json:"node"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		s.Error = "this is no strataos node"
		return s
	}
	s.Name, s.Ready, s.Quorum = a.Node.Name, a.Node.Ready, a.Quorum
	s.Epoch, s.Member = a.Epoch, a.Node.Member
	s.Ledger, s.Checkpoint, s.Halted = a.Node.Ledger.Size, a.Node.Ledger.Checkpoint, a.Node.Ledger.Halted
	for _, m := range a.Members {
		left := m.Status == "left"
		if m.Reachable && !left {
			s.Reachable++
		}
		s.Left = s.Left || left && m.Name == s.Name
		if m.Frozen {
			s.Frozen = append(s.Frozen, m.Name)
		}
		s.Entries += m.Certified
	}
	return s
}

// state is how a node is, in a word or two.
func (s *nodeStatus) state(p *term.Printer) string {
	switch {
	case s.Error != "" && s.Answers:
		return p.Yellow("refuses")
	case s.Error != "":
		return p.Red("down")
	case s.Left:
		return p.Yellow("has left")
	case !s.Member:
		return p.Yellow("no member yet")
	case !s.Ready:
		return p.Yellow("not ready")
	}
	return p.Green("ready")
}

func printStatus(cmd *cobra.Command, list []nodeStatus) error {
	p := term.NewPrinter(cmd.OutOrStdout())
	rows := [][]string{{"NODE", "URL", "STATE", "EPOCH", "REACHABLE", "CERTIFIED LEAVES", "LEDGER", "EVIDENCE AGAINST"}}
	for _, s := range list {
		state := s.state(p)
		if s.Error != "" {
			rows = append(rows, []string{"?", s.URL, state, "", "", "", "", s.Error})
			continue
		}
		ledger := fmt.Sprintf("%d, cosigned %d", s.Ledger, s.Checkpoint)
		if s.Halted {
			ledger = p.Red("FORK ALARM")
		}
		evidence := "-"
		if len(s.Frozen) > 0 {
			evidence = p.Red(fmt.Sprint(s.Frozen))
		}
		rows = append(rows, []string{s.Name, s.URL, state, strconv.FormatUint(s.Epoch, 10), fmt.Sprintf("%d, quorum %d", s.Reachable, s.Quorum), strconv.FormatUint(s.Entries, 10), ledger, evidence})
	}
	return printTable(cmd.OutOrStdout(), rows)
}
