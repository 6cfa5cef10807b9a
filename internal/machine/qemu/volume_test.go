package qemu

import (
	"slices"
	"strings"
	"testing"
)

func TestParseVolume(t *testing.T) {
	for s, want := range map[string]Volume{
		"/srv:/data":         {Host: "/srv", Guest: "/data"},
		".:/data/x/:ro":      {Host: ".", Guest: "/data/x", ReadOnly: true},
		"a:b:/c d:rw":        {Host: "a:b", Guest: "/c d"},
		"/a,b:/c":            {Host: "/a,b", Guest: "/c"},
		"/srv/:/ro":          {Host: "/srv/", Guest: "/ro"},
		"/x:/y/../../z":      {Host: "/x", Guest: "/z"},
		"C:/x:/y:ro":         {Host: "C:/x", Guest: "/y", ReadOnly: true},
		"/with:/colon:/d":    {Host: "/with:/colon", Guest: "/d"},
		"/srv:/:ro":          {Host: "/srv", Guest: "/", ReadOnly: true},
		"/srv:/x/..":         {Host: "/srv", Guest: "/"},
		"/srv:/d:9p":         {Host: "/srv", Guest: "/d", NineP: true},
		"/srv:/d:ro,9p":      {Host: "/srv", Guest: "/d", ReadOnly: true, NineP: true},
		"/srv:/d:9p,rw":      {Host: "/srv", Guest: "/d", NineP: true},
		"/srv:/d:trusted,9p": {Host: "/srv", Guest: "/d", NineP: true, Trusted: true},
		"/srv:/d:e/":         {Host: "/srv", Guest: "/d:e"},
		"/srv:/dev/shm/x":    {Host: "/srv", Guest: "/dev/shm/x"},
		"/srv:/d:ro:rw":      {Host: "/srv", Guest: "/d:ro"},
	} {
		if got, err := ParseVolume(s); got != want || err != nil {
			t.Errorf("ParseVolume(%q) = %+v, %v; want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "/srv", "/srv:data", ":/data", "/srv:/a\nb", "/srv:/.root", "/srv:/.root/x",
		"/srv:/d:ro,rw", "/srv:/d:rw,9p,ro",
		"/srv:/d:ro,no", "/srv:/d:9P", "/srv:/d:", "/srv:/d:ro,", "/srv:/app", "/srv:/dev", "/srv:/proc/self", "/srv:/sys",
	} {
		if got, err := ParseVolume(s); err == nil {
			t.Errorf("ParseVolume(%q) = %+v", s, got)
		}
	}
}

func TestTrusted(t *testing.T) {
	v := Volume{Host: "/srv", Guest: "/d", Trusted: true}
	if got, err := ParseVolume(v.String()); err != nil || got != v {
		t.Errorf("%s: %+v, %v", v, got, err)
	}
	bare, trusted := Volume{NineP: true}, Volume{NineP: true, Trusted: true}
	for want, volumes := range map[bool][][]Volume{true: {{bare}, {trusted, bare}}, false: {nil, {trusted}, {{}}}} {
		for _, list := range volumes {
			if got := (Machine{Volumes: list}).Limits(nil).Squash; got != want {
				t.Errorf("%+v: %v", list, got)
			}
		}
	}
}

func TestVolumeArgs(t *testing.T) {
	m := Machine{Volumes: []Volume{
		{Host: "/a,b", Guest: "/d", ReadOnly: true, NineP: true}, {Host: "/x", Guest: "/y z", NineP: true},
	}}
	args := m.Args()
	for _, want := range []string{
		"local,id=volume0,path=/a,,b,security_model=none,multidevs=remap,readonly=on",
		"virtio-9p-device,fsdev=volume1,mount_tag=volume1",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("%s is not in\n%s", want, strings.Join(args, "\n"))
		}
	}
	want := "9p volume0 ro trans=virtio,version=9p2000.L,msize=524288,cache=mmap /d\n9p volume1 rw trans=virtio,version=9p2000.L,msize=524288,cache=mmap /y z\n"
	if got := m.Mounts(); got != want {
		t.Errorf("Mounts = %q", got)
	}
	m.Volumes = append(m.Volumes, Volume{Host: "/r", Guest: "/", NineP: true})
	if got, root := m.Mounts(), "9p volume2 rw trans=virtio,version=9p2000.L,msize=524288,cache=mmap /.root\n"; got != root+want {
		t.Errorf("Mounts with a root = %q", got)
	}
	if got := (Machine{}).Mounts(); got != "" {
		t.Errorf("Mounts without volumes = %q", got)
	}
	if strings.Contains(strings.Join(Machine{}.Args(), " "), "9p") {
		t.Error("a machine without volumes has 9P")
	}
}

// A directory without options is lent over virtiofs, whose server needs memory that it can share.
func TestVirtioFS(t *testing.T) {
	const memory = "memory-backend-memfd,id=memory,size=64M,share=on"
	m := Machine{Memory: 64, Volumes: []Volume{
		{Host: "/x", Guest: "/y", NineP: true},
		{Host: "/a,b", Guest: "/d", ReadOnly: true, Server: "socket,fd=7"},
	}}
	args := m.Args()
	for _, want := range []string{
		"socket,id=volume1,fd=7", "vhost-user-fs-device,chardev=volume1,tag=volume1", memory, "memory-backend=memory",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("%s is not in\n%s", want, strings.Join(args, "\n"))
		}
	}
	want := "virtiofs volume1 ro - /d\n9p volume0 rw trans=virtio,version=9p2000.L,msize=524288,cache=mmap /y\n"
	if got := m.Mounts(); got != want {
		t.Errorf("Mounts = %q", got)
	}
	m.Volumes = m.Volumes[:1]
	if slices.Contains(m.Args(), memory) {
		t.Error("a machine with 9P alone has memory to share")
	}
}

