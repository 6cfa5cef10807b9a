package qemu

import (
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
)

func machine() Machine {
	m := Machine{
		Kernel: "/k, 1", Initrd: "/i", Append: "console=ttyS0 quiet", Memory: 64, CPUs: 2,
		Forwards: []Forward{{Addr: "127.0.0.1", Host: 5555, Guest: 80}, {Addr: "0.0.0.0", Host: 53, Guest: 53, UDP: true}},
		Extra:    []string{"-s"}, Control: "socket,fd=7", Monitor: "socket,fd=8",
		GDB: "socket,fd=9,server=on",
	}
	for c := range Channels {
		m.Backends[c] = "socket,fd=" + string(rune('3'+c))
	}
	return m
}

// Every group of arguments occurs once and nothing is left over; order between groups is free, but for Extra's.
func TestArgs(t *testing.T) {
	args := machine().Args()
	groups := [][]string{
		{"-no-user-config"},
		{"-nodefaults"},
		{"-no-reboot"},
		{"-display", "none"},
		{"-cpu", "max,-erms,-fsrm"},
		{"-m", "64"},
		{"-smp", "2"},
		{"-kernel", "/k, 1"},
		{"-initrd", "/i"},
		{"-append", "console=ttyS0 quiet"},
		{"-accel", "tcg,thread=single"},
		{"-device", "virtio-serial-device,max_ports=5"},
		{"-chardev", "socket,id=ukl.stdin,fd=3"},
		{"-device", "virtserialport,nr=1,chardev=ukl.stdin,name=ukl.stdin,id=ukl.stdin"},
		{"-chardev", "socket,id=ukl.stdout,fd=4"},
		{"-device", "virtserialport,nr=2,chardev=ukl.stdout,name=ukl.stdout,id=ukl.stdout"},
		{"-chardev", "socket,id=ukl.stderr,fd=5"},
		{"-device", "virtserialport,nr=3,chardev=ukl.stderr,name=ukl.stderr,id=ukl.stderr"},
		{"-chardev", "socket,id=ukl.control,fd=7"},
		{"-device", "virtserialport,nr=4,chardev=ukl.control,name=ukl.control,id=ukl.control"},
		{"-chardev", "socket,id=ukl.monitor,fd=8"},
		{"-mon", "mode=control,chardev=ukl.monitor"},
		{"-chardev", "socket,id=ukl.gdb,fd=9,server=on"},
		{"-gdb", "chardev:ukl.gdb"},
		{"-S"},
		{"-chardev", "socket,id=ukl.log,fd=6"},
		{"-serial", "chardev:ukl.log"},
		{"-netdev", "user,id=net0,ipv6=off,hostfwd=tcp:127.0.0.1:5555-10.0.2.15:80,hostfwd=udp:0.0.0.0:53-10.0.2.15:53"},
		{"-device", "virtio-net-device,netdev=net0"},
		{"-s"},
	}
	if args[len(args)-1] != "-s" {
		t.Errorf("Extra is not last: %q", args)
	}
	i := slices.Index(args, "-machine")
	if i < 0 || !strings.HasPrefix(args[i+1], "microvm,") || !slices.Contains(args, "tcg,thread=single") {
		t.Fatalf("no machine under TCG in %q", args)
	}
	args = slices.Delete(args, i, i+2)
	for _, g := range groups {
		at := -1
		for j := range len(args) - len(g) + 1 {
			if slices.Equal(args[j:j+len(g)], g) {
				at = j
				break
			}
		}
		if at < 0 {
			t.Errorf("no %q", g)
			continue
		}
		args = slices.Delete(args, at, at+len(g))
	}
	if len(args) > 0 {
		t.Errorf("left over: %q", args)
	}
}

// A PC has all devices on PCI, and none on a bus that it does not have; the machine of ukl's kernels has none on PCI.
func TestArgsPC(t *testing.T) {
	m := machine()
	m.Volumes = []Volume{{Host: "/d", Guest: "/d", Server: "socket,fd=9"}, {Host: "/i", Guest: "/i", FileSystem: "ext4"}}
	wants := []string{
		"-device virtio-serial-pci,max_ports=5 ", "-device virtio-net-pci,netdev=net0,romfile= ",
		"-device vhost-user-fs-pci,chardev=volume0,tag=volume0 ", "-device virtio-blk-pci,drive=volume1,serial=volume1,",
		"-machine pc ", "-machine memory-backend=memory ",
	}
	small := strings.Join(m.Args(), " ") + " "
	m.PC = true
	pc := strings.Join(m.Args(), " ") + " "
	for _, want := range wants {
		if !strings.Contains(pc, want) {
			t.Errorf("no %q in a PC: %s", want, pc)
		}
		if strings.Contains(small, want) && !strings.Contains(want, "memory") {
			t.Errorf("%q without PC: %s", want, small)
		}
	}
	for _, never := range []string{"-device virtio-net-device", "mmio", "microvm"} {
		if strings.Contains(pc, never) {
			t.Errorf("%q in a PC: %s", never, pc)
		}
	}
	if m.Type() != "pc" || machine().Type() != "microvm" || m.Model() != "max,-erms,-fsrm" {
		t.Errorf("%s with %s, %s", m.Type(), m.Model(), machine().Type())
	}
}

