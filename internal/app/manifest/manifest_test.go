package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"ukl/internal/cli/exit"
	"ukl/internal/host/realpath"
	"ukl/internal/machine/qemu"
)

func place(files ...string) Place {
	m := fstest.MapFS{}
	for _, f := range files {
		m[f] = &fstest.MapFile{}
	}
	return Place{File: "ukl.toml", Base: "base", FS: m}
}

func TestParse(t *testing.T) {
	m, err := Parse([]byte(`
name = "server"
summary = "serves"
aliases = ["tcp-server"]
sources = ["src/*.c", "main.c"]
include = ["inc"]
cflags = ["-O3"]
libs = ["m"]
args = ["-p", "two\nlines"]
ports = [5555, "0.0.0.0:80:8080", "53:53/udp"]
memory = "1G"
cpus = 2
[env]
B = "2"
A = ""
[unikernel]
calls = "bypass"
[[test]]
send = "a"
expect = "b"
[[test]]
name = "ends"
port = 0
args = ["x"]
status = 3
`), place("src/a.c", "main.c"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		Name: "server", Summary: "serves", Aliases: []string{"tcp-server"},
		Sources: []string{"src/*.c", "main.c"}, Include: []string{"inc"}, CFlags: []string{"-O3"}, Libs: []string{"m"},
		Args: []string{"-p", "two\nlines"},
		Env:  []string{"A=", "B=2"},
		Ports: []qemu.Forward{
			{Addr: "127.0.0.1", Host: 5555, Guest: 5555},
			{Addr: "0.0.0.0", Host: 80, Guest: 8080},
			{Addr: "127.0.0.1", Host: 53, Guest: 53, UDP: true},
		},
		Memory: 1024, CPUs: 2, Calls: Bypass,
		memory: &Error{File: "ukl.toml", Line: 11, Column: 10},
		ports: []Error{
			{File: "ukl.toml", Line: 10, Column: 10},
			{File: "ukl.toml", Line: 10, Column: 16},
			{File: "ukl.toml", Line: 10, Column: 35},
		},
		Tests: []Test{
			{Name: "1", Port: 5555, Send: "a", Expect: "b", Status: -1},
			{Name: "ends", Args: []string{"x"}, Status: 3},
		},
	}
	if len(m.Sum) != 64 {
		t.Errorf("the text's hash is %q", m.Sum)
	}
	if m.Sum = ""; !reflect.DeepEqual(m, want) {
		t.Errorf("Parse = %+v\nwant %+v", m, want)
	}
	if !m.Matches("server") || !m.Matches("tcp-server") || m.Matches("tcp") {
		t.Error("Matches takes the name and the aliases")
	}
}

func TestDefaults(t *testing.T) {
	m, err := Parse(nil, place("main.c"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "base" || m.Memory != qemu.DefaultMemory || m.CPUs != 1 || m.Calls != Gate || len(m.Sources) != 4 {
		t.Errorf("defaults: %+v", m)
	}
	if m.Certificates || m.TimeZones {
		t.Errorf("nobody has asked for files: %+v", m)
	}
	if len(m.Sysctl) != 0 {
		t.Errorf("nobody has asked for parameters: %q", m.Sysctl)
	}
	m, err = Parse([]byte("certificates = true\ntimezones = false"), place("main.c"))
	if err != nil || !m.Certificates || m.TimeZones {
		t.Errorf("certificates: %+v, %v", m, err)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ text, want, hint string }{
		{"memroy = 3", `ukl.toml:1:1: unknown key "memroy"`, `did you mean "memory"?`},
		{"\n\n  frob = 3", `ukl.toml:3:3: unknown key "frob"`, ""},
		{"[env]\nA = 1", "ukl.toml:2:5: A: want a string, not a number", ""},
		{"env = { A = 1 }", "ukl.toml:1:13: A: want a string, not a number", ""},
		{"env = 3", "ukl.toml:1:7: env: want a table, not a number", ""},
		{"unikernel.calls = 'x'", `ukl.toml:1:19: calls: want gate or bypass, not "x"`, ""},
		{
			"[[test]]\nsend = 'a'\nexpect='b'\n[[test]]\nexpekt = 'a'",
			`ukl.toml:4:1: the test checks nothing: add expect or status`, "",
		},
		{"test = 3", "ukl.toml:1:8: test: want [[test]], not a number", ""},
		{"x = 1\nx = 2", "ukl.toml:2:1: Key 'x' has already been defined.", ""},
		{"name = 'a/b'", `ukl.toml:1:8: "a/b" cannot be a name: it takes letters, digits and +._-, and begins with a letter or digit`, ""},
		{"sources = []", "ukl.toml:1:11: an application needs at least one source file", ""},
		{"sources = ['../x.c']", `ukl.toml:1:12: "../x.c" leaves the application's directory`, ""},
		{"sources = ['!a.c']", `ukl.toml:1:11: an application needs at least one source file`, ""},
		{"include = ['/usr/include']", `ukl.toml:1:12: "/usr/include" leaves the application's directory`, ""},
		{
			"cflags = [\n  '-O2',\n  \"\"\"-D\nX\"\"\"]\nname = 3", "ukl.toml:3:3: cflags: an item cannot hold a line break",
			"",
		},
		{"memory = 5", "ukl.toml:1:10: 5 MiB of memory are too little: the smallest application needs 31", ""},
		{"cpus = 1000", fmt.Sprintf("ukl.toml:1:8: cpus: want 1 to %d, not 1000", qemu.MaxCPUs), ""},
		{
			"cpus = 3\n[kernel]\nconfig = ['CONFIG_NR_CPUS=2']",
			"ukl.toml:1:8: 3 CPUs: want 1 to 2, since config of [kernel] leaves no room for more", "",
		},
		{
			"cpus = 2\n[kernel]\nconfig = ['CONFIG_SMP=n']",
			"ukl.toml:1:8: 2 CPUs: want 1 to 1, since config of [kernel] leaves no room for more", "",
		},
		{"certificates = 1", "ukl.toml:1:16: certificates: want true or false, not a number", ""},
		{"timezones = 'UTC'", "ukl.toml:1:13: timezones: want true or false, not a string", ""},
		{"ports = [true]", `ukl.toml:1:10: want ports such as 5555 or "8080:80", not true or false`, ""},
		{"summary = \"a\\nb\"", "ukl.toml:1:11: a summary is one line", ""},
		{"a = 1979-05-27", `ukl.toml:1:1: unknown key "a"`, ""},
		{"a = \xff", "ukl.toml:1:1: the file is not UTF-8 text", ""},
	} {
		_, err := Parse([]byte(c.text), place("main.c"))
		var es Errors
		if !errors.As(err, &es) {
			t.Errorf("Parse(%q): %v; want Errors", c.text, err)
			continue
		}
		if es[0].Error() != c.want || es[0].Hint != c.hint {
			t.Errorf("Parse(%q) = %q, hint %q\nwant %q, hint %q", c.text, es[0], es[0].Hint, c.want, c.hint)
		}
	}
	if _, err := Parse(nil, place("readme")); err == nil ||
		!strings.Contains(err.Error(), "there is no source file here") {
		t.Errorf("without sources: %v", err)
	}
	if _, err := Load(t.TempDir()); !errors.As(err, new(*NotFound)) {
		t.Errorf("Load of an empty directory: %v", err)
	}
}

func TestMaxCPUs(t *testing.T) {
	for line, want := range map[string]int{
		"CONFIG_NR_CPUS=2": 2, "CONFIG_NR_CPUS=0x3": 3, "CONFIG_NR_CPUS=100000": qemu.MaxCPUs, "CONFIG_SMP=n": 1,
		"CONFIG_SMP=y": qemu.MaxCPUs, "CONFIG_NR_CPUS_DEFAULT=2": qemu.MaxCPUs,
	} {
		m, err := Parse([]byte("[kernel]\nconfig = ['"+line+"']"), place("main.c"))
		if err != nil || m.MaxCPUs() != want {
			t.Errorf("%s: %d, %v; want %d", line, m.MaxCPUs(), err, want)
		}
	}
}

func TestHasTerminals(t *testing.T) {
	for line, want := range map[string]bool{
		"CONFIG_UNIX98_PTYS=n": false, "CONFIG_TTY=n": false, "CONFIG_UNIX98_PTYS=y": true, "CONFIG_NLS=y": true,
	} {
		m, err := Parse([]byte("[kernel]\nconfig = ['"+line+"']"), place("main.c"))
		if err != nil || m.HasTerminals() != want {
			t.Errorf("%s: %v, %v; want %v", line, m.HasTerminals(), err, want)
		}
	}
}

// Positions must not be led astray by what looks like a key inside a value.
func TestLocate(t *testing.T) {
	places := locate("a = \"\"\"\nb = 1\n[c]\n\"\"\"\nd = [ # ]\n  'x', \"]\",\n]\n\"e f\" = 1 # g = 2\n[h . i]\nj=1\n[[k]]\nl = 1\n [[k]]\nl = {m = 1}\n")
	want := map[string]position{
		"a": {1, 1, 5}, "d": {5, 1, 5}, "e f": {8, 1, 9}, "h.i": {9, 1, 1}, "h.i.j": {10, 1, 3},
		"k": {13, 2, 2}, "k#1": {11, 1, 1}, "k#1.l": {12, 1, 5}, "k#2": {13, 2, 2}, "k#2.l": {14, 1, 5},
		"d[0]": {6, 3, 3}, "d[1]": {6, 8, 8}, "k#2.l.m": {14, 6, 10},
	}
	if !reflect.DeepEqual(places, want) {
		t.Errorf("locate = %v\nwant %v", places, want)
	}
}

// A mistake in an item is where the item is, also in a table on one line and behind an item that was left out.
func TestItems(t *testing.T) {
	for text, want := range map[string][]string{
		"[kernel]\nconfig = [\n  'CONFIG_EXT4_FS=y', # ]\n  'BAD',\n  'CONFIG_A=m',\n]": {
			"ukl.toml:4:3: \"BAD\" is", "ukl.toml:5:3: CONFIG_A=m: ",
		},
		"kernel = { config = [3, 'BAD', 'CONFIG_A=m'] }": {
			"ukl.toml:1:22: config: want strings", "ukl.toml:1:25: \"BAD\" is", "ukl.toml:1:32: CONFIG_A=m: ",
		},
		"packages = [['x'], 'No', \"\"\"NO\"\"\"]\nports = [1,\n'x']": {
			"ukl.toml:1:13: packages: want", "ukl.toml:1:20: \"No\"", "ukl.toml:1:26: \"NO\"", "ukl.toml:3:1: ",
		},
	} {
		_, err := Parse([]byte(text), place("main.c"))
		var es Errors
		if !errors.As(err, &es) || len(es) != len(want) {
			t.Errorf("%q: %d mistakes: %v", text, len(es), err)
			continue
		}
		for i, e := range es {
			if !strings.HasPrefix(e.Error(), want[i]) {
				t.Errorf("%q: %q, not %q", text, e, want[i])
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("name = \"x\"\nports = [1, \"2:3\"]\n[env]\nA = \"b\"\n[[test]]\nsend = 'a'\n")
	f.Add("[unikernel]\ncalls = \"\"\"\n[x]\n\"\"\"\n")
	f.Add("\x01") // the decoder gives a place before the text
	f.Add("a.b.c = {d = [1, 2], e = \"}\"}")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Parse([]byte(text), place("a.c"))
		if err == nil {
			return
		}
		var es Errors
		if !errors.As(err, &es) || len(es) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		lines := strings.Count(text, "\n") + 1
		for _, e := range es {
			if e.Line < 1 || e.Line > lines || e.Column < 1 {
				t.Errorf("%v: a place outside of %d lines", e, lines)
			}
		}
	})
}

func TestKernelErrors(t *testing.T) {
	m, err := Parse([]byte("name = \"x\"\n[kernel]\nconfig = [\"CONFIG_A=y\",\n\"CONFIG_B=n\"]\n"),
		Place{File: "dir/ukl.toml", Base: "x"})
	if err != nil {
		t.Fatal(err)
	}
	got := m.KernelErrors([]string{"CONFIG_B=n: no", "CONFIG_A=y: it needs: that", "neither: B"}, "add B")
	if got.Error() != "dir/ukl.toml:4:1: CONFIG_B=n: no" || got.Hint() != "add B" ||
		!slices.Equal(got.Details(),
			[]string{"dir/ukl.toml:3:11: CONFIG_A=y: it needs: that", "dir/ukl.toml:3:10: neither: B"}) {
		t.Errorf("%q, %q, %q", got.Error(), got.Hint(), got.Details())
	}
}

// Whether the memory is enough is known only once there is a kernel; the mistake has its place all the same.
func TestMemoryError(t *testing.T) {
	m, err := Parse([]byte("name = \"x\"\nmemory = \"18M\""), place("main.c"))
	if err != nil || !m.GivesMemory() {
		t.Fatalf("%+v, %v", m, err)
	}
	e := m.MemoryError("too little", "more")
	if e.Error() != "ukl.toml:2:10: too little" || e.Hint() != "more" || e.ExitCode() != exit.Input {
		t.Errorf("%v, hint %q, code %d", e, e.Hint(), e.ExitCode())
	}
	for _, text := range []string{"", "cpus = 2"} {
		if m, err := Parse([]byte(text), place("main.c")); err != nil || m.GivesMemory() {
			t.Errorf("%q gives memory: %v", text, err)
		}
	}
}

// What is inside of the directory needs no question; what leads out of it does, also by a link or by the file's own.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"app/in", "app-other"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	app := filepath.Join(dir, "app")
	for name, target := range map[string]string{"inward": "in", "outward": "../app-other"} {
		if err := os.Symlink(target, filepath.Join(app, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{
		".": false, "in": false, "inward": false, "in/..": false, app: false, app + "/in": false, "nothere": false,
		"..": true, "/": true, "outward": true, "../app-other": true, app + "-other": true, "in/../..": true,
	} {
		volume, file := strconv.Quote(path+":/v:ro"), strconv.Quote(path)
		text := "name = 'x'\nvolumes = [" + volume + "]\n[files]\n'/f' = " + file
		m, err := Parse([]byte(text), Place{File: "ukl.toml", Base: "x"})
		if err != nil {
			t.Fatal(err)
		}
		asks := m.Asks(m.Lend(app))
		if got := len(asks) == 2; got != want || !want && len(asks) > 0 {
			t.Errorf("%s: %+v", path, asks)
		}
		if want && (asks[0].Volume != "/v" || asks[0].Refuse().Error()[:13] != "ukl.toml:2:12" ||
			asks[1].Refuse().Error()[:12] != "ukl.toml:4:8") {
			t.Errorf("%s: %+v", path, asks)
		}
	}
}

// A volume inside of the directory is asked for if what the guest writes there is run or built on this machine, and if
// it is trusted. A question names the path that is lent, whatever the file makes of it.
func TestWithin(t *testing.T) {
	top := t.TempDir()
	for _, d := range []string{
		".git", "app/.git/hooks", "app/data", "app/lib/.git", "app/src", "app/inc", "app/.run", "x",
	} {
		if err := os.MkdirAll(filepath.Join(top, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	app, err := realpath.Of(filepath.Join(top, "app"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ukl.toml", "disk.img", "src/main.c"} {
		if err := os.WriteFile(filepath.Join(app, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"root": "/", "out": "../x", "code": "src", "d": "data"} {
		if err := os.Symlink(target, filepath.Join(app, name)); err != nil {
			t.Fatal(err)
		}
	}
	x := filepath.Join(filepath.Dir(app), "x")
	const compiled, built = "sources = ['src/*.c']\ninclude = ['inc', '.']", "build = ['make']\nprogram = 'x'"
	const write, owners = ", as a volume that it may write to", ", where it sets owners and set-user-id bits"
	const git, made = ", with the configuration of a git repository", ", of which the application is built"
	const outside = " from outside of the application's directory"
	for _, c := range []struct{ how, volume, want string }{
		{compiled, ".:/v", "the application's own directory, with its ukl.toml" + write},
		{compiled, app + ":/v", "the application's own directory, with its ukl.toml" + write},
		{compiled, ".:/v:ro", ""},
		{compiled, "data:/v", ""},
		{compiled, "data/:/v", ""},
		{compiled, "d:/v", ""},
		{compiled, "nothere:/v", ""},
		{compiled, "disk.img:/v", ""},
		{compiled, "data:/v:trusted", "data" + write + owners},
		{compiled, "d:/v:trusted", `data (which ukl.toml calls "d")` + write + owners},
		{compiled, "data:/v:ro,trusted", "data, as a volume" + owners},
		{compiled, ".git:/v", ".git" + git + write},
		{compiled, ".git/hooks:/v", ".git/hooks" + git + write},
		{compiled, "lib:/v", "lib" + git + write},
		{compiled, "src:/v", "src" + made + write},
		{compiled, "code:/v", `src (which ukl.toml calls "code")` + made + write},
		{compiled, "inc:/v", "inc" + made + write},
		{compiled, "src:/v:ro", ""},
		{"prebuilt = 'data/p'", "data:/v", "data" + made + write},
		{built, "data:/v", "data" + made + write},
		{built, ".run:/v", ""},
		{compiled, "root:/v", `/ (which ukl.toml calls "root")` + outside + write},
		{compiled, "out:/v:ro", x + ` (which ukl.toml calls "out")` + outside + ", as a volume"},
		{compiled, x + ":/v", x + outside + write},
		{compiled, "..:/v", filepath.Dir(app) + ` (which ukl.toml calls "..")` + outside + write},
		{
			compiled, "e\x1b[2K\r/../../x:/v",
			x + ` (which ukl.toml calls "e\x1b[2K\r/../../x")` + outside + write,
		},
		{
			compiled, strings.Repeat("y/", 40) + strings.Repeat("../", 41) + "x:/v",
			x + ` (which ukl.toml calls "` + strings.Repeat("y/", 30) + `...")` + outside + write,
		},
	} {
		quoted, err := json.Marshal(c.volume)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse([]byte("name = 'x'\n"+c.how+"\nvolumes = ["+string(quoted)+"]"), Place{File: "ukl.toml", Base: "x"})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, a := range m.Asks(m.Lend(app)) {
			if got += a.What; a.Option != AllowVolumes || a.Volume != "/v" {
				t.Errorf("%s: %+v", c.volume, a)
			}
		}
		if got != c.want {
			t.Errorf("%q: %q; want %q", c.volume, got, c.want)
		}
	}
}

// What the file asks for of the host has its place in it; a file that asks for nothing asks for nothing.
func TestAsks(t *testing.T) {
	m, err := Parse([]byte("name = \"x\"\n[network]\nhost = true"), place("main.c"))
	if err != nil {
		t.Fatal(err)
	}
	asks := m.Asks(m.Lend(""))
	if len(asks) != 1 || asks[0].Option != AllowHost {
		t.Fatalf("%+v", asks)
	}
	e := asks[0].Refuse()
	if !strings.HasPrefix(e.Error(), "ukl.toml:3:8: the guest shall get the services") ||
		e.Hint() != "if you trust this ukl.toml: --allow-host" || e.ExitCode() != exit.Input {
		t.Errorf("%v, %q", e, e.Hint())
	}
	m, err = Parse([]byte("ports = [8080, \"0.0.0.0:80:8000\", \"[::1]:81:81\"]"), place("main.c"))
	if err != nil {
		t.Fatal(err)
	}
	if asks = m.Asks(m.Lend("")); len(asks) != 1 || asks[0].Option != AllowPorts {
		t.Fatalf("%+v", asks)
	}
	if e := asks[0].Refuse(); !strings.HasPrefix(e.Error(), "ukl.toml:1:16: the guest shall get port 0.0.0.0:80 of this") ||
		e.Hint() != "if you trust this ukl.toml: --port 0.0.0.0:80:8000" {
		t.Errorf("%v", e)
	}
	for _, text := range []string{"", "[network]", "[network]\nhost = false"} {
		if m, err := Parse([]byte(text), place("main.c")); err != nil || len(m.Asks(m.Lend(""))) > 0 {
			t.Errorf("%q: %+v, %v", text, m, err)
		}
	}
}

// Parameters of the kernel are numbers or strings, with points or slashes, in quotes or as TOML's own tables.
func TestSysctl(t *testing.T) {
	m, err := Parse([]byte("[sysctl]\n\"vm/swappiness\" = 1\nnet.ipv4.ip_local_port_range = \"5000 6000\"\n"+
		"net.core.somaxconn = 7\n"), place("main.c"))
	want := []string{"net.core.somaxconn=7", "net.ipv4.ip_local_port_range=5000 6000", "vm.swappiness=1"}
	if err != nil || !slices.Equal(m.Sysctl, want) {
		t.Errorf("%q, %v", m.Sysctl, err)
	}
	for text, want := range map[string]string{
		`"a" = 1`: `"a" is not a parameter`, `"a.b c" = 1`: "is not a parameter", `"a.b" = true`: "want a number or a string",
		`"a.b" = ""`: "printable ASCII", `"a.b" = "x\"y"`: "printable ASCII", `"a.b" = "x\ny"`: "printable ASCII",
		`a.b = [1]`: "want a number or a string", `"a.b=c" = 1`: "is not a parameter",
	} {
		_, err := Parse([]byte("[sysctl]\n"+text), place("main.c"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ":2:") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
