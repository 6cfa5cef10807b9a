// Package gdb starts gdb for a machine that waits for it, with the symbols of the application and of the kernel. It
// chooses where to stop, and refuses a function that the application does not have before anything is started.
package gdb

import (
	"cmp"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"ukl/internal/app/suggest"
	"ukl/internal/cli/exit"
	"ukl/internal/host/distribution"
)

// Command is gdb for one machine.
type Command struct {
	Program string   // gdb itself
	App     string   // the file with the application's symbols; "" is none
	Kernel  string   // the file with the kernel's
	Address string   // where QEMU listens
	Breaks  []string // where to stop before the user is asked: functions, or what else gdb takes for a place
}

// Argv is the command. Breakpoints are the processor's, not instructions written into a memory that holds no
// application yet.
func (c Command) Argv() []string {
	argv := []string{c.Program}
	if c.App == "" {
		argv = append(argv, c.Kernel)
	} else {
		argv = append(argv, c.App, "-ex", "add-symbol-file "+word(c.Kernel))
	}
	argv = append(argv, "-ex", "target remote "+c.Address)
	if len(c.Breaks) == 0 {
		return argv
	}
	// gdb looks at a function's code for the end of its prologue: it must take it from the file for now.
	argv = append(argv, "-ex", "set trust-readonly-sections on")
	for _, b := range c.Breaks {
		argv = append(argv, "-ex", "hbreak "+b)
	}
	return append(argv, "-ex", "set trust-readonly-sections off", "-ex", "continue")
}

// word makes a file's name one word of a gdb command.
func word(s string) string {
	if !strings.ContainsAny(s, " \t\"'\\") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Run starts gdb and waits for it. It dies with ukl.
func (c Command) Run(stdin *os.File, stdout, stderr io.Writer) error {
	argv := c.Argv()
	// Adding a file and leaving a machine that runs are what is meant here, and need no question.
	cmd := exec.Command(argv[0], append([]string{"-q", "-iex", "set confirm off"}, argv[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread() // the death signal comes when the thread ends that made the process
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %v", c.Program, err)
	}
	return nil
}

// Missing says that there is no gdb.
type Missing struct{ Program string }

func (e *Missing) Error() string { return fmt.Sprintf("there is no %s on this machine", e.Program) }

// Hint is the line that helps.
func (e *Missing) Hint() string {
	install := cmp.Or(distribution.Here().Install("gdb"), "install gdb")
	return install + "; --gdb names another one, and `ukl run --gdb 1234` waits for any debugger that speaks gdb's " +
		"protocol"
}

// Find returns the gdb of a name or path.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &Missing{name}
	}
	return path, nil
}

// NoFunction says that an application has no function of a name.
type NoFunction struct{ Name, nearest string }

func (e *NoFunction) Error() string {
	return fmt.Sprintf("the application has no function %q", e.Name)
}

// ExitCode is the code of a command that this ends.
func (*NoFunction) ExitCode() exit.Code { return exit.NoInput }

// Hint is the line that helps.
func (e *NoFunction) Hint() string {
	if e.nearest != "" {
		return fmt.Sprintf("did you mean %q?", e.nearest)
	}
	return "a function's name, FILE:LINE, or *ADDRESS"
}

// Breaks checks places to stop at against the file with the application's symbols. Without any it is the application's
// first function in its own language; nothing if its symbols do not tell. moves says that the application is
// position-independent: gdb cannot know where it will be.
func Breaks(app string, places []string) (breaks []string, moves bool, err error) {
	names, moves := functions(app)
	if len(places) == 0 {
		for _, first := range []string{"main.main", "main"} { // Go's, C's; Go has both
			if slices.Contains(names, first) {
				return []string{first}, moves, nil
			}
		}
		return nil, moves, nil
	}
	for _, p := range places {
		if p == "" || strings.ContainsAny(p, "\n") {
			return nil, moves, &NoFunction{Name: p}
		}
		if len(names) > 0 && !strings.ContainsAny(p, ":*()<> ") && !slices.Contains(names, p) {
			return nil, moves, &NoFunction{p, suggest.Nearest(p, names)}
		}
	}
	return places, moves, nil
}

// functions are the names of a program's functions; none if it has no symbols or is not there.
func functions(file string) (names []string, moves bool) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return nil, f.Type == elf.ET_DYN
	}
	for _, s := range symbols {
		if kind := elf.ST_TYPE(s.Info); kind == elf.STT_FUNC || kind == elf.STT_GNU_IFUNC {
			names = append(names, s.Name)
		}
	}
	return names, f.Type == elf.ET_DYN
}
