// Package guest runs one unikernel from boot to its end: streams, status, time limit, interruption. The application's
// status comes from the guest's kernel alone; a QEMU that ends without it is a dead machine. When Run returns, no
// process is left.
package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/cli/exit"
	"ukl/internal/host/printable"
	"ukl/internal/machine/qemu"
	"ukl/internal/machine/virtiofs"
	"ukl/internal/run/console"
	"ukl/internal/run/control"
	"ukl/internal/run/gdbrelay"
	"ukl/internal/run/terminal"
)

// Options describe a run.
type Options struct {
	Program qemu.Program
	// Machine is complete but for what Run sets: Initrd, Append, Backends, Control, Monitor, GDB.
	Machine qemu.Machine
	Root    string   // an initramfs that holds the application; "" where the kernel does
	Drivers string   // an initramfs with drivers that the kernel needs, beside Root; "" where it needs none
	Place   string   // the file of a root of its own that the application stands for; "" is none
	Packed  string   // a file with that root, for a guest that has no disk with it: see Alone
	User    *User    // who the application is; nil is root
	Dir     string   // where it starts; "" is the root
	Argv    []string // its arguments, from argv[0]
	Env     []string // K=V; what is not there keeps the default
	Sysctl  []string // K=V; parameters of the kernel, set before the application starts
	Name    string   // the application's, of which the guest's host name is made
	// MachineID is the content of /etc/machine-id, 32 hexadecimal digits; "" leaves the file out.
	MachineID string
	Files     []File // copied into the root
	Usual     []File // directories that are copied where Files has nothing of a name
	TSC       int    // kHz of the host's time stamp counter; used under TCG only

	Stdin *os.File // nil is an empty one
	// Terminal is what Stdin and Stdout are, and the application gets one, too; nil is none. Leave is called, from another
	// goroutine, when somebody at the terminal wants to end the guest, and Unheeded when somebody seems to think that
	// Ctrl-C does that.
	Terminal        *terminal.Terminal
	Leave, Unheeded func()
	Stdout, Stderr  io.Writer
	Verbose         bool          // the kernel's log goes to Stderr as well
	StateDir        string        // keeps the kernel's log; "" keeps none
	Timeout         time.Duration // 0 is none
	// Patience is how long the kernel may take to start the application before Late is told, once, where it is; 0 is for
	// ever.
	Patience time.Duration
	Late     func(Late)
	// Unset is told, from another goroutine, what the kernel says of a parameter that it does not set. It may be nil.
	Unset func(string)
	// Grace says how long the application may take to end when a Request has ended the context; nil is no time at all.
	Grace func() time.Duration
	// StopSignal is what the application gets in the place of the SIGTERM of a Request; 0 is that.
	StopSignal syscall.Signal
	// Stopping is called, once, if the application takes longer than a moment of its grace; may be nil.
	Stopping func(asked Request, grace time.Duration)
	// Signals are sent to the application as they come; nil are none.
	Signals Signals
	// called once when the machine has started and its ports of the host are taken, from another goroutine; may be nil
	Started func()
	// Unconfined lets QEMU do on this machine what ukl may. A QEMU that is not the pinned one always may.
	Unconfined bool
	// Refused is called, once and from another goroutine, with what of this machine the guest wanted to reach and may not;
	// may be nil.
	Refused func(string)
	// GDB is the port where the guest waits for a debugger before its first instruction; the zero value is none. It is
	// for programs of this user, and leads to the guest only, not to QEMU's monitor.
	GDB qemu.Forward
	// Debuggable is called, once and from another goroutine, when the guest waits at GDB; may be nil.
	Debuggable func()
	// Count has a plugin of QEMU count the guest's instructions; nil has none.
	Count *Count
	// Progress is called, from other goroutines but not concurrently, when the guest has started the application or
	// listens on a port for the first time. silent are the forwards to TCP ports on which it does not listen yet. A
	// guest that cannot tell is taken to listen. May be nil.
	Progress func(started bool, silent []qemu.Forward)
}

