package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/app/program"
	"ukl/internal/app/superblock"
	"ukl/internal/build/image"
	"ukl/internal/cli/exit"
	"ukl/internal/host/folders"
	"ukl/internal/host/inuse"
	"ukl/internal/host/machineid"
	"ukl/internal/host/printable"
	"ukl/internal/host/realpath"
	"ukl/internal/machine/accel"
	"ukl/internal/machine/qemu"
	"ukl/internal/run/gdb"
	"ukl/internal/run/guest"
	"ukl/internal/run/terminal"
)

func (t *tool) runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "build what is missing and run an application in the foreground",
		UsageText: "ukl run [OPTIONS] [APP|DIR|PROGRAM] [-- ARGUMENTS]",
		Description: `The application's stdin, stdout and stderr are ukl's, and so is its exit code. On a terminal the application has a
terminal, too, and all keys are its own; Ctrl-] three times ends the guest at once. Otherwise SIGINT (Ctrl-C) goes to the
application, and ukl waits for its end; a second one ends the guest at once.

examples:
  ukl run multithreaded
  ukl run multithreaded -p 8080:5555 -m 64
  ukl run ./server -p 8080            # any x86-64 program
  ukl run server.c -p 8080            # or a source file
  ukl run server.py -p 8080           # or a script
  ukl run oci:server -p 8080          # or a container image
  ukl run printing -- 3`,
		Flags: slices.Concat([]cli.Flag{
			portFlag(),
			&ofKind{oneOf("user"), &cli.StringFlag{
				Name: "net", Value: "user",
				Usage: "connect the guest to QEMU's user network or to a tap interface of the host: " +
					"`user|tap:INTERFACE[,ADDRESS/BITS[,GATEWAY]]`",
			}},
			&cli.BoolFlag{Name: "ipv6", Usage: "give the guest an IPv6 address, too"},
		}, guestFlags(), []cli.Flag{
			&cli.DurationFlag{Name: "timeout", Usage: "end the guest after `TIME` (30s, 5m), with exit code 124"},
			&cli.DurationFlag{
				Name: "grace", Value: 10 * time.Second,
				Usage: "let the application end by itself for up to `TIME` after Ctrl-C or SIGTERM; 0 ends it at once",
			},
			&cli.DurationFlag{
				Name: "patience", Value: 20 * time.Second,
				Usage: "report where the kernel is if it has not started the application after `TIME`; 0 turns this off",
			},
			&cli.BoolFlag{
				Name: "tty", Aliases: []string{"t"},
				Usage: "give the application a terminal; without the option it gets one if stdin, stdout and stderr are one, " +
					"unless --tty=false",
			},
			&cli.BoolFlag{
				Name: "detach", Aliases: []string{"d"},
				Usage: "run the guest in the background and print its name: see ps, logs, stop",
			},
			&cli.DurationFlag{
				Name: "wait", Value: 30 * time.Second,
				Usage: "with -d: return when the application listens on its TCP ports, but after `TIME` at the latest; 0 does not wait",
			},
			&cli.StringFlag{Name: "name", Usage: "name of the guest in the background, instead of its application's: `NAME`"},
			accelFlag(accel.Auto),
			modeFlag(),
			debugKernel(),
			&cli.IntFlag{Name: "gdb", Usage: "halt the machine before its first instruction until gdb connects to `PORT` of " +
				"127.0.0.1"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the QEMU command instead of running it"},
		}, machineFlags()),
		BashComplete: t.completes(target, nil),
		Action:       t.run,
	}
}

// terminalOf is the terminal whose place one of the application's takes, as the command line asks; nil is none.
func (t *tool) terminalOf(c *cli.Context) (*terminal.Terminal, error) {
	asked := c.Bool("tty")
	if c.IsSet("tty") && !asked || t.own != nil {
		return nil, nil
	}
	// Nobody is at the terminal with these options, and a kernel of somebody else's may not know any.
	for _, option := range []string{"detach", "gdb", "dry-run", "kernel"} {
		switch {
		case !c.IsSet(option):
		case asked:
			return nil, exit.Errorf(exit.Usage, "--tty and --%s: use one of them", option)
		default:
			return nil, nil
		}
	}
	switch own := terminal.Of(t.stdin, t.stdout, t.stderr); {
	case asProcess(c) && asked:
		return nil, exit.Errorf(exit.Usage, "--tty and --mode %s: only a unikernel's application has a terminal",
			c.String("mode"))
	case asProcess(c):
		return nil, nil
	case own == nil && asked:
		return nil, exit.Errorf(exit.Usage, "--tty: stdin, stdout and stderr are not one terminal")
	default:
		return own, nil
	}
}

// atTerminal lends the terminal to the application until what it returns is called. leave ends the guest.
func (t *tool) atTerminal(c *cli.Context, o *guest.Options, leave func(error)) (restore func()) {
	if kind := os.Getenv("TERM"); kind != "" {
		o.Env = slices.Concat([]string{"TERM=" + kind}, o.Env)
	}
	stderr := t.stderr
	t.stderr = o.Terminal.Writer(stderr)
	o.Stderr = t.stderr
	o.Leave = func() { leave(interrupted{syscall.SIGINT, nil}) }
	o.Unheeded = sync.OnceFunc(func() { t.note(c, "Ctrl-C is the application's; Ctrl-] three times ends the guest") })
	return func() { t.stderr = stderr }
}

