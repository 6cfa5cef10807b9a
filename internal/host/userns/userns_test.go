package userns

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRemedy(t *testing.T) {
	const none = "no namespaces below a chroot; a container needs"
	for _, c := range []struct {
		file, value string
		root        bool
		want        string
	}{
		{"kernel/unprivileged_userns_clone", "0\n", false, "sudo sysctl kernel.unprivileged_userns_clone=1"},
		{"kernel/unprivileged_userns_clone", "1\n", false, none},
		{
			"kernel/apparmor_restrict_unprivileged_userns", "1\n", false,
			"sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
		},
		{"user/max_user_namespaces", "0\n", true, "sysctl user.max_user_namespaces=10000"},
		{"user/max_user_namespaces", "63000\n", true, none},
	} {
		sys := t.TempDir()
		file := filepath.Join(sys, c.file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(c.value), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := remedy(sys, c.root); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s = %q: %q, want %q", c.file, c.value, got, c.want)
		}
	}
}

func TestTry(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := Try(context.Background(), self, "-test.run=^$"); err != nil {
		t.Errorf("%v (%s)", err, Remedy())
	}
	if err := Try(context.Background(), "/nothere"); err == nil {
		t.Error("a program that is not there runs")
	}
}
