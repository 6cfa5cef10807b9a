package linked

import (
	"bytes"
	"compress/zlib"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestObjects(t *testing.T) {
	file := write(t, "linked", "34 app-x/objects/main.c.o\n0 glibc/lib/crt1.o\n"+
		"272 /usr/lib/gcc/x86_64-linux-gnu/12/../../../x86_64-linux-gnu/libz.a(inflate.o)\n5 /build/obj/a (b).o\n")
	got, known, err := Objects(file)
	want := []Object{
		{"app-x/objects/main.c.o", "", 34},
		{"glibc/lib/crt1.o", "", 0},
		{"/usr/lib/x86_64-linux-gnu/libz.a", "inflate.o", 272},
		{"/build/obj/a (b).o", "", 5},
	}
	if err != nil || !known || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, %v", got, known, err)
	}
	if _, known, err := Objects(filepath.Join(t.TempDir(), "none")); known || err != nil {
		t.Errorf("a list that is not there: %v, %v", known, err)
	}
	if _, _, err := Objects(write(t, "linked", "many bytes\n")); err == nil {
		t.Error("no size was read as one")
	}
}

func compile(t *testing.T, source string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(filepath.Join(dir, "main.c"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "inline.h"), []byte("static int twice(int n) { return 2 * n; }\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "declared.h"), []byte("int abs(int);\ntypedef int number;\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("gcc", append([]string{"-o", program, "-O0", filepath.Join(dir, "main.c"), "-I" + dir},
		args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	return program
}

const source = "#include \"inline.h\"\n#include \"declared.h\"\nint main(int argc, char **argv) { number n = abs(argc); return twice(n); }\n"

// Only a header that gave code counts; one that declares gave none.
func TestHeaders(t *testing.T) {
	headers, err := Headers(compile(t, source, "-g"))
	if err != nil {
		t.Fatal(err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(headers, func(h string) bool { return filepath.Base(h) == name })
	}
	if !has("inline.h") || has("declared.h") || has("main.c") {
		t.Errorf("%q", headers)
	}
	if headers, err := Headers(compile(t, source, "-g0", "-s")); err != nil || len(headers) != 0 {
		t.Errorf("without debugging information: %q, %v", headers, err)
	}
}

// The test's own program is of Go, and so says what is in it; one of C does not.
func TestInside(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Inside(self)
	if err != nil || !slices.ContainsFunc(c.Modules,
		func(m Module) bool { return m.Name == "stdlib" && m.Version != "" && m.Public }) {
		t.Errorf("%+v, %v", c, err)
	}
	for _, m := range c.Modules { // the test's own module was built from a directory
		if strings.HasPrefix(m.Version, "(") {
			t.Errorf("%+v has no version, and yet one", m)
		}
	}
	program := compile(t, source)
	if c, err = Inside(program); err != nil || len(c.Modules) != 0 || c.Complete {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Inside(write(t, "text", "no program")); err == nil {
		t.Error("text was taken for a program")
	}
}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCrates(t *testing.T) {
	const list = `{"packages": [
		{"name": "server", "version": "0.1.0", "source": "local", "root": true, "dependencies": [1, 2]},
		{"name": "libc", "version": "0.2.150", "source": "crates.io"},
		{"name": "fork", "version": "1.0.0", "source": "git"},
		{"name": "cc", "version": "1.0.83", "source": "crates.io", "kind": "build"}]}`
	with := func(section []byte) string {
		program := compile(t, source)
		file := write(t, "crates", string(section))
		if out, err := exec.Command("objcopy", "--add-section", crateSection+"="+file, program).CombinedOutput(); err != nil {
			t.Fatalf("objcopy: %v: %s", err, out)
		}
		return program
	}
	got, err := Inside(with(packed(t, list)))
	want := []Module{
		{"server", "0.1.0", "", Rust, true, false},
		{"libc", "0.2.150", "", Rust, false, true},
		{"fork", "1.0.0", "", Rust, false, false},
	}
	if err != nil || !reflect.DeepEqual(got.Modules, want) || got.Complete {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Inside(with([]byte("not packed"))); err == nil || !strings.Contains(err.Error(), crateSection) {
		t.Errorf("%v", err)
	}
}
