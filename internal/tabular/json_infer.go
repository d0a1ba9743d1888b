package tabular

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// jsonShape is what the values of one place have in common.
type jsonShape struct {
	scalar  kinds // of the flat values seen; allKinds: none
	members map[string]*jsonShape
	names   []string // of the members, in the order they came
	items   *jsonShape
}

func newJSONShape() *jsonShape { return &jsonShape{scalar: allKinds} }

// jsonKindsOfText are the kinds that a JSON string may have besides: a number or a word in quotes is a text.
const jsonKindsOfText = kindDate | kindTimestamp | kindTimestampNano | kindInstant | kindInstantNano

// add widens the shape so that the value fits. fields counts all the fields there are, over the whole tree.
func (s *jsonShape) add(value []byte, depth int, fields *int) error {
	if depth > quiver.MaxNesting {
		return fmt.Errorf("it is nested deeper than %d", quiver.MaxNesting)
	}
	switch value[0] {
	case 'n':
		return nil
	case '{':
		return s.addObject(value, depth, fields)
	case '[':
		return s.addArray(value, depth, fields)
	}
	if s.members != nil || s.items != nil {
		return s.mixed(value)
	}
	switch value[0] {
	case '"':
		text := unquote(value)
		s.scalar &= kindString | kindsOf(text, s.scalar&jsonKindsOfText)&jsonKindsOfText
	case 't', 'f':
		s.scalar &= kindBool | kindString
	default:
		s.scalar &= kindString | kindsOf(value, kindInt|kindUint|kindFloat)
	}
	return nil
}

func (s *jsonShape) mixed(value []byte) error {
	was := "a flat value"
	switch {
	case s.members != nil:
		was = "an object"
	case s.items != nil:
		was = "an array"
	}
	return fmt.Errorf("%s stands where %s stood before", jsonKind(value), was)
}

func (s *jsonShape) addObject(value []byte, depth int, fields *int) error {
	if s.scalar != allKinds || s.items != nil {
		return s.mixed(value)
	}
	if s.members == nil {
		s.members = make(map[string]*jsonShape)
	}
	return eachJSON(value, func(name, value []byte) error {
		member := s.members[string(name)]
		if member == nil {
			if *fields++; *fields > quiver.MaxFields {
				return fmt.Errorf("the rows have more than %d different fields", quiver.MaxFields)
			}
			member = newJSONShape()
			s.members[string(name)] = member
			s.names = append(s.names, string(name))
		}
		if err := member.add(value, depth+1, fields); err != nil {
			return within(string(name), err)
		}
		return nil
	})
}

func (s *jsonShape) addArray(value []byte, depth int, fields *int) error {
	if s.scalar != allKinds || s.members != nil {
		return s.mixed(value)
	}
	if s.items == nil {
		s.items = newJSONShape()
	}
	return eachJSON(value, func(_, value []byte) error { return s.items.add(value, depth+1, fields) })
}

// typeOf gives the type that holds all the values.
func (s *jsonShape) typeOf() arrow.DataType {
	switch {
	case s.members != nil:
		return arrow.StructOf(s.fields()...)
	case s.items != nil:
		return arrow.ListOf(s.items.typeOf())
	}
	return s.scalar.typeOf()
}

func (s *jsonShape) fields() []arrow.Field {
	fields := make([]arrow.Field, len(s.names))
	for i, name := range s.names {
		fields[i] = arrow.Field{Name: name, Type: s.members[name].typeOf(), Nullable: true}
	}
	return fields
}
