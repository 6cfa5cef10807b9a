package qemu

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ukl/nixexprs"
)

// numbered is how many processors the table of QEMU's microvm can number.
const numbered = 255

// Of CPUs beyond its configuration the kernel says nothing but in its log.
func TestMaxCPUs(t *testing.T) {
	text, err := nixexprs.FS.ReadFile("linux/config")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^CONFIG_NR_CPUS=([0-9]+)$`).FindAllSubmatch(text, -1)
	if len(m) != 1 {
		t.Fatalf("CONFIG_NR_CPUS is there %d times", len(m))
	}
	if n, err := strconv.Atoi(string(m[0][1])); err != nil || MaxCPUs != min(n, numbered) {
		t.Errorf("MaxCPUs is %d; the kernel has room for %d (%v), and the machine for %d", MaxCPUs, n, err, numbered)
	}
}

func TestCheckCPUs(t *testing.T) {
	for _, n := range []int{1, 7, 8} {
		if err := CheckCPUs(n, 8); err != nil {
			t.Errorf("%d CPUs: %v", n, err)
		}
	}
	for _, n := range []int{-1, 0, 9} {
		if err := CheckCPUs(n, 8); err == nil || !strings.Contains(err.Error(), "want 1 to 8") {
			t.Errorf("%d CPUs: %v", n, err)
		}
	}
}

// A machine has the memory that it runs in, and none has all that a number may say.
func TestCheckHost(t *testing.T) {
	if err := CheckHost(minMemory); err != nil {
		t.Error(err)
	}
	var e *Excess
	if err := CheckHost(math.MaxInt); !errors.As(err, &e) || e.Host < minMemory {
		t.Errorf("%v", err)
	}
}
