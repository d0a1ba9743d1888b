package flight

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/quiverlog/quiver"
)

// MaxJSON is the most bytes that a command, a ticket, an action body or the metadata of a message may have.
const MaxJSON = 1 << 20

// maxDepth bounds the nesting of JSON, and with it the depth of our recursion.
const maxDepth = 32

// DecodeStrict reads one JSON object into the struct that v points to, by its json tags.
//
// It refuses, with the reason given and naming the place by its path of keys: unknown keys (with the nearest known
// one), keys given twice, anything behind the object, values of another type, numbers that do not fit, text that is
// not UTF-8, more than MaxJSON bytes, nesting beyond 32. A 64-bit integer may also come as a string, since many
// JSON libraries lose digits beyond 2^53. null stands for a key that is not given.
func DecodeStrict(data []byte, v any, reason quiver.Reason) error {
	root, err := parseJSON(data, reason)
	if err != nil {
		return err
	}
	return root.into(valueOf(v))
}

// decodeLoose reads what a server answered: as DecodeStrict, but keys that a newer server added are passed over. Types
// of other packages are read as encoding/json reads them.
func decodeLoose(data []byte, v any) error {
	to := valueOf(v)
	if to.Type().PkgPath() != reflect.TypeFor[jsonValue]().PkgPath() {
		if err := json.Unmarshal(data, v); err != nil {
			return quiver.Errorf(quiver.Internal, "the server's answer is not what was expected: %v", err)
		}
		return nil
	}
	root, err := parseJSON(data, quiver.Internal)
	if err != nil {
		return err
	}
	root.loose = true
	return root.into(to)
}

// valueOf gives what a pointer points to.
func valueOf(pointer any) reflect.Value { return reflect.ValueOf(pointer).Elem() }

// jsonValue is one value inside a JSON text that is known to be well formed. It knows its place by its parent, so
// that the path that leads to it is only spelled out in errors.
type jsonValue struct {
	raw    []byte // without surrounding space
	reason quiver.Reason
	parent *jsonValue // nil for the whole text
	key    string     // in an object
	index  int        // in an array
	loose  bool       // of a whole text: unknown keys are passed over
}

// isLoose says whether unknown keys are passed over.
func (v *jsonValue) isLoose() bool {
	for v.parent != nil {
		v = v.parent
	}
	return v.loose
}

// path is "from.offsets" or "columns[2]", "" for the whole text.
func (v *jsonValue) path() string {
	switch {
	case v.parent == nil:
		return ""
	case v.parent.raw[0] == '[':
		return v.parent.path() + "[" + strconv.Itoa(v.index) + "]"
	case v.parent.parent == nil:
		return clip(v.key)
	default:
		return v.parent.path() + "." + clip(v.key)
	}
}

// wordDecoder is implemented by words whose JSON is more than a struct.
type wordDecoder interface{ decodeWord(v *jsonValue) error }

// parseJSON checks a whole text: size, UTF-8, depth, syntax, keys given twice.
func parseJSON(data []byte, reason quiver.Reason) (*jsonValue, error) {
	root := &jsonValue{raw: bytes.TrimSpace(data), reason: reason}
	switch {
	case len(data) > MaxJSON:
		return root, quiver.Errorf(reason, "%d bytes of JSON, at most %d are taken", len(data), MaxJSON)
	case len(root.raw) == 0:
		return root, quiver.Errorf(reason, "a JSON object is wanted, but there are no bytes")
	case !utf8.Valid(data):
		return root, quiver.Errorf(reason, "the bytes are no JSON: they are not UTF-8").Advise(hintJSON)
	}
	if err := checkDepth(root.raw, reason); err != nil {
		return root, err
	}
	if !json.Valid(root.raw) {
		var whole json.RawMessage
		return root, quiver.Errorf(reason, "the bytes are no JSON: %v", json.Unmarshal(root.raw, &whole)).Advise(hintJSON)
	}
	if !root.isObject() {
		return root, root.wrongType("an object").Advise(hintJSON)
	}
	return root, root.checkKeys()
}

