package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/merkle"
	"github.com/strataos/strataos/protocol/proof"
)

// bundleEntries is how many entries a whole bundle of tlog-tiles has.
const bundleEntries = 256

// mirrorFlags say which ledger to read over the tiles that a node serves.
type mirrorFlags struct{ url, policy string }

func (m *mirrorFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.url, "url", "", "root of a node's API, to read its tiles")
	cmd.Flags().StringVar(&m.policy, "policy", "", "with --url: the network's policy file")
}

// mirrorReport is what was found to be true of a ledger read over tiles.
type mirrorReport struct {
	Origin string        `json:"origin"`
	Size   uint64        `json:"size"`
	Root   protocol.Hash `json:"root"`
	// Epoch is the one whose committee has cosigned it, by Quorum,
	// "achieved/required".
	Epoch  uint64 `json:"epoch"`
	Quorum string `json:"quorum"`
	Logs   int    `json:"logs"`
}

// String says it.
func (r *mirrorReport) String() string {
	return fmt.Sprintf("✓ the checkpoint of %s is cosigned as the policy asks, by %s of epoch %d\n"+
		"✓ %d entries of %d logs lead to its root, each log's in its order\nthe root is %s", r.Origin, r.Quorum, r.Epoch, r.Size, r.Logs, r.Root)
}

// verify reads the whole ledger and checks it.
func (m *mirrorFlags) verify(ctx context.Context, progress *share) (*mirrorReport, error) {
	if m.policy == "" {
		return nil, fmt.Errorf("--policy is missing: it says whose cosignatures to trust")
	}
	policyText, err := readInput(m.policy, nil)
	if err != nil {
		return nil, err
	}
	policy, err := proof.ParsePolicy(policyText)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.policy, err)
	}
	note, err := m.get(ctx, "checkpoint")
	if err != nil {
		return nil, err
	}
	head, err := proof.VerifyHead(policy, note)
	if err != nil {
		return nil, failedf("the ledger's checkpoint is not cosigned as the policy asks: %w", err)
	}
	r := &mirrorReport{Origin: head.Origin, Size: head.Size, Root: head.Root, Epoch: head.Epoch, Quorum: head.Quorum}
	var tree merkle.Tail
	seen := ledgerOrder{}
	for at := uint64(0); at < r.Size; {
		n := min(bundleEntries, r.Size-at)
		bundle, err := m.get(ctx, bundlePath(at/bundleEntries, n))
		if err != nil {
			return nil, err
		}
		if err := seen.take(&tree, bundle, int(n)); err != nil {
			return nil, failedf("entry %d: %w", tree.Size(), err)
		}
		at += n
		progress.show(at, r.Size)
	}
	if protocol.Hash(tree.Root()) != r.Root {
		return nil, failedf("the entries lead to the root %s, the checkpoint says %s", protocol.Hash(tree.Root()), r.Root)
	}
	r.Logs = len(seen)
	return r, nil
}

func (m *mirrorFlags) get(ctx context.Context, path string) ([]byte, error) {
	text, err := call(ctx, "GET", strings.TrimSuffix(m.url, "/")+"/ledger/"+path, "", nil, nil)
	if err != nil {
		return nil, failedf("%s: %w", path, err)
	}
	return text, nil
}

// bundlePath is where a bundle of entries is: tile/entries/x001/x234/067, with
// .p/W behind it if it has W entries only.
func bundlePath(n, entries uint64) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	path = "tile/entries/" + path
	if entries < bundleEntries {
		path += ".p/" + strconv.FormatUint(entries, 10)
	}
	return path
}

// ledgerOrder is the last leaf of each log that the ledger has come to.
type ledgerOrder map[string]uint64

// take adds a bundle's entries to the ledger's tree, and holds each log's to
// their order.
func (o ledgerOrder) take(tree *merkle.Tail, bundle []byte, entries int) error {
	for range entries {
		if len(bundle) < 2 {
			return fmt.Errorf("the bundle ends too early")
		}
		n := int(binary.BigEndian.Uint16(bundle))
		if bundle = bundle[2:]; len(bundle) < n {
			return fmt.Errorf("the bundle ends too early")
		}
		e, err := protocol.ParseLedgerEntry(bundle[:n])
		if err != nil {
			return err
		}
		if e.Index <= o[e.Log] {
			return fmt.Errorf("leaf %d of %s comes behind leaf %d", e.Index, e.Log, o[e.Log])
		}
		o[e.Log] = e.Index
		leaf, _ := e.LeafHash(nil)
		tree.Append(leaf)
		bundle = bundle[n:]
	}
	if len(bundle) > 0 {
		return fmt.Errorf("the bundle has more entries than it should")
	}
	return nil
}
