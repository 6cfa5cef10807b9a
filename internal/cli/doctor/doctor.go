// Package doctor looks at a machine and says what stands in the way of a run. Each check has a name, and a finding says
// what is the matter and what helps. Checks change nothing.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ukl/internal/build/image"
	"ukl/internal/build/stage"
	"ukl/internal/host/folders"
	"ukl/internal/host/nix"
	"ukl/internal/host/userns"
	"ukl/internal/machine/accel"
	"ukl/internal/machine/confine"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
)

// Status of a check.
type Status string

const (
	OK   Status = "ok"
	Warn Status = "warn" // a run works, but not as well as it could
	Fail Status = "fail" // a run fails
)

// Finding is the result of one check.
type Finding struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Text   string `json:"text"`             // what was found
	Remedy string `json:"remedy,omitempty"` // what helps
}

// Host is what the checks look at.
type Host struct {
	Accel accel.Host
	QEMU  string // the value of qemu.Env
	Dirs  []string
	Lock  *pins.Lock
	Own   []pins.Pin             // packages of the application in the current directory
	Pins  pins.Options           // where missing pins may come from
	Free  func() (uint64, error) // bytes where the store is
	Ports []qemu.Forward         // that applications will want
}

// Run does all checks in order and hands each finding to report as it comes. It tells whether a run can work.
func Run(ctx context.Context, h Host, report func(Finding)) bool {
	d := &doctor{Host: h, well: true}
	for _, check := range []struct {
		name string
		do   func(context.Context) Finding
	}{
		{"nix", d.nix},
		{"settings", d.settings},
		{"namespaces", d.namespaces},
		{"stage0", d.stage0},
		{"pins", d.pins},
		{"sources", d.sources},
		{"updates", d.updates},
		{"disk", d.disk},
		{"folders", d.folders},
		{"qemu", d.qemu},
		{"kvm", d.kvm},
		{"limits", d.limits},
		{"clock", d.clock},
		{"ports", d.ports},
	} {
		f := check.do(ctx)
		f.Name = check.name
		d.well = d.well && f.Status != Fail
		report(f)
	}
	return d.well
}

type doctor struct {
	Host
	well    bool
	client  *nix.Client   // nil without Nix
	missing []pins.Pin    // that would be fetched
	program *qemu.Program // nil until QEMU is here
}

func ok(format string, args ...any) Finding {
	return Finding{Status: OK, Text: fmt.Sprintf(format, args...)}
}

