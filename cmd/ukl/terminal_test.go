package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pseudo "ukl/internal/host/pty"
	"ukl/internal/machine/qemu"
)

// pty is a real pseudo-terminal, with everything that was written to it.
type pty struct {
	t             *testing.T
	master, slave *os.File
	mu            sync.Mutex
	seen          bytes.Buffer
	looked        int // how much of it next has passed
}

func openTerminal(t *testing.T) *pty {
	t.Helper()
	master, slave, err := pseudo.Open()
	if err != nil {
		t.Fatal(err)
	}
	tty := &pty{t: t, master: master, slave: slave}
	t.Cleanup(func() { slave.Close(); master.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			tty.mu.Lock()
			tty.seen.Write(b[:n])
			tty.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return tty
}

func (tty *pty) text() string {
	tty.mu.Lock()
	defer tty.mu.Unlock()
	return tty.seen.String()
}

func (tty *pty) await(text string) {
	tty.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(tty.text(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tty.t.Fatalf("%q was not shown, but:\n%s", text, tty.text())
		}
	}
}

// next awaits a text behind the one before.
func (tty *pty) next(text string) {
	tty.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		seen := tty.text()
		if i := strings.Index(seen[tty.looked:], text); i >= 0 {
			tty.looked += i + len(text)
			return
		}
		if time.Now().After(deadline) {
			tty.t.Fatalf("%q was not shown, but:\n%q", text, seen[tty.looked:])
		}
	}
}

func (tty *pty) settings() unix.Termios {
	tty.t.Helper()
	s, err := unix.IoctlGetTermios(int(tty.slave.Fd()), unix.TCGETS)
	if err != nil {
		tty.t.Fatal(err)
	}
	return *s
}

// shell starts a shell on the terminal, as a login would, with a guest that is the fake QEMU's script.
func (tty *pty) shell(guest, script string, env ...string) *exec.Cmd {
	tty.t.Helper()
	dir := tty.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "guest"), []byte(guest), 0o644); err != nil {
		tty.t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=xterm", "HOME="+dir, "XDG_STATE_HOME="+dir+"/state",
		"XDG_CACHE_HOME="+dir+"/cache", qemu.Env+"=fake-qemu")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty.slave, tty.slave, tty.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		tty.t.Fatal(err)
	}
	tty.t.Cleanup(func() { cmd.Process.Kill() })
	return cmd
}

const serves = "out ready\ncat\nsleep 60s\n"

// Ctrl-C on a terminal ends the guest with 130, and the terminal is as it was. So it is after every other end.
func TestTerminalIsLeftAlone(t *testing.T) {
	for _, c := range []struct {
		name, guest, script string
		act                 func(*pty, *exec.Cmd)
	}{
		{
			"Ctrl-C", serves, `trap : INT; ukl run --accel tcg --kernel guest; echo "code $?"`,
			func(tty *pty, _ *exec.Cmd) {
				tty.await("ready")
				io.WriteString(tty.master, "\x03")
				tty.await("code 130")
			},
		},
		{
			"killed", serves, `ukl run --accel tcg --kernel guest & p=$!; sleep 1; kill -KILL $p; wait $p; echo "code $?"`,
			func(tty *pty, _ *exec.Cmd) {
				tty.await("code 137")
			},
		},
		{
			"panic", "log Kernel panic - not syncing: x\n", `ukl run --accel tcg --kernel guest; echo "code $?"`,
			func(tty *pty, _ *exec.Cmd) {
				tty.await("code 70")
			},
		},
		{
			"end", "cat\nlog ukl: app exited with status 3\n", `ukl run --accel tcg --kernel guest; echo "code $?"`,
			func(tty *pty, _ *exec.Cmd) {
				io.WriteString(tty.master, "typed\n\x04") // Ctrl-D is the end of stdin
				tty.await("6 bytes, <nil>")
				tty.await("code 3")
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			tty := openTerminal(t)
			before := tty.settings()
			cmd := tty.shell(c.guest, c.script)
			c.act(tty, cmd)
			cmd.Wait()
			if after := tty.settings(); after != before {
				t.Errorf("settings were %+v, are %+v", before, after)
			}
			if flags, err := unix.FcntlInt(tty.slave.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
				t.Errorf("the terminal does not block any more: %#x, %v", flags, err)
			}
		})
	}
}

