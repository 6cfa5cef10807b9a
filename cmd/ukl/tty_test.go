package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/machine/qemu"
)

// step is what happens at a terminal: await comes, then typed is pressed.
type step struct{ await, typed string }

// The application has a terminal: it edits lines, keys are signals for what is in its foreground, it knows the window's
// size, and ukl's own terminal is as it was at each end.
func TestTerminalOfTheApplication(t *testing.T) {
	if os.Getenv(bootEnv) == "off" {
		t.Skipf("%s=off", bootEnv)
	}
	const shell = `ukl run -q busybox; echo "code $?"`
	size := func(tty *pty, rows, columns uint16) {
		w := &unix.Winsize{Row: rows, Col: columns}
		if err := unix.IoctlSetWinsize(int(tty.master.Fd()), unix.TIOCSWINSZ, w); err != nil {
			tty.t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, script string
		steps        []step
		during       func(*pty, *exec.Cmd) // before the last step
		not          string
	}{
		{
			"a shell", shell,
			[]step{
				{"/ # ", "stty size; echo $TERM\r"},
				{"\n33 111\r\nxterm\r\n/ # ", "echo 4x\x7f2\r"}, // Backspace
				{"\n42\r\n/ # ", "tty; test -t 2 && cat\r"},
				{"/dev/pts/0\r\n", "typed\r\x04"}, // Ctrl-D
				{"typed\r\ntyped\r\n/ # ", "echo g''o; sleep 1000; echo no''thing\r"},
				{"go\r\n", "\x03"},
				{"^C\r\n/ # ", "echo g''o; sleep 1000\r"},
				{"go\r\n", "\x1a"},
				{"Stopped", "kill -9 %1; trap 'stty size' WINCH; sleep 1000 & echo g''o; wait\r"},
				{"go\r\n", ""},
				{"40 90\r\n", "exit 7\r"},
				{"code 7", ""},
			},
			nil, "nothing",
		},
		{
			"an application that keeps Ctrl-C for itself",
			`ukl run busybox -- sh -c "trap 'echo kept' INT; echo ready; while :; do busybox sleep 1; done"; echo "code $?"`,
			[]step{
				{"ready", "\x03"},
				{"kept", "\x1d\x1d"},
				{"^]^]", "x\x1d"},
				{"x^]", "\x03\x03\x03"},
				{"Ctrl-C is the application's; Ctrl-] three times ends the guest\r\n", "\x1d\x1d\x1d"},
				{"code 130", ""},
			},
			nil, "",
		},
		{
			"ukl is killed", `ukl run -q busybox & p=$!; fg; echo "code $?"`,
			[]step{{"/ # ", "echo re''ady\r"}, {"ready\r\n", ""}, {"code 137", ""}},
			func(_ *pty, cmd *exec.Cmd) {
				exec.Command("pkill", "-KILL", "-P", fmt.Sprint(cmd.Process.Pid), "ukl").Run()
			}, "",
		},
		{
			"pipes", `ukl run -q --tty=false busybox -- sh -c "busybox tty; busybox cat"; echo "code $?"`,
			[]step{{"not a tty", "typed\n\x04"}, {"typed\r\ntyped\r\n", ""}, {"code 0", ""}},
			nil, "",
		},
		{
			"the last words", `ukl run -q busybox -- seq 20000; echo "code $?"`,
			[]step{{"\n19999\r\n20000\r\ncode 0", ""}},
			nil, "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			tty := openTerminal(t)
			size(tty, 33, 111)
			before := tty.settings()
			cmd := tty.shell("", "set -m; "+c.script, qemu.Env+"=")
			for i, s := range c.steps {
				if s.await == "40 90\r\n" {
					size(tty, 40, 90)
				}
				if i == len(c.steps)-1 && c.during != nil {
					c.during(tty, cmd)
				}
				tty.next(s.await)
				io.WriteString(tty.master, s.typed)
			}
			cmd.Wait()
			for deadline := time.Now().Add(patience); tty.settings() != before; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("settings were %+v, are %+v", before, tty.settings())
				}
			}
			if c.not != "" && strings.Contains(tty.text(), c.not) {
				t.Errorf("shown:\n%s", tty.text())
			}
		})
	}
}

// What has no terminal does not get one, and says so.
func TestNoTerminal(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"ukl run -t --accel tcg --kernel guest </dev/null", "--tty and --kernel: use one of them"},
		{"ukl run -t hello </dev/null", "--tty: stdin, stdout and stderr are not one terminal"},
		{"ukl run -t -d hello", "--tty and --detach: use one of them"},
		{"ukl run -t --mode process hello", "--tty and --mode process: only a unikernel's application has a terminal"},
	} {
		tty := openTerminal(t)
		cmd := tty.shell("", c.script+`; echo "code $?"`)
		tty.await("code 64")
		cmd.Wait()
		if !strings.Contains(tty.text(), "ukl: error: "+c.want) {
			t.Errorf("%s:\n%s", c.script, tty.text())
		}
	}
}