// graceOf is the value of --grace; 0 where a command has no such option.
func graceOf(c *cli.Context) (time.Duration, error) {
	return c.Duration("grace"), notNegative(c, "grace")
}

// notNegative refuses options whose time is below 0.
func notNegative(c *cli.Context, options ...string) error {
	for _, o := range options {
		if d := c.Duration(o); d < 0 {
			return exit.Errorf(exit.Usage, "--%s %s: want a time, or 0", o, d)
		}
	}
	return nil
}

// portFlag, guestFlags, accelFlag, modeFlag and machineFlags are options of commands that start a guest as the command
// line says.
func portFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name: "port", Aliases: []string{"p"},
		Usage: "forward a port, instead of those in ukl.toml: `[ADDR:]HOST:GUEST[/udp]`; repeatable",
	}
}

// guestFlags are what the guest has.
func guestFlags() []cli.Flag {
	return []cli.Flag{
		&listOfKind{variableHere, &cli.StringSliceFlag{
			Name: "env", Aliases: []string{"e"},
			Usage: "set a variable of the application; without a value, copy yours: `NAME[=VALUE]`; repeatable",
		}},
		&cli.StringFlag{
			Name: "user", Aliases: []string{"u"},
			Usage: "run the application as this user of the guest, by name or number: `USER[:GROUP]`",
		},
		&cli.StringFlag{Name: "workdir", Usage: "start the application in `DIR` of the guest"},
		&listOfKind{file, &cli.StringSliceFlag{
			Name: "volume",
			Usage: "mount a directory or disk image of the host in the guest, besides those in ukl.toml; OPTIONS are ro, 9p, " +
				"trusted: `HOST:GUEST[:OPTIONS]`; repeatable",
		}},
		&cli.BoolFlag{
			Name:  manifest.AllowVolumes,
			Usage: "lend the guest the volumes and files of ukl.toml that ukl would ask about",
		},
		&cli.BoolFlag{
			Name:  manifest.AllowHost,
			Usage: "let the guest reach the services of this machine, at 10.0.2.2: what listens on 127.0.0.1, too",
		},
		&cli.StringFlag{
			Name: "memory", Aliases: []string{"m"},
			Usage: fmt.Sprintf("memory of the guest, in MiB or with a unit (64M, 2G), instead of %d MiB besides what its "+
				"start needs: `SIZE`", qemu.DefaultMemory),
		},
		&cli.IntFlag{Name: "cpus", Aliases: []string{"c"}, Usage: fmt.Sprintf("virtual CPUs of the guest, at most %d: `N`", qemu.MaxCPUs)},
	}
}

func accelFlag(missing accel.Choice) cli.Flag {
	return &ofKind{
		oneOf(accel.Choices()...),
		&cli.StringFlag{
			Name: "accel", Value: string(missing),
			Usage: "run the guest with KVM or TCG; auto takes KVM where it is proven to work: `auto|kvm|tcg`",
		},
	}
}

func modeFlag() cli.Flag {
	return &ofKind{
		oneOf(modes()...),
		&cli.StringFlag{
			Name: "mode", Value: unikernel,
			Usage: "run the application in ring 0, or as a process: of an unpatched kernel, or of Debian's own: " +
				"`unikernel|process|distro`",
		},
	}
}

// machineFlags are for those who know QEMU, or make kernels.
func machineFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{
			Name:  guest.Unconfined,
			Usage: "let QEMU do on this machine what you may: for a --qemu-arg that needs it",
		},
		&cli.StringSliceFlag{Name: "qemu-arg", Usage: "add `ARGUMENT` to QEMU's command line; repeatable"},
		&ofKind{file, &cli.StringFlag{
			Name: "kernel", Hidden: true,
			Usage: "for kernel developers: boot this vmlinux or bzImage `FILE` instead of building one",
		}},
	}
}

// Values of --mode.
const (
	unikernel = "unikernel"
	process   = "process"
	distro    = "distro"
)

func modes() []string { return []string{unikernel, process, distro} }

// asProcess tells whether the command line's mode runs the application in ring 3.
func asProcess(c *cli.Context) bool { return c.String("mode") == process || onDebian(c) }

// onDebian tells whether the kernel is Debian's own.
func onDebian(c *cli.Context) bool { return c.String("mode") == distro }

// appendEnv adds words to the kernel's command line, for kernel developers.
const appendEnv = "UKL_APPEND"

