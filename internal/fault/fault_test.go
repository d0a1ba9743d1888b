package fault

import (
	"slices"
	"testing"
)

var (
	pointOne = New("fault.test.one")
	pointTwo = New("fault.test.two")
)

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

func TestNames(t *testing.T) {
	if got, want := Names(), []string{"fault.test.one", "fault.test.two"}; !slices.Equal(got, want) {
		t.Errorf("the names are %q, want %q", got, want)
	}
	if pointOne.Name() != "fault.test.one" {
		t.Errorf("a point is named %q", pointOne.Name())
	}
	mustPanic(t, "a second point of the same name", func() { New("fault.test.one") })
	for _, name := range []string{"", "one", "Fault.test", "fault test", "fault..x", "a=b.c", "a.b,c"} {
		mustPanic(t, "a point named "+name, func() { New(name) })
	}
}

func TestListing(t *testing.T) {
	t.Setenv(Variable, "list")
	if !Listing() {
		t.Error("the list was asked for")
	}
	if err := Setup(); err != nil {
		t.Errorf("asking for the list is no order: %v", err)
	}
	t.Setenv(Variable, "")
	if Listing() || Setup() != nil {
		t.Error("nothing was asked for")
	}
}

func BenchmarkHit(b *testing.B) {
	for b.Loop() {
		if err := pointOne.Hit(); err != nil {
			b.Fatal(err)
		}
	}
}
