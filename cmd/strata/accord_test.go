package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

// proposalID reads the id of a proposal from an answer into a variable:
// proposal FILE NAME.
func proposalID(ts *testscript.TestScript, _ bool, args []string) {
	c, err := parseCase([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Setenv(args[1], c.ID)
}

// awaitStory waits until a checkpoint covers all that a node tells of a proposal,
// and writes it to a file: storied DIR ID OUT.
func awaitStory(ts *testscript.TestScript, _ bool, args []string) {
	info, err := readDev(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(poll(readyIn, func() error {
		text, err := call(context.Background(), "GET", info.Nodes[0].URL+storyPath(args[1]), info.Token, nil, nil)
		var story struct {
			Decision, Votes, Reports json.RawMessage
		}
		if err == nil {
			err = json.Unmarshal(text, &story)
		}
		for _, part := range [][]byte{story.Decision, story.Votes, story.Reports} {
			if err == nil && bytes.Count(part, []byte(`"body"`)) != bytes.Count(part, []byte(`"ledger_proof"`)) {
				err = errors.New("no checkpoint covers all of it yet")
			}
		}
		if err == nil {
			err = os.WriteFile(ts.MkAbs(args[2]), text, 0o600)
		}
		return err
	}))
}

// replaceText changes a text in a file, once: replace FILE OLD NEW.
func replaceText(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	changed := strings.Replace(text, args[1], args[2], 1)
	if changed == text {
		ts.Fatalf("%s is not in %s", args[1], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(changed), 0o600))
}

// awaitToken waits until a node takes the token in a file, and puts it into
// WRITER: authorized URL FILE.
func awaitToken(ts *testscript.TestScript, _ bool, args []string) {
	token := strings.TrimSpace(ts.ReadFile(args[1]))
	ts.Check(poll(readyIn, func() error {
		_, err := call(context.Background(), "GET", args[0]+"/v1/network", token, nil, nil)
		return err
	}))
	ts.Setenv("WRITER", token)
}

// watchUntil runs a command that goes on for ever until it has printed texts:
// watch ARGS… -- TEXT….
func watchUntil(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), readyIn)
	defer cancel()
	out := &awaited{done: cancel}
	for i, a := range args {
		if a == "--" {
			args, out.texts = args[:i], args[i+1:]
			break
		}
	}
	for i, a := range args {
		if i > 0 && args[i-1] == "--dev" {
			args[i] = ts.MkAbs(a)
		}
	}
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	ts.Check(root.ExecuteContext(ctx))
	if missing := out.missing(); missing != "" {
		ts.Fatalf("%q was not printed:\n%s", missing, out.text.String())
	}
}

// awaited is an output that texts are awaited in.
type awaited struct {
	mu    sync.Mutex
	text  strings.Builder
	texts []string
	done  func()
}

// Write implements io.Writer.
func (a *awaited) Write(b []byte) (int, error) {
	a.mu.Lock()
	a.text.Write(b)
	a.mu.Unlock()
	if a.missing() == "" {
		a.done()
	}
	return len(b), nil
}

func (a *awaited) missing() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.texts {
		if !strings.Contains(a.text.String(), t) {
			return t
		}
	}
	return ""
}

// TestTellStory shows what members have written as what it is: text.
func TestTellStory(t *testing.T) {
	var out strings.Builder
	p := term.NewPrinter(&out)
	story := `{"id":"0x1","status":"open","action":{"type":"a.b","payload":{}},"subject":"a\nb","position":1,
		"votes":[{"member":"node-1","vote":"reject","reason":"x\n✓ proposal accepted","mark":"late","position":3}],
		"reports":[{"member":"node-1","status":"done","note":"y\nz"}]}`
	if err := tellStory(p, []byte(story)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 7 || !strings.Contains(out.String(), "late: does not count") {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}
