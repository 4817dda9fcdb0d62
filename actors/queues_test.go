package actors

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/witness"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Counts dead letters for a while after one, and then ends by itself.
		goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1"),
	)
}

func TestInbox(t *testing.T) {
	wakes := 0
	b := NewInbox[witness.Input](func() { wakes++ })
	b.Submit(witness.Submit{ID: 1})
	b.Message(witness.Receive{From: 2}, 10)
	b.Internal(witness.Tick{})
	if wakes != 1 {
		t.Errorf("woken %d times before anybody has looked", wakes)
	}
	got, ok := b.Take(nil)
	if !ok || len(got) != 3 {
		t.Fatalf("%v %v", got, ok)
	}
	// The node's own first, submissions last.
	if _, ok := got[0].(witness.Tick); !ok {
		t.Errorf("first comes %T", got[0])
	}
	if _, ok := got[2].(witness.Submit); !ok {
		t.Errorf("last comes %T", got[2])
	}
	b.Submit(witness.Submit{ID: 2})
	if wakes != 1 {
		t.Error("woken while the reader is at work")
	}
	if got, ok := b.Take(got[:0]); !ok || len(got) != 1 {
		t.Errorf("%v %v", got, ok)
	}
	if got, ok := b.Take(got[:0]); ok || len(got) != 0 {
		t.Errorf("%v %v", got, ok)
	}
	b.Internal(witness.Tick{})
	if wakes != 2 {
		t.Error("not woken again")
	}
}

func TestInboxBounds(t *testing.T) {
	b := NewInbox[witness.Input](func() {})
	taken := 0
	for range maxMessages + 100 {
		if b.Message(witness.Receive{}, 1) {
			taken++
		}
	}
	if taken != maxMessages || b.Dropped() != 100 {
		t.Errorf("%d taken, %d dropped", taken, b.Dropped())
	}
	if _, ok := b.Take(nil); !ok {
		t.Fatal("nothing is there")
	}
	if !b.Message(witness.Receive{}, maxMessageBytes) || b.Message(witness.Receive{}, 1) {
		t.Error("bytes are not bounded")
	}
}

// slowStore is a store that commits when it is told to.
type slowStore struct {
	storage
	enter chan []witness.Record
	leave chan error
	syncs []bool
}

func (s *slowStore) Write(records []witness.Record, sync bool) error {
	s.syncs = append(s.syncs, sync)
	s.enter <- records
	return <-s.leave
}

func newSlowStore() *slowStore {
	return &slowStore{enter: make(chan []witness.Record), leave: make(chan error)}
}

func records(n uint64) []witness.Record { return []witness.Record{witness.Truncate{Size: n}} }

// TestJournal gathers what comes during a commit into the next one.
func TestJournal(t *testing.T) {
	s := newSlowStore()
	done := make(chan uint64, 10)
	j := NewJournal(s, [owners]func(uint64){func(seq uint64) { done <- seq }}, func() {}, func(err error) { t.Error(err) })
	j.Append(ownerWitness, witness.Persist{Seq: 1, Records: records(1)})
	if got := <-s.enter; len(got) != 1 {
		t.Errorf("%v", got)
	}
	j.Append(ownerWitness, witness.Persist{Seq: 2, Records: records(2)})
	j.Append(ownerWitness, witness.Persist{Seq: 3, Records: records(3), Lazy: true})
	j.Append(ownerWitness, witness.Persist{Seq: 4, Records: records(4)})
	j.Append(ownerWitness, witness.Persist{Seq: 5, Records: records(5), Lazy: true})
	barrier := make(chan struct{})
	go func() { j.Barrier(); close(barrier) }()
	s.leave <- nil
	if seq := <-done; seq != 1 {
		t.Errorf("%d is durable first", seq)
	}
	got := <-s.enter
	if !slices.Equal(got, []witness.Record{records(2)[0], records(3)[0], records(4)[0], records(5)[0]}) {
		t.Errorf("one commit holds %v", got)
	}
	select {
	case <-barrier:
		t.Error("the barrier does not wait")
	default:
	}
	s.leave <- nil
	if seq := <-done; seq != 4 {
		t.Errorf("%d is told as durable, want the last that somebody waits for", seq)
	}
	<-barrier
	j.Append(ownerWitness, witness.Persist{Seq: 6, Records: records(6), Lazy: true})
	<-s.enter
	s.leave <- nil
	j.Close()
	if !slices.Equal(s.syncs, []bool{true, true, false}) || len(done) != 0 {
		t.Errorf("syncs %v, and %d told", s.syncs, len(done))
	}
}

