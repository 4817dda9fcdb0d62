package jcs

import "bytes"

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds of values.
const (
	Invalid Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

// KindOf tells a value's kind by how it begins.
func KindOf(value []byte) Kind {
	pos := skipSpace(value, 0)
	if pos == len(value) {
		return Invalid
	}
	switch c := value[pos]; {
	case c == '{':
		return Object
	case c == '[':
		return Array
	case c == '"':
		return String
	case c == 't' || c == 'f':
		return Bool
	case c == 'n':
		return Null
	case c == '-' || c >= '0' && c <= '9':
		return Number
	}
	return Invalid
}

// Members calls fn with each member of the JSON object src, in the order of
// the text: the key without its escapes and the value as it stands, without
// the space around it. Both are valid during the call only. It checks the
// whole syntax, and that no key of src itself is given twice; values inside it
// are checked for that by Append and Valid. Errors are SyntaxErrors or those
// of fn.
func Members(src []byte, fn func(key, value []byte) error) error {
	pos := skipSpace(src, 0)
	if pos == len(src) || src[pos] != '{' {
		return fail(pos, "an object is missing")
	}
	var keys [][]byte
	pos = skipSpace(src, pos+1)
	more := pos == len(src) || src[pos] != '}'
	if !more {
		pos++
	}
	for more {
		key, value, end, err := readMember(src, pos)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if bytes.Equal(k, key) {
				return fail(pos, "the key is given twice")
			}
		}
		if len(keys) >= maxMembers {
			return fail(pos, "the object has too many members")
		}
		keys = append(keys, key)
		if err := fn(key, value); err != nil {
			return err
		}
		if more, pos, err = separator(src, skipSpace(src, end), '}'); err != nil {
			return err
		}
		if more {
			pos = skipSpace(src, pos)
		}
	}
	if pos = skipSpace(src, pos); pos != len(src) {
		return fail(pos, "there is text behind the value")
	}
	return nil
}

// Elements calls fn with each element of the JSON array src, as Members does
// with members.
func Elements(src []byte, fn func(value []byte) error) error {
	pos := skipSpace(src, 0)
	if pos == len(src) || src[pos] != '[' {
		return fail(pos, "an array is missing")
	}
	pos = skipSpace(src, pos+1)
	more := pos == len(src) || src[pos] != ']'
	if !more {
		pos++
	}
	for more {
		end, err := skip(src, pos, 1)
		if err != nil {
			return err
		}
		if err := fn(src[pos:end]); err != nil {
			return err
		}
		if more, pos, err = separator(src, skipSpace(src, end), ']'); err != nil {
			return err
		}
		if more {
			pos = skipSpace(src, pos)
		}
	}
	if pos = skipSpace(src, pos); pos != len(src) {
		return fail(pos, "there is text behind the value")
	}
	return nil
}

// maxMembers bounds the members that Members reads: it is made for objects
// whose fields are known.
const maxMembers = 64

func readMember(src []byte, pos int) (key, value []byte, end int, err error) {
	end, kind, err := scanString(src, pos)
	if err != nil {
		return nil, nil, end, err
	}
	key = src[pos+1 : end-1]
	if kind&escaped != 0 {
		key = unescape(nil, key)
	}
	if pos = skipSpace(src, end); pos == len(src) || src[pos] != ':' {
		return nil, nil, pos, fail(pos, "a colon is missing behind the key")
	}
	pos = skipSpace(src, pos+1)
	end, err = skip(src, pos, 1)
	return key, src[pos:max(end, pos)], end, err
}

// skip checks the syntax of the value at pos and returns where it ends.
func skip(src []byte, pos, depth int) (int, error) {
	if pos >= len(src) {
		return pos, fail(pos, "a value is missing")
	}
	if depth > MaxDepth {
		return pos, fail(pos, "nested too deeply")
	}
	switch c := src[pos]; {
	case c == '{' || c == '[':
		return skipNested(src, pos, depth)
	case c == '"':
		end, _, err := scanString(src, pos)
		return end, err
	case c == '-' || c >= '0' && c <= '9':
		end, _, err := scanNumber(src, pos)
		return end, err
	}
	return scanWord(src, pos)
}

func skipNested(src []byte, pos, depth int) (int, error) {
	object, closing := src[pos] == '{', src[pos]+2 // in ASCII, } is { + 2 and ] is [ + 2
	pos = skipSpace(src, pos+1)
	if pos < len(src) && src[pos] == closing {
		return pos + 1, nil
	}
	for {
		if object {
			end, _, err := scanString(src, pos)
			if err != nil {
				return end, err
			}
			if pos = skipSpace(src, end); pos == len(src) || src[pos] != ':' {
				return pos, fail(pos, "a colon is missing behind the key")
			}
			pos = skipSpace(src, pos+1)
		}
		end, err := skip(src, pos, depth+1)
		if err != nil {
			return end, err
		}
		more, next, err := separator(src, skipSpace(src, end), closing)
		if err != nil || !more {
			return next, err
		}
		pos = skipSpace(src, next)
	}
}

// Unquote returns the content of a JSON string.
func Unquote(value []byte) (string, error) {
	pos := skipSpace(value, 0)
	end, kind, err := scanString(value, pos)
	if err != nil {
		return "", err
	}
	if rest := skipSpace(value, end); rest != len(value) {
		return "", fail(rest, "there is text behind the value")
	}
	content := value[pos+1 : end-1]
	if kind&escaped != 0 {
		content = unescape(nil, content)
	}
	return string(content), nil
}

// unescape appends the content of a valid string without its escapes.
func unescape(dst, content []byte) []byte {
	for i := 0; i < len(content); {
		if content[i] != '\\' {
			dst = append(dst, content[i])
			i++
			continue
		}
		r, end, _ := scanEscape(content, i)
		dst = append(dst, string(r)...)
		i = end
	}
	return dst
}
