package main

import "syscall"

// childAttributes see to it that nodes do not outlive the network: they are
// told to end when this process is gone, however it went. An interrupt from
// the keyboard is for this process alone, which passes it on.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}