// Count is what a plugin that counts instructions is given.
type Count struct {
	File      string // the plugin
	Args      []string
	Functions io.WriterTo // what it reads
	Out       *os.File    // where it writes
}

// Verdict is how the application ended.
type Verdict = console.Verdict

// Ends of a run that are not the application's.
var (
	ErrTimeout    = errors.New("the guest was still running")
	ErrReaderGone = fmt.Errorf("the reader of stdout or stderr has gone away: %w", syscall.EPIPE)
)

// Request is a cause of the end of Run's context that the application may follow by itself: it gets the signal, and the
// guest ends when the application does.
type Request interface {
	error
	Signal() syscall.Signal
	Again() <-chan struct{} // closed when whoever asked wants no more of the grace
}

// Unheeded is a guest that was stopped because its application did not follow a request.
type Unheeded struct {
	Request Request
	Grace   time.Duration
}

func (e *Unheeded) Error() string {
	return fmt.Sprintf("the application did not end within %s of %s, so ukl ended it", e.Grace,
		unix.SignalName(e.Request.Signal()))
}

func (e *Unheeded) Unwrap() error { return e.Request }

// Late is a guest whose kernel has not started the application yet.
type Late struct {
	Silent  bool   // it has said nothing at all
	Address uint64 // of the instruction that it is at; 0 is unknown
	Log     string // the file with the kernel's log; "" is none
}

// Died is a machine that ended, or was never one, without a status from the guest.
type Died struct {
	Reason string
	Cause  string   // what the kernel said before; "" is nothing that explains it
	Where  string   // where the kernel was: function+offset/size, or an address; "" is unknown
	Memory int      // MiB that the machine had, if the kernel had none left; 0 otherwise
	Mute   int      // likewise, if QEMU ended without a word of kernel or QEMU
	Tail   []string // of the kernel's log
	Log    string   // the file with all of it; "" is none
	Help   string   // what may help; "" is unknown
}

func (e *Died) Error() string {
	if e.Memory != 0 {
		return fmt.Sprintf("the machine died for lack of memory: kernel and application have %d MiB", e.Memory)
	}
	s := "the machine died: " + e.Reason
	if e.Cause != "" {
		s += ": " + e.Cause
	}
	if e.Where != "" {
		s += ", at " + e.Where
	}
	return s
}

// ExitCode is the code of a command that this ends.
func (*Died) ExitCode() exit.Code { return exit.MachineDied }

// MoreMemory is the hint for a guest to which an amount of memory, in MiB, is too little.
func MoreMemory(mib int) string {
	return fmt.Sprintf("give it more: -m %dM, or memory in ukl.toml", 2*mib)
}

// Details are the last lines of the kernel's log, where they explain anything.
func (e *Died) Details() []string {
	if e.Memory != 0 {
		return nil
	}
	return e.Tail
}

// Hint is the line that helps.
func (e *Died) Hint() string {
	switch {
	case e.Memory != 0:
		return MoreMemory(e.Memory)
	case e.Mute != 0:
		return fmt.Sprintf("a kernel that does not fit into its memory ends like this; it has %d MiB: try -m %dM",
			e.Mute, 2*e.Mute)
	case e.Help != "":
		return e.Help
	case e.Log != "":
		return "the whole kernel log is " + e.Log
	}
	return ""
}

// Forwarding is QEMU's refusal of a port, which somebody took after it was looked at.
type Forwarding struct{ Text string }

func (e *Forwarding) Error() string { return e.Text }

// Host says that the host has less memory than the guest shall have.
type Host struct{ Memory int } // MiB

func (e *Host) Error() string {
	return fmt.Sprintf("this machine does not give a guest %d MiB of memory", e.Memory)
}

// Hint is the line that helps.
func (*Host) Hint() string {
	return "end other programs, or give the guest less: -m, or memory in ukl.toml"
}

// Locked is a disk image that somebody else has open: another guest that writes to it, or any other if this one would
// write.
type Locked struct{ Volume qemu.Volume }

