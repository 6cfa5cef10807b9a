package qemu

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"sync"
)

// Monitor is QEMU's own line to ukl (QMP). It knows whether the guest has opened its streams, which the kernel does
// just before it starts the application, and where a processor is. A QEMU that says nothing there harms nobody.
type Monitor struct {
	ready   chan struct{}
	mu      sync.Mutex
	w       io.Writer
	answers chan string
}

// monitorID is the chardev's name.
const monitorID = "ukl.monitor"

// Watch follows a monitor until its end.
func Watch(conn io.ReadWriter) *Monitor {
	m := &Monitor{ready: make(chan struct{}), w: conn, answers: make(chan string, 1)}
	go m.read(conn)
	return m
}

// message is what QMP sends: one of a greeting, an answer and an event.
type message struct {
	QMP    json.RawMessage
	Return json.RawMessage
	Error  json.RawMessage
	Event  string
	Data   struct {
		ID   string
		Open bool
	}
}

func (m *Monitor) read(r io.Reader) {
	defer close(m.answers)
	once := sync.OnceFunc(func() { close(m.ready) })
	for sc := bufio.NewScanner(r); sc.Scan(); {
		var got message
		if json.Unmarshal(sc.Bytes(), &got) != nil {
			continue
		}
		switch {
		case got.QMP != nil:
			m.send(`{"execute":"qmp_capabilities"}`) // its answer is an empty object, never a text
		case got.Event == "VSERPORT_CHANGE" && got.Data.Open && got.Data.ID == Stdin.Name():
			once()
		case got.Return != nil || got.Error != nil:
			var text string
			if json.Unmarshal(got.Return, &text) == nil {
				select {
				case m.answers <- text:
				default: // nobody has asked
				}
			}
		}
	}
}

func (m *Monitor) send(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = io.WriteString(m.w, line+"\n") // an ended QEMU is somebody else's business
}

// Ready is closed when the guest's kernel is about to start the application.
func (m *Monitor) Ready() <-chan struct{} { return m.ready }

// AskRegisters asks where the first processor is. The answer comes from Registers.
func (m *Monitor) AskRegisters() {
	m.send(`{"execute":"human-monitor-command","arguments":{"command-line":"info registers"}}`)
}

// Registers are QEMU's texts about registers, in the order of the questions. It is closed at QEMU's end.
func (m *Monitor) Registers() <-chan string { return m.answers }

// Instruction reads the address of the instruction in a text about registers.
func Instruction(registers string) (uint64, bool) {
	for _, w := range strings.Fields(registers) {
		for _, name := range []string{"RIP=", "EIP="} {
			if digits, ok := strings.CutPrefix(w, name); ok {
				n, err := strconv.ParseUint(digits, 16, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}
