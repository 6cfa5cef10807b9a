package guest

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"ukl/internal/machine/qemu"
)

func TestFindUser(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"passwd":     "root:x:0:0::/root:\nada:x:12:34::/home/ada:\n",
		"group":      "root:x:0:\nsys:x:3:ada\nadm:x:4:ada,bob\n",
		"etc/passwd": "root:x:0:0::/:\nada:x:99:99::/:\n",
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	files := []File{
		{Guest: passwd, Host: filepath.Join(dir, "passwd")}, {Guest: group, Host: filepath.Join(dir, "group")},
	}
	packed := func(path string) ([]byte, error) {
		if path == passwd {
			return []byte("ada:x:7:8::/packed:\n"), nil
		}
		return nil, nil
	}
	for _, c := range []struct {
		name, spec string
		o          Options
		packed     func(string) ([]byte, error)
		want       *User // nil is an error
	}{
		{"numbers", "1000:100", Options{}, nil, &User{1000, 100, nil, "/"}},
		{"a number without an entry", "1000", Options{}, nil, &User{1000, 0, nil, "/"}},
		{"of every guest", "nobody", Options{}, nil, &User{65534, 65534, nil, "/"}},
		{"of files", "ada", Options{Files: files}, nil, &User{12, 34, []int{3, 4}, "/home/ada"}},
		{"a number with an entry", "12", Options{Files: files}, nil, &User{12, 34, []int{3, 4}, "/home/ada"}},
		{"a group", "ada:adm", Options{Files: files}, nil, &User{12, 4, nil, "/home/ada"}},
		{"of a root of packages", "ada", Options{}, packed, &User{7, 8, nil, "/packed"}},
		{"files go before packages", "ada", Options{Files: files}, packed, &User{12, 34, []int{3, 4}, "/home/ada"}},
		{
			"of a volume at /", "ada",
			Options{Machine: qemu.Machine{Volumes: []qemu.Volume{{Host: dir, Guest: "/"}}}},
			nil, &User{99, 99, nil, "/"},
		},
		{
			"files go before a volume at /", "ada",
			Options{Files: files, Machine: qemu.Machine{Volumes: []qemu.Volume{{Host: dir, Guest: "/", ReadOnly: true}}}},
			nil, &User{12, 34, []int{3, 4}, "/home/ada"},
		},
		{"nobody", "ada", Options{}, nil, nil},
		{"no group", "ada:none", Options{Files: files}, nil, nil},
		{"too large", "4294967295", Options{}, nil, nil},
	} {
		err := c.o.FindUser(c.spec, c.packed)
		if c.want == nil {
			var none *NoUser
			if !errors.As(err, &none) {
				t.Errorf("%s: %v, %v", c.name, c.o.User, err)
			}
			continue
		}
		if err != nil || !same(c.o.User, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, c.o.User, err, c.want)
		}
	}
}

func same(a, b *User) bool {
	return a != nil && a.UID == b.UID && a.GID == b.GID && a.Home == b.Home &&
		(len(a.Groups) == 0 && len(b.Groups) == 0 || reflect.DeepEqual(a.Groups, b.Groups))
}

func TestFindDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	volumes := []qemu.Volume{{Host: dir, Guest: "/v"}, {Host: dir, Guest: "/v/sub"}}
	for at, there := range map[string]bool{
		"/x": true, "/v": true, "/v/sub": true, "/v/sub/sub": true, "/v/none": false, "/v/sub/sub/sub": false, "/vx": true,
	} {
		o := Options{Dir: at, Machine: qemu.Machine{Volumes: volumes}}
		if err := o.FindDir(); (err == nil) != there {
			t.Errorf("%s: %v", at, err)
		}
	}
}
