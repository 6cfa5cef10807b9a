package linked

import (
	"compress/zlib"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
)

// crateSection is where `cargo auditable` keeps the list of crates: JSON, packed by zlib.
const crateSection = ".dep-v0"

// maxCrates bounds that list, unpacked. The format allows a reader to do so.
const maxCrates = 8 << 20

func crates(program string) ([]Module, error) {
	f, err := elf.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(crateSection)
	if section == nil {
		return nil, nil
	}
	bad := func(err error) ([]Module, error) {
		return nil, fmt.Errorf("%s: section %s: %w", program, crateSection, err)
	}
	z, err := zlib.NewReader(section.Open())
	if err != nil {
		return bad(err)
	}
	text, err := io.ReadAll(io.LimitReader(z, maxCrates+1))
	if err != nil {
		return bad(err)
	}
	if len(text) > maxCrates {
		return bad(fmt.Errorf("more than %d bytes", maxCrates))
	}
	var list struct {
		Packages []struct {
			Name, Version, Source, Kind string
			Root                        bool
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return bad(err)
	}
	var modules []Module
	for _, p := range list.Packages {
		if p.Kind == "build" { // it ran when the program was made
			continue
		}
		modules = append(modules, Module{
			Name: p.Name, Version: p.Version, Language: Rust, Main: p.Root, Public: p.Source == "crates.io",
		})
	}
	return modules, nil
}
