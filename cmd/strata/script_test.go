package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakFree{m}, map[string]func(){"strata": main})
}

// leakFree runs the tests and demands that they leave nothing running.
type leakFree struct{ m *testing.M }

func (l leakFree) Run() int {
	code := l.m.Run()
	http.DefaultClient.CloseIdleConnections()
	httpClient.CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs the command as a user would; see testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": awaitNetwork,
			"flip":  flipBytes,
			"voter": serveVotes,

			"foreign":      foreignVerify,
			"checkpointed": awaitCheckpoint,
			"uncomment":    uncommentExample,

			"ports":   givePorts,
			"readied": awaitReady,
			"left":    awaitLeft,

			"proposal":   proposalID,
			"storied":    awaitStory,
			"replace":    replaceText,
			"authorized": awaitToken,
			"watch":      watchUntil,
		},
	})
}

// awaitNetwork waits until all nodes of a local network are ready: await DIR.
func awaitNetwork(ts *testscript.TestScript, _ bool, args []string) {
	info, err := waitDev(ts.MkAbs(args[0]), readyIn)
	ts.Check(err)
	ts.Setenv("TOKEN", info.Token)
	ts.Setenv("URL", info.Nodes[0].URL)
}

// givePorts puts free ports into variables: ports NAME….
func givePorts(ts *testscript.TestScript, _ bool, args []string) {
	ports, err := freePorts(len(args))
	ts.Check(err)
	for i, name := range args {
		ts.Setenv(name, strconv.Itoa(ports[i]))
	}
}

// awaitReady waits until a node is ready: readied URL.
func awaitReady(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(poll(readyIn, func() error { return ready(args[0]) }))
}

// awaitLeft waits until a node knows that its member has left: left URL TOKEN.
func awaitLeft(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(poll(readyIn, func() error {
		if s := askStatus(context.Background(), args[0], args[1]); !s.Left {
			return fmt.Errorf("it is a member still, or tells nothing: %+v", s)
		}
		return nil
	}))
}

// votePattern finds where a configuration has votes asked for.
var votePattern = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/vote`)

// serveVotes is a webhook that gives the same answer to all, and has a configuration
// ask it until the script ends: voter FILE ANSWER.
func serveVotes(ts *testscript.TestScript, _ bool, args []string) {
	file, answer := ts.MkAbs(args[0]), args[1]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answer) // who does not read it says so
	}))
	ts.Defer(server.Close)
	text := votePattern.ReplaceAllString(ts.ReadFile(file), server.URL+"/vote")
	ts.Check(os.WriteFile(file, []byte(text), 0o600))
}

// uncommentExample puts the example of a rule in a configuration in force:
// uncomment FILE.
func uncommentExample(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	before, example, ok := strings.Cut(text, "# [[accord.policies]]\n")
	if !ok {
		ts.Fatalf("%s has no example of a rule", args[0])
	}
	example = strings.ReplaceAll("\n"+example, "\n# ", "\n")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(before+"[[accord.policies]]"+example), 0o600))
}

// awaitCheckpoint waits until what a proof is about is under a checkpoint of the
// ledger, and writes what a node has of it to a file: checkpointed DIR PROOF OUT.
func awaitCheckpoint(ts *testscript.TestScript, _ bool, args []string) {
	info, err := readDev(ts.MkAbs(args[0]))
	ts.Check(err)
	var a struct{ Hash string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &a))
	ts.Check(poll(readyIn, func() error {
		text, err := call(context.Background(), "GET", info.Nodes[0].URL+"/v1/chronos/anchors/"+a.Hash, info.Token, nil, nil)
		if err == nil && !bytes.Contains(text, []byte(`"ledger_proof"`)) {
			err = errors.New("there is no proof of the ledger yet")
		}
		if err == nil {
			err = os.WriteFile(ts.MkAbs(args[2]), text, 0o600)
		}
		return err
	}))
}

// readyIn is how long a network may take to be ready.
const readyIn = 15 * time.Second

// waitDev waits until a local network has come up and tells of it.
func waitDev(dir string, d time.Duration) (*devInfo, error) {
	var info *devInfo
	err := poll(d, func() (err error) {
		if info, err = readDev(dir); err != nil {
			return err
		}
		for _, n := range info.Nodes {
			// The file may be that of the last start.
			if err := syscall.Kill(n.PID, 0); err != nil {
				return err
			}
			if err := ready(n.URL); err != nil && !askStatus(context.Background(), n.URL, info.Token).Left {
				return err
			}
		}
		return nil
	})
	return info, err
}

func ready(url string) error {
	res, err := http.Get(url + "/readyz")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return failedf("%s answers %s", url, res.Status)
	}
	return nil
}

// poll calls ok until it answers nil or the time is over.
func poll(d time.Duration, ok func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(d)
	for {
		err := ok()
		if err == nil || time.Now().After(end) {
			return err
		}
		<-tick.C
	}
}

// flipBytes demands that a proof is refused after any one byte of its entry,
// path, checkpoint or cosignatures, or of the event, has changed:
// flip POLICY PROOF EVENT. What is not changed must be accepted.
func flipBytes(ts *testscript.TestScript, _ bool, args []string) {
	policy, proofFile, eventFile := ts.MkAbs(args[0]), ts.MkAbs(args[1]), ts.MkAbs(args[2])
	text, event := ts.ReadFile(proofFile), ts.ReadFile(eventFile)
	var answer struct {
		Proof map[string]any `json:"proof"`
	}
	ts.Check(json.Unmarshal([]byte(text), &answer))
	check := func(proof, event string) int {
		ts.Check(os.WriteFile(proofFile+".flip", []byte(proof), 0o600))
		ts.Check(os.WriteFile(eventFile+".flip", []byte(event), 0o600))
		return run([]string{"verify", "--policy", policy, "--event", eventFile + ".flip", proofFile + ".flip"}, discard{}, discard{})
	}
	if code := check(text, event); code != 0 {
		ts.Fatalf("the unchanged proof is refused with %d", code)
	}
	for i := range strings.TrimSuffix(event, "\n") {
		if check(text, flipped(event, i)) == 0 {
			ts.Fatalf("byte %d of the event (%q) may change", i, event[i])
		}
	}
	for _, field := range []string{"tlog_proof", "entry"} {
		value, ok := answer.Proof[field].(string)
		if !ok { // the entry is an object
			raw, err := json.Marshal(answer.Proof[field])
			ts.Check(err)
			value = string(raw)
		}
		for i := range len(value) {
			if check(withField(ts, text, field, flipped(value, i)), event) == 0 {
				ts.Fatalf("byte %d of %s (%q) may change", i, field, value[i])
			}
		}
	}
}

func flipped(s string, i int) string {
	b := []byte(s)
	b[i] ^= 1
	return string(b)
}

// withField returns an answer with another value of a field of its proof. A
// changed entry that is no JSON any more goes in as it is.
func withField(ts *testscript.TestScript, text, field, value string) string {
	var answer map[string]json.RawMessage
	var proof map[string]json.RawMessage
	ts.Check(json.Unmarshal([]byte(text), &answer))
	ts.Check(json.Unmarshal(answer["proof"], &proof))
	old := string(proof[field])
	if field == "entry" {
		return strings.Replace(text, old, value, 1)
	}
	quoted, err := json.Marshal(value)
	ts.Check(err)
	proof[field] = quoted
	answer["proof"], err = json.Marshal(proof)
	ts.Check(err)
	out, err := json.Marshal(answer)
	ts.Check(err)
	return string(out)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
