package replica

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"math/rand/v2"

	"github.com/quiverlog/quiver"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// TestTranscripts runs each script of testdata: a line that starts with "> " is an event (or "admit"), the lines
// below it are the effects and the state it leads to. With -update the answers are written anew.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the transcript differs; go test -update writes it anew\n--- got\n%s", got)
			}
		})
	}
}

// play keeps comments, blank lines and events of a script and answers each event.
func play(t *testing.T, script string) []byte {
	var out bytes.Buffer
	state := New(1)
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&out, line)
			answer(t, &out, state, strings.Fields(line[2:]))
		}
	}
	return out.Bytes()
}

func answer(t *testing.T, out *bytes.Buffer, state *State, words []string) {
	if words[0] == "admit" {
		if err := state.Admit(); err != nil {
			fmt.Fprintf(out, "  %v\n", err)
			return
		}
		fmt.Fprintln(out, "  admitted")
		return
	}
	for _, e := range state.Step(parse(t, words)) {
		fmt.Fprintf(out, "  do %T%+v\n", e, e)
	}
	fmt.Fprintf(out, "  %s epoch=%d", state.Role(), state.Epoch())
	if high, ok := state.HighWatermark(); ok {
		fmt.Fprintf(out, " high-watermark=%d", high)
	}
	fmt.Fprintln(out)
}

// parse reads "appoint epoch=3 isr=1,2 min-isr=1" and its like.
func parse(t *testing.T, words []string) Event {
	args := map[string]string{}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		args[key] = value
	}
	number := func(key string) int {
		n, err := strconv.Atoi(args[key])
		if err != nil {
			t.Fatalf("%v: %s: %v", words, key, err)
		}
		return n
	}
	epoch := quiver.Epoch(number("epoch"))
	switch words[0] {
	case "appoint":
		var isr []Member
		for m := range strings.SplitSeq(args["isr"], ",") {
			n, err := strconv.Atoi(m)
			if err != nil {
				t.Fatal(err)
			}
			isr = append(isr, Member(n))
		}
		return Appoint{epoch, isr, number("min-isr")}
	case "durable":
		return Durable{Member(number("member")), epoch, quiver.Offset(number("end"))}
	case "fail":
		return Fail{epoch}
	case "dismiss":
		return Dismiss{epoch}
	}
	t.Fatalf("unknown event %q", words[0])
	return nil
}

// TestRandomEvents checks the invariants of the package doc after each of many random events.
func TestRandomEvents(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		state := New(1)
		ends := map[Member]quiver.Offset{} // the oracle: what each member told in the leadership there is
		var isr []Member
		for range 200 {
			before, beforeHigh, beforeRole := state.Epoch(), state.high, state.Role()
			event := randomEvent(rng, state.Epoch())
			effects := state.Step(event)
			if event.epoch() < before && (len(effects) > 0 || state.Epoch() != before || state.high != beforeHigh) {
				t.Fatalf("%T%+v had an effect at epoch %d", event, event, before)
			}
			switch e := event.(type) {
			case Appoint:
				if e.Epoch > before {
					ends, isr = map[Member]quiver.Offset{}, e.ISR
				}
			case Durable:
				if e.Epoch == before && beforeRole == Leader {
					if end, ok := ends[e.Member]; !ok || end < e.End {
						ends[e.Member] = e.End
					}
				}
			}
			checkHighWatermark(t, state, isr, ends)
			if state.Epoch() == before && state.Role() == Leader && state.high < beforeHigh {
				t.Fatalf("the high watermark went back from %d to %d", beforeHigh, state.high)
			}
		}
	}
}

func checkHighWatermark(t *testing.T, state *State, isr []Member, ends map[Member]quiver.Offset) {
	t.Helper()
	high, ok := state.HighWatermark()
	if state.Role() != Leader {
		if ok {
			t.Fatalf("a replica without a role confirms %d", high)
		}
		return
	}
	want := quiver.Offset(1 << 62)
	for _, m := range isr {
		end, told := ends[m]
		if !told {
			end = unknown
		}
		want = min(want, end)
	}
	if high != want {
		t.Fatalf("high watermark %d, the least durable end is %d", high, want)
	}
}

func randomEvent(rng *rand.Rand, epoch quiver.Epoch) Event {
	near := max(0, epoch+quiver.Epoch(rng.IntN(3))-1)
	switch rng.IntN(12) {
	case 0:
		isr := []Member{1}
		for m := Member(2); m <= 3; m++ {
			if rng.IntN(2) == 0 {
				isr = append(isr, m)
			}
		}
		return Appoint{near, isr, 1 + rng.IntN(2)}
	case 1:
		return Fail{near}
	case 2:
		return Dismiss{near}
	default:
		if rng.IntN(5) > 0 {
			near = max(0, epoch)
		}
		return Durable{Member(1 + rng.IntN(3)), near, quiver.Offset(rng.IntN(1000))}
	}
}
