package pins

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ukl/internal/host/nix"
	"ukl/internal/pin/facts"
	"ukl/nixexprs"
)

// update reads the packages again: go test ./internal/pin/pins -run TestFactsOfTools -update. `ukl pins update` does it
// as well, for packages that are new.
var update = flag.Bool("update", false, "write the facts of the tools' packages anew")

// The facts that come along are those of the pinned packages, of all of them and of no other. What the store has of
// them is read.
func TestFactsOfTools(t *testing.T) {
	l, err := Load(nixexprs.FS)
	if err != nil {
		t.Fatal(err)
	}
	pins := append(l.ImagePins(), l.Of(Data)...)
	if *update {
		set, err := readFacts(t.Context(), nil, pins, "", Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		clear(set.Texts)
		if err := set.Write("../../.."); err != nil {
			t.Fatal(err)
		}
		return
	}
	set := facts.Tools()
	for _, p := range pins {
		if f, ok := set.Packages[p.SHA256]; !ok {
			t.Errorf("no facts of %s: ukl pins update reads them", p)
		} else if f.License == "" && f.Copied == "" {
			t.Errorf("%s has no licence", p)
		}
	}
	if len(set.Packages) != len(pins) {
		t.Errorf("facts of %d packages, and %d are pinned", len(set.Packages), len(pins))
	}
	read := 0
	for _, p := range pins {
		const small = 300_000
		r, err := os.Open(nix.Physical(p.StorePath()))
		if err != nil || p.Size > small {
			continue
		}
		again := facts.NewSet()
		if err := again.Add(p.Name, p.SHA256, r); err != nil {
			t.Error(err)
		}
		r.Close()
		one := facts.NewSet()
		one.Merge(set)
		one.Only([]string{p.SHA256})
		again.Only([]string{p.SHA256})
		if !bytes.Equal(one.Format(), again.Format()) {
			t.Errorf("the facts of %s are\n%s\nand ukl has\n%s", p, again.Format(), one.Format())
		}
		read++
	}
	t.Logf("%d packages, %d of them read", len(pins), read)
}

// A package that is not one of the tools is read once, and remembered after that; what is remembered in another shape
// is read again.
func TestFactsAreRemembered(t *testing.T) {
	dir := t.TempDir()
	p := Pin{Name: "own", SHA256: strings.Repeat("ab", 32), Path: "pool/main/o/own/own_1_all.deb"}
	one := facts.NewSet()
	one.Packages[p.SHA256] = facts.Facts{Source: "own", SourceVersion: "1"}
	if err := os.WriteFile(factsFile(dir, p), one.Format(), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := Facts(t.Context(), nil, []Pin{
		p,
		{Name: "x.tar", URL: "https://x/x.tar", SHA256: strings.Repeat("cd", 32)},
	}, dir, Options{}, nil)
	if err != nil || set.Packages[p.SHA256].Source != "own" {
		t.Errorf("%+v, %v", set, err)
	}
	if err := os.WriteFile(factsFile(dir, p), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := remembered(dir, p); err == nil {
		t.Error("an empty file is taken for facts")
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
		t.Errorf("%q", files)
	}
}

// QEMU's packages are in no image, and those of data beside one only if they are asked for.
func TestImagePins(t *testing.T) {
	l, err := Load(nixexprs.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range l.ImagePins() {
		if slices.Equal(p.Groups, []string{"qemu"}) {
			t.Errorf("%s is only QEMU's", p)
		}
		if slices.Contains(p.Groups, Data) {
			t.Errorf("%s is in no image", p)
		}
	}
	for want, got := range map[string][]Pin{
		"[]": l.Asked(false, false), "[ca-certificates]": l.Asked(true, false), "[tzdata]": l.Asked(false, true),
		"[ca-certificates tzdata]": l.Asked(true, true),
	} {
		names := []string{}
		for _, p := range got {
			names = append(names, p.Name)
		}
		if fmt.Sprint(names) != want {
			t.Errorf("asked for %s: %v", want, names)
		}
	}
}
