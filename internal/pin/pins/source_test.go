package pins

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const lockTime = "20260101T000000Z"

// sourceArchives are archives of source packages on loopback, each below a prefix: NAME VERSION each. All is served,
// lists and files, but for the files below the missing paths.
func sourceArchives(t *testing.T, archives map[string][]string, missing ...string) string {
	t.Helper()
	files := map[string]string{}
	for prefix, list := range archives {
		suite, pool := suite, "pool/main/"
		if strings.Contains(prefix, "-security") {
			suite, pool = suite+"-security", "pool/updates/main/"
		}
		var b strings.Builder
		for _, p := range list {
			name, version, _ := strings.Cut(p, " ")
			_, inFile, epoch := strings.Cut(version, ":")
			if !epoch {
				inFile = version
			}
			fmt.Fprintf(&b, "Package: %[1]s\nBinary: %[1]s\nArchitecture: any\nFormat: 3.0 (quilt)\nMaintainer: x\nVersion: %[2]s\nDirectory: %[3]s%[1]s\n", name, version, pool)
			var sums, old strings.Builder
			for _, file := range []string{
				name + "_" + inFile + ".dsc",
				name + "_" + strings.Split(inFile, "-")[0] + ".orig.tar.xz",
			} {
				text := "text of " + file
				files[prefix+"/"+pool+name+"/"+file] = text
				fmt.Fprintf(&sums, " %s %d %s\n", digest([]byte(text)), len(text), file)
				fmt.Fprintf(&old, " %032d %d %s\n", 0, len(text), file)
			}
			fmt.Fprintf(&b, "Files:\n%sChecksums-Sha256:\n%s\n", &old, &sums)
		}
		index := "main/source/Sources"
		base := prefix + "/dists/" + suite
		files[base+"/"+index] = b.String()
		// One that is as old as a snapshot: apt refuses it unless it is told not to.
		files[base+"/Release"] = fmt.Sprintf("Origin: Debian\nCodename: %s\nArchitectures: amd64\nComponents: main\nDate: %s\nValid-Until: %s\nSHA256:\n %s %d %s\n",
			suite, time.Now().UTC().AddDate(0, -1, 0).
				Format(time.RFC1123), validUntil(prefix), digest([]byte(b.String())), b.Len(), index)
	}
	return unsigned(t, files, missing)
}

func validUntil(prefix string) string {
	days := 1
	if strings.HasPrefix(prefix, "/snap/") {
		days = -20
	}
	return time.Now().UTC().AddDate(0, 0, days).Format(time.RFC1123)
}

func archivesOfSources() map[string][]string {
	return map[string][]string{
		"/debian":                                {"zlib 1:1.2.13.dfsg-1", "moved 2-1"},
		"/debian-security":                       {"openssl 3.0.22-1~deb12u2"},
		"/snap/debian/" + lockTime:               {"zlib 1:1.2.13.dfsg-1", "moved 1-1"},
		"/snap/debian-security/" + lockTime:      {"openssl 3.0.21-1"},
		"/snap/debian/20250101T000000Z":          nil,
		"/snap/debian-security/20250101T000000Z": nil,
	}
}

