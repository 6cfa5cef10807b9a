package pins

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// release is a Debian release and its security archive on loopback: SUITE to NAME VERSION DEPENDENCIES each.
func release(t *testing.T, packages map[string][]string) string {
	t.Helper()
	lists := map[string]string{}
	for suite, list := range packages {
		base, pool := "/debian/dists/"+suite, "pool/main/"
		if strings.HasSuffix(suite, "-security") {
			base, pool = "/debian-security/dists/"+suite, "pool/updates/main/"
		}
		var b strings.Builder
		for _, p := range list {
			f := strings.Fields(p + " -")
			fmt.Fprintf(&b, "Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: x\nDescription: x\n", f[0], f[1])
			if f[2] != "-" {
				fmt.Fprintf(&b, "Depends: %s\n", f[2])
			}
			fmt.Fprintf(&b, "Filename: %s%s_%s_amd64.deb\nSize: 7\nSHA256: %s\n\n", pool, f[0], strings.TrimPrefix(f[1], "1:"),
				digest([]byte(p)))
		}
		index := "main/binary-amd64/Packages"
		lists[base+"/"+index] = b.String()
		lists[base+"/Release"] = fmt.Sprintf("Origin: Debian\nCodename: %s\nArchitectures: amd64\nComponents: main\nDate: %s\nSHA256:\n %s %d %s\n",
			suite, time.Now().UTC().Format(time.RFC1123), digest([]byte(b.String())), b.Len(), index)
	}
	return unsigned(t, lists, nil)
}

// offered has a version of everything that want.go asks for; more are added to it.
func offered(more ...string) []string {
	list := []string{"libx 1"}
	for _, w := range wants {
		for _, p := range w.packages {
			list = append(list, p+" 1:1.0+b1 libx")
		}
	}
	for _, p := range sources {
		list = append(list, p+" 5")
	}
	for _, meta := range kernels {
		list = append(list, meta+" 6.1.9 linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-9-cloud-amd64 6.1.9 libx")
	}
	slices.Sort(list)
	return append(slices.Compact(list), more...)
}

// The newest of the release and of its security archive is taken, and the lock says of which it is.
func TestResolveTakesTheNewest(t *testing.T) {
	release(t, map[string][]string{
		"bookworm": offered(),
		"bookworm-security": {
			"bash 1:1.0+b1+deb12u1 libx", "dash 1:0.9", "linux-source-6.1 6.1.192-3",
			"linux-source-6.1 6.1.190-1",
			"linux-image-cloud-amd64 6.1.10 linux-image-6.1.0-10-cloud-amd64",
			"linux-image-6.1.0-10-cloud-amd64 6.1.10 libx",
		},
	})
	o := Options{Mirror: NoMirror}
	l, err := Resolve(context.Background(), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"bash":             "security 1:1.0+b1+deb12u1 pool/updates/main/bash_1.0+b1+deb12u1_amd64.deb",
		"dash":             "main 1:1.0+b1 pool/main/dash_1.0+b1_amd64.deb",
		"libx":             "main 1 pool/main/libx_1_amd64.deb",
		"linux-source-6.1": "security 6.1.192-3 pool/updates/main/linux-source-6.1_6.1.192-3_amd64.deb",
		"glibc-source":     "main 5 pool/main/glibc-source_5_amd64.deb",

		"linux-image-6.1.0-10-cloud-amd64": "security 6.1.10 pool/updates/main/linux-image-6.1.0-10-cloud-amd64_6.1.10_amd64.deb",
	} {
		p := l.Packages[name]
		if got := p.Archive + " " + p.Version + " " + p.Path; got != want || !isHash(p.SHA256) || p.Size != 7 {
			t.Errorf("%s: %s, %+v", name, got, p)
		}
	}
	// The kernel of mode distro is what the meta package of the security archive names, and only that.
	if got := l.Sources[Distro]; got != "linux-image-6.1.0-10-cloud-amd64" {
		t.Errorf("the kernel of mode distro is %q", got)
	}
	for _, name := range []string{"linux-image-cloud-amd64", "linux-image-6.1.0-9-cloud-amd64"} {
		if _, ok := l.Packages[name]; ok {
			t.Errorf("%s is pinned", name)
		}
	}
	for _, p := range l.ImagePins() {
		if slices.Contains(p.Groups, Distro) {
			t.Errorf("images are said to be made of %s", p.Name)
		}
	}
	if !isSnapshot(l.Snapshot) || !slices.Contains(l.Trees["tools"].Packages, "libx") {
		t.Errorf("%s, %q", l.Snapshot, l.Trees["tools"].Packages)
	}
	// Nothing of data's packages runs, so what they need is not among them.
	if got := l.Trees[Data].Packages; !slices.Equal(got, []string{certificates, timezones}) {
		t.Errorf("data: %q", got)
	}
	// A tree that is new in want.go does not make the lock of others unreadable before it is measured.
	delete(l.Trees, Data)
	for n, tree := range l.Trees {
		tree.NarHash = "sha256-" + strings.Repeat("B", 43) + "="
		l.Trees[n] = tree
	}
	more, err := Resolve(context.Background(), l, o)
	if err != nil {
		t.Fatal(err)
	}
	for n, tree := range more.Trees {
		if _, err := FromSRI(tree.NarHash); err != nil {
			t.Errorf("tree %s: %v", n, err)
		}
	}
	// What did not move keeps its time, so that the lock's file stays the same.
	l.Snapshot = "20000101T000000Z"
	if again, err := Resolve(context.Background(), l, o); err != nil || again.Snapshot != l.Snapshot {
		t.Errorf("%v, %v", again, err)
	}
}

