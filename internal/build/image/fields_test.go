package image

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/nixexprs"
)

// Nix reads the same of a manifest from ukl's JSON as from the TOML, which other flakes give it: for all applications
// that come along, and for files that have every key of a build.
func TestFieldsAreWhatNixReads(t *testing.T) {
	if _, err := exec.LookPath("nix-instantiate"); err != nil {
		t.Skip("needs Nix")
	}
	expr := extracted(t)
	dirs := map[string]*manifest.Manifest{}
	all, err := apps.New(nixexprs.FS).List()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		dirs[a.Arguments(expr)["app"]] = a.Manifest
	}
	hash := strings.Repeat("0", 64)
	for name, text := range map[string]string{
		"bare": "",
		"sources": `sources = ["*.c", 'a "b".c']` + "\ninclude = [\"inc\"]\ncflags = [\"-DX=\\\"ä\\\"\"]\ncxxflags = [\"-O3\"]\n" +
			"ldflags = []\nlibs = [\"m\"]\nargs = [\"x\"]\nports = [80]\n[unikernel]\ncalls = \"bypass\"\n" +
			"[kernel]\nconfig = [\"CONFIG_NLS=y\"]\n",
		"program": "name = \"own\"\nbuild = [\"make\", \"true\"]\nprogram = \"x\"\n[source]\nurl = \"pool/main/a/a.tar\"\nsha256 = \"" +
			hash + "\"\npatches = [\"*.c\"]\nlimit = \"8G\"\n",
		"objects":  "build = [\"make\"]\nobjects = [\"*.o\"]\npackages = [\"libx-dev\"]\n",
		"prebuilt": "prebuilt = \"main.c\"\n",
	} {
		dir := filepath.Join(t.TempDir(), name)
		write(t, dir, manifest.File, text)
		write(t, dir, "ukl.lock", `{"packages": {"libx-dev": {"path": "x"}}}`)
		for _, file := range []string{"main.c", `a "b".c`, "inc/x.h"} {
			write(t, dir, file, "")
		}
		m, err := manifest.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		dirs[dir] = m
	}
	for dir, m := range dirs {
		text, err := m.Fields("")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "fields.json")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		// The archive's own keys that Nix does not name are left out.
		read := fmt.Sprintf(`let
			read = fields: let m = import %s/manifest.nix { dir = %q; inherit fields; }; in
				m // { archive = if m.archive == null then null else { inherit (m.archive) url sha256; }; };
			toml = read null; json = read %q;
			differs = builtins.filter (n: toml.${n} != json.${n}) (builtins.attrNames (toml // json));
		in builtins.toJSON (map (n: { inherit n; toml = toml.${n}; json = json.${n}; }) differs)`, expr, dir, file)
		out, err := exec.Command("nix-instantiate", "--eval", "--expr", read).CombinedOutput()
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), `"[]"`) {
			t.Errorf("%s: %v: %s", dir, err, out)
		}
	}
}

func extracted(t *testing.T) string {
	t.Helper()
	dir, err := nixexprs.Extract(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
