package guest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ukl/internal/machine/qemu"
)

func hostTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"conf": 0o600, "www/index.html": 0o644, "www/cgi/run": 0o700} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("index.html", filepath.Join(dir, "www/link")),
		os.Mkdir(filepath.Join(dir, "www/empty"), 0o700)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The archive, as cpio unpacks it.
func TestAddFiles(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("no cpio to judge the archive; boot_files lets the kernel do it")
	}
	dir := hostTree(t)
	var b bytes.Buffer
	a := &archive{w: &b}
	if err := newTree(a, "").addFiles([]File{
		{Guest: "/etc/deep/conf", Host: dir + "/conf"},
		{Guest: "/srv", Host: dir + "/www"},
		{Guest: "/etc/other", Host: dir + "/www/index.html"},
	}); err != nil {
		t.Fatal(err)
	}
	a.add("TRAILER!!!", 0, nil)
	out := t.TempDir()
	cmd := exec.Command(cpio, "--extract", "--quiet")
	cmd.Dir, cmd.Stdin = out, &b
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var got []string
	err = filepath.Walk(out, func(p string, fi os.FileInfo, err error) error {
		if err != nil || p == out {
			return err
		}
		text := fi.Mode().String() + strings.TrimPrefix(p, out)
		if fi.Mode().IsRegular() {
			b, _ := os.ReadFile(p)
			text += " " + string(b)
		} else if to, err := os.Readlink(p); err == nil {
			text += " -> " + to
		}
		got = append(got, text)
		return nil
	})
	want := `drwxr-xr-x/etc
drwxr-xr-x/etc/deep
-rw-r--r--/etc/deep/conf conf
-rw-r--r--/etc/other www/index.html
drwxr-xr-x/srv
drwxr-xr-x/srv/cgi
-rwxr-xr-x/srv/cgi/run www/cgi/run
drwxr-xr-x/srv/empty
-rw-r--r--/srv/index.html www/index.html
Lrwxrwxrwx/srv/link -> index.html`
	if text := strings.Join(got, "\n"); err != nil || text != want {
		t.Errorf("%v\n%s\nwant\n%s", err, text, want)
	}
}

// /etc is there unless the application brings it, file by file.
func TestEtc(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files   []File
		network string
		has     []string
		lacks   []string
	}{
		{nil, "user", []string{
			"etc/hosts", "127.0.0.1 localhost\n", "::1 localhost ", "multi on\n", "10.0.2.15 my-app\n",
			"10.0.2.2 host\n", "root:x:0:0", "nameserver 10.0.2.3\n", "http 80/tcp", "\ntcp 6 TCP\n", "\nloopback 127.0.0.0\n",
		}, []string{"mine", "machine-id"}},
		{
			[]File{{Guest: "/etc/hosts", Host: dir + "/hosts"}},
			"user",
			[]string{"mine", "root:x:0:0", "nameserver"},
			[]string{"localhost"},
		},
		{[]File{{Guest: "/etc", Host: dir}}, "user", []string{"mine", "root:x:0:0"}, []string{"localhost"}},
		{
			nil, "tap:t,192.168.9.2/24",
			[]string{"192.168.9.2 my-app\n", "192.168.9.1 host\n"},
			[]string{"nameserver", "10.0.2."},
		},
	} {
		n, err := qemu.ParseNetwork(c.network)
		if err != nil {
			t.Fatal(err)
		}
		b, err := (&Options{Name: "my_app", Machine: qemu.Machine{Network: n}, Files: c.files}).initrd()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range c.has {
			if bytes.Count(b, []byte(text)) != 1 {
				t.Errorf("%v, %s: %q is there %d times", c.files, c.network, text, bytes.Count(b, []byte(text)))
			}
		}
		for _, text := range c.lacks {
			if bytes.Contains(b, []byte(text)) {
				t.Errorf("%v, %s: %q is there", c.files, c.network, text)
			}
		}
	}
}

// A directory or link of the usual root is not made where [files] has something of that name.
func TestPlaces(t *testing.T) {
	dir := hostTree(t)
	o := Options{Files: []File{{Guest: "/var/run", Host: dir + "/www"}, {Guest: "/run", Host: dir + "/www/cgi"}}}
	b, err := o.initrd()
	if err != nil {
		t.Fatal(err)
	}
	for member, want := range map[string]int{
		"var/run\x00": 1, "var/run/index.html\x00": 1, "run/run\x00": 1, "run/lock\x00": 1, "var/lock\x00": 1,
		"var/tmp\x00": 1,
	} {
		if n := bytes.Count(b, []byte("\x00"+member)) + bytes.Count(b, []byte("0"+member)); n != want {
			t.Errorf("%q is there %d times", member, n)
		}
	}
}

