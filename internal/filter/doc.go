// Package filter reads conditions on rows, and finds the rows of a batch for which they are true.
//
//	text --Parse--> Expr --Bind(schema)--> Filter --MayMatch(statistics)--> skip the batch unread
//	                                              \-Rows(batch)-----------> [3 17 512 …]
//
// An Expr knows words only; a Filter knows the columns of one schema of one table. Both are immutable.
//
// # Grammar
//
//	condition   = conjunction { "or" conjunction } ;
//	conjunction = negation { "and" negation } ;
//	negation    = "not" negation | predicate ;
//	predicate   = operand [ test ] | "(" condition ")" ;
//	test        = compare operand
//	            | [ "not" ] "in" "(" literal { "," literal } ")"
//	            | [ "not" ] "between" operand "and" operand
//	            | [ "not" ] "like" text
//	            | "is" [ "not" ] "null" ;
//	compare     = "=" | "!=" | "<>" | "<" | "<=" | ">" | ">=" ;
//	operand     = column | literal | "(" operand ")" ;
//	column      = name { "." name } ;
//	name        = ( letter | "_" ) { letter | digit | "_" } | '"' { character | '""' } '"' ;
//	literal     = number | text | "x" "'" { byte } "'" | "true" | "false" | "null"
//	            | "date" text | "time" text | "timestamp" text ;
//	number      = [ sign ] ( digits [ "." digits ] | "." digits ) [ "e" [ sign ] digits ] ;
//	byte        = two hexadecimal digits ;
//	text        = "'" { character | "''" } "'" ;
//
// Keywords are taken in any case: and, or, not, in, between, like, is, null, true, false. A column of such a name
// stands in double quotes; date, time, timestamp and x are keywords only before a single quote. Names are
// case-sensitive. A text has at most 64 KiB, parentheses and "not" are nested at most 64 deep, "in" takes at most
// 10,000 values.
//
// # Meaning
//
// Nulls are SQL's: a comparison with null is null, "and", "or" and "not" are Kleene's, and a row is taken if the
// condition is true, neither false nor null. Thus x not in (1, null) takes no row.
//
// Numbers compare by value, whatever their types: int64 with uint64, with float, with decimals of any scale, exactly,
// beyond 2^53 too. A literal is exact; beside a float, one with a point or an exponent is the double that is closest to
// it, so that x = 0.1 is true of the double 0.1 (of the float 0.1, which is another number, it is not).
//
// NaN is Arrow's, which is IEEE's: it is neither less than, equal to nor greater than anything, itself included, and it
// is not null. So x != x, not x > 1 and x not in (1) take it. -0.0 = 0.0.
//
// Text and binary values compare by their bytes. They do not compare with each other. "like" looks at text: % stands
// for any characters, also none, also newlines, _ for one character of UTF-8, and \ takes the meaning from the
// character behind it: '100\%'. A pattern must not end with a single \.
//
// Booleans are conditions themselves, active and not deleted, and compare: false < true.
//
// Dates, times and durations compare by value in whatever unit. A text beside one is read as one: '2026-11-22',
// '10:30:00.5', '2026-11-22T10:30:00Z' (or with a space, an offset, without seconds, a date alone), '1h30m' (d, h, m, s,
// ms, us, ns). A date beside a timestamp is its midnight, in UTC if the timestamps have a zone, as Arrow casts it. Timestamps with
// and without zone do not compare. A literal without offset is taken for UTC beside a column whose zone is UTC, and is
// refused beside any other zone: the server would have to guess.
//
// Lists, maps and intervals can be tested with "is null" only; of structs the fields compare, s.a = 1, and are
// null where the struct is.
//
// # Laws
//
//   - What Parse takes, String writes in one canonical way, which Parse takes and which means the same.
//   - An error names the position of what is wrong, Bind's of everything that is wrong, and the nearest known name.
//   - Rows gives the rows that an obvious evaluation, row by row in three-valued logic, gives.
//   - MayMatch never says no where a row matches.
//   - A batch costs the list of its rows and a few fixed allocations, nothing for each row.
//
// # How rows are found
//
// Bind moves every "not" inwards, to the tests, which three-valued logic allows. There, one question is left: is it true?
// That needs one bit a row:
//
//	selection  1111 1111 1111          id > 5 and (region = 'eu' or price < 1)
//	id > 5     0110 1111 0001          cheap tests first; each looks only at words with a bit left
//	  region   0100 0011 0000  taken
//	  price    0000 0100 0001  taken   asked only about rows that region = 'eu' did not take
//	rows       1, 5, 6, 7, 11
//
// Every comparison of integers, decimals, dates and times with a literal becomes one range of the values as they lie in
// memory: the literal is rounded to the column's unit once. Several ranges of a column are joined. Long "in" lists are
// sets.
//
// The kernels are our own. Arrow's compute package compares int64 at 1.3 billion rows a second, these at 0.9; but it
// rounds where numbers of different types meet, has no "like", takes 30 allocations a call, and adds 15 MB to
// the program and 16 MB to what it holds in memory, of which it would use a hundredth.
package filter
