package buf

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// mustPanic runs f and fails the test if it returns.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

// withPoison runs the test in poison mode, which TestMain of other packages sets for good.
func withPoison(t *testing.T) {
	SetPoison(true)
	t.Cleanup(func() { SetPoison(false) })
}

// checkLive fails the test if it does not end with as many buffers as it began.
func checkLive(t *testing.T) {
	before := Live()
	t.Cleanup(func() {
		if now := Live(); now != before {
			t.Errorf("%d buffers are held, %d were before", now, before)
		}
	})
}

func TestClassesHoldWhatTheyPromise(t *testing.T) {
	last := 0
	for class := range numClasses {
		size := classSize(class)
		if size%Alignment != 0 || size <= last {
			t.Fatalf("class %d has %d bytes after %d", class, size, last)
		}
		if classOf(size) != class || classOf(last+1) != class {
			t.Fatalf("class %d: sizes %d and %d are of the classes %d and %d", class, size, last+1, classOf(size), classOf(last+1))
		}
		if class > 0 && (size-last)*4 > size {
			t.Errorf("class %d wastes more than a quarter: %d after %d", class, size, last)
		}
		last = size
	}
	if last != MaxPooled || classOf(last+1) != noClass || classOf(0) != 0 {
		t.Fatalf("the classes end at %d", last)
	}
}

func TestGetIsAlignedAndSized(t *testing.T) {
	checkLive(t)
	for _, poisonOn := range []bool{false, true} {
		SetPoison(poisonOn)
		for _, n := range []int{0, 1, 63, 64, 255, 256, 257, 1 << 10, 1<<20 + 1, MaxPooled, MaxPooled + 1} {
			b := Get(n)
			if b.Len() != n || cap(b.Bytes()) != n {
				t.Errorf("Get(%d) gave %d bytes with capacity %d", n, b.Len(), cap(b.Bytes()))
			}
			if off := misalignment(b.block); off != 0 {
				t.Errorf("Get(%d) starts %d bytes after a multiple of %d", n, off, Alignment)
			}
			b.Release()
		}
	}
	SetPoison(false)
	mustPanic(t, "Get(-1)", func() { Get(-1) })
}

func TestPartsHoldTheWhole(t *testing.T) {
	withPoison(t)
	checkLive(t)
	before := Live()
	b := Get(1000)
	for i := range b.Bytes() {
		b.Bytes()[i] = byte(i)
	}
	part := b.Slice(100, 300)
	deep := part.Slice(10, 20)
	b.Release()
	part.Release()
	if Live() != before+1 {
		t.Fatalf("%d buffers are held while a part is", Live()-before)
	}
	for i, c := range deep.Bytes() {
		if c != byte(110+i) {
			t.Fatalf("byte %d of the part is %d, want %d", i, c, byte(110+i))
		}
	}
	if cap(deep.Bytes()) != 10 {
		t.Errorf("a part of 10 bytes has capacity %d: appending would reach its neighbour", cap(deep.Bytes()))
	}
	deep.Release()
	if Live() != before {
		t.Errorf("%d buffers are held after the last release", Live()-before)
	}
}

func TestWrapLeavesForeignMemoryAlone(t *testing.T) {
	withPoison(t)
	checkLive(t)
	data := []byte("not ours")
	b := Wrap(data)
	part := b.Slice(4, 8)
	b.Release()
	if string(part.Bytes()) != "ours" {
		t.Errorf("the part shows %q", part.Bytes())
	}
	part.Release()
	if string(data) != "not ours" {
		t.Errorf("wrapped memory was overwritten: %q", data)
	}
}

func TestMisuseShows(t *testing.T) {
	withPoison(t)
	makers := map[string]func() *Buf{
		"pooled":  func() *Buf { return Get(100) },
		"large":   func() *Buf { return Get(MaxPooled + 1) },
		"wrapped": func() *Buf { return Wrap(make([]byte, 100)) },
		"part": func() *Buf {
			b := Get(100)
			defer b.Release()
			return b.Slice(0, 50)
		},
	}
	for name, make := range makers {
		t.Run(name, func(t *testing.T) {
			for what, f := range map[string]func(*Buf){
				"Release": (*Buf).Release,
				"Retain":  func(b *Buf) { b.Retain() },
				"Bytes":   func(b *Buf) { b.Bytes() },
				"Slice":   func(b *Buf) { b.Slice(0, 0) },
			} {
				b := make()
				b.Retain().Release()
				b.Release()
				mustPanic(t, what+" after the last release", func() { f(b) })
			}
			b := make()
			defer b.Release()
			mustPanic(t, "a part that sticks out", func() { b.Slice(0, b.Len()+1) })
			mustPanic(t, "a part that starts below 0", func() { b.Slice(-1, 0) })
			mustPanic(t, "a part that ends before it starts", func() { b.Slice(2, 1) })
		})
	}
}

func TestPoisonShowsLateReadsAndWrites(t *testing.T) {
	withPoison(t)
	for _, n := range []int{64, MaxPooled + 1} {
		b := Get(n)
		late := b.Bytes()
		if late[0] != poisonByte {
			t.Errorf("fresh memory starts with %#x: a test may count on zeros", late[0])
		}
		late[0] = 1
		b.Release()
		if late[0] != poisonByte {
			t.Errorf("released memory still reads %#x", late[0])
		}
		late[n-1] = 7
		mustPanic(t, "a late write", CheckPoison)
		CheckPoison() // what was found is forgotten
	}
}

// TestConcurrentUse passes buffers between goroutines, each of which writes a mark, and checks that no buffer is ever
// handed to two owners.
func TestConcurrentUse(t *testing.T) {
	checkLive(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(g)))
			var held []*Buf
			for range 2000 {
				if len(held) > 0 && rng.IntN(2) == 0 {
					i := rng.IntN(len(held))
					for _, c := range held[i].Bytes() {
						if c != byte(g) {
							t.Errorf("goroutine %d reads the mark of %d in its own buffer", g, c)
							break
						}
					}
					held[i].Release()
					held[i] = held[len(held)-1]
					held = held[:len(held)-1]
					continue
				}
				b := Get(rng.IntN(2000))
				for i := range b.Bytes() {
					b.Bytes()[i] = byte(g)
				}
				held = append(held, b)
				if rng.IntN(2) == 0 {
					held = append(held, b.Slice(b.Len()/2, b.Len()))
				}
			}
			for _, b := range held {
				b.Release()
			}
		})
	}
	wg.Wait()
}

func BenchmarkGetRelease(b *testing.B) {
	for _, c := range []struct {
		name string
		n    int
	}{{"1KiB", 1 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Get(c.n).Release()
			}
		})
	}
	b.Run("slice", func(b *testing.B) {
		b.ReportAllocs()
		whole := Get(1 << 20)
		defer whole.Release()
		for b.Loop() {
			whole.Slice(64, 128).Release()
		}
	})
	b.Run("make1MiB", func(b *testing.B) { // what it saves
		for b.Loop() {
			sink = make([]byte, 1<<20)
		}
	})
}

var sink []byte
