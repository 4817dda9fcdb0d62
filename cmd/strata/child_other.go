//go:build !linux

package main

import "syscall"

// childAttributes are those of any process where the system cannot tell a
// child that its parent has gone.
func childAttributes() *syscall.SysProcAttr { return nil }
