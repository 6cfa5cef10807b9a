package gdbrelay

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"ukl/internal/machine/qemu"
)

// Packets are handed on as they are, but for those of the monitor, however they are written. What is no packet ends the
// connection, and nothing of it is handed on.
func TestFilter(t *testing.T) {
	none := string(packet("qukl.none"))
	p := func(body string) string { return string(packet(body)) }
	for in, want := range map[string]string{
		"+" + p("qSupported:xmlRegisters=i386"):               "+" + p("qSupported:xmlRegisters=i386"),
		p("g") + "+" + p("c") + "\x03" + "+":                  p("g") + "+" + p("c") + "\x03" + "+",
		p("X0,1:}\x03*q") + p(""):                             p("X0,1:}\x03*q") + p(""),
		"$m1#9E" + "$m1#9e":                                   "$m1#9E" + "$m1#9e",
		p("qRcmd,696e666f"):                                   none,
		"+" + p("qRcmd,00") + p("g"):                          "+" + none + p("g"),
		p("}Qrcmd,00") + p("}\x51Rcmd,00") + p("*!qRcmd,00"):  none + none + none,
		p("q*\x01Rcmd,00") + p("q}\x72cmd,00") + p("qR}Cmd,"): none + none + none,
		"POST / HTTP/1.1\r\n\r\n+" + p("g"):                   "",
		"+\r\n" + p("g"):                                      "+",
		"$m1#00" + p("qRcmd,00"):                              "",
		"$m1#9z" + p("g"):                                     "",
		"$" + strings.Repeat("A", 5000) + p("qRcmd,00"):       "",
		p("A" + strings.Repeat("A", 5000)):                    p("A" + strings.Repeat("A", 5000)),
		"$" + strings.Repeat("A", 2<<20):                      "",
	} {
		var got bytes.Buffer
		filter(&got, bufio.NewReader(strings.NewReader(in)))
		if got.String() != want {
			t.Errorf("%.60q becomes %.60q, not %.60q", in, got.String(), want)
		}
	}
}

// stub answers on the relay's socket as QEMU does, and counts what it is asked.
func stub(t *testing.T, r *Relay, asked chan<- string) {
	t.Helper()
	l, err := net.FileListener(r.Stub())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r.Started()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			for in := bufio.NewReader(c); ; {
				body, err := in.ReadString('#')
				if err != nil {
					break
				}
				_, _ = in.Discard(2)
				_, body, _ = strings.Cut(body, "$")
				if asked <- strings.TrimSuffix(body, "#"); body == "k#" {
					break
				}
				if _, err := io.WriteString(c, "+$OK#9a"); err != nil {
					break
				}
			}
			c.Close()
		}
	}()
}

func TestRelay(t *testing.T) {
	ports, err := qemu.Reserve([]qemu.Forward{{Addr: "127.0.0.1", Guest: 1}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var taken *qemu.Taken
	if _, err := Open(ports[0]); !errors.As(err, &taken) {
		t.Errorf("a port that is taken: %v", err)
	}
	early, err := net.Dial("tcp", ports[0].HostPort()) // is held
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	asked, ready := make(chan string, 10), make(chan bool)
	stub(t, r, asked)
	go r.Serve(func() { close(ready) })
	<-ready
	if first := <-asked; first != "qC" {
		t.Errorf("the first question is %q", first)
	}
	say := func(c net.Conn, what, answer string) {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(c, what); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(answer))
		if _, err := io.ReadFull(c, b); err != nil && answer != "" || string(b) != answer {
			t.Errorf("%q is answered by %q, %v", what, b, err)
		}
	}
	say(early, "$g#67", "+$OK#9a")
	say(early, "+$qRcmd,00#37", "")
	if b, err := io.ReadAll(early); len(b) != 0 || err != nil { // the checksum was wrong
		t.Errorf("%q, %v", b, err)
	}
	later, err := net.Dial("tcp", ports[0].HostPort())
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	say(later, string(packet("qRcmd,00")), "+$OK#9a")
	say(later, "+$k#6b", "")
	if b, err := io.ReadAll(later); len(b) != 0 || err != nil {
		t.Errorf("at the end of the stub: %q, %v", b, err)
	}
	for _, want := range []string{"g", "qukl.none", "k"} {
		if got := <-asked; got != want {
			t.Errorf("the stub is asked %q, not %q", got, want)
		}
	}
}
