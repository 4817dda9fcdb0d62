package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ticksPerSecond is the unit of times in /proc, the same on all Linux systems
// that Go runs on (USER_HZ).
const ticksPerSecond = 100

// cpuSeconds is the processor time that processes have used, and false where
// the system does not tell it.
func cpuSeconds(pids []int) (float64, bool) {
	total := 0.0
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, false
		}
		// The fields behind the name, which may hold spaces, begin with the third.
		text := string(stat)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(fields) < 13 {
			return 0, false
		}
		for _, field := range fields[11:13] { // utime, stime
			ticks, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return 0, false
			}
			total += ticks / ticksPerSecond
		}
	}
	return total, true
}
