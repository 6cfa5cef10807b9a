package script

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The first line says who runs a script, else the name.
func TestOf(t *testing.T) {
	for _, c := range []struct{ name, text, app, args string }{
		{"a.py", "", "python", ""},
		{"a.py", "#!/usr/bin/env python3\nprint()", "python", ""},
		{"a", "#!/opt/venv/bin/python3.11 -u\r\n", "python", "-u"},
		{"a", "#! /usr/bin/env -S node --jitless\n", "node", "--jitless"},
		{"a.mjs", "import x", "node", ""},
		{"a", "#!/usr/bin/perl\t-w", "perl", "-w"},
		{"a.rb", "puts 1", "ruby", ""},
		{"a.php", "<?php", "php", ""},
		{"a.jar", "PK\x03\x04", "java", "-jar"},
		{"a.sh", "#!/bin/sh -e\n", "busybox", "sh"},
		{"a.sh", "#!/bin/bash\n", "", ""},
		{"a.py", "#!/usr/bin/tclsh\n", "", ""},
		{"a", "#!", "", ""},
		{"a", "print()", "", ""},
		{"a.txt", "", "", ""},
	} {
		file := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		r, ok := Of(file)
		first := ""
		if len(r.Args) > 0 {
			first = r.Args[0]
		}
		if ok != (c.app != "") || r.App != c.app || first != c.args {
			t.Errorf("%s, %q: %+v", c.name, c.text, r)
		}
	}
	if r, ok := Of(t.TempDir()); ok {
		t.Errorf("a directory: %+v", r)
	}
	if r, ok := Of(filepath.Join(t.TempDir(), "none.py")); ok {
		t.Errorf("nothing: %+v", r)
	}
}

// Linux reads so much of a first line, and takes all behind the interpreter for one argument.
func TestInterpreter(t *testing.T) {
	for text, want := range map[string][2]string{
		"#!/bin/a":                               {"/bin/a", ""},
		"#!  /bin/a  b c \nx":                    {"/bin/a", "b c"},
		"#!/usr/bin/env a b":                     {"a", "b"},
		"#!/usr/bin/env -S a b c\n":              {"a", "b c"},
		"#!\n/bin/a":                             {"", ""},
		"x":                                      {"", ""},
		"#!/" + strings.Repeat("a", longestLine): {"/" + strings.Repeat("a", longestLine-3), ""},
	} {
		program, arg := Interpreter(strings.NewReader(text))
		if got := [2]string{program, arg}; !slices.Equal(got[:], want[:]) {
			t.Errorf("%.20q: %q", text, got)
		}
	}
}