// On a terminal ukl asks whether an application gets what its ukl.toml asks for of the machine. Only yes is a yes.
func TestConsent(t *testing.T) {
	const app = `mkdir app; touch app/main.c; printf '[network]\nhost = true\n' >app/ukl.toml; `
	for _, c := range []struct{ name, options, answer, want string }{
		{"yes", "", "y\n", "code 64"}, // the next mistake
		{"no", "", "n\n", "code 65"},
		{"nothing", "", "\n", "code 65"},
		{"the end", "", "\x04", "code 65"},
		{"not asked", "--allow-host", "", "code 64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tty := openTerminal(t)
			cmd := tty.shell("", app+"ukl run "+c.options+` -m 1 ./app; echo "code $?"`)
			if c.answer != "" {
				tty.await("app/ukl.toml:2:8: the guest shall get the services of this machine")
				tty.await("allow it? [y/N] ")
				io.WriteString(tty.master, c.answer)
			}
			tty.await(c.want)
			cmd.Wait()
			if c.answer == "" && strings.Contains(tty.text(), "allow it?") {
				t.Errorf("it asks all the same:\n%s", tty.text())
			}
		})
	}
}

// Nor does ukl fetch from this machine what a ukl.toml names, unless the answer is yes. The archive has another hash.
func TestConsentToSource(t *testing.T) {
	if os.Getenv(bootEnv) == "off" {
		t.Skipf("%s=off", bootEnv)
	}
	const app = `mkdir app; touch app/main.c; echo text >a.tar; printf '[source]\nurl = "file://%s/a.tar"\nsha256 = "%064d"\n' ` +
		`"$PWD" 0 >app/ukl.toml; `
	for _, c := range []struct{ name, options, answer, want string }{
		{"yes", "", "y\n", "code 73"},
		{"no", "", "n\n", "code 65"},
		{"the end", "", "\x04", "code 65"},
		{"not asked", "--allow-local-source", "", "code 73"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tty := openTerminal(t)
			cmd := tty.shell("", app+"ukl build "+c.options+` ./app; echo "code $?"`)
			if c.answer != "" {
				tty.await("ukl: a.tar of [source] shall come from ")
				tty.await("allow it? [y/N] ")
				io.WriteString(tty.master, c.answer)
			}
			tty.await(c.want)
			cmd.Wait()
			if c.answer == "" && strings.Contains(tty.text(), "allow it?") {
				t.Errorf("it asks all the same:\n%s", tty.text())
			}
		})
	}
}

// The words of a ukl.toml do not change the question that they are part of, which names the path that is lent.
func TestConsentIsReadable(t *testing.T) {
	for _, c := range []struct{ name, volume, want string }{
		{
			"control characters", `x\u001b[2K\rukl: all is well\u001b[8m/../../../../../../../../../../../../etc:/d`,
			`get /etc (which ukl.toml calls "x\x1b[2K\rukl: all is well\x1b[8m/../../../../../../../../.`,
		},
		{"a link", "data:/d", `get / (which ukl.toml calls "data") from outside of the application's directory, as a volume`},
		{"its own", ".:/d", "get the application's own directory, with its ukl.toml, as a volume that it may write to"},
		{"trusted", "own:/d:trusted", "get own, as a volume that it may write to, where it sets owners and set-user-id bits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tty := openTerminal(t)
			cmd := tty.shell("", `mkdir -p app/own; touch app/main.c; ln -s / app/data
cat >app/ukl.toml <<'END'
volumes = ["`+c.volume+`"]
END
ukl run ./app; echo "code $?"`)
			tty.await("allow it? [y/N] ")
			io.WriteString(tty.master, "n\n")
			tty.await("code 65")
			cmd.Wait()
			if text := tty.text(); strings.Contains(text, "\x1b") || !strings.Contains(text, c.want) {
				t.Errorf("shown: %q", text)
			}
		})
	}
}

// A run in the background goes on with what its user has agreed to, and refuses anything else, which may have come
// while the application was built.
func TestConsentIsForOnePath(t *testing.T) {
	for _, c := range []struct{ name, meanwhile, want string }{
		{"the same", ":", "code 66"}, // the next mistake: the fake Nix has no tools
		{"another link", "ln -sfn ../two own/data", "code 65"},
		{"another ukl.toml", `echo 'volumes = ["../two:/d"]' >own/ukl.toml`, "code 65"},
	} {
		for _, allowed := range []string{"", "--allow-volumes "} {
			t.Run(c.name+allowed, func(t *testing.T) {
				tty := openTerminal(t)
				cmd := tty.shell("", nixPrograms+`mkdir one two; ln -s ../one own/data
echo 'volumes = ["data:/d"]' >>own/ukl.toml
sed -i "s|^sleep 1|(cd $PWD; $MEANWHILE)|" bin/nix-store
ukl run -d `+allowed+`--accel tcg --mode process --kernel guest ./own; echo "code $?"`, "MEANWHILE="+c.meanwhile)
				if allowed == "" {
					tty.await(`/one (which ukl.toml calls "data") from outside`)
					io.WriteString(tty.master, "y\n")
				}
				tty.await("code ")
				cmd.Wait()
				const changed = "ukl: error: ukl.toml, or what a path in it leads to, has changed since this run began"
				if text := tty.text(); !strings.Contains(text, c.want) ||
					strings.Contains(text, changed) != (c.want == "code 65") {
					t.Errorf("shown:\n%s", text)
				}
			})
		}
	}
}

