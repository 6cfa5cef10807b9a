package nix

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever a log says: stages begin before they do or end anything, and a failure has words.
func FuzzLog(f *testing.F) {
	names, err := filepath.Glob("testdata/*/*.log")
	if err != nil || len(names) == 0 {
		f.Fatalf("%q, %v", names, err)
	}
	for _, name := range append(names, "testdata/colours.log") {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("@nix {\"action\":\"result\",\"id\":1,\"type\":101,\"fields\":[7]}\n@nix {\"action\":\"stop\"}\nplain\x1b[")
	f.Add("@nix {\"action\":\"msg\",\"level\":0}") // found by fuzzing: an error without a word
	f.Fuzz(func(t *testing.T, text string) {
		begun := map[string]int{}
		l := newLog(func(e Event) {
			switch e.Kind {
			case Start:
				begun[e.Drv]++
			case Stop:
				begun[e.Drv]--
			case Plan:
				if e.Total < 1 {
					t.Errorf("a plan of %d", e.Total)
				}
			}
			if e.Kind != Plan && e.Kind != Stop && begun[e.Drv] < 1 || begun[e.Drv] < 0 {
				t.Errorf("%+v, which has not begun", e)
			}
		})
		l.read(strings.NewReader(text))
		err := l.failure(&exec.Cmd{Args: []string{"nix-store"}}, errors.New("exit"))
		if err == nil || strings.TrimSpace(err.Error()) == "" {
			t.Errorf("a failure without words: %v", err)
		}
		if e := new(BuildError); errors.As(err, &e) && len(e.Lines) > tailLines {
			t.Errorf("%d lines", len(e.Lines))
		}
	})
}
