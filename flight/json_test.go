package flight

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quiverlog/quiver"
)

// sample has a field of every kind that words use.
type sample struct {
	Name   string            `json:"name"`
	Count  int64             `json:"count"`
	Small  *int32            `json:"small"`
	ID     uint64            `json:"id"`
	On     bool              `json:"on"`
	List   []string          `json:"list"`
	Map    map[string]string `json:"map"`
	Inner  *inner            `json:"inner"`
	Any    json.RawMessage   `json:"any"`
	Inners []inner           `json:"inners"`
}

type inner struct {
	From int64 `json:"from"`
}

func TestDecodeStrict(t *testing.T) {
	var s sample
	err := DecodeStrict([]byte(` {"name":"Gr\u00f6\u00dfe \ud83d\ude00","count":-3,"small":7,"id":"18446744073709551615","on":true,
		"list":["a","b"],"map":{"k":"v"},"inner":{"from":"9007199254740993"},"any":[1, {"x":null}],"inners":[{"from":1},{}]} `), &s, quiver.BadCommand)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(encode(s)); got != `{"name":"Größe 😀","count":-3,"small":7,"id":18446744073709551615,"on":true,"list":["a","b"],`+
		`"map":{"k":"v"},"inner":{"from":9007199254740993},"any":[1,{"x":null}],"inners":[{"from":1},{"from":0}]}` {
		t.Error(got)
	}
}

func TestNullStandsForNoKey(t *testing.T) {
	s := sample{Name: "x"}
	err := DecodeStrict([]byte(`{"name":null,"small":null,"list":null,"map":null,"inner":null,"any":null}`), &s, quiver.BadCommand)
	if err != nil || s.Name != "" || s.Small != nil || s.List != nil || s.Map != nil || s.Inner != nil || s.Any != nil {
		t.Fatal(err, s)
	}
}

func TestAnEmptyListIsNotNoList(t *testing.T) {
	var s sample
	if err := DecodeStrict([]byte(`{"list":[]}`), &s, quiver.BadCommand); err != nil || s.List == nil {
		t.Fatal(err, s.List)
	}
}