func (t *tool) run(c *cli.Context) error {
	own, err := t.terminalOf(c)
	if err != nil {
		return err
	}
	a, o, err := t.arranged(c)
	switch {
	case err != nil:
		return err
	case own == nil || a.HasTerminals():
	case c.Bool("tty"):
		return exit.Errorf(exit.Input, "--tty: the kernel that ukl.toml configures has no terminals")
	default:
		own = nil
	}
	if err := t.wait(c, a, &o); err != nil {
		return err
	}
	if c.Bool("dry-run") {
		s, err := guest.Shell(o)
		if err == nil {
			_, err = fmt.Fprintln(t.stdout, s)
		}
		return err
	}
	defer t.hold(c, o.Machine.Volumes)()
	if t.own != nil {
		o.StateDir = t.own.Dir()
		ports := portsOf(o.Machine.Forwards)
		o.Started = func() { t.own.Runs(ports) }
		o.Progress = func(started bool, silent []qemu.Forward) {
			t.own.Progress(portsOf(silent), started && len(silent) == 0)
		}
		grace := c.Duration("grace")
		o.Grace = func() time.Duration { return t.own.Grace(grace) }
		if err := t.own.Serve(o.Signals.Send); err != nil {
			return err
		}
	} else if c.Bool("detach") {
		return t.detach(c, a, o)
	}
	if o.Late = func(l guest.Late) { t.tellLate(c, o, l) }; c.IsSet("gdb") || c.Bool("quiet") {
		o.Patience = 0
	}
	if t.own == nil {
		defer t.relay(c, o.Signals)()
		o.Stopping = func(asked guest.Request, grace time.Duration) {
			again := "Ctrl-C"
			if s := asked.Signal(); s != syscall.SIGINT {
				again = unix.SignalName(s)
			}
			t.note(c, "the application has up to %s to end; another %s ends it at once", grace, again)
		}
	}
	ctx, leave := context.WithCancelCause(c.Context)
	defer leave(nil)
	if o.Terminal = own; own != nil {
		defer t.atTerminal(c, &o, leave)()
	}
	v, err := guest.Run(ctx, o)
	t.decided = true
	var unheeded *guest.Unheeded
	if errors.As(err, &unheeded) && t.own != nil {
		t.own.Forced()
	}
	var died *guest.Died
	if errors.As(err, &died) {
		died.Where = t.inApp(c, a, o, died.Where)
	}
	switch {
	case errors.Is(err, guest.ErrTimeout):
		return exit.Errorf(exit.Timeout, "%v after %s", err, o.Timeout)
	case err != nil:
		return err
	case v.Signal != 0:
		if v.Memory && v.Signal == int(syscall.SIGKILL) {
			fmt.Fprintf(t.stderr, "ukl: the application was killed for lack of memory: it and the kernel have %d MiB\n"+
				"ukl: hint: %s\n",
				o.Machine.Memory, guest.MoreMemory(o.Machine.Memory))
		}
		if lines := t.backtrace(c, a, o, v); lines != nil {
			fmt.Fprintf(t.stderr, "ukl: %s\n", printable.Text(strings.Join(lines, "\n")))
		}
		return exit.Status(exit.Signalled(v.Signal))
	}
	return exit.Status(exit.Code(v.Status))
}

// arranged is the application of the command line and its run: ports are free, and all that it needs is built.
func (t *tool) arranged(c *cli.Context) (apps.App, guest.Options, error) {
	a, o, err := t.described(c)
	if err == nil {
		err = t.prepare(c, a, &o)
	}
	return a, o, err
}

// described is the application of the command line and its run, of which nothing is built yet: ports are free.
func (t *tool) described(c *cli.Context) (apps.App, guest.Options, error) {
	a, err := t.appToRun(c)
	if err != nil {
		return a, guest.Options{}, err
	}
	o, err := t.options(c, a)
	if err == nil {
		err = t.reserve(c, &o.Machine)
	}
	return a, o, err
}

// prepare builds what the run needs, and chooses how it is accelerated.
func (t *tool) prepare(c *cli.Context, a apps.App, o *guest.Options) error {
	host := accel.Local(cacheDir())
	choice := accel.Choice(c.String("accel"))
	if err := possible(host, choice); err != nil {
		return err
	}
	if err := t.provide(c, a, o); err != nil {
		return err
	}
	if err := fit(c, a, o); err != nil {
		return err
	}
	return t.accelerate(c, host, choice, o)
}

// gdbPort is where gdb is to connect; the zero value without --gdb, and for debug, whose --gdb is a program.
func gdbPort(c *cli.Context) (qemu.Forward, error) {
	if _, ok := c.Value("gdb").(int); !ok || !c.IsSet("gdb") {
		return qemu.Forward{}, nil
	}
	f, err := qemu.ParseForward(fmt.Sprint(c.Int("gdb")))
	if err != nil || f.Host == 0 {
		return f, exit.Errorf(exit.Usage, "--gdb %d: want a port, 1 to 65535", c.Int("gdb"))
	}
	return f, nil
}

// fit gives the machine the memory that the guest needs, unless somebody says how much it has. What is too little is
// refused: such a guest would die without a word. The memory of a ukl.toml is for a kernel of ukl: a kernel of a
// distribution, which takes more, gets what it needs.
func fit(c *cli.Context, a apps.App, o *guest.Options) error {
	need, err := o.Need()
	if err != nil {
		return err
	}
	if !c.IsSet("memory") && (!a.GivesMemory() || o.Machine.PC) {
		o.Machine.Memory = max(o.Machine.Memory, need.Usual)
	}
	return enough(c, a, need, o.Machine.Memory)
}

// enough refuses too little memory where it was asked for.
func enough(c *cli.Context, a apps.App, need guest.Need, memory int) error {
	err := need.Check(memory)
	var small *guest.Small
	switch {
	case !errors.As(err, &small):
		return err
	case c.IsSet("memory"):
		return exit.Errorf(exit.Usage, "--memory: %v", err).WithHint("%s", small.Hint())
	case a.GivesMemory():
		return a.MemoryError(small.Error(), small.Hint())
	}
	return err
}

// wait makes the machine wait for gdb, and says how to start that.
func (t *tool) wait(c *cli.Context, a apps.App, o *guest.Options) error {
	if !c.IsSet("gdb") {
		return nil
	}
	f, err := gdbPort(c)
	if err != nil {
		return err
	}
	if _, err := qemu.Reserve([]qemu.Forward{f}); err != nil {
		return err
	}
	o.GDB = f
	g := gdb.Command{Program: "gdb", App: t.symbols(c, a, *o), Kernel: o.Machine.Kernel, Address: f.HostPort()}
	if c.Bool("dry-run") {
		g.Address = o.GDBSocket() // QEMU alone has no relay that guards a port
	}
	t.note(c, "the machine waits for gdb: %s", quoted(g.Argv()))
	return nil
}