func warn(remedy, format string, args ...any) Finding {
	return Finding{Status: Warn, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

func fail(remedy, format string, args ...any) Finding {
	return Finding{Status: Fail, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

func (d *doctor) nix(context.Context) Finding {
	c, err := nix.Find()
	var hinted interface{ Hint() string }
	switch {
	case errors.As(err, &hinted):
		return fail(hinted.Hint(), "%v", err)
	case err != nil:
		return fail("", "%v", err)
	}
	d.client = c
	return ok("Nix %s", c.Version)
}

// settings are those of nix.conf that could stand in the way. ukl sets what it may by itself.
func (d *doctor) settings(context.Context) Finding {
	if d.client == nil {
		return warn("", "cannot tell without Nix")
	}
	s, err := d.client.Settings()
	if err != nil {
		return warn(d.client.ShowConfig(), "nix.conf cannot be read: %v", err)
	}
	return judge(s, os.Getuid() == 0, os.ReadFile)
}

// judge tells what settings mean for a build.
func judge(s nix.Settings, root bool, read func(string) ([]byte, error)) Finding {
	builders := strings.TrimSpace(s.Builders)
	if file, ok := strings.CutPrefix(builders, "@"); ok {
		text, _ := read(file) // a file that is not there names none
		builders = strings.TrimSpace(string(text))
	}
	others := "builds run on this machine only"
	if builders != "" {
		others = "builds may also run on other machines"
	}
	switch own := nix.Own(s.Substituters); len(own) {
	case 0:
		others += ", no cache is asked"
	default:
		others += ", caches: " + strings.Join(own, " ")
	}
	if s.Sandbox != "true" && !root {
		return warn("set sandbox = true in nix.conf, or be one of its trusted-users",
			"nix.conf has sandbox = %s, which only a trusted user may change, and no build here runs without the sandbox", s.Sandbox)
	}
	return ok("%s", others)
}

// namespaces are what Nix's sandbox, and stage0 inside it, are made of.
func (d *doctor) namespaces(ctx context.Context) Finding {
	self, err := os.Executable()
	if err != nil {
		return warn("", "%v", err)
	}
	if err := userns.Try(ctx, self, "--version"); err != nil {
		return fail(userns.Remedy(), "user namespaces do not work: %v", err)
	}
	return ok("user and mount namespaces work")
}

func (d *doctor) stage0(ctx context.Context) Finding {
	path := d.Lock.Stage0Path()
	if path == stage.Builder() {
		return ok("the first builder came with this program")
	}
	if d.client == nil {
		return warn("", "cannot tell without Nix")
	}
	missing, err := d.client.Invalid(ctx, []string{path})
	switch {
	case err != nil:
		return fail("", "%v", err)
	case len(missing) > 0:
		e := &image.NoBuilder{Path: path}
		return fail(e.Hint(), "%v", e)
	}
	return ok("the first builder is in the store")
}

func (d *doctor) pins(ctx context.Context) Finding {
	if d.client == nil {
		return warn("", "cannot tell without Nix")
	}
	missing, err := d.Lock.Missing(ctx, d.client)
	if err != nil {
		return fail("", "%v", err)
	}
	all := len(missing)
	if missing, err = pins.Unseeded(missing, d.Pins.Seeds); err != nil {
		return fail("", "%v", err)
	}
	d.missing = missing
	switch {
	case all == 0:
		return ok("every pin, or what was made from it, is in the store")
	case len(missing) == 0:
		return ok("the seeds hold all %d files that are not in the store", all)
	}
	var size int64
	for _, p := range missing {
		size += p.Size
	}
	return warn("ukl pins fetch", "the first build will download %d files, %d MB", len(missing), size/1e6)
}

// sources fetches the smallest of the missing pins as Fetch would, and throws it away.
func (d *doctor) sources(ctx context.Context) Finding {
	if d.client == nil {
		return warn("", "cannot tell without Nix")
	}
	if len(d.missing) == 0 {
		return ok("nothing needs to be downloaded")
	}
	p := slices.MinFunc(d.missing, func(a, b pins.Pin) int { return cmp.Compare(a.Size, b.Size) })
	asked, err := pins.Sources(ctx, p, d.Pins)
	if err != nil {
		return fail("", "%v", err)
	}
	var said []string
	for _, s := range asked {
		if s.Err == nil {
			return ok("%s has %s", s.Name, p)
		}
		said = append(said, fmt.Sprintf("%s: %v", s.Name, s.Err))
	}
	if len(said) == 0 {
		said = []string{"the settings allow no source"}
	}
	none := &pins.Unavailable{Pins: []pins.Pin{p}}
	return fail(none.Hint(), "no source has %s: %s", p, strings.Join(said, "; "))
}

// updates compares the lock with the package lists that `ukl pins outdated` fetched last. It asks no server.
func (d *doctor) updates(ctx context.Context) Finding {
	behind, made, err := pins.Outdated(ctx, slices.Concat(d.Lock.All(), d.Own), d.Pins, false)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return ok("cannot tell without apt")
	case err != nil:
		return warn("", "cannot tell: %v", err)
	case made.IsZero():
		return ok("not checked yet; `ukl pins outdated` compares the pins with the newest packages")
	case len(behind) == 0:
		return ok("every pin was the newest of its package on %s", made.Format(time.DateOnly))
	}
	first := behind[0]
	for _, b := range behind { // what goes into the image says more than what builds it
		if slices.Contains(b.Groups, "linux") {
			first = b
		}
	}
	text := fmt.Sprintf("%s is %s, and %s is out", first.Name, first.Pinned, first.Newest)
	if n := len(behind) - 1; n > 0 {
		text += fmt.Sprintf("; %d more pins are behind", n)
	}
	return warn("ukl pins outdated", "%s, as of %s", text, made.Format(time.DateOnly))
}

// ports are taken from one application at a time, so a taken one is no failure.
func (d *doctor) ports(context.Context) Finding {
	for _, f := range d.Ports {
		_, err := qemu.Reserve([]qemu.Forward{f})
		var taken *qemu.Taken
		if errors.As(err, &taken) {
			return warn(taken.Hint(), "%v", err)
		}
		if err != nil {
			return warn("", "port %s: %v", f.HostPort(), err)
		}
	}
	return ok("the %d ports of applications are free", len(d.Ports))
}

// What a first build, and a run of what is built, take.
const (
	roomToBuild = 6e9
	roomToRun   = 100e6
)

func (d *doctor) disk(context.Context) Finding {
	have, err := d.Free()
	if err != nil {
		return warn("", "%v", err)
	}
	need := uint64(roomToRun)
	if len(d.missing) > 0 {
		need = roomToBuild
	}
	if have < need {
		return fail("nix-collect-garbage, or a larger disk for /nix", "%d MB are free for the Nix store; %d MB are needed",
			have/1e6, need/1e6)
	}
	return ok("%d GB are free for the Nix store", have/1e9)
}

func (d *doctor) folders(context.Context) Finding {
	for _, dir := range d.Dirs {
		if !filepath.IsAbs(dir) {
			_, err := folders.Home()
			return fail((&folders.Homeless{}).Hint(), "%v", err)
		}
		if err := writable(dir); err != nil {
			return fail("chown or chmod the folder, or set HOME, XDG_CACHE_HOME and XDG_STATE_HOME", "%v", err)
		}
	}
	return ok("%s can be written", strings.Join(d.Dirs, " and "))
}

// writable tests the nearest parent that exists, without making anything.
func writable(dir string) error {
	for {
		err := syscall.Access(dir, 2|1) // W_OK|X_OK
		if !errors.Is(err, syscall.ENOENT) || dir == filepath.Dir(dir) {
			if err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

func (d *doctor) qemu(ctx context.Context) Finding {
	tree := nix.Physical(d.Lock.TreePath("qemu"))
	p, err := qemu.Find(tree, d.QEMU)
	if err != nil {
		if d.QEMU != "" {
			return fail("unset "+qemu.Env, "%v", err)
		}
		return warn("", "the first run will unpack the pinned QEMU")
	}
	out, err := exec.CommandContext(ctx, p.Argv[0], append(p.Argv[1:], "--version")...).Output()
	if err != nil {
		return fail("nix-store --delete "+tree+", and run again", "QEMU does not start: %v", err)
	}
	d.program = &p
	line, _, _ := strings.Cut(string(out), "\n")
	if d.QEMU != "" {
		return warn("unset "+qemu.Env, "%s, not the pinned one: %s", line, d.QEMU)
	}
	return ok("%s, pinned", line)
}

func (d *doctor) kvm(ctx context.Context) Finding {
	v, decided := d.Accel.Quick()
	if !decided {
		if d.program == nil {
			return warn("", "the CPU has the extension; the probe needs QEMU")
		}
		v = d.Accel.Decide(ctx, *d.program)
	}
	if v.KVM {
		return ok("KVM works: the probe took %s", v.Loop.Round(time.Millisecond))
	}
	text := v.Reason + ", so guests run under TCG"
	if d.program != nil {
		if took, err := accel.Boot(ctx, *d.program, "tcg", "max"); err == nil {
			text += fmt.Sprintf(" (the probe took %s)", took.Round(time.Millisecond))
		} else {
			return fail("", "%s, and TCG does not work: %v", v.Reason, err)
		}
	}
	return warn(v.Remedy, "%s", text)
}

// limits are those of QEMU on this machine.
func (d *doctor) limits(context.Context) Finding {
	const text = "QEMU runs with filters of system calls and without capabilities"
	if lacks := confine.Lacks(); len(lacks) > 0 {
		return warn("", "%s; %s", text, strings.Join(lacks, "; "))
	}
	if os.Geteuid() == 0 {
		return ok("%s, as a user of its own, and opens only its own files", text)
	}
	return ok("%s, and opens only its own files", text)
}

func (d *doctor) clock(context.Context) Finding {
	khz := d.Accel.TSC()
	if khz < 1000 {
		return fail("", "the time stamp counter does not count")
	}
	b, err := os.ReadFile(d.Accel.CPUInfo)
	if err == nil && !strings.Contains(string(b), "constant_tsc") {
		return warn("", "the time stamp counter runs at %d kHz now, but the CPU does not say that this is constant", khz)
	}
	return ok("the time stamp counter runs at %d kHz", khz)
}
