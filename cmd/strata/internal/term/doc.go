// Package term writes what people read on a terminal: colours, steps in
// progress, tables and numbers. What is not a terminal gets the same words as
// plain lines.
package term
