package lifeline

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// family starts a grandchild, says both process ids, and stays.
const family = `sleep 1000 & echo $$ $!; wait`

func TestMain(m *testing.M) {
	if os.Getenv("LIFELINE_PARENT") != "" {
		cmd := Command(context.Background(), "sh", "-c", family)
		cmd.Stdout = os.Stdout
		_ = Run(cmd)
		return
	}
	os.Exit(m.Run())
}

// pids reads the family's line.
func pids(t *testing.T, line string) []int {
	t.Helper()
	var list []int
	for _, word := range strings.Fields(line) {
		n, err := strconv.Atoi(word)
		if err != nil {
			t.Fatalf("%q", line)
		}
		list = append(list, n)
	}
	if len(list) != 2 {
		t.Fatalf("%q", line)
	}
	return list
}

// alive tells whether a process is there and no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

func gone(t *testing.T, list []int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for _, pid := range list {
		for alive(pid) {
			if time.Now().After(deadline) {
				syscall.Kill(pid, syscall.SIGKILL)
				t.Errorf("process %d is left", pid)
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// A parent that is killed takes its child and its grandchild along.
func TestKilledParent(t *testing.T) {
	parent := exec.Command("/proc/self/exe")
	parent.Env = append(os.Environ(), "LIFELINE_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	list := pids(t, line)
	for _, pid := range list {
		if !alive(pid) {
			t.Errorf("process %d ended before its parent", pid)
		}
	}
	parent.Process.Kill()
	parent.Wait()
	gone(t, list)
}

// A context that ends does the same.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := Command(ctx, "sh", "-c", family)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	wait, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	list := pids(t, line)
	go func() { time.Sleep(50 * time.Millisecond); cancel() }()
	if err := wait(); err == nil {
		t.Error("no error")
	}
	gone(t, list)
}

// A program that ends by itself has its own code and output.
func TestEnd(t *testing.T) {
	cmd := Command(context.Background(), "sh", "-c", `echo "$1"; exit 7`, "sh", "a b")
	var out bytes.Buffer
	cmd.Stdout = &out
	err := Run(cmd)
	if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != 7 || out.String() != "a b\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := Run(Command(context.Background(), "no-such-program")); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("none: %v", err)
	}
}
