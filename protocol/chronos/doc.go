// Package chronos puts what members have witnessed into one order, and keeps
// the ledger of it.
//
// The certified batches of all logs and their parents form a graph in which
// nobody can fork. Package order decides, from that graph alone, in which order
// its batches come; so every member comes to the same order by itself, and
// nobody leads. This package feeds it, paces the rounds that it goes by,
// appends what it has ordered to the ledger, and has the ledger cosigned:
//
//	witness ─ Extended ─▶ feed ─▶ order ─▶ ledger ─ Ordered ─▶ who waits
//	        ◀─ Advance ── pace      │         │
//	                                ▼         ▼
//	                         Persist (lazy)  checkpoints ◀─ LedgerHead ─▶ members
//
// The order and the ledger are functions of what is durable in the logs, so
// they are written without waiting for the disk, together with the State from
// which a member that starts again goes on to the same positions. Only a
// checkpoint is made durable before it is cosigned.
//
// Who the members are follows from the ledger, too: where a round has ended in
// which a change of them was accepted, the order and the ledger go on with others.
// All that is held to a quorum is held to that of its epoch. Who is no member, or
// no longer, orders like all, and neither claims rounds nor cosigns.
//
// The rules, which docs/protocol.md explains:
//
//	C1  effective rounds     package order
//	C2  slots and decisions  package order
//	C3  pace                 pace.go
//	C4  ledger, ledger time  ledger.go
//	C5  checkpoints          checkpoint.go
//	C6  fork alarm           checkpoint.go
//	C7  epochs               epoch.go, package order
package chronos