func TestArgsWithoutControl(t *testing.T) {
	m := machine()
	m.Control = ""
	if s := strings.Join(m.Args(), " "); !strings.Contains(s, "max_ports=4 ") || strings.Contains(s, "ukl.control") {
		t.Errorf("without a control channel: %s", s)
	}
}

// A machine that counts instructions has a date and random numbers of its own, which come before those of the user, and
// its card sends by the guest's clock. A port without a backend is there all the same.
func TestArgsCounts(t *testing.T) {
	m := machine()
	if s := strings.Join(m.Args(), " "); strings.Contains(s, "-rtc") || strings.Contains(s, "-seed") ||
		strings.Contains(s, "tx=timer") {
		t.Errorf("without -icount: %s", s)
	}
	m.Extra = []string{"-icount", "shift=0", "-seed", "7"}
	m.Backends[Stdin] = ""
	s := strings.Join(m.Args(), " ")
	if !strings.Contains(s, " -device virtserialport,nr=1,name=ukl.stdin ") || strings.Contains(s, "id=ukl.stdin") {
		t.Errorf("without a backend of stdin: %s", s)
	}
	_, s, found := strings.Cut(s, " -rtc base=2026-01-01T00:00:00,clock=vm -seed 1 ")
	if !found || !strings.HasPrefix(s, "-global virtio-net-device.tx=timer ") ||
		!strings.HasSuffix(s, " -icount shift=0 -seed 7") {
		t.Errorf("with -icount: %s", s)
	}
}

func TestArgsKVM(t *testing.T) {
	m := machine()
	m.KVM = true
	if s := strings.Join(m.Args(), " "); !strings.Contains(s, "-accel kvm") || !strings.Contains(s, "-cpu host ") {
		t.Errorf("KVM without a model: %s", s)
	}
	m.CPU, m.Initrd = "host,-arch-capabilities", ""
	if s := strings.Join(m.Args(), " "); !strings.Contains(s, "-cpu host,-arch-capabilities ") ||
		strings.Contains(s, "-initrd") {
		t.Errorf("KVM with a model, no initrd: %s", s)
	}
}

func TestValue(t *testing.T) {
	if got := Value("/a,b"); got != "/a,,b" {
		t.Errorf("Value = %q", got)
	}
}

// A shell must read the printed command as it is run.
func TestCommand(t *testing.T) {
	p := Program{Argv: []string{"/q emu", "-L", "it's"}, Env: []string{"M=a b$c"}}
	args := []string{"-append", "a \"b\" $HOME\n`c`", "-m", "64", ""}
	file, err := syntax.NewParser().Parse(strings.NewReader(p.Command(args)), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Stmts) != 1 {
		t.Fatalf("%d statements", len(file.Stmts))
	}
	call := file.Stmts[0].Cmd.(*syntax.CallExpr)
	var got []string
	for _, w := range call.Args {
		var b strings.Builder
		for _, part := range w.Parts {
			switch part := part.(type) {
			case *syntax.Lit:
				b.WriteString(part.Value)
			case *syntax.SglQuoted:
				s := part.Value
				if part.Dollar {
					s = strings.NewReplacer(`\n`, "\n", `\'`, `'`, `\\`, `\`).Replace(s)
				}
				b.WriteString(s)
			case *syntax.DblQuoted:
				for _, q := range part.Parts {
					lit, ok := q.(*syntax.Lit)
					if !ok {
						t.Fatalf("the shell would expand %T", q)
					}
					b.WriteString(lit.Value)
				}
			default:
				t.Fatalf("the shell would expand %T", part)
			}
		}
		got = append(got, b.String())
	}
	if want := slices.Concat(p.Argv, args); !slices.Equal(got, want) {
		t.Errorf("the shell reads %q\nwant %q", got, want)
	}
	if len(call.Assigns) != 1 || call.Assigns[0].Name.Value != "M" {
		t.Errorf("assignments: %v", call.Assigns)
	}
}

func TestParseMemory(t *testing.T) {
	for s, want := range map[string]int{
		"64": 64, "64M": 64, "64MiB": 64, "64 mb": 64, "2G": 2048, "2gib": 2048, "1T": 1 << 20,
	} {
		if got, err := ParseMemory(s); err != nil || got != want {
			t.Errorf("ParseMemory(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "G", "-1", "1.5G", "64K", "64MM", "15", "9999999999G", "2T", "9999999999999999999999",
		"64 k",
	} {
		if got, err := ParseMemory(s); err == nil {
			t.Errorf("ParseMemory(%q) = %d, without an error", s, got)
		}
	}
}

func FuzzParseMemory(f *testing.F) {
	f.Add("64M")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseMemory(s); err == nil && (n < minMemory || n > maxMemory) {
			t.Errorf("ParseMemory(%q) = %d", s, n)
		}
	})
}
