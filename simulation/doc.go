// Package simulation runs whole networks on a virtual clock: the very machines
// of package protocol, on a network that delays, loses, repeats, reorders and
// cuts, on disks that lose what was not synced, with clocks that drift and
// jump, processes that crash, freeze and return, and members that lie. A run
// is a function of its scenario and its seed, event for event.
//
// A run has two phases. In the first, faults come as the scenario says while
// clients attest. Then everything heals, and the network must converge. What
// must always hold is checked all the time; see checker.
//
// The approach is that of FoundationDB's simulation and TigerBeetle's VOPR.
package simulation
