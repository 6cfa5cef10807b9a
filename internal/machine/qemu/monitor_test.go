package qemu

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

func TestMonitor(t *testing.T) {
	ours, qemu := net.Pipe()
	m := Watch(ours)
	in := bufio.NewReader(qemu)
	say := func(lines ...string) {
		for _, l := range lines {
			qemu.Write([]byte(l + "\r\n"))
		}
	}
	heard := func(want string) {
		t.Helper()
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, want) {
			t.Fatalf("%q, %v; want %s", line, err, want)
		}
	}
	go say(`{"QMP": {"version": {}}}`)
	heard("qmp_capabilities")
	say(`{"return": {}}`, `no json`, `{"event": "VSERPORT_CHANGE", "data": {"open": false, "id": "ukl.stdin"}}`,
		`{"event": "VSERPORT_CHANGE", "data": {"open": true, "id": "ukl.stdout"}}`, `{"error": {}}`)
	select {
	case <-m.Ready():
		t.Error("ready before stdin was opened")
	default:
	}
	go m.AskRegisters()
	heard("info registers")
	say(`{"return": "CPU#0\r\nRAX=0 RBX=1\r\nRIP=ffffffff81000010 RFL=2"}`,
		`{"event": "VSERPORT_CHANGE", "data": {"open": true, "id": "ukl.stdin"}}`)
	if ip, ok := Instruction(<-m.Registers()); !ok || ip != 0xffffffff81000010 {
		t.Errorf("Instruction = %#x, %v", ip, ok)
	}
	select {
	case <-m.Ready():
	case <-time.After(10 * time.Second):
		t.Error("not ready")
	}
	qemu.Close()
	if s, open := <-m.Registers(); open {
		t.Errorf("after the end: %q", s)
	}
	for _, none := range []string{"", "RIP=", "RIP=x", "XRIP=1"} {
		if ip, ok := Instruction(none); ok {
			t.Errorf("Instruction(%q) = %#x", none, ip)
		}
	}
}
