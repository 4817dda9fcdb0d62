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
	"syscall"

	"github.com/strataos/strataos/node/config"
	"github.com/strataos/strataos/node/setup"
)

// runner is a node of a local network that runs somewhere.
type runner interface {
	pid() int
	// done is closed, or tells an error first, when the node has stopped.
	done() <-chan error
	interrupt()
	kill()
}

const logFile = "node.log"

// startRunner starts a node in a process of its own, or in this one.
func startRunner(ctx context.Context, o devOptions, name string, port int) (runner, error) {
	dir := filepath.Join(o.data, name)
	settings := map[string]string{
		"tokens":      filepath.Join(o.data, devTokens),
		"http-listen": fmt.Sprintf("127.0.0.1:%d", port),
		"log-level":   o.logLevel,
	}
	if o.settings != nil {
		maps.Copy(settings, o.settings(name))
	}
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if o.inProcess {
		return startInProcess(ctx, filepath.Join(dir, setup.ConfigFile), settings, log)
	}
	defer log.Close() // the process has its own
	return startProcess(filepath.Join(dir, setup.ConfigFile), settings, log)
}

// process is a node in a process of its own.
type process struct {
	cmd  *exec.Cmd
	ends chan error
}

func startProcess(configFile string, settings map[string]string, log *os.File) (runner, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"run", "--config", configFile}
	for name, value := range settings {
		args = append(args, "--"+name+"="+value)
	}
	p := &process{cmd: exec.Command(self, args...), ends: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = childAttributes()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		if err := p.cmd.Wait(); err != nil {
			p.ends <- err
		}
		close(p.ends)
	}()
	return p, nil
}

func (p *process) pid() int           { return p.cmd.Process.Pid }
func (p *process) done() <-chan error { return p.ends }
func (p *process) interrupt()         { _ = p.cmd.Process.Signal(syscall.SIGTERM) } // it may have ended
func (p *process) kill()              { _ = p.cmd.Process.Kill() }

// inProcess is a node in this process.
type inProcess struct {
	stop context.CancelFunc
	ends chan error
}

func startInProcess(ctx context.Context, configFile string, settings map[string]string, log io.WriteCloser) (runner, error) {
	cfg, _, err := config.Load(configFile, os.Environ(), settings)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	n, err := startNode(ctx, cfg, newLogger(cfg, log))
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	// The network's end is told to all nodes together, by interrupt.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &inProcess{stop: stop, ends: make(chan error, 1)}
	go func() {
		if err := errors.Join(waitNode(ctx, n), log.Close()); err != nil {
			p.ends <- err
		}
		close(p.ends)
	}()
	return p, nil
}

func (p *inProcess) pid() int           { return os.Getpid() }
func (p *inProcess) done() <-chan error { return p.ends }
func (p *inProcess) interrupt()         { p.stop() }
func (p *inProcess) kill()              { p.stop() }

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