func TestDiskImages(t *testing.T) {
	m := Machine{Volumes: []Volume{
		{Host: "/a,b.img", Guest: "/d", ReadOnly: true, FileSystem: "ext2"},
		{Host: "/x", Guest: "/x", NineP: true},
		{Host: "/c.img", Guest: "/e f", FileSystem: "ext4"},
	}}
	args := m.Args()
	for _, want := range []string{
		"driver=raw,node-name=volume0,read-only=on,file.driver=file,file.filename=/a,,b.img",
		"driver=raw,node-name=volume2,file.driver=file,file.filename=/c.img",
		"virtio-blk-device,drive=volume2,serial=volume2,werror=report,rerror=report",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("%s is not in\n%s", want, strings.Join(args, "\n"))
		}
	}
	want := "ext2 /dev/vda ro - /d\next4 /dev/vdb rw - /e f\n9p volume1 rw trans=virtio,version=9p2000.L,msize=524288,cache=mmap /x\n"
	if got := m.Mounts(); got != want {
		t.Errorf("Mounts = %q", got)
	}
	said := `qemu: -device virtio-blk-device,drive=volume2,serial=volume2: Failed to get "write" lock`
	if v, ok := m.Locked(said); !ok || v != m.Volumes[2] {
		t.Errorf("Locked = %v, %v", v, ok)
	}
	for _, other := range []string{
		"", "drive=volume2,: is broken", strings.ReplaceAll(said, "volume2", "volume1"),
		strings.ReplaceAll(said, "volume2", "volume20"),
	} {
		if v, ok := m.Locked(other); ok {
			t.Errorf("Locked(%q) = %v", other, v)
		}
	}
}

func FuzzParseVolume(f *testing.F) {
	for _, s := range []string{
		"/srv:/data:ro", "a:b:/c d:rw", "/x:/y/../../z", "C:/x:/y:ro:ro", "x:/y:9p:rw", "x:/y:rw,9p,ro",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseVolume(s)
		if err != nil {
			return
		}
		if !strings.HasPrefix(a.Guest, "/") || a.Host == "" {
			t.Errorf("ParseVolume(%q) = %+v", s, a)
		}
		if b, err := ParseVolume(a.String()); err != nil || a != b {
			t.Errorf("%q is %+v, and that is %+v, %v", s, a, b, err)
		}
		if n := strings.Count(Machine{Volumes: []Volume{a}}.Mounts(), "\n"); n != 1 {
			t.Errorf("%q makes %d lines for the kernel", s, n)
		}
	})
}

func TestWithin(t *testing.T) {
	all := []Volume{{Guest: "/a/b/c"}, {Guest: "/"}, {Guest: "/a"}, {Guest: "/ab"}}
	for _, c := range []struct {
		v, outer int
		place    string
	}{{0, 2, "b/c"}, {2, 1, "a"}, {3, 1, "ab"}} {
		if outer, place, ok := all[c.v].Within(all); !ok || outer != all[c.outer] || place != c.place {
			t.Errorf("%s lies in %s at %q, %v; want %s, %q", all[c.v].Guest, outer.Guest, place, ok, all[c.outer].Guest, c.place)
		}
	}
	if outer, _, ok := all[1].Within(all); ok {
		t.Errorf("/ lies in %s", outer.Guest)
	}
}
