package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/quiverlog/quiver"
)

// Small messages are decoded beside each other and beside one large one; a second large one waits for the first.
func TestLargeMessagesAreDecodedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDecoding(512 << 20)
		var first, second, small grant
		admit := func(g *grant, bytes int64) {
			t.Helper()
			if err := d.admit(t.Context(), g, bytes); err != nil {
				t.Fatal(err)
			}
		}
		admit(&first, decodeSmall)
		admit(&second, decodeSmall)
		admit(&first, 1) // by adding up
		admit(&first, decodeSmall)
		admitted := make(chan error)
		go func() { admitted <- d.admit(t.Context(), &second, 1) }()
		synctest.Wait()
		select {
		case <-admitted:
			t.Fatal("two large messages at a time")
		default:
		}
		admit(&small, decodeSmall)
		d.done(&first)
		if err := <-admitted; err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.admit(ended, &first, decodeSmall+1); !errors.Is(err, context.Canceled) {
			t.Fatalf("a wait whose call ended: %v", err)
		}
		d.done(&first)
		d.done(&second)
		d.done(&small)
		if d.places.Used() != 0 || d.large.Used() != 0 {
			t.Fatalf("%d places and %d large ones are still taken", d.places.Used(), d.large.Used())
		}
	})
}

// With little memory a message is large sooner: two small ones take no more than there is.
func TestLargeIsRelative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDecoding(8 << 20)
		var first, second grant
		for _, g := range []*grant{&first, &second} {
			if err := d.admit(t.Context(), g, 4<<20); err != nil || g.large {
				t.Fatalf("half of the memory: large %v, %v", g.large, err)
			}
		}
		if err := d.admit(t.Context(), &first, 1); err != nil || !first.large {
			t.Fatalf("more than that: large %v, %v", first.large, err)
		}
		admitted := make(chan error)
		go func() { admitted <- d.admit(t.Context(), &second, 1) }()
		synctest.Wait()
		select {
		case <-admitted:
			t.Error("two large messages at a time")
		default:
		}
		d.done(&first)
		if err := <-admitted; err != nil {
			t.Error(err)
		}
		d.done(&second)
	})
}

// Only so many messages are decoded at a time, however small.
func TestDecodingHasPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDecoding(512 << 20)
		var grants [decodePlaces]grant
		for i := range grants {
			if err := d.admit(t.Context(), &grants[i], 1); err != nil {
				t.Fatal(err)
			}
		}
		var late grant
		admitted := make(chan error, 1)
		go func() { admitted <- d.admit(t.Context(), &late, 1) }()
		synctest.Wait()
		if len(admitted) != 0 {
			t.Fatal("one more than there are places")
		}
		d.done(&grants[7])
		if err := <-admitted; err != nil {
			t.Fatal(err)
		}
	})
}

// A stream has its first dictionaries in any case; what it keeps beyond them counts against all streams, is refused
// above the bound, and is given back with the stream.
func TestDictionariesAreCounted(t *testing.T) {
	d := newDecoding(512 << 20)
	var big, little grant
	if err := d.keep(&big, dictionaries); err != nil {
		t.Fatal(err)
	}
	if err := d.keep(&little, dictionaryOwn); err != nil {
		t.Fatalf("a small dictionary: %v", err)
	}
	if err := d.keep(&little, 3*dictionaryOwn); quiver.ReasonOf(err) != quiver.Overloaded {
		t.Fatalf("too many dictionaries: %v", err)
	}
	d.done(&big) // the end of a message is not the end of its stream
	if err := d.keep(&big, dictionaries-2*dictionaryOwn); err != nil {
		t.Fatal(err)
	}
	if err := d.keep(&little, 3*dictionaryOwn); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	for _, g := range []*grant{&big, &little} {
		if err := d.keep(g, 0); err != nil {
			t.Fatal(err)
		}
	}
	if d.held.Used() != 0 {
		t.Fatalf("%d bytes are still held", d.held.Used())
	}
}
