// Package instance keeps track of guests in the background, one directory each. There is no daemon: a guest belongs to
// a ukl of its own, its owner, which holds an exclusive lock in that directory as long as it lives, however it ends.
// Who only asks takes the lock shared, for a moment. Who makes or removes such a directory holds the lock of the
// directory above, so that it does not vanish below somebody else.
package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
)

// Info is what is known of an instance.
type Info struct {
	Name    string    `json:"name"`
	App     string    `json:"app"`
	Ports   []string  `json:"ports"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Running bool      `json:"running"`
	State   State     `json:"state"`
	Waiting []string  `json:"waiting,omitempty"` // those of Ports on which the guest does not listen yet
	Status  *int      `json:"status,omitempty"`  // ukl's exit code; nil while it runs, and of one that was killed
}

// State is how far an instance is.
type State string

// States of an instance.
const (
	Starting State = "starting" // the application has not been started, or does not listen on all of its TCP ports
	Ready    State = "ready"
	Ended    State = "ended"
)

// Store is the directory that holds the instances'.
type Store struct{ Dir string }

// Files of an instance.
const (
	lockFile   = "lock"
	infoFile   = "info.json"
	outputFile = "output" // stdout and stderr, as they came; a long one has a hole: see Reader
	statusFile = "status"
	graceFile  = "grace"    // how long its application may take to end; whoever stops it may write another one
	forcedFile = "unheeded" // is there if it took longer
)

// Env tells a ukl that it is the one that an instance belongs to.
const Env = "UKL_INSTANCE"

// Descriptors that it inherits.
const (
	lockFD  = 3
	readyFD = 4
	givenFD = 5
)

// Taken says that an instance of a name is running.
type Taken struct{ Name string }

func (e *Taken) Error() string { return e.Name + " is running already" }

// Hint is the line that helps.
func (e *Taken) Hint() string { return "ukl stop " + e.Name + ", or another --name" }

// Unknown is a name that no instance has.
type Unknown struct{ Name string }

func (e *Unknown) Error() string {
	return fmt.Sprintf("there is no guest %q in the background", e.Name)
}

// ExitCode is the code of a command that this ends.
func (*Unknown) ExitCode() exit.Code { return exit.NoInput }

// Hint is the line that helps.
func (e *Unknown) Hint() string { return "`ukl ps` shows them" }

// Failed is an instance that ended before its guest had started.
type Failed struct {
	Code   int
	Output string // the end of it
}

func (e *Failed) Error() string {
	return fmt.Sprintf("it ended with %d before its guest had started", e.Code)
}

// lock takes the lock of an instance, how being unix.LOCK_EX or unix.LOCK_SH; nil if somebody has it. Only an owner's
// directory is made to have the file.
func lock(dir string, how int) (*os.File, error) {
	flags := os.O_RDONLY
	if how == unix.LOCK_EX {
		flags = os.O_RDWR | os.O_CREATE
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), flags, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, err
}

// own takes the lock of an instance; nil if it has an owner. Somebody who asks keeps nobody from owning it.
func own(dir string) (*os.File, error) {
	for {
		l, err := lock(dir, unix.LOCK_EX)
		if l != nil || err != nil {
			return l, err
		}
		asked, err := lock(dir, unix.LOCK_SH)
		if asked == nil {
			return nil, err
		}
		asked.Close()
		time.Sleep(time.Millisecond)
	}
}

// alone keeps everybody else from making and removing instances until the file that it returns is closed.
func (s Store) alone() (*os.File, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	d, err := os.Open(s.Dir)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX)
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, unix.EINTR) {
			d.Close()
			return nil, err
		}
	}
}

// claim makes a directory its caller's: a new one, or that of an instance that has ended. It returns the lock; nil if
// the instance has an owner.
func (s Store) claim(name string) (*os.File, error) {
	all, err := s.alone()
	if err != nil {
		return nil, err
	}
	defer all.Close()
	dir := filepath.Join(s.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	l, err := own(dir)
	if l == nil || err != nil {
		return nil, err
	}
	if err := remove(dir, infoFile, outputFile, statusFile, graceFile, forcedFile); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// remove removes files of a directory that may not be there.
func remove(dir string, files ...string) error {
	for _, f := range files {
		if err := os.Remove(filepath.Join(dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// forget removes an instance that has no owner; of one that got a new one in the meantime nothing is removed. l is its
// lock, if the caller has it.
func (s Store) forget(name string, l *os.File) error { return s.unowned(name, l, os.RemoveAll) }

// retire is forget, but that what the instance wrote can be read until its name is used again.
func (s Store) retire(name string) error {
	return s.unowned(name, nil, func(dir string) error {
		return remove(dir, infoFile, statusFile, graceFile, forcedFile)
	})
}

// unowned does something to the directory of an instance that has no owner.
func (s Store) unowned(name string, l *os.File, do func(dir string) error) error {
	all, err := s.alone()
	if err != nil {
		return err
	}
	defer all.Close()
	dir := filepath.Join(s.Dir, name)
	if l == nil {
		l, err = own(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody else has removed it
		}
		if l == nil || err != nil {
			return err
		}
		defer l.Close()
	}
	return do(dir)
}

// Launch is how an instance is started.
type Launch struct {
	Args  []string      // of this very program, which runs once more
	Grace time.Duration // that the application has to end, unless whoever stops it says otherwise
	Wait  time.Duration // until the guest is ready, once it has started; 0 does not wait
	Given any           // what its Own gives back, as JSON; nobody else can change it
}

// Start runs this very program once more in the background and returns when its guest has started, and then is ready,
// has ended or was waited for long enough. name is the instance's; "" makes one of the application's. The end of ctx
// ends the instance, unless Start has returned.
func (s Store) Start(ctx context.Context, name string, info Info, how Launch) (Info, error) {
	names := []string{name}
	if name == "" {
		names = []string{info.App}
		for i := 2; i < 100; i++ {
			names = append(names, fmt.Sprintf("%s-%d", info.App, i))
		}
	}
	var l *os.File
	var err error
	for _, n := range names {
		if l, err = s.claim(n); err != nil {
			return info, err
		}
		if info.Name = n; l != nil {
			break
		}
	}
	if l == nil {
		return info, &Taken{info.Name}
	}
	defer l.Close()
	dir := filepath.Join(s.Dir, info.Name)
	output, err := os.OpenFile(filepath.Join(dir, outputFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return info, err
	}
	defer output.Close()
	if err := write(filepath.Join(dir, graceFile), how.Grace); err != nil {
		return info, err
	}
	given, err := sheet(how.Given)
	if err != nil {
		return info, err
	}
	defer given.Close()
	parent, child, err := pair()
	if err != nil {
		return info, err
	}
	defer parent.Close()
	cmd := exec.Command("/proc/self/exe", how.Args...)
	cmd.Args[0] = "ukl"
	cmd.Env = append(os.Environ(), Env+"="+dir)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.ExtraFiles = []*os.File{l, child, given}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the end of a terminal is not its end
	err = cmd.Start()
	child.Close()
	if err != nil {
		return info, errors.Join(err, s.forget(info.Name, l))
	}
	info.PID, info.Started, info.Running, info.State = cmd.Process.Pid, time.Now(), true, Starting
	if err := write(filepath.Join(dir, infoFile), info); err != nil {
		return info, errors.Join(err, cmd.Process.Kill(), cmd.Wait(), s.forget(info.Name, l))
	}
	_, _ = parent.Write([]byte{1}) // one that has ended is seen below
	defer context.AfterFunc(ctx, func() {
		_ = write(filepath.Join(dir, graceFile), time.Duration(0)) // without it there is some delay
		_ = cmd.Process.Signal(syscall.SIGTERM)                    // one that has ended needs none
		time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	})()
	said := make([]byte, 1)
	n, _ := parent.Read(said)
	started := n == 1
	if started && how.Wait > 0 {
		if err = parent.SetReadDeadline(time.Now().Add(how.Wait)); err == nil {
			n, err = parent.Read(said)
		}
	}
	if n == 1 || errors.Is(err, os.ErrDeadlineExceeded) {
		now, err := s.Get(info.Name)
		return now, errors.Join(err, cmd.Process.Release())
	}
	_ = cmd.Wait()
	if started && ctx.Err() == nil {
		l.Close() // or it would seem to run
		return s.Get(info.Name)
	}
	text := end(output.Name(), longestFailure)
	if err := s.forget(info.Name, l); err != nil { // there never was such a guest
		return info, err
	}
	if ctx.Err() != nil {
		return info, context.Cause(ctx)
	}
	return info, &Failed{cmd.ProcessState.ExitCode(), text}
}

// pair is a channel between the process that starts an instance and the one that it is: a byte that info.json is
// written, and back one that the guest runs and one that it is ready.
func pair() (parent, child *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // for deadlines
		return nil, nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "parent"), os.NewFile(uintptr(fds[1]), "child"), nil
}

// sheet is a file without a name that holds something as JSON, and is at its begin.
func sheet(v any) (*os.File, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("given", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "given")
	if _, err := f.WriteAt(b, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func write(file string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return atomicfile.File(file, b, 0o600)
}

// Own is the instance that this process is.
type Own struct {
	dir   string
	given *os.File

	mu     sync.Mutex
	parent *os.File // nil once it has been told all
	known  bool     // info.json is there
	runs   bool
	told   bool // the parent knows that it runs
	ready  bool
	output *keeper // of the file with what this process says; nil before Limited
}

// Inherited returns the instance that this process was started as; nil if it was not.
func Inherited() *Own {
	dir := os.Getenv(Env)
	if dir == "" {
		return nil
	}
	os.Unsetenv(Env)
	unix.CloseOnExec(lockFD) // and stays open until this process has ended
	unix.CloseOnExec(readyFD)
	unix.CloseOnExec(givenFD)
	// Started as /proc/self/exe it would be called "exe", in ps(1) and where a port is taken.
	_ = os.WriteFile("/proc/self/comm", []byte("ukl"), 0)
	return &Own{dir: dir, parent: os.NewFile(readyFD, "ready"), given: os.NewFile(givenFD, "given")}
}

// Given reads what was given to the instance when it was started.
func (o *Own) Given(v any) error {
	return json.NewDecoder(io.NewSectionReader(o.given, 0, math.MaxInt64)).Decode(v)
}

// Dir is where the guest may leave its files.
func (o *Own) Dir() string { return o.dir }

// Runs tells whoever started the instance that its guest runs, and which ports it has.
func (o *Own) Runs(ports []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runs = true
	o.change(func(i *Info) { i.Ports = ports })
}

// Progress tells on which ports the guest does not listen yet, and whether that and all else is as it should be.
func (o *Own) Progress(waiting []string, ready bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ready = o.ready || ready
	o.change(func(i *Info) {
		if i.Waiting = waiting; ready {
			i.State = Ready
		}
	})
}

// change changes info.json, and tells the parent what is new.
func (o *Own) change(f func(*Info)) {
	if !o.known {
		_, _ = o.parent.Read(make([]byte, 1)) // until info.json is there, or whoever would write it has ended
		o.known = true
	}
	var i Info
	file := filepath.Join(o.dir, infoFile)
	if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &i) == nil {
		f(&i)
		_ = write(file, i) // without it what was known before stays
	}
	if o.parent == nil || !o.runs {
		return
	}
	if !o.told {
		o.told = true
		_, _ = o.parent.Write([]byte{1}) // who does not wait need not know
	}
	if o.ready {
		_, _ = o.parent.Write([]byte{1})
		o.parent.Close()
		o.parent = nil
	}
}

// Grace is how long the application may take to end; missing if that is not known.
func (o *Own) Grace(missing time.Duration) time.Duration { return grace(o.dir, missing) }

// Forced records that the guest did not end by itself.
func (o *Own) Forced() { _ = write(filepath.Join(o.dir, forcedFile), true) }

// End records the exit code.
func (o *Own) End(code int) { _ = write(filepath.Join(o.dir, statusFile), code) }

// List returns all instances by name.
func (s Store) List() ([]Info, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list := []Info{}
	for _, e := range entries {
		if i, err := s.Get(e.Name()); err == nil {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Get returns one instance.
func (s Store) Get(name string) (Info, error) {
	var i Info
	if name == "" || name != filepath.Base(name) {
		return i, &Unknown{name}
	}
	dir := filepath.Join(s.Dir, name)
	b, err := os.ReadFile(filepath.Join(dir, infoFile))
	if err != nil || json.Unmarshal(b, &i) != nil {
		return i, &Unknown{name}
	}
	l, err := lock(dir, unix.LOCK_SH)
	if errors.Is(err, fs.ErrNotExist) {
		return i, &Unknown{name} // removed in between
	}
	if err != nil {
		return i, err
	}
	if i.Running = l == nil; i.Running && i.State == "" {
		i.State = Ready // an owner that is older than the states says no more
	}
	if l != nil {
		l.Close()
		i.State, i.Waiting = Ended, nil
		if b, err := os.ReadFile(filepath.Join(dir, statusFile)); err == nil {
			_ = json.Unmarshal(b, &i.Status)
		}
	}
	return i, nil
}

// Output is the file that has what an instance wrote, and where it may have left others. The instance may have been
// stopped, if its name was not used again.
func (s Store) Output(name string) (file, dir string, err error) {
	_, err = s.Get(name)
	dir = filepath.Join(s.Dir, name)
	file = filepath.Join(dir, outputFile)
	if unknown := (*Unknown)(nil); errors.As(err, &unknown) && name != "" && name == filepath.Base(name) {
		if _, serr := os.Stat(file); serr == nil {
			err = nil
		}
	}
	return file, dir, err
}

// Times of Stop.
const (
	patience = 10 * time.Second // to end once its guest has
	look     = 20 * time.Millisecond
)

// grace is what is written of an instance's grace.
func grace(dir string, missing time.Duration) time.Duration {
	var d time.Duration
	b, err := os.ReadFile(filepath.Join(dir, graceFile))
	if err != nil || json.Unmarshal(b, &d) != nil {
		return missing
	}
	return d
}

// Stop ends an instance and forgets it but for what it wrote. Its application may take its own grace to end, or that of
// the caller if it is not nil. forced is set if it took longer, so that the guest was stopped, or even its ukl killed.
func (s Store) Stop(ctx context.Context, name string, other *time.Duration) (forced bool, err error) {
	i, err := s.Get(name)
	if err != nil {
		return false, err
	}
	defer func() {
		if unknown := (*Unknown)(nil); errors.As(err, &unknown) {
			err = nil // somebody else has stopped it at the same time
		}
	}()
	if i, err = s.end(ctx, i, syscall.SIGTERM, other); err != nil {
		return false, err
	}
	forced = i.Running
	if i, err = s.end(ctx, i, syscall.SIGKILL, nil); err != nil {
		return forced, err
	}
	if i.Running {
		return true, fmt.Errorf("%s (process %d) does not end", name, i.PID)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, name, forcedFile)); err == nil {
		forced = true
	}
	return forced, s.retire(name)
}

// end sends a signal to a running instance and waits for its end. It returns what is then known of it.
func (s Store) end(ctx context.Context, i Info, sig syscall.Signal, other *time.Duration) (Info, error) {
	if !i.Running {
		return i, nil
	}
	p, err := os.FindProcess(i.PID)
	if err != nil {
		return i, err
	}
	defer p.Release()
	// The process is held now. If the owner lives still, its number was not given to another one before.
	now, err := s.Get(i.Name)
	if err != nil || !now.Running {
		return now, err
	}
	if now.PID != i.PID { // somebody has started it again
		return s.end(ctx, now, sig, other)
	}
	dir, limit := filepath.Join(s.Dir, i.Name), patience
	if other != nil {
		if err := write(filepath.Join(dir, graceFile), *other); err != nil {
			return i, err
		}
	}
	if sig == syscall.SIGTERM {
		limit += grace(dir, 0)
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return i, err
	}
	for end := time.Now().Add(limit); i.Running && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return i, context.Cause(ctx)
		case <-time.After(look):
		}
		if i, err = s.Get(i.Name); err != nil {
			return i, err
		}
	}
	return i, nil
}
