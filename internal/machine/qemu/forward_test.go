package qemu

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func TestParseForward(t *testing.T) {
	for s, want := range map[string]Forward{
		"80":                 {"127.0.0.1", 80, 80, false},
		"8080:80":            {"127.0.0.1", 8080, 80, false},
		"8080:80/tcp":        {"127.0.0.1", 8080, 80, false},
		"0:80":               {"127.0.0.1", 0, 80, false},
		"0.0.0.0:8080:80":    {"0.0.0.0", 8080, 80, false},
		"10.1.2.3:53:53/udp": {"10.1.2.3", 53, 53, true},
	} {
		if got, err := ParseForward(s); err != nil || got != want {
			t.Errorf("ParseForward(%q) = %+v, %v; want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", ":", "80:", ":80", "a", "80:0", "65536:1", "1:65536", "-1:1", "+1:1", " 80", "080000:1", "1:2:3:4",
		"localhost:1:2", "1:2/sctp", "1:2/", "[::1]:1:2/udp", "[::1%lo]:1:2", "[::1]", "[x]:1:2", "127.0.0.1%lo:1:2",
	} {
		if got, err := ParseForward(s); err == nil {
			t.Errorf("ParseForward(%q) = %+v, without an error", s, got)
		}
	}
}

func FuzzParseForward(f *testing.F) {
	for _, s := range []string{"80", "1.2.3.4:80:81/udp", "[::1]:1:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseForward(s)
		if err != nil {
			return
		}
		if b, err := ParseForward(a.String()); err != nil || a != b {
			t.Errorf("%q is %v, and that is %v, %v", s, a, b, err)
		}
	})
}

func TestReserve(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := l.Addr().(*net.TCPAddr).Port
	var taken *Taken
	if _, err := Reserve([]Forward{{"127.0.0.1", n, 1, false}}); !errors.As(err, &taken) || taken.PID != os.Getpid() ||
		taken.Program == "" {
		t.Errorf("a taken port: %v (%+v)", err, taken)
	}
	if _, err := Reserve([]Forward{{"0.0.0.0", n, 1, false}}); !errors.As(err, &taken) || taken.PID != os.Getpid() {
		t.Errorf("a taken port, on all addresses: %v", err)
	}
	in := []Forward{{"127.0.0.1", n, 1, true}, {"127.0.0.1", 0, 2, false}, {"127.0.0.1", 0, 3, false}}
	out, err := Reserve(in)
	if err != nil || out[0] != in[0] || out[1].Host == 0 || out[1].Guest != 2 || in[1].Host != 0 {
		t.Errorf("Reserve = %v, %v", out, err)
	}
	if _, err := Reserve([]Forward{{"127.0.0.1", 1, 1, true}, {"127.0.0.1", 1, 2, true}}); !errors.As(err, new(*Twice)) {
		t.Errorf("one port twice: %v", err)
	}
	if _, err := Reserve([]Forward{{"192.0.2.1", 0, 1, false}}); err == nil {
		t.Error("an address of another machine was reserved")
	}
}

func TestHolder(t *testing.T) {
	proc := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(proc, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	write("net/tcp", head+
		"   0: 0100007F:15B3 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n"+ // not listening
		"   1: 0100007F:15B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1\n")
	write("net/tcp6", head+
		"   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n")
	for pid, inode := range map[string]string{"10": "111", "20": "222", "30": "333"} {
		write(pid+"/comm", "prog"+pid+"\n")
		if err := os.MkdirAll(filepath.Join(proc, pid, "fd"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("socket:["+inode+"]", filepath.Join(proc, pid, "fd/3")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		f    Forward
		pid  int
		name string
	}{
		{Forward{"127.0.0.1", 5555, 1, false}, 20, "prog20"},
		{Forward{"0.0.0.0", 5555, 1, false}, 20, "prog20"},
		{Forward{"10.0.0.1", 5555, 1, false}, 0, ""},
		{Forward{"127.0.0.1", 80, 1, false}, 30, "prog30"}, // held on all addresses of IPv6
		{Forward{"127.0.0.1", 5555, 1, true}, 0, ""},
	} {
		if c.f.Addr == "127.0.0.1" && !c.f.UDP && listens(c.f, proc) != (c.pid == 20) { // 30's is in the table of IPv6
			t.Errorf("listens(%v) = %v", c.f, c.pid != 20)
		}
		if pid, name := holder(c.f, proc); pid != c.pid || name != c.name {
			t.Errorf("holder(%v) = %d, %q; want %d, %q", c.f, pid, name, c.pid, c.name)
		}
	}
}

func TestTakenHint(t *testing.T) {
	for want, f := range map[string]Forward{
		"use another port of the host: -p 5556:80":      {"127.0.0.1", 5555, 80, false},
		"use another port of the host: -p 0:80":         {"127.0.0.1", 65535, 80, false},
		"use another port of the host: -p 0.0.0.0:2:80": {"0.0.0.0", 1, 80, false},
	} {
		if got := (&Taken{Forward: f}).Hint(); got != want {
			t.Errorf("Hint = %q; want %q", got, want)
		}
	}
}

// Whose a connection is stands in the tables of both families: a program may use a socket of IPv6 for IPv4.
func TestOwner(t *testing.T) {
	proc := t.TempDir()
	at := netip.MustParseAddrPort
	to := at("127.0.0.1:5555")
	if _, known := owner(at("127.0.0.1:4660"), to, proc); known {
		t.Error("known of no table")
	}
	if err := os.Mkdir(filepath.Join(proc, "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	for table, text := range map[string]string{
		"tcp": "   0: 0100007F:15B3 0100007F:1234 01 00000000:00000000 00:00000000 00000000     1        0 111 1\n" +
			"   1: 0100007F:1234 0100007F:15B3 01 00000000:00000000 00:00000000 00000000  1000        0 112 1\n",
		"tcp6": "   0: 0000000000000000FFFF00000100007F:1235 0000000000000000FFFF00000100007F:15B3 01 " +
			"00000000:00000000 00:00000000 00000000 65534        0 113 1\n",
	} {
		if err := os.WriteFile(filepath.Join(proc, "net", table), []byte("head\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for from, want := range map[string]int{"127.0.0.1:4660": 1000, "127.0.0.1:4661": 65534, "127.0.0.1:4662": -1} {
		if uid, known := owner(at(from), to, proc); uid != want || !known {
			t.Errorf("%s is of %d, %v, not of %d", from, uid, known, want)
		}
	}
}
