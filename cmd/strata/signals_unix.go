//go:build unix

package main

import "syscall"

// suspend stops a process until it is resumed.
func suspend(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }

func resume(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }
