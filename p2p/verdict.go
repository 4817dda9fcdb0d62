package p2p

import (
	pubsub "github.com/libp2p/go-libp2p-pubsub"
)

// Verdict is what a handler thinks of a message.
type Verdict uint8

const (
	// Accept: the message is fit to be passed on.
	Accept Verdict = iota
	// Ignore: the message is of no use here or now. It is nobody's fault.
	Ignore
	// Reject: the message is invalid for everybody, so whoever passed it on
	// is at fault, and loses score.
	Reject
)

// result maps a verdict to gossipsub's. Where every member hears the author
// itself there is nothing to pass on, and what has been taken is ignored.
func (v Verdict) result(floods bool) pubsub.ValidationResult {
	switch {
	case v == Reject:
		return pubsub.ValidationReject
	case v == Accept && !floods:
		return pubsub.ValidationAccept
	}
	return pubsub.ValidationIgnore
}
