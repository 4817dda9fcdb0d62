package term

import (
	"math"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0:             "0 B",
		1023:          "1023 B",
		1024:          "1.00 KiB",
		1500:          "1.46 KiB",
		-1500:         "-1.46 KiB",
		20 << 20:      "20.0 MiB",
		1<<20 - 1:     "1.00 MiB",
		300 << 30:     "300 GiB",
		math.MaxInt64: "8.00 EiB",
		math.MinInt64: "-8.00 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                            "0 ns",
		999:                          "999 ns",
		1500:                         "1.50 µs",
		999_600:                      "1.00 ms",
		12_345 * time.Microsecond:    "12.3 ms",
		-12_345 * time.Microsecond:   "-12.3 ms",
		999_600 * time.Microsecond:   "1.00 s",
		59_940 * time.Millisecond:    "59.9 s",
		59_960 * time.Millisecond:    "1m00s",
		125 * time.Second:            "2m05s",
		time.Hour - time.Millisecond: "1h00m",
		26*time.Hour + 3*time.Minute: "26h03m",
		math.MinInt64:                "-2562047h47m",
		math.MaxInt64:                "2562047h47m",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%d: %q, want %q", int64(d), got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int64]string{
		0:             "0",
		999:           "999",
		-999:          "-999",
		1000:          "1,000",
		-123456:       "-123,456",
		1234567:       "1,234,567",
		math.MinInt64: "-9,223,372,036,854,775,808",
	} {
		if got := Number(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
