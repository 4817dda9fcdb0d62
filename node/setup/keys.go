// Package setup makes the files of a network: its genesis and trust policy, and
// for each node its keys and configuration.
package setup

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/strataos/strataos/protocol/cosign"
)

// maxKeyBytes bounds the size of a key file.
const maxKeyBytes = 4096

// LoadSigner reads a signing key in signed-note form from a file.
func LoadSigner(file string) (*cosign.Signer, error) {
	text, err := readSecret(file)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	s, err := cosign.ParseSigner(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// LoadPeerKey reads a libp2p private key, protobuf in base64, from a file.
func LoadPeerKey(file string) (crypto.PrivKey, error) {
	text, err := readSecret(file)
	if err != nil {
		return nil, fmt.Errorf("peer key: %w", err)
	}
	key, err := parsePeerKey(text)
	if err != nil {
		return nil, fmt.Errorf("peer key: %s: %w", file, err)
	}
	return key, nil
}

func parsePeerKey(text string) (crypto.PrivKey, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	return crypto.UnmarshalPrivateKey(raw)
}

// readSecret reads a file that nobody else may read.
func readSecret(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("%w; `strata init` makes keys", err)
	}
	if info.Mode()&(fs.ModePerm&0o077) != 0 {
		return "", fmt.Errorf("%s can be read or written by others (mode %04o): chmod 600 it", file, info.Mode().Perm())
	}
	if info.Size() > maxKeyBytes {
		return "", fmt.Errorf("%s has %d bytes and is no key", file, info.Size())
	}
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
}

// keys are the secrets of a new node.
type keys struct {
	signer *cosign.Signer
	peer   crypto.PrivKey
	id     peer.ID
}

func newKeys(name string) (*keys, error) {
	seed := make([]byte, 32)
	rand.Read(seed)
	signer, err := cosign.NewSigner(name, seed)
	if err != nil {
		return nil, err
	}
	priv, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPrivateKey(priv)
	return &keys{signer, priv, id}, err
}

// peerSecret is the text of a peer key file.
func (k *keys) peerSecret() (string, error) {
	raw, err := crypto.MarshalPrivateKey(k.peer)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}