// A guest that was stopped with Ctrl-Z and sent to the background goes on there, too.
func TestStoppedAndContinued(t *testing.T) {
	tty := openTerminal(t)
	cmd := tty.shell(serves, `set -m; ukl run --accel tcg --kernel guest; bg %1; sleep 1; jobs; kill %1; wait %1; echo "code $?"`)
	tty.await("ready")
	time.Sleep(200 * time.Millisecond) // it now waits for input
	io.WriteString(tty.master, "\x1a")
	tty.await("code 143")
	cmd.Wait()
	if !strings.Contains(tty.text(), "Running") {
		t.Errorf("shown:\n%s", tty.text())
	}
}

// A server started with "&" must go on, although the terminal is not its own to read.
func TestBackground(t *testing.T) {
	tty := openTerminal(t)
	cmd := tty.shell(serves, `set -m; ukl run --accel tcg --kernel guest & sleep 1; jobs; kill %1; wait %1; echo "code $?"`)
	tty.await("code 143")
	cmd.Wait()
	if strings.Contains(tty.text(), "Stopped") || !strings.Contains(tty.text(), "Running") ||
		!strings.Contains(tty.text(), "ready") {
		t.Errorf("shown:\n%s", tty.text())
	}
}

// nixPrograms are a Nix that takes a second to build an application's three stages.
const nixPrograms = `mkdir bin own
cat >bin/nix-store <<'END'
#!/bin/sh
case "$*" in
  *--version*) echo 'nix-store (Nix) 2.8.0'; exit ;;
  *--realise*) ;;
  *) exit 0 ;;
esac
for a; do case $a in /nix/store/*.drv) drv=$a ;; --dry-run) exit ;; esac; done
echo "@nix {\"action\":\"start\",\"id\":1,\"level\":3,\"text\":\"building\",\"type\":105,\"fields\":[\"/nix/store/00000000000000000000000000000000-app-own.drv\",\"\",1,1]}" >&2
sleep 1
echo '@nix {"action":"stop","id":1}' >&2
out=${drv%.drv}
mkdir -p "${NIX_REMOTE#*root=}$out"
for f in vmlinux bzImage config System.map root.cpio; do : >"${NIX_REMOTE#*root=}$out/$f"; done
while [ $# -gt 0 ]; do [ "$1" != --add-root ] || ln -sf "$out" "$2"; shift; done
echo "$out"
END
cat >bin/nix-instantiate <<'END'
#!/bin/sh
while [ $# -gt 0 ]; do case $1 in --attr) attr=$2 ;; --add-root) root=$2 ;; esac; shift; done
drv=/nix/store/00000000000000000000000000000000-$attr.drv
[ -z "$root" ] || ln -sf "$drv" "$root"
echo "$drv"
END
cp bin/nix-store bin/nix
chmod +x bin/*
: >own/main.c
echo 'name = "own"' >own/ukl.toml
export PATH=$PWD/bin:$PATH NIX_REMOTE="local?root=$PWD/store"
`

// On a terminal a line shows what is being built and for how long, in bold when it is done; NO_COLOR takes the colour
// away, and what is no terminal gets neither.
func TestProgressOnTerminal(t *testing.T) {
	for _, c := range []struct {
		name, command       string
		redrawn, bold, said bool
	}{
		{"terminal", "ukl build ./own", true, true, true},
		{"NO_COLOR", "NO_COLOR=1 ukl build ./own", true, false, true},
		{"quiet", "ukl build -q ./own", false, false, false},
		{"file", "ukl build ./own 2>err; cat err", false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tty := openTerminal(t)
			cmd := tty.shell("", nixPrograms+c.command+`; echo "code $?"`)
			tty.await("code 0")
			cmd.Wait()
			text := tty.text()
			if redrawn := strings.Contains(text, "\r[app] 0."); redrawn != c.redrawn {
				t.Errorf("redrawn: %v", redrawn)
			}
			if bold := strings.Contains(text, "\x1b[1m[app]\x1b[0m "); bold != c.bold {
				t.Errorf("bold: %v", bold)
			}
			if escapes := strings.Contains(text, "\x1b"); escapes != (c.redrawn || c.bold) {
				t.Errorf("escape sequences: %v", escapes)
			}
			if said := strings.Contains(text, "[app]"); said != c.said {
				t.Errorf("said: %v", said)
			}
			if t.Failed() {
				t.Logf("shown: %q", text)
			}
		})
	}
}