func (e *Locked) Error() string {
	return fmt.Sprintf("volume %s: another guest or program is using the image", e.Volume)
}

// Hint is the line that helps.
func (e *Locked) Hint() string {
	return "guests that only read may share an image: add :ro to each of them"
}

// Unserved is a directory that no virtiofsd could lend.
type Unserved struct {
	Volume qemu.Volume
	Err    error
}

func (e *Unserved) Error() string { return fmt.Sprintf("volume %s: %v", e.Volume, e.Err) }

func (e *Unserved) Unwrap() error { return e.Err }

// Hint is the line that helps where no server can be.
func (e *Unserved) Hint() string {
	if !errors.Is(e.Err, virtiofs.ErrNamespaces) && !errors.Is(e.Err, errNoServer) {
		return ""
	}
	v := e.Volume
	v.NineP = true
	return fmt.Sprintf("9P works without a server, but its locks hold in the guest only: --volume %s", v)
}

var errNoServer = errors.New("this QEMU comes without a virtiofsd")

// defaultEnv is what every application finds, as on Linux.
func defaultEnv() []string {
	return []string{"HOME=/", "TERM=linux", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
}

// environ puts later settings of a name over earlier ones.
func environ(sets ...[]string) []string {
	var env []string
	at := map[string]int{}
	for _, kv := range slices.Concat(sets...) {
		k, _, _ := strings.Cut(kv, "=")
		if i, ok := at[k]; ok {
			env[i] = kv
			continue
		}
		at[k] = len(env)
		env = append(env, kv)
	}
	return env
}

// longestCmdline is what the kernel reads of its command line, and cuts without a word (COMMAND_LINE_SIZE of
// arch/x86/include/asm/setup.h, with a zero at its end).
const longestCmdline = 2047

// stdio says how the application gets its streams: a terminal of its own, or pipes. Where both of ukl's outputs are one
// file, the application's are, too, and keep the order of what is written to them.
func (o *Options) stdio() string {
	if o.Terminal != nil {
		size := o.Terminal.Size()
		return fmt.Sprintf("%s,%d,%d", tty, size.Rows, size.Columns)
	}
	if sameFile(o.Stdout, o.Stderr) {
		return joined
	}
	return apart
}

func sameFile(a, b any) bool {
	type named interface{ Stat() (fs.FileInfo, error) }
	f, isFile := a.(named)
	g, isToo := b.(named)
	if !isFile || !isToo {
		return false
	}
	one, err := f.Stat()
	other, err2 := g.Stat()
	return err == nil && err2 == nil && os.SameFile(one, other)
}

// Values of the kernel's parameter for the streams.
const (
	apart  = "vport"
	joined = "vport,joined"
	tty    = "vport,tty"
)

// cmdline is the kernel's command line with the streams as stdio says. In a PC the kernel is a distribution's, which
// does not know the parameters of ukl's patches. Under TCG it shall not compare the clock of the processor with those
// of the board: on a loaded host all are late at times. Under KVM it has KVM's clock.
func (o *Options) cmdline(stdio string) string {
	words := []string{"console=ttyS0", "panic=-1", "reboot=t"}
	switch {
	case !o.Machine.PC:
		words = append(words, "tsc=reliable")
	case !o.Machine.KVM:
		words = append(words, "tsc=reliable", "no_timer_check")
	}
	switch {
	case o.Machine.Counts():
		words = append(words, "tsc_early_khz=1000000") // QEMU then counts 1 ns per instruction
	case !o.Machine.KVM:
		words = append(words, fmt.Sprintf("tsc_early_khz=%d", o.TSC))
	}
	words = append(words, o.naming(), pings)
	if o.Machine.Network.Tap == "" && !o.Machine.PC {
		words = append(words, backlog, mssOnce)
	}
	words = append(words, "ukl.stdio="+stdio)
	words = append(words, o.sysctl()...)
	if o.Machine.Control != "" {
		words = append(words, "ukl.control=vport")
	}
	if !o.Verbose {
		words = append(words, "quiet")
	}
	if o.Machine.Append != "" {
		words = append(words, o.Machine.Append)
	}
	return strings.Join(words, " ")
}

// Shell is the run as commands that can be pasted into a shell, where the guest's streams are the shell's. The archive
// is written into StateDir for it, and the sockets of volumes are there.
func Shell(o Options) (string, error) {
	for _, f := range o.Machine.Forwards {
		if f.V6() {
			return "", fmt.Errorf("port %s: ukl itself would listen there, so a QEMU command alone is not enough", f)
		}
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(o.StateDir, "args.cpio")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	if err := errors.Join(o.write(&archive{w: file}), file.Close()); err != nil {
		return "", err
	}
	m := o.Machine
	m.Append, m.Initrd = o.cmdline(apart), path
	m.Backends = [qemu.Channels]string{
		qemu.Stdin:  "stdio,signal=on",
		qemu.Stdout: "file,path=/dev/stdout,append=on",
		qemu.Stderr: "file,path=/dev/stderr,append=on",
		qemu.Log:    "file,path=" + qemu.Value(filepath.Join(o.StateDir, "kernel.log")),
	}
	if o.GDB.Host != 0 {
		m.GDB = "socket,server=on,wait=off,path=" + qemu.Value(o.GDBSocket())
	}
	servers, err := o.servers(&m)
	return servers + o.Program.Command(m.Args()), err
}

// GDBSocket is where the QEMU of Shell waits for a debugger.
func (o *Options) GDBSocket() string { return filepath.Join(o.StateDir, "gdb.sock") }

// served are the numbers of the volumes that need a server.
func (o *Options) served() ([]int, error) {
	var list []int
	for n, v := range o.Machine.Volumes {
		if !v.VirtioFS() {
			continue
		}
		if o.Program.VirtioFS == nil {
			return nil, &Unserved{v, errNoServer}
		}
		list = append(list, n)
	}
	return list, nil
}

// access is what a guest may do to a volume.
func access(v qemu.Volume) virtiofs.Access {
	return virtiofs.Access{ReadOnly: v.ReadOnly, Trusted: v.Trusted}
}

// servers are the commands that serve the volumes, each a line; the machine's volumes are told where.
func (o *Options) servers(m *qemu.Machine) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	served, err := o.served()
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	m.Volumes = slices.Clone(m.Volumes)
	for _, n := range served {
		v := m.Volumes[n]
		socket := filepath.Join(o.StateDir, fmt.Sprintf("volume%d.sock", n))
		m.Volumes[n].Server = "socket,path=" + qemu.Value(socket)
		command := qemu.Program{Argv: virtiofs.Command(self, socket, o.Program.VirtioFS, v.Host, access(v))}
		lines.WriteString(command.Command(nil) + " &&\n")
	}
	return lines.String(), nil
}

// Run boots the guest and stays until it has ended. ctx interrupts it: the error is then ctx's cause, unless that is a
// Request and the guest ended by itself.
func Run(ctx context.Context, o Options) (Verdict, error) {
	r := &run{Options: o, journal: console.NewJournal(o.Unset)}
	defer r.undo()
	if o.Terminal != nil {
		r.undos = append(r.undos, o.Terminal.Restore)
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"kernel log", r.openLog},
		{"arguments", r.writeArguments},
		{"console", r.openConsole},
		{"ports", r.openDoors},
		{"gdb", r.openGDB},
		{"virtiofs", r.serveVolumes},
		{"QEMU", r.start},
	} {
		if err := step.do(); err != nil {
			return Verdict{}, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return r.wait(ctx)
}

// run is a run under way. Each step registers its undo before it can fail.
type run struct {
	Options
	undos   []func()
	journal *console.Journal
	log     *os.File // nil if it cannot be kept
	archive *os.File
	console *console.Console
	qemu    *qemu.Process
	monitor *qemu.Monitor    // nil if nobody wants to know anything of it
	control *control.Channel // nil if the guest has none
	doors   []*door
	gdb     *gdbrelay.Relay // nil if the guest waits for no debugger
	servers []server
	lost    chan error // of a server that has failed while the guest runs

	state   sync.Mutex // of what follows, and of the doors' silence
	running bool       // the application has been started
}

func (r *run) undo() {
	for _, f := range slices.Backward(r.undos) {
		f()
	}
}

// openLog is best effort: a run does not fail because its log cannot be kept.
func (r *run) openLog() error {
	if r.StateDir == "" {
		return nil
	}
	f, err := console.LogFile(r.StateDir)
	if err != nil {
		if r.Verbose {
			fmt.Fprintf(r.Stderr, "ukl: cannot keep the kernel log: %v\n", err)
		}
		return nil
	}
	r.log = f
	r.undos = append(r.undos, func() { f.Close() })
	return nil
}

// writeArguments puts the archive into memory only; QEMU opens it through its own descriptor.
func (r *run) writeArguments() error {
	f, err := memory("ukl-arguments")
	if err != nil {
		return err
	}
	r.archive = f
	r.undos = append(r.undos, func() { f.Close() })
	w := bufio.NewWriterSize(f, 64<<10)
	if err := r.write(&archive{w: w}); err != nil {
		return err
	}
	return w.Flush()
}

func (r *run) openConsole() error {
	c, err := console.Open()
	if err != nil {
		return err
	}
	r.console = c
	r.undos = append(r.undos, c.Close)
	return nil
}

func (r *run) openGDB() (err error) {
	if r.GDB.Host == 0 {
		return nil
	}
	if r.gdb, err = gdbrelay.Open(r.GDB); err == nil {
		r.undos = append(r.undos, r.gdb.Close)
	}
	return err
}

func (r *run) start() error {
	files := append(r.console.GuestFiles(), r.archive)
	inherit := func(f *os.File) string {
		return fmt.Sprintf("socket,fd=%d", inheritor(&files)(f))
	}
	m := &r.Machine
	m.Initrd = fmt.Sprintf("/proc/self/fd/%d", 3+len(files)-1)
	for _, s := range r.servers {
		defer s.guest.Close()
		m.Volumes[s.volume].Server = inherit(s.guest)
	}
	m.Backends = console.Backends()
	if m.Counts() && r.Stdin == nil {
		m.Backends[qemu.Stdin] = "" // a backend's end comes when another thread of QEMU reads it
	}
	var channel *net.UnixConn
	if !r.Machine.Counts() {
		ours, theirs, err := control.Pair()
		if err != nil {
			return err
		}
		channel = ours
		r.undos = append(r.undos, func() { ours.Close() })
		defer theirs.Close()
		m.Control = inherit(theirs)
	}
	var line *os.File
	if r.Patience > 0 || channel != nil {
		ours, theirs, err := socketpair()
		if err != nil {
			return err
		}
		line = ours
		r.undos = append(r.undos, func() { line.Close() })
		defer theirs.Close()
		m.Monitor = inherit(theirs)
	}
	if r.gdb != nil {
		m.GDB = inherit(r.gdb.Stub()) + ",server=on,wait=off"
	}
	opened, err := r.openFiles(inheritor(&files))
	defer func() {
		for _, f := range opened {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	if r.Count != nil {
		in, err := r.Count.input()
		if err != nil {
			return err
		}
		defer in.Close()
		add := inheritor(&files)
		m.Plugin = qemu.Plugin{File: r.Count.File, Args: append([]string{
			fmt.Sprintf("functions=%d", add(in)), fmt.Sprintf("out=%d", add(r.Count.Out)),
		}, r.Count.Args...)}
	}
	if m.Append = r.cmdline(r.stdio()); len(m.Append) > longestCmdline {
		return exit.Errorf(exit.Input, "the kernel's command line would have %d bytes, and the limit is %d", len(m.Append),
			longestCmdline).WithHint("give it fewer words: [sysctl] of ukl.toml, UKL_APPEND")
	}
	full := *m
	for _, d := range r.doors {
		full.Forwards = append(slices.Clip(full.Forwards), d.spares...)
	}
	limits := full.Limits(r.Refused)
	if r.confined() {
		limits.Confined = full.Confined(r.named()...)
	}
	p, err := r.Program.Start(full.Args(), files, limits)
	if err != nil {
		return err
	}
	r.qemu = p
	if line != nil {
		r.monitor = qemu.Watch(line)
	}
	r.console.Started()
	if r.gdb != nil {
		r.gdb.Started()
		go r.gdb.Serve(func() {
			if r.Debuggable != nil {
				r.Debuggable()
			}
		})
	}
	log := io.Writer(r.journal)
	if r.log != nil {
		log = io.MultiWriter(r.journal, &lossy{to: r.log, left: longestLog})
	}
	r.console.Pump(r.input(), r.Stdout, r.Stderr, log, r.echo())
	if channel != nil {
		r.control = control.Serve(channel, r.listens, r.console.Await)
		r.undos = append(r.undos, r.control.Close)
		go r.attend()
		if r.Terminal != nil {
			go r.lendTerminal()
		}
	}
	r.undos = append(r.undos, p.Kill)
	go r.started(p, m.Forwards)
	return nil
}

// input is what the application reads; nil is nothing.
func (r *run) input() io.Reader {
	if r.Stdin == nil {
		return nil
	}
	in := console.Foreground(r.Stdin)
	if r.Terminal != nil {
		return terminal.Keys(in, r.Leave, r.Unheeded)
	}
	return in
}

// lendTerminal gives the terminal to the application as soon as there is one, until the guest has ended, and tells it
// of each new size. Before, Ctrl-C is for ukl.
func (r *run) lendTerminal() {
	changes, stop := terminal.Changes()
	defer stop()
	retry := time.NewTicker(inBackground)
	defer retry.Stop()
	select {
	case <-r.control.Started():
	case <-r.qemu.Done():
		return
	}
	for {
		var again <-chan time.Time
		if !r.Terminal.Foreground() {
			again = retry.C
		} else if err := r.Terminal.Raw(); err != nil {
			return // it is gone, and ukl will know by SIGHUP
		}
		size := r.Terminal.Size()
		_ = r.control.Resize(size.Rows, size.Columns) // a guest that does not listen gets the next one
		select {
		case <-changes:
		case <-again:
		case <-r.qemu.Done():
			return
		}
	}
}

// inBackground is how often a job of a shell looks whether it has become the foreground.
const inBackground = 200 * time.Millisecond

// server is that of a volume.
type server struct {
	virtiofs.Server
	volume int      // its number
	guest  *os.File // the end that QEMU gets
}

// serveVolumes starts the servers of the volumes that QEMU does not serve itself.
func (r *run) serveVolumes() error {
	served, err := r.served()
	if err != nil {
		return err
	}
	r.Machine.Volumes = slices.Clone(r.Machine.Volumes)
	for _, n := range served {
		v := r.Machine.Volumes[n]
		s, guest, err := virtiofs.Start(r.Program.VirtioFS, v.Host, access(v))
		if err != nil {
			return &Unserved{v, err}
		}
		r.undos = append(r.undos, func() { guest.Close(); s.Close() })
		r.servers = append(r.servers, server{s, n, guest})
	}
	r.lost = make(chan error, len(r.servers))
	for _, s := range r.servers {
		go func() {
			<-s.Done()
			if err := s.Failure(); err != nil {
				r.lost <- &Unserved{r.Machine.Volumes[s.volume], err}
			}
		}()
	}
	return nil
}

// started says that the machine runs, as soon as QEMU listens on the host's ports: a client that comes then is not
// refused.
func (r *run) started(p *qemu.Process, forwards []qemu.Forward) {
	if err := p.Widen(forwards); err != nil { // many connections at once are then slow to come up, but all come up
		p.Listen(forwards)
	}
	select {
	case <-p.Done():
	default:
		if r.Options.Started != nil {
			r.Options.Started()
		}
	}
}

// socketpair is a line with two ends.
func socketpair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "monitor"), os.NewFile(uintptr(fds[1]), "monitor"), nil
}

// echo is where the kernel's log goes besides the file; nil is nowhere. A process of the guest can write into that log.
func (r *run) echo() io.Writer {
	if r.Verbose {
		return printable.Writer(r.Stderr)
	}
	return nil
}

// longestLog is what a file keeps of a kernel's log, from its begin: every process of the guest that is root can write
// there.
const longestLog = 64 << 20

// lossy writes as much as there is left, and hides errors: a full disk must not end the guest.
type lossy struct {
	to   io.Writer
	left int
}

func (l *lossy) Write(b []byte) (int, error) {
	part := b[:min(len(b), l.left)]
	_, _ = l.to.Write(part)
	l.left -= len(part)
	if l.left == 0 && len(part) > 0 {
		_, _ = fmt.Fprintf(l.to, "\nukl: more than %d MiB of this log are not kept\n", longestLog>>20)
	}
	return len(b), nil
}

// afterPanic is how long a machine whose kernel has died may take to end by itself.
const afterPanic = 3 * time.Second

// flush is how long the streams' readers may take to the last bytes of a guest that was stopped.
const flush = time.Second

// moment is how long an application may take to end before somebody wonders.
const moment = time.Second

// ask hands a request to the application. It is false where that is no request, or nobody is there to follow it.
func (r *run) ask(cause error, u *Unheeded) bool {
	if !errors.As(cause, &u.Request) || r.Grace == nil || !r.hasStarted() {
		return false
	}
	u.Grace = r.Grace()
	sig := u.Request.Signal()
	if sig == syscall.SIGTERM && r.StopSignal != 0 {
		sig = r.StopSignal
	}
	return u.Grace > 0 && r.control.Signal(sig) == nil
}

// wait follows the guest to its end, or makes one.
func (r *run) wait(ctx context.Context) (Verdict, error) {
	var limit <-chan time.Time
	if r.Timeout > 0 {
		t := time.NewTimer(r.Timeout)
		defer t.Stop()
		limit = t.C
	}
	var late, registers <-chan time.Time
	var ready <-chan struct{}
	var answer <-chan string
	if r.Patience > 0 {
		t := time.NewTimer(r.Patience)
		defer t.Stop()
		late, ready = t.C, r.monitor.Ready()
	}
	drained := r.console.Drained()
	stop := func(err error) (Verdict, error) {
		r.qemu.Stop()
		select { // what the guest said before is still worth reading, but not worth waiting for
		case <-drained:
		case <-time.After(flush):
		}
		return Verdict{}, err
	}
	ended, written, dying := r.qemu.Done(), drained, r.journal.Dying()
	var dead, slow, overdue <-chan time.Time
	var alive <-chan struct{}
	var again <-chan struct{}
	interrupted := ctx.Done()
	var unheeded Unheeded
	for ended != nil || written != nil {
		select {
		case <-ended:
			ended = nil
		case <-written: // and so QEMU has closed its ends
			written = nil
		case <-dying:
			dying = nil
			switch v := r.journal.Verdict(); {
			case v.Early && !r.hasStarted():
				r.qemu.Stop()
			case r.tellsEnd() && r.control.Ask() == nil: // a process may have written that line
				alive, dead = r.control.Alive(), time.After(afterPanic)
			case v.Runs:
				r.qemu.Stop()
			default:
				dead = time.After(afterPanic)
			}
		case <-alive:
			alive, dead = nil, nil
		case <-dead:
			r.qemu.Stop()
			dead = nil
		case <-ready:
			late, ready = nil, nil
		case <-late:
			late, registers, answer = nil, time.After(flush), r.monitor.Registers()
			go r.monitor.AskRegisters()
		case text := <-answer:
			answer, registers = nil, nil
			r.tellLate(text)
		case <-registers:
			answer, registers = nil, nil
			r.tellLate("")
		case <-r.qemu.Stuck():
			return stop(&Died{Reason: r.qemu.Failure(), Tail: r.journal.Tail(), Log: r.logName()})
		case <-interrupted:
			cause := context.Cause(ctx)
			if !r.ask(cause, &unheeded) {
				return stop(cause)
			}
			interrupted, again = nil, unheeded.Request.Again()
			slow, overdue = time.After(moment), time.After(unheeded.Grace)
		case <-slow:
			if slow = nil; r.Stopping != nil {
				r.Stopping(unheeded.Request, unheeded.Grace)
			}
		case <-overdue:
			return stop(&unheeded)
		case <-again:
			return stop(unheeded.Request)
		case err := <-r.lost: // what waits for the volume waits for ever
			return stop(err)
		case d := <-r.Signals:
			d.result <- r.deliver(d.signal)
		case <-limit:
			return stop(ErrTimeout)
		case err := <-r.console.Broken():
			return stop(readerGone(err))
		}
	}
	select {
	case err := <-r.console.Broken():
		return Verdict{}, readerGone(err)
	default:
		return r.verdict()
	}
}

// tellLate tells whoever wants to know that the kernel takes long; registers is QEMU's text about them.
func (r *run) tellLate(registers string) {
	at, _ := qemu.Instruction(registers)
	r.Late(Late{Silent: !r.console.Heard(), Address: at, Log: r.logName()})
}

// readerGone gives a failed write its meaning.
func readerGone(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return ErrReaderGone
	}
	return err
}

func (r *run) logName() string {
	if r.log == nil {
		return ""
	}
	return r.log.Name()
}

// What QEMU says of a port that it cannot forward.
const refusal = "Could not set up host forwarding rule"

// tooMuch tells whether QEMU says that the host does not give it the guest's memory: its own, or what it shares.
func tooMuch(said string) bool {
	return strings.Contains(said, "cannot set up guest memory") ||
		strings.Contains(said, "unable to map backing store for guest RAM")
}

// hasStarted tells whether the guest has said that it starts the application.
func (r *run) hasStarted() bool {
	if r.control == nil {
		return false
	}
	select {
	case <-r.control.Started():
		return true
	default:
		return false
	}
}

// tellsEnd tells whether the guest's kernel has promised to tell the application's end by the control channel.
func (r *run) tellsEnd() bool { return r.control != nil && r.control.TellsEnd() }

// verdict is how the guest ended. If the kernel has promised to tell that by the control channel, no line of its log
// counts: a process may have written it.
func (r *run) verdict() (Verdict, error) {
	v := r.journal.Verdict()
	if r.control != nil {
		select {
		case <-r.control.Done():
		case <-time.After(moment): // QEMU has ended, so somebody else has its end of the channel
		}
	}
	if r.tellsEnd() {
		end := r.control.End()
		v.Known, v.Signal, v.Status = end.Known, end.Signal, end.Status
		v.Crash = strings.Join(end.Crash, "\n")
		if v.Known {
			v.Panic = ""
		}
	}
	if v.Known && v.Panic == "" {
		return v, nil
	}
	d := &Died{Tail: r.journal.Tail(), Reason: v.Panic, Cause: v.Cause, Where: v.Where, Log: r.logName()}
	if v.Memory {
		d.Memory = r.Machine.Memory
	}
	if d.Reason == "" {
		d.Reason = "QEMU ended and the guest gave no status"
		if said := r.qemu.Failure(); said != "" {
			if strings.Contains(said, refusal) {
				return Verdict{}, &Forwarding{said}
			}
			select {
			case err := <-r.lost:
				return Verdict{}, err
			default:
			}
			if v, ok := r.Machine.Locked(said); ok {
				return Verdict{}, &Locked{v}
			}
			if tooMuch(said) {
				return Verdict{}, &Host{r.Machine.Memory}
			}
			d.Reason, d.Help = said, r.notConfined()
		} else if !r.console.Heard() && !r.hasStarted() {
			d.Reason, d.Mute = "QEMU ended before the guest's kernel said anything", r.Machine.Memory
		}
	}
	return Verdict{}, d
}
