package instance

import (
	"context"
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
	"testing"
	"time"
)

// TestMain is also the process that an instance is: its first argument says how it behaves.
func TestMain(m *testing.M) {
	o := Inherited()
	if o == nil {
		os.Exit(m.Run())
	}
	fmt.Println("a word")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	switch os.Args[1] {
	case "fails":
		os.Exit(3)
	case "given":
		var words []string
		for range 2 { // it can be read again
			if err := o.Given(&words); err != nil {
				fmt.Println(err)
			}
		}
		fmt.Println(len(words), words[0])
		os.Exit(5)
	case "hasty": // it is ready before anybody knows that it runs
		o.Progress(nil, true)
	case "hangs":
		<-ended
		os.Exit(143)
	case "slow": // an application that takes its time
		o.Runs(nil)
		<-ended
		grace := o.Grace(time.Hour)
		fmt.Println("grace", grace)
		if grace < time.Minute {
			o.Forced()
		}
		os.Exit(143)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
	}
	o.Runs([]string{"127.0.0.1:1:1"})
	switch os.Args[1] {
	case "listens":
		o.Progress([]string{"127.0.0.1:1:1"}, false)
		o.Progress(nil, true)
	case "silent":
		o.Progress([]string{"127.0.0.1:1:1"}, false)
	}
	if os.Args[1] == "short" {
		o.End(7)
		os.Exit(7)
	}
	<-ended
	o.End(143)
	os.Exit(143)
}

func TestLife(t *testing.T) {
	s := Store{filepath.Join(t.TempDir(), "running")}
	i, err := s.Start(t.Context(), "", Info{App: "app"}, Launch{Args: []string{"serves"}})
	if err != nil || i.Name != "app" || !i.Running || i.PID == 0 || len(i.Ports) != 1 {
		t.Fatalf("%+v, %v", i, err)
	}
	if taken := (*Taken)(nil); func() bool {
		_, err = s.Start(t.Context(), "app", Info{App: "app"}, Launch{Args: []string{"serves"}})
		return !errors.As(err, &taken)
	}() {
		t.Errorf("a running name: %v", err)
	}
	second, err := s.Start(t.Context(), "", Info{App: "app"}, Launch{Args: []string{"serves"}})
	if err != nil || second.Name != "app-2" {
		t.Errorf("%+v, %v", second, err)
	}
	for _, name := range []string{"app", "app-2"} {
		if forced, err := s.Stop(t.Context(), name, nil); err != nil || forced {
			t.Error(forced, err)
		}
	}
	if list, err := s.List(); len(list) != 0 || err != nil {
		t.Errorf("after stop: %+v, %v", list, err)
	}
	if unknown := (*Unknown)(nil); func() bool {
		_, err := s.Stop(t.Context(), "app", nil)
		return !errors.As(err, &unknown)
	}() {
		t.Error("stopped twice")
	}
}

// What an instance is given has no size that an environment would limit.
func TestGiven(t *testing.T) {
	s := Store{t.TempDir()}
	words := slices.Repeat([]string{strings.Repeat("w", 1000)}, 1000)
	_, err := s.Start(t.Context(), "x", Info{App: "app"}, Launch{Args: []string{"given"}, Given: words})
	failed := (*Failed)(nil)
	if want := "a word\n1000 " + words[0] + "\n"; !errors.As(err, &failed) || failed.Code != 5 || failed.Output != want {
		t.Errorf("%v: %+v", err, failed)
	}
}