func TestJournalFails(t *testing.T) {
	s := newSlowStore()
	failed := make(chan error, 1)
	j := NewJournal(s, [owners]func(uint64){func(uint64) { t.Error("what failed is told as durable") }}, func() {}, func(err error) { failed <- err })
	j.Append(ownerWitness, witness.Persist{Seq: 1, Records: records(1)})
	<-s.enter
	s.leave <- errors.New("disk gone")
	if err := <-failed; err == nil {
		t.Error("no error")
	}
	j.Barrier() // must not wait for what never comes
	j.Append(ownerWitness, witness.Persist{Seq: 2, Records: records(2)})
	j.Close()
}

// TestJournalCloses makes durable what was queued before.
func TestJournalCloses(t *testing.T) {
	s := newSlowStore()
	var seqs []uint64
	j := NewJournal(s, [owners]func(uint64){func(seq uint64) { seqs = append(seqs, seq) }}, func() {}, func(err error) { t.Error(err) })
	j.Append(ownerWitness, witness.Persist{Seq: 1, Records: records(1)})
	<-s.enter
	j.Append(ownerWitness, witness.Persist{Seq: 2, Records: records(2)})
	closed := make(chan struct{})
	go func() { j.Close(); close(closed) }()
	s.leave <- nil
	<-s.enter
	s.leave <- nil
	<-closed
	if !slices.Equal(seqs, []uint64{1, 2}) {
		t.Errorf("%v", seqs)
	}
}

func TestGateway(t *testing.T) {
	inputs := make(chan witness.Input, 10)
	g := NewGateway(nil, 2, func(in witness.Input) { inputs <- in })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type answer struct {
		out *Outcome
		err error
	}
	attest := func(ctx context.Context) chan answer {
		c := make(chan answer, 1)
		go func() {
			out, err := g.Submit(ctx, Submission{Kind: protocol.KindAttest})
			c <- answer{out, err}
		}()
		return c
	}
	first := attest(ctx)
	one := (<-inputs).(witness.Submit)
	second := attest(context.Background())
	two := (<-inputs).(witness.Submit)
	if _, err := g.Submit(ctx, Submission{}); !errors.Is(err, ErrOverloaded) || g.Waiting() != 2 {
		t.Errorf("a third is admitted: %v", err)
	}
	// The first gives up, and learns what became of it.
	cancel()
	if w := (<-inputs).(witness.Withdraw); w.ID != one.ID {
		t.Errorf("%+v", w)
	}
	g.withdrawn(witness.Withdrawn{ID: one.ID, InLog: true, Signers: []protocol.MemberID{0, 1}})
	var timeout *TimeoutError
	if a := <-first; !errors.As(a.err, &timeout) || !timeout.InLog || len(timeout.Signers) != 2 {
		t.Errorf("%+v", a)
	}
	g.refused(witness.Refused{ID: two.ID, Reason: witness.LogStopped})
	if a := <-second; !errors.Is(a.err, ErrLogStopped) {
		t.Errorf("%+v", a)
	}
	g.refused(witness.Refused{ID: two.ID}) // answered already
	third := attest(context.Background())
	<-inputs
	g.fail(ErrInterrupted)
	if a := <-third; !errors.Is(a.err, ErrInterrupted) {
		t.Errorf("%+v", a)
	}
	g.fail(ErrClosed)
	if _, err := g.Submit(context.Background(), Submission{}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestDispatcher(t *testing.T) {
	d := newDispatcher()
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Add(1)
		d.Schedule(func() {
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			wg.Done()
		})
	}
	wg.Wait()
	if !slices.IsSorted(order) || d.Throughput() < 1 {
		t.Errorf("%v", order)
	}
	d.close()
	ran := make(chan struct{})
	d.Schedule(func() { close(ran) })
	select {
	case <-ran:
	case <-time.After(10 * time.Second):
		t.Error("a turn after the end is lost")
	}
}