const hintJSON = `send one JSON object, such as {"table":"shop.orders"}`

// checkDepth counts brackets outside strings; the text need not be well formed.
func checkDepth(text []byte, reason quiver.Reason) error {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = skipString(text, i) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return quiver.Errorf(reason, "JSON nests deeper than %d levels", maxDepth)
			}
		case '}', ']':
			depth--
		}
	}
	return nil
}

// skipString returns the index behind the string that starts at i, or the end of the text.
func skipString(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// skipValue returns the index behind the value that starts at i, in well-formed text.
func skipValue(text []byte, i int) int {
	switch text[i] {
	case '"':
		return skipString(text, i)
	case '{', '[':
		return skipNested(text, i)
	}
	for i < len(text) && !endsScalar[text[i]] {
		i++
	}
	return i
}

// skipNested returns the index behind the object or array that starts at i.
func skipNested(text []byte, i int) int {
	for depth := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = skipString(text, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return i
}

// endsScalar marks the bytes that end a number or a word.
var endsScalar = [256]bool{',': true, '}': true, ']': true, ' ': true, '\t': true, '\r': true, '\n': true}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// checkKeys refuses keys given twice, on every level, and text that is no Unicode.
func (v *jsonValue) checkKeys() error {
	switch v.raw[0] {
	case '"':
		return v.checkText()
	case '[':
		return v.eachItem((*jsonValue).checkKeys)
	case '{':
		var keys []string
		err := v.eachMember(func(m *jsonValue) error {
			keys = append(keys, m.key)
			return m.checkKeys()
		})
		if err != nil {
			return err
		}
		slices.Sort(keys)
		for i := 1; i < len(keys); i++ {
			if keys[i] == keys[i-1] {
				return quiver.Errorf(v.reason, "key %q is given twice%s", clip(keys[i]), v.inside())
			}
		}
	}
	return nil
}

// eachMember calls do for the members of an object in their order, and stops at the first error. The member is only
// lent: do copies what it keeps.
func (v *jsonValue) eachMember(do func(member *jsonValue) error) error {
	if !v.isObject() {
		return v.wrongType("an object")
	}
	member, name := new(jsonValue), new(jsonValue)
	for i := skipSpace(v.raw, 1); v.raw[i] != '}'; {
		end := skipString(v.raw, i)
		*name = jsonValue{raw: v.raw[i:end], reason: v.reason, parent: v.parent, key: v.key, index: v.index}
		key, err := name.str()
		if err != nil {
			return err
		}
		i = skipSpace(v.raw, skipSpace(v.raw, end)+1) // behind the colon
		end = skipValue(v.raw, i)
		*member = jsonValue{raw: v.raw[i:end], reason: v.reason, parent: v, key: key}
		if err := do(member); err != nil {
			return err
		}
		if i = skipSpace(v.raw, end); v.raw[i] == ',' {
			i = skipSpace(v.raw, i+1)
		}
	}
	return nil
}

// eachItem calls do for the items of an array in their order, and stops at the first error. The item is only lent.
func (v *jsonValue) eachItem(do func(item *jsonValue) error) error {
	if v.raw[0] != '[' {
		return v.wrongType("an array")
	}
	index, item := 0, new(jsonValue)
	for i := skipSpace(v.raw, 1); v.raw[i] != ']'; index++ {
		end := skipValue(v.raw, i)
		*item = jsonValue{raw: v.raw[i:end], reason: v.reason, parent: v, index: index}
		if err := do(item); err != nil {
			return err
		}
		if i = skipSpace(v.raw, end); v.raw[i] == ',' {
			i = skipSpace(v.raw, i+1)
		}
	}
	return nil
}

// str reads a string. Half of a surrogate pair is refused: it names nothing, and decoders would replace it.
func (v *jsonValue) str() (string, error) {
	if v.raw[0] != '"' {
		return "", v.wrongType("a string")
	}
	if bytes.IndexByte(v.raw, '\\') < 0 {
		return string(v.raw[1 : len(v.raw)-1]), nil
	}
	if err := v.checkText(); err != nil {
		return "", err
	}
	var s string
	if err := json.Unmarshal(v.raw, &s); err != nil {
		return "", v.fail("%v", err)
	}
	return s, nil
}

// checkText refuses a string that is no Unicode.
func (v *jsonValue) checkText() error {
	if bytes.IndexByte(v.raw, '\\') >= 0 && hasLoneSurrogate(v.raw) {
		return v.fail("holds half of a surrogate pair")
	}
	return nil
}

func hasLoneSurrogate(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		unit := hexUnit(raw[i+1:])
		i += 4
		switch {
		case unit < 0xd800 || unit > 0xdfff:
			continue
		case unit >= 0xdc00: // a second half without a first
			return true
		case len(raw) < i+7 || raw[i+1] != '\\' || raw[i+2] != 'u':
			return true
		}
		if second := hexUnit(raw[i+3:]); second < 0xdc00 || second > 0xdfff {
			return true
		}
		i += 6
	}
	return false
}

// hexUnit reads the four digits of a \u escape in well-formed text.
func hexUnit(digits []byte) uint64 {
	unit, _ := strconv.ParseUint(string(digits[:4]), 16, 32) // the text is valid JSON: these are hex digits
	return unit
}

// integer reads an integer of the given number of bits; 64-bit ones may be strings.
func (v *jsonValue) integer(bits int) (int64, error) {
	digits, err := v.digits(bits)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(digits, 10, bits)
	if err != nil {
		return 0, v.badNumber(digits, bits, "an integer")
	}
	return n, nil
}

// unsigned reads an integer that is not negative.
func (v *jsonValue) unsigned(bits int) (uint64, error) {
	digits, err := v.digits(bits)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(digits, 10, bits)
	if err != nil {
		return 0, v.badNumber(digits, bits, "an integer from 0")
	}
	return n, nil
}

// float reads any number.
func (v *jsonValue) float() (float64, error) {
	if !v.isNumber() {
		return 0, v.wrongType("a number")
	}
	n, err := strconv.ParseFloat(string(v.raw), 64)
	if err != nil {
		return 0, v.fail("the number %s is too large", clip(string(v.raw)))
	}
	return n, nil
}

func (v *jsonValue) digits(bits int) (string, error) {
	digits := string(v.raw)
	if v.raw[0] == '"' && bits == 64 {
		s, err := v.str()
		if err != nil {
			return "", err
		}
		digits = s
	} else if !v.isNumber() {
		return "", v.wrongType("an integer")
	}
	body := strings.TrimPrefix(digits, "-")
	if body == "" || strings.Trim(body, "0123456789") != "" || len(body) > 1 && body[0] == '0' {
		return "", v.fail("want an integer, got %s", clip(string(v.raw)))
	}
	return digits, nil
}

func (v *jsonValue) badNumber(digits string, bits int, want string) error {
	return v.fail("want %s that fits %d bits, got %s", want, bits, clip(digits))
}

func (v *jsonValue) isNumber() bool { return v.raw[0] == '-' || v.raw[0] >= '0' && v.raw[0] <= '9' }
func (v *jsonValue) isString() bool { return v.raw[0] == '"' }
func (v *jsonValue) isObject() bool { return v.raw[0] == '{' }
func (v *jsonValue) isNull() bool   { return v.raw[0] == 'n' }

// typeName says what a value is, for texts.
func (v *jsonValue) typeName() string {
	switch v.raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

func (v *jsonValue) fail(format string, args ...any) *quiver.Error {
	text := fmt.Sprintf(format, args...)
	if v.parent == nil {
		return quiver.Errorf(v.reason, "%s", text)
	}
	return quiver.Errorf(v.reason, "key %s: %s", v.path(), text)
}

func (v *jsonValue) wrongType(want string) *quiver.Error {
	return v.fail("want %s, got %s", want, v.typeName())
}

func (v *jsonValue) unknownKey(key string, known []string) *quiver.Error {
	err := quiver.Errorf(v.reason, "unknown key %q%s", clip(key), v.inside())
	if near := quiver.Nearest(key, known); near != "" {
		return err.Advise(fmt.Sprintf("did you mean %q?", near))
	}
	return err.Advise("known are " + strings.Join(known, ", "))
}

func (v *jsonValue) inside() string {
	if v.parent == nil {
		return ""
	}
	return " in " + v.path()
}

// clip shortens what a client sent, so that no error text grows with it.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// into stores the value in a Go value, by its type.
func (v *jsonValue) into(to reflect.Value) error {
	if to.CanAddr() {
		if d, ok := to.Addr().Interface().(wordDecoder); ok {
			return d.decodeWord(v)
		}
	}
	if v.isNull() {
		to.SetZero()
		return nil
	}
	if to.Type() == rawMessageType {
		to.SetBytes(slices.Clone(v.raw))
		return nil
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		return v.into(to.Elem())
	case reflect.Struct:
		return v.intoStruct(to)
	case reflect.Slice:
		return v.intoSlice(to)
	case reflect.Map:
		return v.intoMap(to)
	case reflect.String:
		s, err := v.str()
		to.SetString(s)
		return err
	case reflect.Bool:
		if v.raw[0] != 't' && v.raw[0] != 'f' {
			return v.wrongType("true or false")
		}
		to.SetBool(v.raw[0] == 't')
		return nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := v.integer(to.Type().Bits())
		to.SetInt(n)
		return err
	case reflect.Float64:
		n, err := v.float()
		to.SetFloat(n)
		return err
	case reflect.Uint64:
		n, err := v.unsigned(to.Type().Bits())
		to.SetUint(n)
		return err
	default:
		panic("flight: no JSON form for " + to.Type().String())
	}
}

var rawMessageType = reflect.TypeFor[json.RawMessage]()

func (v *jsonValue) intoSlice(to reflect.Value) error {
	slice := reflect.MakeSlice(to.Type(), 0, 4) // never nil: [] is not the same as no key
	zero := reflect.Zero(to.Type().Elem())
	err := v.eachItem(func(item *jsonValue) error {
		if item.isNull() {
			return item.fail("null is no value here")
		}
		slice = reflect.Append(slice, zero)
		return item.into(slice.Index(item.index))
	})
	to.Set(slice)
	return err
}

func (v *jsonValue) intoMap(to reflect.Value) error {
	m := reflect.MakeMap(to.Type())
	err := v.eachMember(func(member *jsonValue) error {
		item := reflect.New(to.Type().Elem()).Elem()
		if err := member.into(item); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(member.key), item)
		return nil
	})
	to.Set(m)
	return err
}

func (v *jsonValue) intoStruct(to reflect.Value) error {
	form := formOf(to.Type())
	return v.eachMember(func(member *jsonValue) error {
		field, ok := form.index[member.key]
		if !ok && v.isLoose() {
			return nil
		}
		if !ok {
			return v.unknownKey(member.key, form.keys)
		}
		return member.into(to.Field(field))
	})
}

// jsonForm is what the json tags of a struct type say.
type jsonForm struct {
	keys  []string       // in the order of the fields
	index map[string]int // field of a key
}

var jsonForms sync.Map // reflect.Type -> *jsonForm

func formOf(t reflect.Type) *jsonForm {
	if form, ok := jsonForms.Load(t); ok {
		return form.(*jsonForm)
	}
	form := &jsonForm{index: make(map[string]int, t.NumField())}
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if key == "" || key == "-" {
			continue
		}
		form.keys = append(form.keys, key)
		form.index[key] = i
	}
	jsonForms.Store(t, form)
	return form
}