// reserve makes sure of the machine's ports, and says which it took where any would do.
func (t *tool) reserve(c *cli.Context, m *qemu.Machine) error {
	wanted := m.Forwards
	var err error
	if m.Forwards, err = qemu.Reserve(wanted); err != nil {
		return err
	}
	for i, f := range m.Forwards {
		if wanted[i].Host == 0 && (t.own != nil || !c.Bool("detach")) { // in the background it will be another one
			t.note(c, "%s leads to the guest's port %d", f.HostPort(), f.Guest)
		}
	}
	return nil
}

// appToRun returns the application of the command line. With --kernel it needs no manifest: the word is only its name.
func (t *tool) appToRun(c *cli.Context) (apps.App, error) {
	if words := c.Args().Slice(); len(words) > 1 {
		right := slices.Concat(strings.Fields(c.Command.HelpName), t.line.options, words[:1], []string{"--"}, words[1:],
			t.line.rest)
		return apps.App{}, exit.Errorf(exit.Usage, "arguments for the application come after --").
			WithHint("%s", quoted(right))
	}
	if c.IsSet("kernel") && !asProcess(c) {
		name := c.Args().First()
		if name == "" {
			name = "kernel"
		}
		m := &manifest.Manifest{Name: filepath.Base(name), Memory: qemu.DefaultMemory, CPUs: qemu.DefaultCPUs}
		return apps.App{Manifest: m, Short: m.Name}, nil
	}
	a, err := findApp(c.Args().First())
	if err != nil {
		return a, err
	}
	return flavoured(c, a), nil
}

// flavoured is the application with the kernel that the command line asks for.
func flavoured(c *cli.Context, a apps.App) apps.App {
	if c.Bool("debug-kernel") {
		a.Flavour = apps.Debug
		a.Memory = max(a.Memory, debugMemory)
	}
	return a
}

// relay passes signals on that say nothing to ukl, until what it returns is called.
func (t *tool) relay(c *cli.Context, to guest.Signals) func() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			if err := to.Send(s.(syscall.Signal)); err != nil {
				t.note(c, "%s is lost: %v", unix.SignalName(s.(syscall.Signal)), err)
			}
		}
	}()
	return func() { signal.Stop(signals) }
}

// debugMemory is what KASAN's shadow, its quarantine and a kernel of 30 MB need beside a small application, in MiB.
const debugMemory = 512

func debugKernel() cli.Flag {
	return &cli.BoolFlag{
		Name:  "debug-kernel",
		Usage: "use a kernel that checks itself (lockdep, KASAN): slow, and compiled separately",
	}
}

// options are the run as the command line and the manifest describe it. What needs a build or a look at the machine is
// not in them yet.
func (t *tool) options(c *cli.Context, a apps.App) (guest.Options, error) {
	o := guest.Options{
		Name: a.Name, MachineID: machineID(a),
		Argv: a.Argv(nil),
		Env:  a.Env, Sysctl: a.Sysctl,
		Signals: make(guest.Signals), StopSignal: a.StopSignal,
		Unset: func(what string) { t.note(c, "the kernel says: %s", what) },
		Stdin: t.stdin, Stdout: t.stdout, Stderr: t.stderr,
		Verbose:  c.Bool("verbose"),
		StateDir: stateDir(a.Name),
		Timeout:  c.Duration("timeout"),
		Patience: c.Duration("patience"),

		Unconfined: c.Bool(guest.Unconfined),
		Machine: qemu.Machine{
			Memory: a.Memory, CPUs: a.CPUs, Forwards: a.Ports,
			Append: os.Getenv(appendEnv), Extra: c.StringSlice("qemu-arg"),
		},
	}
	if t.line.dashes {
		o.Argv = a.Argv(append([]string{}, t.line.rest...))
	}
	if c.IsSet("port") {
		var err error
		if o.Machine.Forwards, err = forwards(c.StringSlice("port")); err != nil {
			return o, err
		}
	}
	if c.IsSet("user") {
		if err := manifest.CheckUser(c.String("user")); err != nil {
			return o, exit.Errorf(exit.Usage, "--user: %v", err)
		}
	}
	if c.IsSet("workdir") {
		if err := manifest.CheckDir(c.String("workdir")); err != nil {
			return o, exit.Errorf(exit.Usage, "--workdir: %v", err)
		}
	}
	if err := network(c, &o.Machine); err != nil {
		return o, err
	}
	lent := a.Lend(a.Dir)
	if err := t.consent(c, a, lent); err != nil {
		return o, err
	}
	if m := c.String("mode"); c.IsSet("mode") && !slices.Contains(modes(), m) {
		return o, exit.Errorf(exit.Usage, "--mode %q: want %s", m, strings.Join(modes(), ", "))
	}
	o.Machine.PC = onDebian(c)
	o.Machine.Network.Host = a.Host || c.Bool(manifest.AllowHost)
	o.Refused = func(what string) {
		t.note(c, "the guest may not reach %s; to allow it: --%s", what, manifest.AllowHost)
	}
	volumes, err := volumes(c, a, lent)
	if err != nil {
		return o, err
	}
	o.Machine.Volumes, o.Files = volumes, copied(a, lent)
	env, err := environment(c.StringSlice("env"), os.LookupEnv)
	if err != nil {
		return o, err
	}
	o.Env = slices.Concat(o.Env, env)
	if c.IsSet("memory") {
		if o.Machine.Memory, err = qemu.ParseMemory(c.String("memory")); err != nil {
			return o, exit.Errorf(exit.Usage, "--memory: %v", err)
		}
	}
	if err := possibleMemory(c, a, o.Machine.Memory); err != nil {
		return o, err
	}
	if c.IsSet("cpus") {
		o.Machine.CPUs = c.Int("cpus")
		if err := qemu.CheckCPUs(o.Machine.CPUs, a.MaxCPUs()); err != nil {
			return o, exit.Errorf(exit.Usage, "--cpus: %v", err)
		}
	}
	if err := unmodified(c); err != nil {
		return o, err
	}
	if c.IsSet("timeout") && o.Timeout <= 0 {
		return o, exit.Errorf(exit.Usage, "--timeout %s: want a time above 0", o.Timeout)
	}
	if err := notNegative(c, "patience"); err != nil {
		return o, err
	}
	if err := detachable(c); err != nil {
		return o, err
	}
	if _, err := gdbPort(c); err != nil {
		return o, err
	}
	grace, err := graceOf(c)
	o.Grace = func() time.Duration { return grace }
	return o, err
}

