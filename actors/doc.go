// Package actors hosts the protocol's machines: each in an actor under
// supervision, with the effects carried out outside of it.
//
//	API ─▶ Gateway ─┐                      ┌─▶ Journal ─▶ store (group commit)
//	peers ────────▶ Inbox ─▶ witness actor ┼─▶ Network (publish, send)
//	timer, Journal ─┘        (the machine) └─▶ Gateway (answers)
//	                              ▲ │ what is certified
//	          which round is next │ ▼
//	peers ────────▶ Inbox ─▶ chronos actor ─▶ Journal, Network, Gateway (places)
//
// Queues are bounded where they are filled: the Gateway admits a limited number
// of submissions and refuses the rest, the Inbox drops messages of peers past
// its bounds, and counts them. The actor's own mailbox holds no more than a
// wake-up call, so that what crosses into an actor crosses in batches.
//
// An actor that panics is restarted as a new instance, which recovers its
// machine from the store after everything that the old one asked to persist
// has become durable. An error of a machine is a broken invariant, and stops
// the node.
package actors
