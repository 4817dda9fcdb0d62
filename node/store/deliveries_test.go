package store

import (
	"testing"
	"time"
)

func TestDeliveries(t *testing.T) {
	b := newBook(t)
	expect := func(handler string, want uint64, there bool) {
		t.Helper()
		got, ok, err := b.Deliveries().Position(t.Context(), handler)
		if err != nil || ok != there || got != want {
			t.Errorf("%s is at %d %v %v, want %d %v", handler, got, ok, err, want, there)
		}
	}
	set := func(handler string, position uint64) {
		t.Helper()
		if err := b.Deliveries().SetPosition(t.Context(), handler, position); err != nil {
			t.Fatal(err)
		}
	}
	expect("a", 0, false)
	set("a", 0)
	expect("a", 0, true)
	set("a", 1<<53)
	set("a/b", 7)
	expect("a", 1<<53, true)
	expect("a/b", 7, true)
	expect("b", 0, false)
	// What expires of the API's records is no position.
	if err := b.Records().Expire(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	expect("a", 1<<53, true)
	expect("a/b", 7, true)
}
