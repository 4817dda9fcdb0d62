//go:build !unix

package main

import "errors"

var errNoPause = errors.New("processes cannot be paused on this system")

func suspend(int) error { return errNoPause }

func resume(int) error { return errNoPause }
