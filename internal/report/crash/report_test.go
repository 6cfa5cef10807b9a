package crash

import (
	"strings"
	"testing"
)

// sample is a report as the kernel makes it.
const sample = `[    0.531250] ukl: crash signal 11 code 1 address 8 thread 1
[    0.531250] ukl: crash registers ax 0 dx 1 cx 2 bx 3 si 4 di 5 bp 6 sp 7ffc00001000 r8 8 r9 9 r10 a r11 b r12 c r13 d r14 e r15 f ip 401000 flags 10246
[    0.531250] ukl: crash stack 7ffc00001000: 1 2 3 4 5 6 7 8
[    0.531250] ukl: crash stack 7ffc00001040: 9 a b c d e f ffffffffffffffff
[    0.531250] ukl: app killed by signal 11
`

func TestParse(t *testing.T) {
	r, ok := Parse(sample, 11)
	if !ok || r.Signal != 11 || r.Code != 1 || r.Address != 8 || r.Thread != 1 || r.regs[rip] != 0x401000 ||
		r.regs[rsp] != 0x7ffc00001000 || len(r.stack) != 128 {
		t.Fatalf("Parse = %+v, %v", r, ok)
	}
	for at, want := range map[uint64]uint64{0x7ffc00001000: 1, 0x7ffc00001078: ^uint64(0), 0x7ffc00001001: 2 << 56} {
		if v, ok := r.word(at); !ok || v != want {
			t.Errorf("word(%#x) = %#x, %v; want %#x", at, v, ok, want)
		}
	}
	for _, at := range []uint64{0x7ffc00000ff8, 0x7ffc00001079, 0x7ffc00001080, 0, ^uint64(0)} {
		if v, ok := r.word(at); ok {
			t.Errorf("word(%#x) = %#x, which the report does not have", at, v)
		}
	}
}

func TestParseAmongOthers(t *testing.T) {
	lines := strings.SplitAfter(sample, "\n")
	other := strings.NewReplacer("7ffc00001", "7ffc00002", "thread 1", "thread 5", "401000", "402000")
	var mixed strings.Builder
	// of another signal, not the one that killed
	mixed.WriteString("[    0.5] ukl: crash signal 6 code -6 address 0 thread 9\n")
	for _, l := range lines {
		mixed.WriteString("[    0.5] a line of another driver\r\n" + l + other.Replace(l))
	}
	r, ok := Parse(mixed.String(), 11)
	if !ok || r.Thread != 1 || r.regs[rip] != 0x401000 || len(r.stack) != 128 {
		t.Errorf("Parse = %+v, %v", r, ok)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, log := range []string{
		"", "ukl: crash", "ukl: crash signal", strings.Replace(sample, "thread 1", "thread", 1),
		strings.Replace(sample, "signal 11 code", "signal 15 code", 1),
		strings.Replace(sample, " flags 10246", "", 1), strings.Replace(sample, "r15", "r16", 1),
		strings.Replace(sample, "ip 401000", "ip x", 1),
		sample[:100],
	} {
		if r, ok := Parse(log, 11); ok {
			t.Errorf("Parse(%q) = %+v", log, r)
		}
	}
	gap := strings.Replace(sample, "7ffc00001040:", "7ffc00001080:", 1)
	if r, ok := Parse(gap, 11); !ok || len(r.stack) != 64 {
		t.Errorf("behind a gap: %+v, %v", r, ok)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample, 11)
	f.Fuzz(func(t *testing.T, log string, signal int) {
		r, ok := Parse(log, signal)
		if !ok {
			return
		}
		if r.Signal != signal || len(r.stack)%8 != 0 {
			t.Errorf("%+v", r)
		}
		(&Program{}).Look(r, AppFile, nil)
		_ = (*Program)(nil).Look(r, AppFile, nil).Lines()
	})
}
