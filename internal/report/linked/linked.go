// Package linked tells what went into a program: the object files that a linker took, the headers whose code is in it,
// the modules of Go and Rust that their compilers wrote into it. It reads the list of a link and the program, and
// guesses nothing: where neither says anything, nothing is known.
package linked

import (
	"debug/buildinfo"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Object is an object file in a program.
type Object struct {
	// of the file, or of the static library; that of a stage begins with the stage's name, all others with a slash
	Path   string
	Member string // of the library; "" is no library
	Bytes  uint64 // in memory; 0 if the linker took the file and nothing of it is left
}

// Objects reads the list that a link leaves beside a program; nixexprs/linked.awk writes it. known is false where there
// is none.
func Objects(file string) (list []Object, known bool, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	for line := range strings.Lines(string(text)) {
		size, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.ParseUint(size, 10, 64)
		if !ok || err != nil {
			return nil, false, fmt.Errorf("%s: no size and path: %q", file, line)
		}
		o := Object{Path: name, Bytes: n}
		if inside, ok := strings.CutSuffix(name, ")"); ok {
			if i := strings.LastIndexByte(inside, '('); i > 0 {
				o.Path, o.Member = inside[:i], inside[i+1:]
			}
		}
		if strings.HasPrefix(o.Path, "/") {
			o.Path = path.Clean(o.Path)
		}
		list = append(list, o)
	}
	return list, true, nil
}

// Headers are the files from which code is in a program beside the source files that were compiled: inline functions
// and templates. A program without debugging information names none.
func Headers(program string) ([]string, error) {
	f, err := elf.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Section(".debug_line") == nil && f.Section(".zdebug_line") == nil {
		return nil, nil
	}
	data, err := f.DWARF()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	seen := map[string]bool{}
	for r := data.Reader(); ; {
		unit, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", program, err)
		}
		if unit == nil {
			break
		}
		if unit.Tag == dwarf.TagCompileUnit {
			if err := code(data, unit, seen); err != nil {
				return nil, fmt.Errorf("%s: %w", program, err)
			}
		}
		r.SkipChildren()
	}
	var headers []string
	for name := range seen {
		headers = append(headers, name)
	}
	slices.Sort(headers)
	return headers, nil
}

// code adds the files that instructions of a unit are from, but for the source file itself.
func code(data *dwarf.Data, unit *dwarf.Entry, seen map[string]bool) error {
	lines, err := data.LineReader(unit)
	if err != nil || lines == nil {
		return err
	}
	own, _ := unit.Val(dwarf.AttrName).(string)
	var last *dwarf.LineFile
	for {
		var line dwarf.LineEntry
		switch err := lines.Next(&line); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if line.EndSequence || line.File == nil || line.File == last {
			continue
		}
		last = line.File
		if name := path.Clean(last.Name); path.Base(name) != path.Base(own) && path.IsAbs(name) {
			seen[name] = true
		}
	}
}

// Module is a module of Go or a crate of Rust.
type Module struct {
	Name, Version string
	Sum           string // of Go: what go.sum has
	Language      string // Go or Rust
	Main          bool   // it is the program
	Public        bool   // it is from the language's public registry, as far as the program says
}

// Languages.
const (
	Go   = "Go"
	Rust = "Rust"
)

// Contents are what a program's compiler wrote into it about its parts.
type Contents struct {
	Modules []Module
	// Complete tells that the modules are all there is: a Go program into which no linker of C put anything.
	Complete bool
}

// develop is the version of a module that was built from a directory.
const develop = "(devel)"

// Inside reads what a program says itself. Most say nothing.
func Inside(program string) (Contents, error) {
	var c Contents
	if info, err := buildinfo.ReadFile(program); err == nil {
		cgo := true // unless it says otherwise
		for _, s := range info.Settings {
			if s.Key == "CGO_ENABLED" {
				cgo = s.Value != "0"
			}
		}
		c.Complete = !cgo
		std := Module{Name: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go"), Language: Go, Public: true}
		c.Modules = append(c.Modules, std)
		if m := info.Main; m.Path != "" {
			c.Modules = append(c.Modules, Module{Name: m.Path, Version: m.Version, Sum: m.Sum, Language: Go, Main: true})
		}
		for _, d := range info.Deps {
			m := Module{Name: d.Path, Version: d.Version, Sum: d.Sum, Language: Go, Public: true}
			if r := d.Replace; r != nil { // by a directory, if it has no version
				m = Module{Name: r.Path, Version: r.Version, Sum: r.Sum, Language: Go, Public: r.Version != ""}
			}
			c.Modules = append(c.Modules, m)
		}
	}
	for i := range c.Modules {
		if m := &c.Modules[i]; m.Version == develop {
			m.Version, m.Public = "", false
		}
	}
	crates, err := crates(program)
	c.Modules = append(c.Modules, crates...)
	return c, err
}
