package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/strataos/strataos/node/deliver"
	"github.com/strataos/strataos/node/policy"
)

// Accord is how a node votes, and who carries out what is decided. It is the
// content of the file that the setting accord names, a JSON object.
type Accord struct {
	Policies []policy.Rule     `json:"policies"`
	Handlers []deliver.Handler `json:"handlers"`
}

// LoadAccord reads and checks the file that the setting accord names; "" stands for
// no rules and no handlers. Paths in it are relative to its folder.
func LoadAccord(file string) (*Accord, error) {
	var a Accord
	if file == "" {
		return &a, nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("accord: %w", err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("accord: %s has %d bytes, at most %d are read", file, info.Size(), maxFileBytes)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("accord: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return nil, fmt.Errorf("accord: %s: %w", file, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("accord: %s: there is text behind the JSON object", file)
	}
	if err := errors.Join(policy.Check(a.Policies), deliver.Check(a.Handlers)); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &a, a.resolve(filepath.Dir(file))
}

// resolve makes the paths absolute.
func (a *Accord) resolve(dir string) (err error) {
	for i := range a.Policies {
		if h := a.Policies[i].Webhook; h != nil {
			if h.SecretFile, err = absolute(dir, h.SecretFile); err != nil {
				return err
			}
		}
	}
	for i := range a.Handlers {
		if a.Handlers[i].SecretFile, err = absolute(dir, a.Handlers[i].SecretFile); err != nil {
			return err
		}
	}
	return nil
}
