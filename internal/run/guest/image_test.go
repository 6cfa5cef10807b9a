package guest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukl/internal/machine/qemu"
)

func TestFit(t *testing.T) {
	dir, host := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "usr/lib/deep"), 0o755), os.MkdirAll(filepath.Join(dir, "usr/bin"), 0o755),
		os.Symlink("usr/lib", filepath.Join(dir, "lib")), os.Symlink("/usr/bin", filepath.Join(dir, "bin")),
		os.Symlink("round", filepath.Join(dir, "round")), os.Symlink("app", filepath.Join(dir, "usr/bin/alias")),
		os.WriteFile(filepath.Join(dir, "usr/bin/app"), nil, 0o755),
		os.WriteFile(filepath.Join(dir, "usr/lib/x"), nil, 0o644),
		os.WriteFile(filepath.Join(host, "file"), nil, 0o644), os.Mkdir(filepath.Join(host, "dir"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ guest, host, want string }{
		{"/lib/mine", "file", "/usr/lib/mine"},
		{"/lib/new/mine", "file", "/usr/lib/new/mine"},
		{"/lib/x", "file", "/usr/lib/x"},
		{"/lib", "dir", "/usr/lib"},
		{"/bin/tool", "file", "/usr/bin/tool"},
		{"/etc/x", "file", "/etc/x"},
		{"/usr/bin", "file", `[files] "/usr/bin": it is a directory of the root file system, and `},
		{"/bin/app", "file", `[files] "/bin/app": the application is there`},
		{"/lib/x/y", "file", `[files] "/lib/x/y": /usr/lib/x is no directory in the root file system`},
		{"/lib/x", "dir", `[files] "/lib/x": it is a file of the root file system, and `},
		{"/round/x", "file", `[files] "/round/x": /round leads in a circle in the root file system`},
	} {
		o := Options{Place: "/usr/bin/app", Files: []File{{Guest: c.guest, Host: filepath.Join(host, c.host)}}}
		got := ""
		if err := o.Fit(LookIn(dir)); err != nil {
			got = err.Error()
		} else {
			got = o.Files[0].Guest
		}
		if got != c.want && (c.want[0] == '/' || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s, %s: %s; want %s", c.guest, c.host, got, c.want)
		}
	}
	for guest, good := range map[string]bool{
		"/lib/deep": true, "/mnt": true, "/": true, "/usr": false, "/bin": false, "/usr/bin/app": false, "/lib/x": false,
	} {
		o := Options{Place: "/usr/bin/app", Machine: qemu.Machine{Volumes: []qemu.Volume{{Guest: guest}}}}
		err := o.Fit(LookIn(dir))
		if blocked := new(Blocked); (err == nil) != good || err != nil && !errors.As(err, &blocked) {
			t.Errorf("%s: %v", guest, err)
		}
	}
}
