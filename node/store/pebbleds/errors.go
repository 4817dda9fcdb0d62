package pebbleds

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	ds "github.com/ipfs/go-datastore"
)

var (
	// ErrClosed is returned by every operation after Close.
	ErrClosed = errors.New("pebbleds: the store is closed")

	// ErrLocked is wrapped by Open's error when the folder is already open in
	// this or another process.
	ErrLocked = errors.New("the folder is in use: stop the process that uses it, or choose another folder")

	// ErrCorrupt is wrapped by the errors of Open and of reads when what is
	// stored is damaged.
	ErrCorrupt = errors.New("the stored data is damaged: restore the folder from a copy, or move it away to begin with an empty one")

	// ErrFailed is wrapped by the error of every operation after the store
	// stopped itself. See the package documentation.
	ErrFailed = errors.New("pebbleds: the store has stopped and must be opened again")

	// ErrTooLarge is returned when a batch would exceed MaxBatchBytes.
	ErrTooLarge = fmt.Errorf("pebbleds: a batch may not exceed %d bytes: commit it in parts", MaxBatchBytes)

	errCommitted = errors.New("pebbleds: the batch was committed before: use a new one")
)

// stopped describes why the store stopped itself.
func stopped(cause error) error {
	if errors.Is(cause, syscall.ENOSPC) {
		return fmt.Errorf("%w: the disk is full: free space: %w", ErrFailed, cause)
	}
	return fmt.Errorf("%w: %w", ErrFailed, cause)
}

// openError says which folder could not be opened, why, and what helps.
func openError(path string, err error) error {
	var lock *lockError
	switch {
	case errors.As(err, &lock):
		err = fmt.Errorf("%w (%w)", ErrLocked, lock.err)
	case isDamage(err):
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	case errors.Is(err, syscall.ENOSPC):
		err = fmt.Errorf("the disk is full: free space: %w", err)
	case errors.Is(err, iofs.ErrPermission):
		err = fmt.Errorf("no permission: change the owner or mode of the folder: %w", err)
	}
	return fmt.Errorf("pebbleds: open %s: %w", path, err)
}

// isDamage reports whether an error of opening means that files are changed,
// missing, or shorter than noted, for which pebble has errors of several kinds.
func isDamage(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, pebble.ErrDBNotPristine) ||
		errors.Is(err, iofs.ErrNotExist) || strings.Contains(err.Error(), "size mismatch")
}

// readError translates an error of a read of pebble.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pebble.ErrNotFound):
		return ds.ErrNotFound
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("pebbleds: %w: %w", ErrCorrupt, err)
	default:
		return fmt.Errorf("pebbleds: read: %w", err)
	}
}

// lockError marks the error of a lock that another opener holds.
type lockError struct{ err error }

func (e *lockError) Error() string { return e.err.Error() }
func (e *lockError) Unwrap() error { return e.err }
