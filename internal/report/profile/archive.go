package profile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// The format of archives: the System V variant in which GNU ar writes them (/usr/include/ar.h).
const (
	archiveMagic = "!<arch>\n"
	headerSize   = 60
	nameSize     = 16
	sizeAt       = 48
	sizeEnd      = 58
)

var errArchive = errors.New("this is no archive as GNU ar writes it")

// add enters what an archive's index and its table of members say.
func (n names) add(archive []byte) error {
	rest, ok := bytes.CutPrefix(archive, []byte(archiveMagic))
	if !ok {
		return errArchive
	}
	var long []byte // names that do not fit into a header
	for len(rest) > 0 {
		if len(rest) < headerSize {
			return errArchive
		}
		name := strings.TrimRight(string(rest[:nameSize]), " ")
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[sizeAt:sizeEnd])))
		if err != nil || size < 0 || size > len(rest)-headerSize {
			return errArchive
		}
		content := rest[headerSize : headerSize+size]
		rest = rest[min(len(rest), headerSize+size+size&1):]
		switch {
		case name == "/":
			if err := n.index(content); err != nil {
				return err
			}
		case name == "//":
			long = content
		case strings.HasPrefix(name, "/"):
			at, err := strconv.Atoi(name[1:])
			if err != nil || at < 0 || at >= len(long) {
				return errArchive
			}
			end := bytes.IndexByte(long[at:], '/')
			if end < 0 {
				return errArchive
			}
			n.members[base(string(long[at:at+end]))] = true
		default:
			n.members[base(strings.TrimSuffix(name, "/"))] = true
		}
	}
	return nil
}

// index enters the global symbols: their number, as many offsets, all of 32 bits, and their names.
func (n names) index(content []byte) error {
	const word = 4
	if len(content) < word {
		return nil // of an archive without symbols
	}
	count := int(binary.BigEndian.Uint32(content))
	if count > len(content)/word-1 {
		return errArchive
	}
	list := bytes.Split(content[word+word*count:], []byte{0})
	if len(list) < count {
		return errArchive
	}
	for _, name := range list[:count] {
		n.global[string(name)] = true
	}
	return nil
}
