package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strataos/strataos/protocol"
)

// readParams reads the parameters of a request strictly: those that are not
// known, are given twice or are empty are errors that name them.
func readParams(rawQuery string, known []string) (map[string]string, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, errorf(codeInvalid, "the parameters cannot be read: %v", err).with("field", "query")
	}
	params := make(map[string]string, len(values))
	for name, list := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, invalid(printable([]byte(name)), "is not a parameter of this request (%s)", strings.Join(known, ", "))
		case len(list) > 1:
			return nil, invalid(name, "is given %d times", len(list))
		case list[0] == "":
			return nil, invalid(name, "is empty")
		}
		params[name] = list[0]
	}
	return params, nil
}

// readTime reads a time as Unix milliseconds or by RFC 3339.
func readTime(name, text string) (protocol.Micros, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		if ms < 1 || ms > int64(protocol.MaxMicros)/1000 {
			return 0, invalid(name, "must be from 1 to %d ms", int64(protocol.MaxMicros)/1000)
		}
		return protocol.Micros(ms) * protocol.Millisecond, nil
	}
	// A + that was not escaped arrives as a space.
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "+", 1))
	if err != nil || t.UnixMicro() < 1 || protocol.Micros(t.UnixMicro()) > protocol.MaxMicros {
		return 0, invalid(name, "must be a time in Unix milliseconds, or one such as 2026-01-31T12:00:00Z")
	}
	return protocol.Micros(t.UnixMicro()), nil
}

// readNumber reads a whole number within bounds.
func readNumber(name, text string, least, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < least || n > most || strconv.FormatUint(n, 10) != text {
		return 0, invalid(name, "must be a whole number from %d to %d", least, most)
	}
	return n, nil
}

// readChoice reads one of two words, and reports whether it is the second.
func readChoice(name, text, first, second string) (bool, error) {
	if text != first && text != second {
		return false, invalid(name, "must be %s or %s", first, second)
	}
	return text == second, nil
}