// TestRefusals: every text names the place and what to do.
func TestRefusals(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{``, "no bytes"},
		{`  `, "no bytes"},
		{`[]`, "want an object, got an array"},
		{`null`, "want an object, got null"},
		{`"x"`, "want an object, got a string"},
		{`{`, "no JSON: unexpected end"},
		{`{"name":"x"} {}`, "no JSON: invalid character '{' after top-level value"},
		{`{"name":'x'}`, "no JSON: invalid character '\\''"},
		{`{"name":"x",}`, "no JSON"},
		{"{\"name\":\"\xff\"}", "not UTF-8"},
		{`{"nane":"x"}`, `unknown key "nane"; did you mean "name"?`},
		{`{"zzzzzzz":"x"}`, `unknown key "zzzzzzz"; known are name, count`},
		{`{"inner":{"form":1}}`, `unknown key "form" in inner; did you mean "from"?`},
		{`{"name":"x","name":"y"}`, `key "name" is given twice`},
		{`{"name":"x","n\u0061me":"y"}`, `key "name" is given twice`},
		{`{"inner":{"from":1,"from":1}}`, `key "from" is given twice in inner`},
		{`{"any":[{"a":1,"a":2}]}`, `key "a" is given twice in any[0]`},
		{`{"name":7}`, "key name: want a string, got a number"},
		{`{"count":true}`, "key count: want an integer, got a boolean"},
		{`{"count":1.5}`, "key count: want an integer, got 1.5"},
		{`{"count":1e3}`, "key count: want an integer, got 1e3"},
		{`{"count":"1e3"}`, `key count: want an integer, got "1e3"`},
		{`{"count":""}`, "key count: want an integer"},
		{`{"count":"007"}`, "key count: want an integer"},
		{`{"count":9223372036854775808}`, "key count: want an integer that fits 64 bits"},
		{`{"small":"7"}`, "key small: want an integer, got a string"},
		{`{"small":2147483648}`, "key small: want an integer that fits 32 bits"},
		{`{"id":-1}`, "key id: want an integer from 0 that fits 64 bits, got -1"},
		{`{"on":"true"}`, "key on: want true or false, got a string"},
		{`{"list":"a"}`, "key list: want an array, got a string"},
		{`{"list":["a",7]}`, "key list[1]: want a string, got a number"},
		{`{"list":["a",null]}`, "key list[1]: null"},
		{`{"map":{"k":7}}`, "key map.k: want a string"},
		{`{"inners":[{"from":1},{"from":[]}]}`, "key inners[1].from: want an integer, got an array"},
		{`{"name":"\ud800"}`, "key name: holds half of a surrogate pair"},
		{`{"name":"\udc00\ud800"}`, "half of a surrogate pair"},
		{`{"name":"\ud800\u0041"}`, "half of a surrogate pair"},
		{`{"any":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "nests deeper than 32"},
		{`{"name":"` + strings.Repeat("x", MaxJSON) + `"}`, "bytes of JSON, at most 1048576"},
	} {
		err := DecodeStrict([]byte(test.text), new(sample), quiver.BadCommand)
		wantError(t, err, quiver.BadCommand, test.want)
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("a text of %d bytes", len(err.Error()))
		}
	}
}

// TestHostileShapesStaySmall: what nests or repeats costs time in proportion to its size.
func TestHostileShapesStaySmall(t *testing.T) {
	long := strings.Repeat("k", 10_000)
	for name, text := range map[string]string{
		"wide":     `{"any":[` + strings.Repeat("0,", 100_000) + `0]}`,
		"deep":     `{"any":` + strings.Repeat(`{"`+long+`":`, 25) + "[" + strings.Repeat("[],", 50_000) + "[]]" + strings.Repeat("}", 25) + `}`,
		"keys":     `{"map":{` + keysOf(15_000) + `}}`,
		"strings":  `{"list":[` + strings.Repeat(`"",`, 60_000) + `""]}`,
		"brackets": strings.Repeat("[", MaxJSON),
		"quote":    `{"` + strings.Repeat(`\"`, 500_000),
	} {
		var s sample
		allocated := testing.AllocsPerRun(1, func() { _ = DecodeStrict([]byte(text), &s, quiver.BadCommand) })
		if allocated > 250_000 {
			t.Errorf("%s: %.0f allocations", name, allocated)
		}
	}
}

func keysOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `%s"k%d":"v"`, strings.Repeat(",", min(i, 1)), i)
	}
	return b.String()
}

// FuzzJSON: whatever is taken is JSON without repeated keys, and means what encoding/json makes of it.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"name":"x","count":1,"list":["a"],"inner":{"from":"2"},"any":{"a":[1,2,{}]}}`))
	f.Add([]byte(`{"name":"\ud83d\ude00\u0000\\\"","map":{"":""}}`))
	f.Add([]byte("{\t\"any\"\n:\r[ ] ,\"on\" :false}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s sample
		if err := DecodeStrict(data, &s, quiver.BadCommand); err != nil {
			if quiver.ReasonOf(err) != quiver.BadCommand || len(err.Error()) > 3000 || !utf8.ValidString(err.Error()) {
				t.Fatal(err)
			}
			return
		}
		var stock struct {
			Name string            `json:"name"`
			On   bool              `json:"on"`
			List []string          `json:"list"`
			Map  map[string]string `json:"map"`
			Any  json.RawMessage   `json:"any"`
		}
		if err := json.Unmarshal(data, &stock); err != nil {
			t.Fatalf("encoding/json: %v", err)
		}
		if stock.Any != nil && string(stock.Any) == "null" {
			stock.Any = nil
		}
		if stock.Name != s.Name || stock.On != s.On || fmt.Sprint(stock.List) != fmt.Sprint(s.List) ||
			fmt.Sprint(stock.Map) != fmt.Sprint(s.Map) || !bytes.Equal(stock.Any, s.Any) {
			t.Fatalf("%+v, encoding/json has %+v", s, stock)
		}
	})
}