// A kernel with another ABI has another name, and is the successor all the same.
func TestOutdatedKernel(t *testing.T) {
	const meta = "linux-image-cloud-amd64"
	const nine, ten = "linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-10-cloud-amd64"
	release(t, map[string][]string{
		"bookworm":          {meta + " 6.1.9 " + nine, nine + " 6.1.9"},
		"bookworm-security": {meta + " 6.1.10 " + ten, ten + " 6.1.10"},
	})
	for _, c := range []struct {
		pin  Pin
		want string
	}{
		{Pin{Name: nine, Version: "6.1.9", Path: "pool/k_6_amd64.deb", Groups: []string{Distro}}, "6.1.10"},
		{Pin{Name: ten, Version: "6.1.10", Path: "pool/k_6_amd64.deb", Groups: []string{Distro}}, ""},
		// Whoever wants just this one.
		{Pin{Name: nine, Version: "6.1.9", Path: "pool/k_6_amd64.deb", Groups: []string{"tools"}}, ""},
	} {
		behind, _, err := Outdated(context.Background(), []Pin{c.pin}, Options{Mirror: NoMirror}, true)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, b := range behind {
			got += b.Newest
			if b.Name != c.pin.Name || b.Archive != Security {
				t.Errorf("%+v", b)
			}
		}
		if got != c.want {
			t.Errorf("%s %q: behind %q, want %q", c.pin.Name, c.pin.Groups, got, c.want)
		}
	}
}

func TestOutdated(t *testing.T) {
	release(t, map[string][]string{
		"bookworm":          {"a 1", "b 1.10", "c 2", "d 1:1"},
		"bookworm-security": {"b 1.10+deb12u1", "c 1.9"},
	})
	pins := []Pin{
		{Name: "a", Version: "1"},
		{Name: "b", Version: "1.9", Groups: []string{"tools"}},
		{Name: "c", Version: "2"},
		{Name: "d", Version: "3"},
		{Name: "newer", Version: "1"},
		{Name: "archive", URL: "https://x/archive"},
	}
	for i := range pins[:5] {
		pins[i].Path = "pool/" + pins[i].Name + "_amd64.deb"
	}
	ctx, o := context.Background(), Options{Mirror: NoMirror}
	// Nobody has looked yet: nothing is asked.
	if behind, made, err := Outdated(ctx, pins, o, false); behind != nil || !made.IsZero() || err != nil {
		t.Errorf("%v, %v, %v", behind, made, err)
	}
	for _, refresh := range []bool{true, false} {
		behind, made, err := Outdated(ctx, pins, o, refresh)
		want := "[{b 1.9 1.10+deb12u1 security [tools]} {d 3 1:1 main []}]"
		if err != nil || fmt.Sprint(behind) != want || time.Since(made) > time.Hour {
			t.Errorf("%v: %v as of %v: %v", refresh, behind, made, err)
		}
	}
	if behind, _, err := Outdated(ctx, pins[:1], o, true); err != nil || len(behind) != 0 {
		t.Errorf("%v, %v", behind, err)
	}
}

// A mirror that cannot be asked is an error that says so; package lists of an earlier time are not taken for the
// newest.
func TestOutdatedWithoutAMirror(t *testing.T) {
	release(t, map[string][]string{"bookworm": {"a 2"}, "bookworm-security": nil})
	pins := []Pin{{Name: "a", Version: "1", Path: "pool/a_amd64.deb"}}
	ctx := context.Background()
	if _, _, err := Outdated(ctx, pins, Options{Mirror: NoMirror}, true); err != nil {
		t.Fatal(err)
	}
	var none *NoApt
	_, _, err := Outdated(ctx, pins, Options{Mirror: "http://127.0.0.1:1/debian"}, true)
	if !errors.As(err, &none) || !strings.Contains(err.Error(), "127.0.0.1:1") ||
		!strings.Contains(none.Hint(), "--mirror") {
		t.Errorf("got %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err := Outdated(ctx, pins, Options{}, true); !errors.As(err, &none) ||
		!strings.Contains(none.Hint(), "Debian") {
		t.Errorf("got %v", err)
	}
}

func TestResolveOwn(t *testing.T) {
	release(t, map[string][]string{
		"bookworm": {
			"libz-dev 1 libz,gcc", "libz 1", "gcc 1", "server 1 libz,gcc,adduser,base-files", "adduser 1 perl", "perl 1",
			"base-files 1",
		},
		"bookworm-security": {"libz 2"},
	})
	l := &Lock{Trees: map[string]Tree{"tools": {Packages: []string{"gcc"}}}}
	own, err := ResolveOwn(context.Background(), l, Wants{Packages: []string{"libz-dev"}}, Options{Mirror: NoMirror})
	if err != nil {
		t.Fatal(err)
	}
	if len(own.Packages) != 2 || own.Packages["libz"].Archive != Security || own.Packages["libz-dev"].Archive != Main ||
		!isSnapshot(own.Snapshot) {
		t.Errorf("%+v", own)
	}
	own, err = ResolveOwn(context.Background(), l, Wants{Root: []string{"server"}}, Options{Mirror: NoMirror})
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(own.Root.Packages))
	if want := []string{"base-files", "gcc", "libz", "server"}; !slices.Equal(got, want) || len(own.Packages) != 0 {
		t.Errorf("the root has %q, want %q; the build %v", got, want, own.Packages)
	}
	var none *NoPackage
	if _, err := ResolveOwn(context.Background(), l, Wants{Packages: []string{"liby-dev"}},
		Options{Mirror: NoMirror}); !errors.As(err, &none) {
		t.Errorf("got %v", err)
	}
}
