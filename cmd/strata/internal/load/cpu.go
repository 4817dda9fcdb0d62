package load

import "time"

// cpuTime is what this process has used of the processors.
type cpuTime struct{ user, system time.Duration }

func (c cpuTime) since(begin cpuTime) cpuTime {
	return cpuTime{user: c.user - begin.user, system: c.system - begin.system}
}
