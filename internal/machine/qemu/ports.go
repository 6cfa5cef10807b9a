package qemu

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ukl/internal/cli/exit"
)

// Taken is a port of the host that another program holds.
type Taken struct {
	Forward Forward
	PID     int    // 0 if it cannot be told
	Program string // of that process
}

func (e *Taken) Error() string {
	what := fmt.Sprintf("port %s is taken", e.Forward.HostPort())
	if e.Forward.UDP {
		what = "UDP " + what
	}
	if e.PID != 0 {
		what += fmt.Sprintf(" by %s (process %d)", e.Program, e.PID)
	}
	return what
}

// Hint is the line that helps.
func (e *Taken) Hint() string {
	f := e.Forward
	f.Host++
	if f.Host > 65535 {
		f.Host = 0
	}
	s := strings.TrimPrefix(f.String(), "127.0.0.1:")
	return fmt.Sprintf("use another port of the host: -p %s", s)
}

// Twice is a port of the host that two forwards want.
type Twice struct{ Forward Forward }

func (e *Twice) Error() string {
	return fmt.Sprintf("port %s is forwarded twice", e.Forward.HostPort())
}

// ExitCode is the code of a command that this ends.
func (*Twice) ExitCode() exit.Code { return exit.Usage }

// Reserve looks whether every port can be had now, and returns the forwards with numbers for those that left them open.
// Nothing is held: QEMU takes the ports later, and says so if somebody was faster.
func Reserve(forwards []Forward) ([]Forward, error) {
	list := slices.Clone(forwards)
	for i, f := range list {
		for _, other := range list[:i] {
			if f.Host != 0 && f.Host == other.Host && f.UDP == other.UDP && f.Addr == other.Addr {
				return nil, &Twice{f}
			}
		}
	}
	for i, f := range list {
		n, err := try(f)
		if err != nil {
			return nil, err
		}
		list[i].Host = n
	}
	return list, nil
}

// try binds and lets go.
func try(f Forward) (int, error) {
	if f.UDP {
		c, err := net.ListenPacket("udp4", f.HostPort())
		if err != nil {
			return 0, refused(f, err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port, nil
	}
	l, err := Listen(f)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Listen takes the host's side of a TCP forward.
func Listen(f Forward) (*net.TCPListener, error) {
	family := "tcp4"
	if f.V6() {
		family = "tcp6"
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // QEMU's sockets are no such ones, and Adopt needs options that these do not have
	l, err := config.Listen(context.Background(), family, f.HostPort())
	if err != nil {
		return nil, refused(f, err)
	}
	return l.(*net.TCPListener), nil
}

// refused says who holds a port, if that is what is wrong with it.
func refused(f Forward, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	taken := &Taken{Forward: f}
	taken.PID, taken.Program = holder(f, "/proc")
	return taken
}

// Listening tells whether something listens on a TCP port, without connecting: a debugger's port takes one connection
// only.
func Listening(f Forward) bool { return listens(f, "/proc") }

func listens(f Forward, proc string) bool {
	return len(sockets(filepath.Join(proc, "net", "tcp"), f)) > 0
}

// tcpListen is the state of a listening socket in /proc/net/tcp.
const tcpListen = "0A"

// holder finds the process that holds a port. Processes of other users show no descriptors: then it is unknown.
func holder(f Forward, proc string) (pid int, program string) {
	var inodes []string
	for _, table := range []string{f.proto(), f.proto() + "6"} {
		inodes = append(inodes, sockets(filepath.Join(proc, "net", table), f)...)
	}
	if len(inodes) == 0 {
		return 0, ""
	}
	fds, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "[0-9]*"))
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil || !slices.Contains(inodes, strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")) {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		pid, _ = strconv.Atoi(filepath.Base(dir))
		comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
		return pid, strings.TrimSpace(string(comm))
	}
	return 0, ""
}

// Owner is the user whose program has the other end of a TCP connection of this machine. It is unknown where the
// host's kernel does not tell of any connection; of one that is not there it is nobody, -1.
func Owner(from, to netip.AddrPort) (uid int, known bool) { return owner(from, to, "/proc") }

func owner(from, to netip.AddrPort, proc string) (uid int, known bool) {
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(proc, "net", table))
		if err != nil {
			continue
		}
		known = true
		for line := range strings.Lines(string(text)) {
			w := strings.Fields(line)
			if len(w) < 10 || procAddrPort(w[1]) != from || procAddrPort(w[2]) != to {
				continue
			}
			if uid, err := strconv.Atoi(w[7]); err == nil {
				return uid, true
			}
		}
	}
	return -1, known
}

// sockets returns the inodes of the sockets in a table of /proc/net that stand in f's way.
func sockets(table string, f Forward) []string {
	file, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer file.Close()
	var inodes []string
	for sc := bufio.NewScanner(file); sc.Scan(); {
		// sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
		w := strings.Fields(sc.Text())
		if len(w) < 10 || !f.UDP && w[3] != tcpListen {
			continue
		}
		addr, port, ok := strings.Cut(w[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		if !ok || err != nil || int(n) != f.Host {
			continue
		}
		if a := procAddr(addr); f.Addr == "0.0.0.0" || a.IsUnspecified() || a.String() == f.Addr {
			inodes = append(inodes, w[9])
		}
	}
	return inodes
}

// procAddrPort reads an address with a port.
func procAddrPort(s string) netip.AddrPort {
	addr, port, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(procAddr(addr), uint16(n))
}

// procAddr reads an address of /proc/net: hexadecimal, in words of the host's (little-endian) order.
func procAddr(s string) netip.Addr {
	var b []byte
	for i := 0; i+8 <= len(s); i += 8 {
		n, err := strconv.ParseUint(s[i:i+8], 16, 32)
		if err != nil {
			return netip.Addr{}
		}
		b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}
