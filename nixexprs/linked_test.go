package nixexprs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A map in which a member is in memory, one was taken and left nothing, an archive was only looked into, and a merged
// property stands where members end.
const linkerMap = `Archive member included to satisfy reference by file (symbol)

/usr/lib/x86_64-linux-gnu/libz.a(inflate.o)
                              /nix/store/0123456789abcdfghijklmnpqrsvwxyz-app-x/objects/main.c.o (inflate)
/usr/lib/x86_64-linux-gnu/libz.a(empty.o)
                              /usr/lib/x86_64-linux-gnu/libz.a(inflate.o) (nothing)

Merging program properties

Removed property 0xc0000002 to merge /nix/store/0123456789abcdfghijklmnpqrsvwxyz-glibc/lib/crt1.o (not found)

Discarded input sections

 .comment       0x0000000000000000       0x26 /usr/lib/x86_64-linux-gnu/libgone.a(gone.o)

Linker script and memory map

LOAD /nix/store/0123456789abcdfghijklmnpqrsvwxyz-glibc/lib/crt1.o
LOAD /usr/lib/x86_64-linux-gnu/libz.a
LOAD /usr/lib/x86_64-linux-gnu/libcrypt.a
LOAD gates.ld
 .text          0x0000000000401000       0x22 /nix/store/0123456789abcdfghijklmnpqrsvwxyz-app-x/objects/main.c.o
 *fill*         0x0000000000401022        0xe 90909090
 .text.a.long.name
                0x0000000000401030      0x100 /usr/lib/x86_64-linux-gnu/libz.a(inflate.o)
 .rodata        0x0000000000402000       0x10 /usr/lib/x86_64-linux-gnu/libz.a(inflate.o)
 .debug_info    0x0000000000000000      0x999 /nix/store/0123456789abcdfghijklmnpqrsvwxyz-app-x/objects/main.c.o
`

const linkerList = `34 app-x/objects/main.c.o
0 glibc/lib/crt1.o
0 /usr/lib/x86_64-linux-gnu/libz.a(empty.o)
272 /usr/lib/x86_64-linux-gnu/libz.a(inflate.o)
`

func awk(t *testing.T, script, input string, args ...string) string {
	t.Helper()
	cmd := exec.Command("awk", append(args, "-f", script)...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestLinked(t *testing.T) {
	got := strings.Split(awk(t, "linked.awk", linkerMap), "\n")
	want := strings.Split(linkerList, "\n")
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for _, line := range want {
		if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+line+"\n") {
			t.Errorf("no line %q in %q", line, got)
		}
	}
}

// Three links: a partial one, the program, and something else. The awk reads one file a record.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	records := []string{
		"= aa\n= none\n= whole.o\n= /build/obj/sub\n0 part.o\n7 /usr/lib/x86_64-linux-gnu/libz.a(crc32.o)\n",
		"= bb\n= cc\n= prog\n= /build/obj\n5 main.o\n9 ./sub/../sub/whole.o\n3 lib/libown.a(own.o)\n",
		"= dd\n= ee\n= conftest\n= /build/obj\n1 conftest.o\n",
	}
	var files []string
	for i, r := range records {
		files = append(files, filepath.Join(dir, strconv.Itoa(i)))
		if err := os.WriteFile(files[i], []byte(r), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const prog = "5 /build/obj/main.o\n0 /build/obj/sub/part.o\n7 /usr/lib/x86_64-linux-gnu/libz.a(crc32.o)\n3 /build/obj/lib/libown.a(own.o)\n"
	for name, c := range map[string]struct{ sum, code, file, want string }{
		"by content": {"bb", "x", "/elsewhere", prog},
		"by code":    {"x", "cc", "/elsewhere", prog},
		"by path":    {"x", "x", "/build/obj/prog", prog},
		"a partial link": {
			"aa", "none", "/build/obj/sub/whole.o",
			"0 /build/obj/sub/part.o\n7 /usr/lib/x86_64-linux-gnu/libz.a(crc32.o)\n",
		},
		"none": {"x", "none", "/elsewhere", ""},
	} {
		cmd := exec.Command("awk", append([]string{
			"-v", "sum=" + c.sum, "-v", "code=" + c.code, "-v", "file=" + c.file, "-f",
			"links.awk",
		}, files...)...)
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %v\n got %q\nwant %q", name, err, out, c.want)
		}
	}
}

// An object of a package's library stays the package's, whatever archive the commands put it into, and under whatever
// name. One that they changed is theirs.
func TestLinksOfRepackedObjects(t *testing.T) {
	dir := t.TempDir()
	sh := func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-euc", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "LC_ALL=C", "UKL_LINKS="+filepath.Join(dir, "links"), "UKL_LINKED="+
			filepath.Join(dir, "linked.awk"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
		return string(out)
	}
	for _, name := range []string{"ld.sh", "linked.awk", "links.awk", "origins.sh"} {
		text, err := FS.ReadFile(name)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sh(`mkdir links bin package build
		install -m 755 ld.sh bin/ld
		cd build
		for name in one two three four; do
			echo "int $name(void) { return sizeof \"$name\"; }" >$name.c
			gcc -g -c $name.c
		done
		ar rc ../package/libp.a one.o two.o three.o
		cp four.o ../package/start.o
		echo 'int one(void), two(void), three(void), four(void);
			int main(void) { return one() + two() + three() + four(); }' >main.c
		gcc -c main.c
		mv one.o renamed.o
		objcopy --strip-debug three.o
		ar rc libown.a renamed.o three.o
		gcc -B../bin/ -o prog main.o libown.a two.o four.o`)
	links := `sum=$(sha256sum <build/prog)
		awk -v sum="${sum%% *}" -v code=none -v file=none -v origins=origins -f links.awk links/*`
	const own, rest = "/build/libown.a(renamed.o)\n", "/build/libown.a(three.o)\n"
	got := strings.ReplaceAll(sh(": >origins\n"+links), dir, "")
	for _, want := range []string{own, rest, "/build/two.o\n", "/build/four.o\n", "/build/main.o\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("without origins there is no %q in:\n%s", want, got)
		}
	}
	got = strings.ReplaceAll(sh("sh -eu origins.sh links package >origins\n"+links), dir, "")
	for _, want := range []string{
		" package/libp.a(one.o)\n", " package/libp.a(two.o)\n", " package/start.o\n", rest, "/build/main.o\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	for _, not := range []string{own, "/build/two.o", "/build/four.o", "libp.a(three.o)"} {
		if strings.Contains(got, not) {
			t.Errorf("%q in:\n%s", not, got)
		}
	}
}
