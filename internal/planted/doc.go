// Package planted holds bugs that are there on purpose, to show that the tests find them.
//
// A program built with the tag "planted" has the one bug that QUIVER_PLANTED names, or none. At the place of a bug stands
//
//	if planted.Is(planted.AckBeforeSync) {
//		return nil
//	}
//
// and nothing else: a few tokens, and the right code untouched beside them. Built without the tag, Is is an inlined false
// and the compiler leaves all of it out; TestPlantedCodeIsLeftOut looks into the program for that.
//
// TestPlanted of package torture, which needs the tag, breaks the server by one bug after the other and expects that the
// torture run or a named test fails: make planted. Who adds a bug adds it to Bugs; who changes code beside one keeps it a bug.
package planted
