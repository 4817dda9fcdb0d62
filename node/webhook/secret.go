package webhook

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Bounds of a secret, in bytes without white space around it.
const (
	MinSecretBytes = 32
	MaxSecretBytes = 4096
)

// Secret is a key that a node shares with who answers its posts. It does not
// print.
type Secret struct{ key []byte }

// NewSecret returns a secret of these bytes.
func NewSecret(key []byte) (Secret, error) {
	if len(key) < MinSecretBytes || len(key) > MaxSecretBytes {
		return Secret{}, fmt.Errorf("the secret has %d bytes, want %d to %d; `openssl rand -hex 32` makes one", len(key), MinSecretBytes, MaxSecretBytes)
	}
	return Secret{bytes.Clone(key)}, nil
}

// LoadSecret reads a secret from a file that nobody else may read. White space
// around it does not count.
func LoadSecret(file string) (Secret, error) {
	f, err := os.Open(file)
	if err != nil {
		return Secret{}, fmt.Errorf("%w; `openssl rand -hex 32` makes a secret", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return Secret{}, err
	case !info.Mode().IsRegular():
		return Secret{}, fmt.Errorf("%s is not a file", file)
	case info.Mode()&(fs.ModePerm&0o077) != 0:
		return Secret{}, fmt.Errorf("%s can be read or written by others (mode %04o): chmod 600 it", file, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, 2*MaxSecretBytes))
	if err != nil {
		return Secret{}, err
	}
	s, err := NewSecret(bytes.TrimSpace(text))
	if err != nil {
		return Secret{}, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// String implements fmt.Stringer, without telling the secret.
func (Secret) String() string { return "(secret)" }

// GoString implements fmt.GoStringer, without telling the secret.
func (Secret) GoString() string { return "(secret)" }