// A source package is found in the lists of the mirrors, or, if they have another version now, in those of the lock's
// time; its files are then fetched by their paths.
func TestResolveSources(t *testing.T) {
	base := sourceArchives(t, archivesOfSources())
	o := Options{Snapshot: base + "/snap", NoPublic: true}
	ask := []SourcePackage{
		{Name: "zlib", Version: "1:1.2.13.dfsg-1"},
		{Name: "openssl", Version: "3.0.22-1~deb12u2"},
		{Name: "moved", Version: "1-1"},
	}
	found, err := ResolveSources(context.Background(), ask, []string{lockTime}, o)
	if err != nil {
		t.Fatal(err)
	}
	var all []Pin
	for i, want := range []string{
		"main pool/main/zlib/zlib_1.2.13.dfsg-1.dsc main pool/main/zlib/zlib_1.2.13.dfsg.orig.tar.xz",
		"security pool/updates/main/openssl/openssl_3.0.22-1~deb12u2.dsc security pool/updates/main/openssl/openssl_3.0.22.orig.tar.xz",
		"main pool/main/moved/moved_1-1.dsc main pool/main/moved/moved_1.orig.tar.xz",
	} {
		var got []string
		for _, f := range found[i].Files {
			got = append(got, f.Archive, f.Path)
			all = append(all, f)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q", found[i], got)
		}
	}
	dir := t.TempDir()
	if err := Download(context.Background(), dir, all, o, nil); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 6 || !slices.Contains(files, filepath.Join(dir, "openssl_3.0.22-1~deb12u2.dsc")) {
		t.Errorf("%q", files)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "moved_1-1.dsc")); err != nil ||
		string(text) != "text of moved_1-1.dsc" {
		t.Errorf("%s, %v", text, err)
	}
	// What is there already is not asked for.
	before, err := os.Stat(filepath.Join(dir, "zlib_1.2.13.dfsg-1.dsc"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Download(context.Background(), dir, found[0].Files, Options{Mirror: NoMirror, NoApt: true},
		nil); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(before.Name()); err == nil && !os.SameFile(before, after) {
		t.Error("it was fetched again")
	}
}

// A file that the mirrors list and do not serve comes from the snapshot archive.
func TestDownloadOfListedAndMissing(t *testing.T) {
	const name = "openssl_3.0.22-1~deb12u2"
	archives := archivesOfSources()
	archives["/snap/debian-security/"+lockTime] = archives["/debian-security"]
	base := sourceArchives(t, archives, "/debian-security/pool/")
	o := Options{Snapshot: base + "/snap", NoPublic: true}
	ask := []SourcePackage{{Name: "openssl", Version: "3.0.22-1~deb12u2"}}
	found, err := ResolveSources(context.Background(), ask, []string{lockTime, "20250101T000000Z"}, o)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Download(context.Background(), dir, found[0].Files, o, nil); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, name+".dsc")); err != nil || string(text) != "text of "+name+".dsc" {
		t.Errorf("%s, %v", text, err)
	}
}

// A version that no list has is an error that names it, and no other version is taken for it.
func TestResolveSourcesMissing(t *testing.T) {
	base := sourceArchives(t, archivesOfSources())
	for snapshot, o := range map[string]Options{
		lockTime:           {Mirror: NoMirror},
		"20250101T000000Z": {Snapshot: base + "/snap", NoPublic: true},
	} {
		var none *NoSource
		_, err := ResolveSources(context.Background(),
			[]SourcePackage{{Name: "zlib", Version: "1:1.2.13.dfsg-1"}, {Name: "moved", Version: "1-1"}}, []string{snapshot}, o)
		if !errors.As(err, &none) || len(none.Packages) != 1 || none.Packages[0].Name != "moved" ||
			!strings.Contains(none.Hint(), SnapshotEnv) {
			t.Errorf("%s: %v", snapshot, err)
		}
	}
	if found, err := ResolveSources(context.Background(), nil, nil, Options{}); found != nil || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	t.Setenv("PATH", t.TempDir())
	var noapt *NoApt
	if _, err := ResolveSources(context.Background(), []SourcePackage{{Name: "zlib", Version: "1"}}, nil,
		Options{}); !errors.As(err, &noapt) {
		t.Errorf("%v", err)
	}
}

// A file with another content than the list says is refused.
func TestDownloadRefusesAnother(t *testing.T) {
	sourceArchives(t, archivesOfSources())
	p := Pin{
		Name: "x", Archive: Main, Path: "pool/main/zlib/zlib_1.2.13.dfsg-1.dsc", SHA256: strings.Repeat("0", 64),
		Size: 30,
	}
	dir := t.TempDir()
	var wrong *Mismatch
	if err := Download(context.Background(), dir, []Pin{p}, Options{Mirror: NoMirror}, nil); !errors.As(err, &wrong) {
		t.Errorf("%v", err)
	}
	p.Path = "pool/main/zlib/none.dsc"
	var nowhere *Unavailable
	if err := Download(context.Background(), dir, []Pin{p}, Options{Mirror: NoMirror}, nil); !errors.As(err, &nowhere) {
		t.Errorf("%v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.dsc")); len(files) != 0 {
		t.Errorf("%q", files)
	}
}