// possibleMemory refuses more memory than this machine has, where it was asked for.
func possibleMemory(c *cli.Context, a apps.App, memory int) error {
	err := qemu.CheckHost(memory)
	switch {
	case err == nil:
		return nil
	case c.IsSet("memory"):
		return exit.Errorf(exit.Usage, "--memory: %v", err)
	case a.GivesMemory():
		return a.MemoryError(err.Error(), "-m gives the guest another amount")
	}
	return nil
}

// unmodified refuses options that want another kernel where that is Debian's.
func unmodified(c *cli.Context) error {
	for _, o := range []string{"debug-kernel", "kernel"} {
		if onDebian(c) && c.IsSet(o) {
			return exit.Errorf(exit.Usage, "--%s with --mode %s: that mode boots Debian's kernel as it is", o, distro).
				WithHint("use --mode %s, whose kernel ukl builds", process)
		}
	}
	return nil
}

// machineID is what /etc/machine-id of an application's guest holds; "" where this machine cannot have one.
func machineID(a apps.App) string {
	guest := cmp.Or(a.Program, a.Place(), a.Script, a.Short) // without any it is a bundled application, or a kernel's
	id, err := machineid.Local().Guest(guest)
	if err != nil {
		return ""
	}
	return id
}

// network connects the machine. Behind a tap the guest has an address of its own: there are no ports to forward.
func network(c *cli.Context, m *qemu.Machine) error {
	if c.IsSet("net") {
		n, err := qemu.ParseNetwork(c.String("net"))
		if err != nil {
			return exit.Errorf(exit.Usage, "--net: %v", err)
		}
		if m.Network = n; n.Tap != "" {
			if c.IsSet("port") || c.Bool("ipv6") {
				return exit.Errorf(exit.Usage, "--net tap takes no --port and no --ipv6: the guest has its own address, %s",
					n.Address.Addr())
			}
			m.Forwards = nil
		}
		if err := n.Check("/sys"); err != nil {
			return err
		}
	}
	m.Network.IPv6 = c.Bool("ipv6")
	return nil
}

