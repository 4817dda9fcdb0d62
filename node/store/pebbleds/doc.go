// Package pebbleds offers the interfaces of go-datastore over an embedded
// pebble, and below them a narrow raw interface for hot paths.
//
// # Keys
//
// Keys are the strings of [ds.Key], byte for byte, and values are kept as they
// are. The raw interface ([Datastore.NewWriteBatch], [Datastore.GetRaw],
// [Datastore.SeekLE], [Datastore.Scan]) reads and writes the same keys as the
// datastore interface. A raw key that does not begin with '/' is no datastore
// key: [Datastore.Query] does not see it.
//
// # Durability
//
// A commit that syncs ([WriteBatch.Commit] with sync, [ds.Batch.Commit], and
// [Datastore.Put] and [Datastore.Delete] under [Options.SyncWrites]) has
// reached the disk when it returns. Commits that sync at the same time share
// one fsync. Other writes reach the disk with the next write that syncs, with
// [Datastore.Sync], or with [Datastore.Close]; until then a crash may lose
// them, the latest first and never one without those after it. A batch is
// applied whole or not at all, also across a crash.
//
// Readers see a write as soon as it is applied, which may be before it is
// durable. Who must not act on what a crash can undo waits for the commit.
//
// # Failures
//
// The store is crash-stop. After the first failed write to its folder (a full
// disk, an I/O error, a failed fsync) the pages the kernel holds can no longer
// be trusted, so nothing more is written: the folder stays as it was at that
// moment, as after a loss of power. Every operation then returns an error that
// wraps [ErrFailed] and the cause, and [Options.OnFatal] is called once. A
// write that returns such an error may or may not be found when the folder is
// opened again; one that had returned nil, and was synced, is found. The only
// way on is to close the store, remove the cause, and open it again, usually
// by ending the process. The same happens when stored data turns out damaged;
// the error then also wraps [ErrCorrupt].
//
// Blocks of files and records of the log carry checksums, so that damage is
// told of and not read as data. One kind cannot be told: if the end of the log
// or of the manifest is lost or damaged, or the whole last log, the folder
// looks as after a crash that came earlier, and opens without what is lost.
// Who must not forget what it once made durable does not restore an old copy
// of the folder, and does not remove files from it.
package pebbleds
