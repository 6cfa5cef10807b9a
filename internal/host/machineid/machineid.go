// Package machineid makes identities of virtual machines from that of this machine: the same for the same guest at each
// run, another for each guest and on each machine. Nobody can find the host's identity from that of a guest.
package machineid

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ukl/internal/host/folders"
)

// Host is where the identity of this machine is.
type Host struct {
	Files []string // that may have it
	Own   string   // the file that ukl keeps one in where none of Files has; "" is none
}

// Local is this machine.
func Local() Host {
	h := Host{Files: []string{"/etc/machine-id", "/var/lib/dbus/machine-id"}}
	if data, err := folders.Data(); err == nil {
		h.Own = filepath.Join(data, "ukl", "machine-id")
	}
	return h
}

// Guest is the identity of a guest: 32 hexadecimal digits, as machine-id(5) has them. guest names it on this machine.
func (h Host) Guest(guest string) (string, error) {
	key, err := h.key()
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("ukl guest\x00" + guest))
	id := mac.Sum(nil)[:size]
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a UUID of version 4
	return hex.EncodeToString(id), nil
}

func (h Host) key() ([]byte, error) {
	for _, file := range h.Files {
		if id := read(file); id != nil {
			return id, nil
		}
	}
	if h.Own == "" {
		return nil, errors.New("neither this machine nor ukl has an identity")
	}
	if id := read(h.Own); id != nil {
		return id, nil
	}
	if err := os.MkdirAll(filepath.Dir(h.Own), 0o700); err != nil {
		return nil, err
	}
	return h.make()
}

// make gives this machine an identity. Of two runs that do so at once, the second takes that of the first.
func (h Host) make() ([]byte, error) {
	id := make([]byte, size)
	rand.Read(id) // it never fails
	f, err := os.CreateTemp(filepath.Dir(h.Own), ".machine-id-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintln(f, hex.EncodeToString(id))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	err = os.Link(f.Name(), h.Own)
	if errors.Is(err, fs.ErrExist) {
		if other := read(h.Own); other != nil {
			return other, nil
		}
		err = os.Rename(f.Name(), h.Own) // what is there is no identity
	}
	return id, err
}

// size of an identity.
const size = 16

// read returns the identity in a file; nil if there is none. That of a machine which has not started yet is a word, or
// nothing.
func read(file string) []byte {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	id, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(id) != size || strings.Trim(string(id), "\x00") == "" {
		return nil
	}
	return id
}
