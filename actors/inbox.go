package actors

import "sync"

// Bounds of an inbox. Inputs of this node itself are bounded where they are
// made: submissions by the Gateway, Persisted by the Journal.
const (
	maxMessages     = 8_192
	maxMessageBytes = 64 << 20
)

// Inbox gathers the inputs of a machine from many goroutines.
type Inbox[I any] struct {
	wake func()

	mu       sync.Mutex
	awake    bool
	internal []I // of this node; they go first
	messages []I
	bytes    int
	submits  []I
	dropped  uint64
}

// NewInbox returns an empty inbox. It calls wake when it has something for a
// reader that has taken everything before.
func NewInbox[I any](wake func()) *Inbox[I] { return &Inbox[I]{wake: wake} }

// Message queues a message of a peer that takes so many bytes. It answers
// false if the inbox is full; the message is dropped.
func (b *Inbox[I]) Message(in I, bytes int) bool {
	b.mu.Lock()
	if len(b.messages) >= maxMessages || b.bytes+bytes > maxMessageBytes {
		b.dropped++
		b.mu.Unlock()
		return false
	}
	b.messages = append(b.messages, in)
	b.bytes += bytes
	b.unlockAndWake()
	return true
}

// Submit queues submissions and withdrawals.
func (b *Inbox[I]) Submit(in I) {
	b.mu.Lock()
	b.submits = append(b.submits, in)
	b.unlockAndWake()
}

// Internal queues an input of this node itself.
func (b *Inbox[I]) Internal(in I) {
	b.mu.Lock()
	b.internal = append(b.internal, in)
	b.unlockAndWake()
}

func (b *Inbox[I]) unlockAndWake() {
	call := !b.awake
	b.awake = true
	b.mu.Unlock()
	if call {
		b.wake()
	}
}

// Take moves everything that is queued behind buf. When nothing is, it answers
// false, and the next input calls wake again.
func (b *Inbox[I]) Take(buf []I) ([]I, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.internal)+len(b.messages)+len(b.submits) == 0 {
		b.awake = false
		return buf, false
	}
	buf = append(buf, b.internal...)
	buf = append(buf, b.messages...)
	buf = append(buf, b.submits...)
	clear(b.internal)
	clear(b.messages)
	clear(b.submits)
	b.internal, b.messages, b.submits, b.bytes = b.internal[:0], b.messages[:0], b.submits[:0], 0
	return buf, true
}

// Dropped is the number of messages dropped so far.
func (b *Inbox[I]) Dropped() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
