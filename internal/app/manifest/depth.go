package manifest

import "strings"

// deepest is how deep keys, arrays and tables may lie in each other. No key of ukl.toml needs more than three levels,
// and the decoder's memory grows with the square of the depth.
const deepest = 32

// tooDeep finds the byte of a TOML text, valid or not, at which something is nested deeper than that; -1 is nowhere.
func tooDeep(text string) int {
	depth, dots := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '#':
			i += lineEnd(text[i:])
			dots = 0
		case '"', '\'':
			i += quoted(text[i:]) - 1
		case '[', '{':
			depth++
			dots = 0
		case ']', '}':
			depth = max(depth-1, 0)
			dots = 0
		case ',', '=', '\n':
			dots = 0
		case '.':
			dots++
		}
		if depth > deepest || dots >= deepest {
			return i
		}
	}
	return -1
}

// lineEnd is where a text's first line ends.
func lineEnd(text string) int {
	if n := strings.IndexByte(text, '\n'); n >= 0 {
		return n
	}
	return len(text)
}

// quoted is the length of the string that a text begins with. One that does not end goes to the end of the line, or of
// the text if it may have several lines.
func quoted(text string) int {
	quote, end := text[:1], lineEnd(text)
	if strings.HasPrefix(text, strings.Repeat(quote, 3)) {
		quote, end = text[:3], len(text)
	}
	for i := len(quote); i < end; i++ {
		switch {
		case text[i] == '\\' && quote[0] == '"':
			i++
		case strings.HasPrefix(text[i:], quote):
			return i + len(quote)
		}
	}
	return end
}