// What a run has besides comes only where [files] has nothing, neither of the name nor above it; it brings no directory
// of its own in the way.
func TestUsual(t *testing.T) {
	usual, dir := t.TempDir(), hostTree(t)
	for name, text := range map[string]string{"etc/ssl/bundle": "roots", "etc/hosts": "theirs", "share/zone/utc": "zone"} {
		file := filepath.Join(usual, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o444)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("bundle", filepath.Join(usual, "etc/ssl/link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files      []File
		volumes    []qemu.Volume
		has, lacks []string
	}{
		{nil, nil, []string{"roots", "etc/ssl/link", "zone", "theirs", "etc/passwd"}, nil},
		{
			[]File{{Guest: "/etc/ssl/other", Host: dir + "/conf"}}, nil, []string{"roots", "etc/ssl/link", "etc/ssl/other"}, nil,
		},
		{
			[]File{{Guest: "/etc/ssl/bundle", Host: dir + "/conf"}},
			nil,
			[]string{"conf", "etc/ssl/link", "zone"},
			[]string{"roots"},
		},
		{[]File{{Guest: "/etc/ssl", Host: dir + "/conf"}}, nil, []string{"conf", "zone"}, []string{"roots", "etc/ssl/"}},
		{[]File{{Guest: "/share", Host: dir + "/www"}}, nil, []string{"roots", "zone", "share/link"}, nil},
		{
			[]File{{Guest: "/", Host: dir + "/www"}, {Guest: "/share", Host: dir + "/www/index.html"}},
			nil,
			[]string{"roots"},
			[]string{"zone"},
		},
		{nil, []qemu.Volume{{Host: usual, Guest: "/"}}, []string{"/.root/share"}, []string{"roots", "zone", "etc/passwd"}},
	} {
		o := Options{Files: c.files, Usual: []File{{Guest: "/", Host: usual}}, Machine: qemu.Machine{Volumes: c.volumes}}
		b, err := o.initrd()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range c.has {
			if !bytes.Contains(b, []byte(text)) {
				t.Errorf("%v %v: no %q", c.files, c.volumes, text)
			}
		}
		for _, text := range append(c.lacks, "localhost") {
			if bytes.Contains(b, []byte(text)) {
				t.Errorf("%v %v: %q is there", c.files, c.volumes, text)
			}
		}
	}
	o := Options{Usual: []File{{Guest: "/", Host: filepath.Join(usual, "none")}}}
	if _, err := o.initrd(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// The machine's identity is there if it has one, unless the application brings a file of its own.
func TestMachineID(t *testing.T) {
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	const id = "0123456789abcdef0123456789abcdef"
	o := Options{MachineID: id}
	b, err := o.initrd()
	if err != nil || !bytes.Contains(b, []byte("etc/machine-id\x00")) || !bytes.Contains(b, []byte(id+"\n")) {
		t.Errorf("no machine ID: %v", err)
	}
	o.Files = []File{{Guest: "/etc/machine-id", Host: file}}
	if b, err = o.initrd(); err != nil || bytes.Contains(b, []byte(id)) || !bytes.Contains(b, []byte("mine")) {
		t.Errorf("the application's file is not used: %v", err)
	}
	o.Files = nil
	if _, b, err = Alone(o, ""); err != nil || bytes.Contains(b, []byte("machine-id")) {
		t.Errorf("what boots alone has a machine ID: %v", err)
	}
}

func TestHostname(t *testing.T) {
	for app, want := range map[string]string{
		"hello": "hello", "my_app": "my-app", "a.b+c": "a-b-c", "g++": "g", "Ä b": "b", "": "ukl", "+": "ukl",
		"x" + strings.Repeat("y", 70):        "x" + strings.Repeat("y", 62),
		strings.Repeat("z", 62) + "_" + "zz": strings.Repeat("z", 62),
	} {
		if got := hostname(app); got != want {
			t.Errorf("hostname(%q) = %q; want %q", app, got, want)
		}
	}
	line, b, err := Alone(Options{Name: "my_app"}, "x=1")
	if err != nil || !strings.Contains(line, " hostname=my-app ip=10.0.2.15::10.0.2.2:255.255.255.0:my-app:eth0:off "+pings+" ") ||
		!bytes.Contains(b, []byte("10.0.2.15 my-app\n")) {
		t.Errorf("alone: %s, %v", line, err)
	}
}

// What is at the top of a volume for "/" is reached by links; the guest's own places, and what [files] brings, stay.
func TestRootVolume(t *testing.T) {
	dir := hostTree(t)
	for _, name := range []string{"etc", "usr", "proc", "tmp", "app"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	links := func(v qemu.Volume, files ...File) string {
		b, err := (&Options{Machine: qemu.Machine{Volumes: []qemu.Volume{{Host: dir, Guest: "/data"}, v}}, Files: files}).
			initrd()
		if err != nil {
			t.Fatal(err)
		}
		if passwd := bytes.Contains(b, []byte("etc/passwd\x00")); passwd == bytes.Contains(b, []byte("/.root/etc")) {
			t.Errorf("%+v: /etc/passwd %v", v, passwd)
		}
		var all []string
		for _, name := range []string{"app", "conf", "etc", "lib64", "proc", "tmp", "usr", "www"} {
			if bytes.Contains(b, []byte("/.root/"+name)) {
				all = append(all, name)
			}
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct{ got, want string }{
		{links(qemu.Volume{Host: dir, Guest: "/"}), "conf etc usr www"},
		{links(qemu.Volume{Host: dir, Guest: "/"}, File{Guest: "/etc/mine", Host: dir + "/conf"}), "conf usr www"},
		{links(qemu.Volume{Host: dir, Guest: "/", FileSystem: "ext2"}), "etc lib64 usr"},
		{links(qemu.Volume{Host: dir, Guest: "/srv"}), ""},
	} {
		if c.got != c.want {
			t.Errorf("links to %q, not %q", c.got, c.want)
		}
	}
	none := Options{Machine: qemu.Machine{Volumes: []qemu.Volume{{Host: dir + "/none", Guest: "/"}}}}
	if _, err := none.initrd(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func TestAddFilesRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{dir, dir + "/fifo", dir + "/none"} {
		err := newTree(&archive{}, "").addFiles([]File{{Guest: "/x", Host: host}})
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// A file of the guest may be from a volume or among what was copied; a path that leaves them is from nowhere.
func TestHostFiles(t *testing.T) {
	o := Options{
		Machine: qemu.Machine{Volumes: []qemu.Volume{
			{Host: "/srv/root", Guest: "/", ReadOnly: true},
			{Host: "/srv/data", Guest: "/data", ReadOnly: true},
			{Host: "/srv/written", Guest: "/written"},
			{Host: "/srv/disk", Guest: "/disk", FileSystem: "ext4"},
		}},
		Files: []File{{Guest: "/etc/one", Host: "/home/one"}, {Guest: "/etc/theirs", Host: "/srv/written/x"}},
		Usual: []File{{Guest: "/", Host: "/store/libraries"}},
	}
	for guest, want := range map[string][]HostFile{
		"/usr/lib/x.so":           {{"/srv/root", "usr/lib/x.so"}, {"/store/libraries", "usr/lib/x.so"}},
		"/data/x.so":              {{"/srv/root", "data/x.so"}, {"/srv/data", "x.so"}, {"/store/libraries", "data/x.so"}},
		"/written/x.so":           {{"/srv/root", "written/x.so"}, {"/store/libraries", "written/x.so"}},
		"/etc/theirs":             {{"/srv/root", "etc/theirs"}, {"/store/libraries", "etc/theirs"}},
		"/etc/one":                {{"/srv/root", "etc/one"}, {"/home", "one"}, {"/store/libraries", "etc/one"}},
		"/data/../../etc/shadow":  nil,
		"/../../../../etc/passwd": nil,
	} {
		if got := o.HostFiles(guest); !slices.Equal(got, want) {
			t.Errorf("HostFiles(%s) = %q, want %q", guest, got, want)
		}
	}
}

// A guest that writes to a directory leads nobody out of it, and nobody waits for its pipe.
func TestHostFileOpen(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "volume")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(top, "secret"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644), os.Symlink("file", filepath.Join(dir, "inside")),
		os.Symlink("../secret", filepath.Join(dir, "outside")), os.Symlink(top+"/secret", filepath.Join(dir, "absolute")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]bool{
		"file": true, "inside": true, "outside": false, "absolute": false, "pipe": false, ".": false, "none": false,
	} {
		f, err := HostFile{dir, name}.Open()
		if f.Close(); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHas(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"lib/deep/libone.so.1", "two.so"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := []File{
		{Guest: "/usr/lib", Host: filepath.Join(dir, "lib")},
		{Guest: "/lib/libtwo.so", Host: filepath.Join(dir, "two.so")},
	}
	for name, want := range map[string]bool{
		"libone.so.1": true, "libtwo.so": true, "two.so": false, "libone.so": false, "deep": false, "lib": false,
	} {
		if got := Has(files, name); got != want {
			t.Errorf("Has(%s) = %v", name, got)
		}
	}
	if Has([]File{{Guest: "/x", Host: filepath.Join(dir, "absent")}}, "x.so") {
		t.Error("what is not there has a file")
	}
}
