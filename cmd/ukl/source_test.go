package main

import (
	"os"
	"path/filepath"
	"testing"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/build/handover"
	"ukl/internal/build/stage"
	"ukl/internal/host/nix"
	"ukl/internal/report/sbom"
	"ukl/nixexprs"
)

// TestHandoverBuildsAlone: from the folder of `ukl source` and nothing else of ukl, Nix makes the same derivation of an
// image as from the checkout.
func TestHandoverBuildsAlone(t *testing.T) {
	if os.Getenv(bootEnv) == "off" {
		t.Skipf("%s=off", bootEnv)
	}
	n, err := nix.Find()
	if err != nil {
		t.Fatal(err)
	}
	expressions, err := nixexprs.Extract(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	checkout, err := stage.Source()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "hello-source")
	c := handover.Contents{
		App:  apps.App{Manifest: &manifest.Manifest{Name: "hello"}, Short: "hello", Bundled: true},
		List: sbom.Image{Name: "hello"}, Config: filepath.Join(expressions, "pins.json"),
		Expressions: expressions, Builder: os.DirFS(checkout),
	}
	if _, err := handover.Write(t.Context(), folder, c, handover.Options{}); err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	for _, place := range []string{checkout, folder} {
		made[place], err = n.Instantiate(t.Context(), nix.Request{
			Expr: filepath.Join(place, "nixexprs"), Attr: "apps.hello.image", Args: map[string]string{"checkout": place},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if made[folder] != made[checkout] {
		t.Errorf("the folder makes %s, the checkout %s", made[folder], made[checkout])
	}
}
