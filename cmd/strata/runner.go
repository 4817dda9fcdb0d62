package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/setup"
)

// runner is a node of a local network that runs somewhere.
type runner interface {
	pid() int
	// done is closed when the node has stopped; then err says why, or nil.
	done() <-chan struct{}
	err() error
	interrupt()
	kill()
}

const logFile = "node.log"

// nodeSettings are a node's settings that its file does not have.
func nodeSettings(o devOptions, name, listen string) map[string]string {
	settings := map[string]string{
		"tokens":      filepath.Join(o.data, devTokens),
		"http-listen": listen,
		"log-level":   o.logLevel,
	}
	if o.settings != nil {
		maps.Copy(settings, o.settings(name))
	}
	return settings
}

// nodeArgs are the arguments of strata run for a node.
func nodeArgs(o devOptions, name, listen string) []string {
	args := []string{"--config", filepath.Join(o.data, name, setup.ConfigFile)}
	settings := nodeSettings(o, name, listen)
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "--"+key+"="+settings[key])
	}
	return args
}

// startRunner starts a node in a process of its own, or in this one.
func startRunner(ctx context.Context, o devOptions, name string, port int) (runner, error) {
	dir, listen := filepath.Join(o.data, name), fmt.Sprintf("127.0.0.1:%d", port)
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if o.inProcess {
		return startInProcess(ctx, filepath.Join(dir, setup.ConfigFile), nodeSettings(o, name, listen), log)
	}
	defer log.Close() // the process has its own
	return startProcess(nodeArgs(o, name, listen), log)
}

// ending is how a runner ends.
type ending struct {
	ended  chan struct{}
	reason error
}

func (e *ending) done() <-chan struct{} { return e.ended }
func (e *ending) err() error            { return e.reason }

// process is a node in a process of its own.
type process struct {
	ending
	cmd *exec.Cmd
}

func startProcess(args []string, log *os.File) (runner, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, append([]string{"run"}, args...)...)}
	p.ended = make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = withoutSettings(os.Environ())
	p.cmd.SysProcAttr = childAttributes()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.reason = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// withoutSettings drops the variables that are settings of one node: no two of
// a local network can have the same.
func withoutSettings(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool { return strings.HasPrefix(kv, "STRATA_") })
}

func (p *process) pid() int   { return p.cmd.Process.Pid }
func (p *process) interrupt() { _ = p.cmd.Process.Signal(syscall.SIGTERM) } // it may have ended
func (p *process) kill()      { _ = p.cmd.Process.Kill() }

// inProcess is a node in this process.
type inProcess struct {
	ending
	stop context.CancelFunc
}

func startInProcess(ctx context.Context, configFile string, settings map[string]string, log io.WriteCloser) (runner, error) {
	cfg, _, err := config.Load(configFile, nil, settings)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	n, err := startNode(ctx, cfg, newLogger(cfg, log))
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	// The network's end is told to all nodes together, by interrupt.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &inProcess{stop: stop}
	p.ended = make(chan struct{})
	go func() {
		p.reason = errors.Join(waitNode(ctx, n), log.Close())
		close(p.ended)
	}()
	return p, nil
}

func (p *inProcess) pid() int   { return os.Getpid() }
func (p *inProcess) interrupt() { p.stop() }
func (p *inProcess) kill()      { p.stop() }

// logTail returns the last lines of a node's log.
func logTail(dir string) string {
	const lines, maxBytes = 5, 4096
	file, err := os.Open(filepath.Join(dir, logFile))
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > maxBytes {
		_, _ = file.Seek(-maxBytes, io.SeekEnd)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxBytes))
	if err != nil {
		return ""
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var out bytes.Buffer
	for _, line := range all[max(0, len(all)-lines):] {
		fmt.Fprintf(&out, "    %s\n", line)
	}
	return out.String()
}
