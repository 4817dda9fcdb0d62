//go:build unix

package load

import (
	"syscall"
	"time"
)

// readCPU reads the CPU time of the process; it is zero where the system does
// not tell.
func readCPU() cpuTime {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return cpuTime{}
	}
	return cpuTime{
		user:   time.Duration(usage.Utime.Nano()),
		system: time.Duration(usage.Stime.Nano()),
	}
}