// volumes are the directories and disk images that the guest sees, by paths without links: those of the manifest, which
// lends them, and of the command line.
func volumes(c *cli.Context, a apps.App, lent manifest.Lent) ([]qemu.Volume, error) {
	var all, named []qemu.Volume
	for i, v := range a.Volumes {
		v.Host = cmp.Or(lent.Volumes[i], manifest.Below(a.Dir, v.Host)) // what is missing is said below
		all = append(all, v)
	}
	for _, s := range c.StringSlice("volume") {
		v, err := qemu.ParseVolume(s)
		if err != nil {
			return nil, exit.Errorf(exit.Usage, "--%v", err)
		}
		if v.Host, err = filepath.Abs(v.Host); err != nil {
			return nil, err
		}
		if real, err := realpath.Of(v.Host); err == nil {
			v.Host = real
		}
		if slices.ContainsFunc(named, func(w qemu.Volume) bool { return w.Guest == v.Guest }) {
			return nil, exit.Errorf(exit.Usage, "--volume %s: there is another one for %s", v, v.Guest)
		}
		if a.Root != nil && v.IsRoot() {
			return nil, exit.Errorf(exit.Usage, "--volume %s: the root file system is that of [root] in ukl.toml", v)
		}
		all = slices.DeleteFunc(all, func(w qemu.Volume) bool { return w.Guest == v.Guest })
		all, named = append(all, v), append(named, v)
	}
	most := qemu.MaxVolumes
	if a.Root != nil {
		most-- // the root is one
	}
	if len(all) > most {
		return nil, exit.Errorf(exit.Usage, "%d volumes are too many: a guest has room for %d", len(all), most)
	}
	for i, v := range all {
		fi, err := os.Stat(v.Host)
		switch {
		case err != nil:
			err = fmt.Errorf("volume %s: %w", v, err)
		case fi.IsDir():
			if err = unix.Access(v.Host, unix.R_OK|unix.X_OK); err != nil {
				err = fmt.Errorf("volume %s: you may not read %s: %w", v, v.Host, err)
			}
		case !fi.Mode().IsRegular():
			err = fmt.Errorf("volume %s: %s is neither a directory nor a file", v, v.Host)
		case v.NineP:
			err = exit.Errorf(exit.Input, "volume %s: %s is a file, and 9P lends directories", v, v.Host)
		case v.Trusted:
			err = exit.Errorf(exit.Input, "volume %s: %s is a file, and trusted is about owners in a directory", v, v.Host)
		default:
			all[i].FileSystem, err = fileSystem(v, a.Kernel, c.IsSet("kernel") || onDebian(c))
		}
		var e *exit.Error
		if err != nil && !errors.As(err, &e) {
			err = &exit.Error{Code: exit.NoInput, Err: err}
		}
		if err != nil {
			return nil, err
		}
	}
	if onDebian(c) {
		if err := mountable(all); err != nil {
			return nil, err
		}
	}
	if err := doubled(all); err != nil {
		return nil, err
	}
	for _, v := range all {
		if err := nested(v, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// mountable refuses the volumes that Debian's kernel for virtual machines cannot mount without more modules than those
// of mode distro.
func mountable(volumes []qemu.Volume) error {
	for _, v := range volumes {
		switch {
		case v.NineP:
			over := v
			over.NineP = false
			return exit.Errorf(exit.Usage, "volume %s: Debian's kernel for virtual machines has no 9P", v).
				WithHint("virtiofs works in mode %s: --volume %s", distro, over)
		case v.FileSystem != "" && !slices.Contains([]string{"ext2", "ext3", "ext4"}, v.FileSystem):
			return exit.Errorf(exit.Usage, "volume %s: it holds %s, and a guest of mode %s mounts ext2, ext3, ext4 only",
				v, v.FileSystem, distro).WithHint("make the image with: mke2fs -t ext4, or use another mode")
		}
	}
	return nil
}

// doubled refuses an image that is there twice, once to be written.
func doubled(all []qemu.Volume) error {
	for i, v := range all {
		for _, w := range all[:i] {
			if v.FileSystem == "" || w.FileSystem == "" || v.ReadOnly && w.ReadOnly {
				continue
			}
			a, aerr := os.Stat(v.Host)
			b, berr := os.Stat(w.Host)
			if aerr == nil && berr == nil && os.SameFile(a, b) {
				return exit.Errorf(exit.Usage, "volume %s: it is the disk of volume %s, too, and two file systems may not "+
					"write to one", v, w).WithHint("name it once, or make both :ro")
			}
		}
	}
	return nil
}

// hold notes that this run writes to directories, until done, and warns if another one does: memory that guests map of
// them is not the same. It is best effort.
func (t *tool) hold(c *cli.Context, volumes []qemu.Volume) (done func()) {
	var dones []func()
	notes := stateDir(".volumes") // the name of no application
	for _, v := range volumes {
		if notes == "" || v.ReadOnly || v.FileSystem != "" {
			continue
		}
		others, release, err := inuse.Hold(v.Host, notes)
		if err != nil {
			continue
		}
		dones = append(dones, release)
		if others && t.own == nil {
			t.note(c, "another guest has volume %s, too: what a program writes to a shared mapping of a file there, as SQLite "+
				"does in WAL mode, the other one does not see", v)
		}
	}
	return func() {
		for _, release := range dones {
			release()
		}
	}
}

// nested looks whether there is a place for v if it lies in a directory of the host that is a volume, too. The guest
// makes a missing one where it may.
func nested(v qemu.Volume, all []qemu.Volume) error {
	outer, place, ok := v.Within(all)
	if !ok || outer.FileSystem != "" {
		return nil
	}
	host := filepath.Join(outer.Host, filepath.FromSlash(place))
	switch fi, err := os.Stat(host); {
	case err == nil && !fi.IsDir():
		return exit.Errorf(exit.Usage, "volume %s: %s, which the guest sees there, is not a directory", v, host)
	case errors.Is(err, fs.ErrNotExist) && outer.ReadOnly:
		return exit.Errorf(exit.Usage, "volume %s: there is no %s to mount it on, and volume %s is read-only", v, host, outer)
	}
	return nil
}

// fileSystem looks into the image of a disk. The guest's kernel has additions to its configuration, or else is one that
// ukl does not know.
func fileSystem(v qemu.Volume, additions []string, foreign bool) (string, error) {
	mode := os.O_RDWR
	if v.ReadOnly {
		mode = os.O_RDONLY
	}
	f, err := os.OpenFile(v.Host, mode, 0)
	if errors.Is(err, fs.ErrPermission) && !v.ReadOnly {
		return "", exit.Errorf(exit.NoInput, "volume %s: %v", v, err).
			WithHint("to keep the guest from writing to it: --volume %s:ro", v)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	found, err := superblock.Look(f, v.ReadOnly)
	var unknown *superblock.Unknown
	switch missing := found.Missing(additions); {
	case errors.As(err, &unknown):
		return "", exit.Errorf(exit.Input, "volume %s: %v", v, err).WithHint("%s", unknown.Hint())
	case err != nil:
		return "", fmt.Errorf("volume %s: %w", v, err)
	case len(missing) > 0 && !foreign:
		lines, err := json.Marshal(missing)
		if err != nil {
			return "", err
		}
		return "", exit.Errorf(exit.Input, "volume %s: it holds %s, which the guest's kernel cannot mount", v, found).
			WithHint("add to ukl.toml: [kernel] config = %s, or make the image with: mke2fs -t ext2", lines)
	}
	return found.Type, nil
}

// copied are the files that the guest gets, by paths without links; what is not there keeps its name, for messages.
func copied(a apps.App, lent manifest.Lent) []guest.File {
	var all []guest.File
	for i, f := range a.Manifest.Files {
		file := guest.File{Guest: f.Guest, Host: cmp.Or(lent.Files[i], manifest.Below(a.Dir, f.Host))}
		if file.Host == lent.Dir { // the application's own
			file.Only = manifest.OfSources
		}
		all = append(all, file)
	}
	if a.Script != "" {
		all = append(all, guest.File{Guest: apps.Inside(a.Script), Host: a.Script})
	}
	return all
}

// provide builds what is missing: the image, unless a kernel was given, and QEMU, unless the environment names one.
func (t *tool) provide(c *cli.Context, a apps.App, o *guest.Options) error {
	b, done := t.builder(c)
	defer done()
	var err error
	o.Machine.Kernel = c.String("kernel")
	mode := c.String("mode")
	switch {
	case o.Machine.Kernel != "":
		_, err = os.Stat(o.Machine.Kernel)
	case mode == process:
		o.Machine.Kernel, err = b.ProcessKernel(c.Context, a)
	case mode == distro:
		err = distribution(c.Context, b, a, o)
	case t.kernelOf != nil:
		o.Machine.Kernel, err = t.kernelOf(c, a)
	default:
		o.Machine.Kernel, err = b.Kernel(c.Context, a)
	}
	if err == nil && asProcess(c) {
		o.Root, err = b.ProcessRoot(c.Context, a)
	}
	if err == nil {
		o.Usual, err = usual(c.Context, b, a)
	}
	var root image.Rootfs
	if err == nil && a.Root != nil {
		root, err = withRoot(c.Context, b, a, o)
	}
	if err == nil {
		err = placeIn(a.Program, o)
	}
	if err == nil {
		err = identify(c, a.Manifest, root, o)
	}
	if err == nil && c.String("kernel") == "" && !slices.ContainsFunc(o.Machine.Volumes, qemu.Volume.IsRoot) {
		elsewhere := len(o.Machine.Volumes) > 0
		err = t.withLibraries(c, b, a, elsewhere, o.Files, &o.Usual)
	}
	if err != nil {
		return err
	}
	tree, override := "", os.Getenv(qemu.Env)
	if override == "" {
		if tree, err = b.QEMU(c.Context); err != nil {
			return err
		}
	}
	o.Program, err = qemu.Find(tree, override)
	return err
}

// withRoot gives the guest the root file system of its application, and puts the application in its place there.
func withRoot(ctx context.Context, b *image.Builder, a apps.App, o *guest.Options) (image.Rootfs, error) {
	root, err := b.Rootfs(ctx, a)
	if err != nil {
		return root, err
	}
	if err := fitInto(root, o); err != nil {
		return root, err
	}
	o.Machine.Volumes = append([]qemu.Volume{
		{Host: root.Image, Guest: "/", ReadOnly: true, FileSystem: image.RootType},
	}, o.Machine.Volumes...)
	return root, nil
}

// identify makes the application the user, and puts it into the directory, that the command line names or else its
// manifest.
func identify(c *cli.Context, m *manifest.Manifest, root image.Rootfs, o *guest.Options) error {
	user, dir := m.User, m.WorkDir
	if c.IsSet("user") {
		user = c.String("user")
	}
	if c.IsSet("workdir") {
		dir = filepath.Clean(c.String("workdir"))
	}
	var packed func(string) ([]byte, error)
	if root.Image != "" {
		packed = root.Accounts
	}
	if user != "" {
		err := o.FindUser(user, packed)
		var none *guest.NoUser
		if errors.As(err, &none) && !c.IsSet("user") {
			return m.UserError(none.Error(), none.Hint())
		}
		if err != nil {
			return err
		}
	}
	if o.Dir = dir; dir == "" {
		return nil
	}
	err := o.FindDir()
	var none *guest.NoDirectory
	if errors.As(err, &none) && !c.IsSet("workdir") {
		return m.WorkDirError(none.Error())
	}
	return err
}

// fitInto puts an application, its files and volumes into their places in a root file system of packages.
func fitInto(root image.Rootfs, o *guest.Options) error {
	o.Place = root.Place
	look, err := root.Look()
	if err != nil {
		return err
	}
	return o.Fit(look)
}

// placeIn puts files and volumes into their places in a directory that is a layer of the guest's root, and a program of
// the host, if it is from there: then it finds what is beside it.
func placeIn(program string, o *guest.Options) error {
	i := slices.IndexFunc(o.Machine.Volumes, func(v qemu.Volume) bool { return v.Layered() && v.FileSystem == "" })
	if i < 0 {
		return nil
	}
	root := o.Machine.Volumes[i].Host
	if real, err := realpath.Of(program); program != "" && err == nil && realpath.Inside(root, real) {
		o.Place = "/" + strings.TrimPrefix(strings.TrimPrefix(real, root), "/")
	}
	return o.Fit(guest.LookIn(root))
}

// distribution takes Debian's kernel, with the drivers that it needs.
func distribution(ctx context.Context, b *image.Builder, a apps.App, o *guest.Options) (err error) {
	if o.Machine.Kernel, o.Drivers, err = b.DistroKernel(ctx); err != nil || len(a.Kernel) == 0 {
		return err
	}
	config, err := os.ReadFile(filepath.Join(filepath.Dir(o.Machine.Kernel), "config"))
	if err != nil {
		return err
	}
	if missing := unlike(string(config), a.Kernel); missing != nil {
		return a.KernelErrors(missing, "run it in another mode: --mode "+process)
	}
	return nil
}

// unlike says which lines of configuration a kernel that cannot be changed does not have.
func unlike(config string, wanted []string) []string {
	var missing []string
	lines := strings.Split(config, "\n")
	for _, l := range wanted {
		option, value, _ := strings.Cut(l, "=")
		off := value == "n" && !slices.ContainsFunc(lines, func(s string) bool { return strings.HasPrefix(s, option+"=") })
		if !off && !slices.Contains(lines, l) {
			missing = append(missing, l+": Debian's kernel is made without this line, and mode "+distro+" does not change it")
		}
	}
	return missing
}

// usual are the files of ukl's own pins: those that every guest has, and those that an application asks for.
func usual(ctx context.Context, b *image.Builder, a apps.App) ([]guest.File, error) {
	tools, err := b.Tools(ctx)
	if err != nil {
		return nil, err
	}
	wanted := []guest.File{{Guest: image.Locale, Host: filepath.Join(tools, image.Locale)}}
	for _, part := range []struct {
		name  string
		asked bool
	}{{image.Certificates, a.Certificates}, {image.TimeZones, a.TimeZones}} {
		if !part.asked {
			continue
		}
		dir, err := b.Files(ctx)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, guest.File{Guest: "/", Host: filepath.Join(dir, part.name)})
	}
	return wanted, nil
}

// withLibraries adds the shared libraries of a dynamic program to the files of its guest. What no package has may be
// among its own files, or elsewhere in the guest.
func (t *tool) withLibraries(c *cli.Context, b *image.Builder, a apps.App, elsewhere bool, own []guest.File,
	files *[]guest.File,
) error {
	l, err := b.Libraries(c.Context, a)
	if err != nil {
		return err
	}
	l.Missing = slices.DeleteFunc(l.Missing, func(name string) bool { return guest.Has(own, name) })
	switch {
	case len(l.Missing) > 0 && elsewhere && l.Refused == "":
		t.note(c, "none of the pinned packages has %s: the program must find it in a volume", strings.Join(l.Missing, ", "))
	case len(l.Missing) > 0 || l.Refused != "":
		return &image.Lacking{
			App: a.Name, Missing: l.Missing, Refused: l.Refused, Static: program.Static(a.Program), Described: a.Dir != "",
		}
	}
	if l.Root != "" {
		*files = append(*files, guest.File{Guest: "/", Host: l.Root})
	}
	return nil
}

func forwards(list []string) ([]qemu.Forward, error) {
	var fs []qemu.Forward
	for _, s := range list {
		f, err := qemu.ParseForward(s)
		if err != nil {
			return nil, exit.Errorf(exit.Usage, "%v", err)
		}
		fs = append(fs, f)
	}
	return fs, nil
}

// environment reads -e NAME=VALUE, and -e NAME for the value that the variable has here.
func environment(list []string, lookup func(string) (string, bool)) ([]string, error) {
	var env []string
	for _, s := range list {
		name, _, given := strings.Cut(s, "=")
		if name == "" {
			return nil, exit.Errorf(exit.Usage, "--env %q: want NAME=VALUE or NAME", s)
		}
		if !given {
			value, ok := lookup(name)
			if !ok {
				return nil, exit.Errorf(exit.Usage, "--env %s: the variable is not set here", name).
					WithHint("-e %s= sets it to nothing", name)
			}
			s = name + "=" + value
		}
		env = append(env, s)
	}
	return env, nil
}

// possible refuses what can be refused before anything is built.
func possible(host accel.Host, choice accel.Choice) error {
	if !slices.Contains(accel.Choices(), string(choice)) {
		return exit.Errorf(exit.Usage, "--accel %q: want %s", choice, strings.Join(accel.Choices(), ", "))
	}
	if v, decided := host.Quick(); choice == accel.KVM && decided && !v.KVM {
		return noKVM(v)
	}
	return nil
}

func noKVM(v accel.Verdict) error {
	return (&exit.Error{Code: exit.Unavailable, Err: fmt.Errorf("--accel kvm: %s", v.Reason)}).WithHint("%s", v.Remedy)
}

// accelerate chooses between KVM and TCG, and says so if it is the slow one.
func (t *tool) accelerate(c *cli.Context, host accel.Host, choice accel.Choice, o *guest.Options) error {
	if choice != accel.TCG {
		v := host.Decide(c.Context, o.Program)
		switch {
		case v.KVM:
			o.Machine.KVM, o.Machine.CPU = true, v.CPU
			return nil
		case choice == accel.KVM && v.MayWork():
			o.Machine.KVM, o.Machine.CPU = true, v.CPU
			t.note(c, "KVM may not pay here: %s", v.Reason)
			return nil
		case choice == accel.KVM:
			return noKVM(v)
		}
		t.note(c, "no KVM, so the guest runs under TCG: %s", v.Reason)
	}
	o.TSC = host.TSC()
	return nil
}

// cacheDir is where ukl keeps what it can find out again; "" where the user has no home.
func cacheDir() string {
	dir, err := folders.Cache()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "ukl")
}

// stateDir is where ukl keeps what an application's last run left; "" where the user has no home.
func stateDir(name string) string {
	dir, err := folders.State()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "ukl", name)
}
