// Package load offers events to the nodes of a network and measures how they
// answer. It is the engine behind "strata bench".
//
// In the open loop events arrive on a schedule that does not care how the
// nodes are doing, as the events of many independent clients would. The latency of an
// event is counted from the moment the schedule meant it to be sent, so the
// time an event waits for a free connection, because the node is slow or this
// process is, counts in full. Measuring from the actual send instead would
// leave out exactly the events that a stall delays (coordinated omission).
//
// In the closed loop a fixed number of clients send one event after another.
//
// The generator often shares a few cores with the nodes it measures, so it is
// built to be cheap: one goroutine wakes about once a millisecond and hands
// out everything that is due, requests are laid out once a connection and only
// the event inside changes, and answers are not decoded unless asked for.
package load
