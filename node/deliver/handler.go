// Package deliver tells services of a node's operator of the decisions that were
// accepted: each one at least once, in the order of the ledger, and never skipping
// one. What a service answers may be reported to the others.
package deliver

import (
	"fmt"
	"regexp"
	"time"

	"github.com/strataos/strataos/node/glob"
	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
)

// Bounds of handlers.
const (
	MaxHandlers  = 64
	MinTimeoutMS = 10
	MaxTimeoutMS = 60_000
)

// DefaultTimeoutMS is a handler's where nothing else is said.
const DefaultTimeoutMS = 5_000

// Where a new handler begins.
const (
	FromEnd   = "end"   // with what is decided from now on
	FromStart = "start" // with the first decision of the ledger
)

// Handler is a service that carries decisions out.
type Handler struct {
	// Name is what its position is kept under. A handler with another name is
	// another one, and one that keeps its name goes on where it was.
	Name string `json:"name"`
	// Action is a pattern of the types of actions that it is told of.
	Action     string `json:"action"`
	URL        string `json:"url"`
	SecretFile string `json:"secret_file"`
	// TimeoutMS bounds each try.
	TimeoutMS int `json:"timeout_ms"`
	// From is FromEnd or FromStart. It counts when the node meets the handler
	// for the first time.
	From string `json:"from"`
	// AllowHTTP allows plain HTTP to another machine.
	AllowHTTP bool `json:"allow_http,omitempty"`
}

// Check reports what is wrong with handlers, as a FieldError under the name that
// they have in the configuration. It does not read the files of secrets.
func Check(handlers []Handler) error {
	_, err := parse(handlers)
	return err
}

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

func fieldErrorf(field, format string, args ...any) error {
	return &protocol.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// pathOf is the name of a handler in the configuration.
func pathOf(i int) string { return fmt.Sprintf("accord.handlers[%d]", i) }

func parse(handlers []Handler) ([]*runner, error) {
	if len(handlers) > MaxHandlers {
		return nil, fieldErrorf("accord.handlers", "there are %d, at most %d are allowed", len(handlers), MaxHandlers)
	}
	var out []*runner
	names := map[string]int{}
	for i, h := range handlers {
		r, err := parseHandler(pathOf(i), h)
		if err != nil {
			return nil, err
		}
		if j, taken := names[h.Name]; taken {
			return nil, fieldErrorf(pathOf(i)+".name", "%s is the name of %s too, and positions are kept by name", h.Name, pathOf(j))
		}
		names[h.Name] = i
		out = append(out, r)
	}
	return out, nil
}

func parseHandler(path string, h Handler) (*runner, error) {
	if !namePattern.MatchString(h.Name) {
		return nil, fieldErrorf(path+".name", "is %.80q, want 1 to 64 lower-case letters, digits, dots, dashes and underscores: how far the handler has come is kept by it", h.Name)
	}
	action, err := glob.Parse(h.Action)
	if err != nil {
		return nil, fieldErrorf(path+".action", "%q: %v", h.Action, err)
	}
	if err := webhook.CheckURL(h.URL, h.AllowHTTP); err != nil {
		return nil, fieldErrorf(path+".url", "%v", err)
	}
	if h.SecretFile == "" {
		return nil, fieldErrorf(path+".secret_file", "is missing: name a file with the secret that signs what is posted")
	}
	if h.TimeoutMS < MinTimeoutMS || h.TimeoutMS > MaxTimeoutMS {
		return nil, fieldErrorf(path+".timeout_ms", "is %d, want %d to %d", h.TimeoutMS, MinTimeoutMS, MaxTimeoutMS)
	}
	if h.From != FromEnd && h.From != FromStart {
		return nil, fieldErrorf(path+".from", "is %q, want end or start", h.From)
	}
	return &runner{
		handler: h, action: action, wake: make(chan struct{}, 1),
		hook:  webhook.Hook{URL: h.URL, Timeout: time.Duration(h.TimeoutMS) * time.Millisecond},
		state: Status{Name: h.Name, Action: h.Action},
	}, nil
}
