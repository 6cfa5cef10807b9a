package manifest

import (
	"strings"
	"testing"
)

func TestTooDeep(t *testing.T) {
	for name, c := range map[string]struct {
		text         string
		line, column int // 0 is no such fault
	}{
		"a key of many parts":       {"name = \"a\"\n" + strings.Repeat("a.", 200000) + "a = 1", 2, 64},
		"a table of many parts":     {"[" + strings.Repeat("a.", 200000) + "a]", 1, 65},
		"quoted parts":              {strings.Repeat("\"a\" . ", 50) + "a = 1", 1, 191},
		"arrays":                    {"args = " + strings.Repeat("[", 3000000), 1, 40},
		"tables":                    {"env = " + strings.Repeat("{a=", 100), 1, 103},
		"as deep as may be":         {strings.Repeat("a.", 31) + "a = 1", 0, 0},
		"dots of values":            {"args = [" + strings.Repeat("1.5, ", 100) + "]", 0, 0},
		"strings":                   {`summary = "` + strings.Repeat("[a.", 50) + `\"` + strings.Repeat("[", 50) + `"`, 0, 0},
		"literal strings":           {"summary = '" + strings.Repeat("[a.\\", 100) + "'", 0, 0},
		"strings of lines":          {"summary = \"\"\"\n" + strings.Repeat("[\"a.\n", 100) + "\"\"\"", 0, 0},
		"comments":                  {"# " + strings.Repeat("[a.", 100) + "\nname = \"a\"", 0, 0},
		"behind a string of lines":  {"summary = '''\n[[['\n'''\nargs = " + strings.Repeat("[", 33), 4, 40},
		"a string that has no end":  {"name = \"a\nargs = " + strings.Repeat("[", 33), 2, 40},
		"a comment that has no end": {"# " + strings.Repeat(".", 100), 0, 0},
	} {
		_, err := Parse([]byte(c.text), Place{File: "ukl.toml", Base: "x"})
		var all Errors
		if err != nil {
			all = err.(Errors)
		}
		deep := len(all) == 1 && strings.Contains(all[0].Text, "more than 32 levels")
		switch {
		case deep != (c.line > 0):
			t.Errorf("%s: %v", name, err)
		case deep && (all[0].Line != c.line || all[0].Column != c.column):
			t.Errorf("%s: %d:%d, want %d:%d", name, all[0].Line, all[0].Column, c.line, c.column)
		}
	}
}
