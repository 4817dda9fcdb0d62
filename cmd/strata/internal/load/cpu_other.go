//go:build !unix

package load

// readCPU is zero: the system has no getrusage.
func readCPU() cpuTime { return cpuTime{} }
