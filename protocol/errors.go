package protocol

import "fmt"

// FieldError says which field of an input is wrong, and how to mend it.
type FieldError struct {
	// Field is the path of the field, such as "event.type".
	Field string
	// Problem says what is wrong and what would be right.
	Problem string
	// Limit is how many bytes are allowed, where the problem is that there are more.
	Limit int
}

// Error implements error.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