func TestEnded(t *testing.T) {
	s := Store{t.TempDir()}
	if _, err := s.Start(t.Context(), "x", Info{App: "app"}, Launch{Args: []string{"short"}}); err != nil {
		t.Fatal(err)
	}
	var i Info
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(look) {
		var err error
		if i, err = s.Get("x"); err != nil {
			t.Fatal(err)
		}
		if !i.Running {
			break
		}
	}
	if i.Running || i.Status == nil || *i.Status != 7 {
		t.Errorf("%+v", i)
	}
	// Its name is free, and its status gone.
	i, err := s.Start(t.Context(), "x", Info{App: "app"}, Launch{Args: []string{"serves"}})
	if err != nil || !i.Running || i.Status != nil {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := s.Stop(t.Context(), "x", nil); err != nil {
		t.Error(err)
	}
}

// One that never started leaves nothing, whether it failed or was not waited for.
func TestNeverStarted(t *testing.T) {
	s := Store{t.TempDir()}
	_, err := s.Start(t.Context(), "x", Info{App: "app"}, Launch{Args: []string{"fails"}})
	if failed := (*Failed)(nil); !errors.As(err, &failed) || failed.Code != 3 || failed.Output != "a word\n" {
		t.Errorf("%#v", err)
	}
	why := errors.New("Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	if _, err := s.Start(ctx, "x", Info{App: "app"}, Launch{Args: []string{"hangs"}}); !errors.Is(err, why) {
		t.Errorf("interrupted: %v", err)
	}
	if entries, err := os.ReadDir(s.Dir); len(entries) != 0 || err != nil {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestWait(t *testing.T) {
	for _, c := range []struct {
		how   string
		wait  time.Duration
		state State
		left  int
	}{
		{"listens", time.Hour, Ready, 0},
		{"hasty", time.Hour, Ready, 0},
		{"short", time.Hour, Ended, 0},
		{"silent", 100 * time.Millisecond, Starting, 1},
		{"serves", 0, Starting, 0},
	} {
		s := Store{t.TempDir()}
		i, err := s.Start(t.Context(), "x", Info{App: "app"}, Launch{Args: []string{c.how}, Wait: c.wait})
		if err != nil || i.State != c.state || i.Running != (c.state != Ended) {
			t.Errorf("%s: %+v, %v", c.how, i, err)
		}
		// A loaded machine may take longer to start the program than Start waits for it.
		for end := time.Now().Add(time.Minute); c.left > 0 && time.Now().Before(end); time.Sleep(look) {
			if now, err := s.Get("x"); err != nil || len(now.Waiting) == c.left {
				break
			}
		}
		if now, err := s.Get("x"); err != nil || now.State != c.state || c.wait != 0 && len(now.Waiting) != c.left ||
			len(now.Ports) != 1 {
			t.Errorf("%s: then %+v, %v", c.how, now, err)
		}
		if _, err := s.Stop(t.Context(), "x", nil); err != nil {
			t.Error(err)
		}
	}
	// Whoever is interrupted while it waits leaves nothing.
	s := Store{t.TempDir()}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(300*time.Millisecond, func() { cancel(errors.New("Ctrl-C")) })
	if _, err := s.Start(ctx, "x", Info{App: "app"}, Launch{Args: []string{"silent"}, Wait: time.Hour}); err == nil {
		t.Error("not interrupted")
	}
	if list, err := s.List(); len(list) != 0 || err != nil {
		t.Errorf("left: %+v, %v", list, err)
	}
}

// The grace of whoever stops an instance counts more than its own.
func TestGrace(t *testing.T) {
	s := Store{t.TempDir()}
	second := time.Second
	for _, c := range []struct {
		own    time.Duration
		other  *time.Duration
		forced bool
	}{{time.Hour, nil, false}, {time.Hour, &second, true}, {time.Second, nil, true}} {
		if _, err := s.Start(t.Context(), "x", Info{App: "app"}, Launch{Args: []string{"slow"}, Grace: c.own}); err != nil {
			t.Fatal(err)
		}
		if forced, err := s.Stop(t.Context(), "x", c.other); err != nil || forced != c.forced {
			t.Errorf("grace %s, then %v: forced %v, %v", c.own, c.other, forced, err)
		}
	}
}

func TestStopDeaf(t *testing.T) {
	t.Parallel()
	s := Store{t.TempDir()}
	i, err := s.Start(t.Context(), "x", Info{App: "app"}, Launch{Args: []string{"deaf"}})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	if _, err := s.Stop(ctx, "x", nil); !errors.Is(err, why) {
		t.Errorf("interrupted: %v", err)
	}
	if now, err := s.Get("x"); err != nil || !now.Running || now.PID != i.PID {
		t.Errorf("%+v, %v", now, err)
	}
	if forced, err := s.Stop(t.Context(), "x", nil); err != nil || !forced {
		t.Error(forced, err)
	}
	if err := syscall.Kill(i.PID, 0); err == nil {
		var status syscall.WaitStatus // an orphan of this test's, unless somebody has waited for it
		if pid, _ := syscall.Wait4(i.PID, &status, 0, nil); pid != i.PID || status.Signal() != syscall.SIGKILL {
			t.Errorf("it lives: %v", status)
		}
	}
}

// Whoever asks keeps nobody from taking a free name, and never finds a directory that is half there.
func TestClaimWhileAsked(t *testing.T) {
	s := Store{t.TempDir()}
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := s.List(); err != nil {
					t.Error(err)
				}
				if _, err := s.Get("x"); err != nil && !strings.Contains(err.Error(), "no guest") {
					t.Error(err)
				}
			}
		})
	}
	refused := 0
	for range 2000 {
		l, err := s.claim("x")
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			refused++
			continue
		}
		if err := write(filepath.Join(s.Dir, "x", infoFile), Info{Name: "x"}); err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	close(done)
	asking.Wait()
	if refused != 0 {
		t.Errorf("%d of 2000 claims of a free name were refused", refused)
	}
}

// Of two that claim a name one gets it, while a third one forgets it all the time: what somebody has claimed is not
// removed.
func TestClaimWhileForgotten(t *testing.T) {
	s := Store{t.TempDir()}
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			for range 500 {
				l, err := s.claim("x")
				if err != nil {
					t.Error(err)
					return
				}
				if l == nil {
					continue
				}
				// Nobody else may have it now.
				if other, err := s.claim("x"); other != nil || err != nil {
					t.Errorf("claimed twice: %v", err)
				}
				file := filepath.Join(s.Dir, "x", infoFile)
				if err := write(file, Info{Name: "x"}); err != nil {
					t.Errorf("removed below its owner: %v", err)
				}
				if i, err := s.Get("x"); err != nil || !i.Running {
					t.Errorf("its owner sees %+v, %v", i, err)
				}
				l.Close()
			}
		})
	}
	busy.Go(func() {
		for range 1000 {
			if err := s.forget("x", nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	busy.Wait()
}
