package profile

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Profile is where the instructions of one run went.
type Profile struct {
	Mode         string          `json:"mode"`
	Instructions uint64          `json:"instructions"`
	Calls        uint64          `json:"calls,omitempty"` // of the function that the instructions are counted between
	Parts        map[Part]uint64 `json:"parts"`
	Functions    []Count         `json:"functions"` // those with most instructions of their own first
	Stacks       []Stack         `json:"stacks"`

	root *call
}

// Count is what a function took.
type Count struct {
	Name  string `json:"name"`
	Part  Part   `json:"part"`
	Self  uint64 `json:"self"`
	Total uint64 `json:"total"` // with what it called
}

// Stack is what was executed in a function that was called as the stack says, outermost first.
type Stack struct {
	Functions    []string `json:"functions"`
	Part         Part     `json:"part"`
	Instructions uint64   `json:"instructions"`
}

// call is a function in the tree of calls.
type call struct {
	function    Function
	idle        bool // it waits for interrupts
	interrupt   bool // the processor came here by itself
	self, total uint64
	calls       map[Function]*call
}

// idleLoop is the kernel's function in which a processor waits (kernel/sched/idle.c).
const idleLoop = "do_idle"

// errCut is the output of a plugin that did not come to its end.
var errCut = errors.New("the counts have no end: QEMU did not end by itself")

// Parse reads what the plugin wrote of a run of these functions.
func Parse(r io.Reader, f *Functions, mode string) (*Profile, error) {
	p := &Profile{Mode: mode, root: &call{}}
	entries := map[int]bool{}
	for _, s := range f.spans {
		entries[s.number] = entries[s.number] || s.flags&entry != 0
	}
	nodes := []*call{p.root}
	in := bufio.NewScanner(r)
	ended := false
	for in.Scan() {
		w := strings.Fields(in.Text())
		var n [4]uint64
		for i, s := range w[:min(len(w), len(n))] {
			n[i], _ = strconv.ParseUint(s, 10, 64) // words are recognised by their number
		}
		switch {
		case len(w) == 1 && w[0] == "end":
			ended = true
		case len(w) == 2 && w[0] == "instructions":
			p.Instructions = n[1]
		case len(w) == 2 && w[0] == "calls":
			p.Calls = n[1]
		case len(w) == len(n) && n[0] == uint64(len(nodes)) && n[1] < n[0] && n[2] < uint64(len(f.all)):
			nodes = append(nodes, nodes[n[1]].calling(f.all[n[2]], entries[int(n[2])]))
			nodes[n[0]].self += n[3]
		default:
			return nil, fmt.Errorf("the plugin says %q", in.Text())
		}
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if !ended {
		return nil, errCut
	}
	p.root.sum()
	p.list()
	return p, nil
}

// calling is the call of a function by another one.
func (c *call) calling(f Function, interrupt bool) *call {
	next := c.calls[f]
	if next == nil {
		next = &call{function: f, interrupt: interrupt}
		next.idle = f == Function{idleLoop, Kernel} || c.idle && !interrupt
		if c.calls == nil {
			c.calls = map[Function]*call{}
		}
		c.calls[f] = next
	}
	return next
}

// part is whose the instructions of a call are.
func (c *call) part() Part {
	if c.idle {
		return Idle
	}
	return c.function.Part
}

func (c *call) sum() uint64 {
	c.total = c.self
	for _, next := range c.calls {
		c.total += next.sum()
	}
	return c.total
}

// sorted are the functions that a call calls, by name.
func (c *call) sorted() []*call {
	return slices.SortedFunc(maps.Values(c.calls), func(a, b *call) int {
		return cmp.Or(strings.Compare(a.function.Name, b.function.Name), cmp.Compare(a.function.Part, b.function.Part))
	})
}

// list makes the lists of the tree.
func (p *Profile) list() {
	p.Parts = map[Part]uint64{}
	for _, part := range Parts() {
		p.Parts[part] = 0
	}
	counts := map[Function]*Count{}
	var walk func(c *call, stack []Function)
	walk = func(c *call, stack []Function) {
		if c != p.root {
			n := counts[c.function]
			if n == nil {
				n = &Count{Name: c.function.Name, Part: c.function.Part}
				counts[c.function] = n
			}
			n.Self += c.self
			if !slices.Contains(stack, c.function) { // a function that calls itself has its instructions once
				n.Total += c.total
			}
			stack = append(stack, c.function)
		}
		if c.self > 0 {
			p.Parts[c.part()] += c.self
			s := Stack{Part: c.part(), Instructions: c.self}
			for _, f := range stack {
				s.Functions = append(s.Functions, f.Name)
			}
			p.Stacks = append(p.Stacks, s)
		}
		for _, next := range c.sorted() {
			walk(next, stack)
		}
	}
	walk(p.root, nil)
	for _, n := range counts {
		if n.Total > 0 {
			p.Functions = append(p.Functions, *n)
		}
	}
	slices.SortFunc(p.Functions, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Self, a.Self), cmp.Compare(b.Total, a.Total), strings.Compare(a.Name, b.Name),
			cmp.Compare(a.Part, b.Part))
	})
}

// Folded writes the stacks as flamegraph.pl, speedscope and others read them: functions, a blank, the instructions.
func (p *Profile) Folded(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, s := range p.Stacks {
		fmt.Fprintf(b, "%s %d\n", strings.Join(s.Functions, ";"), s.Instructions)
	}
	return b.Flush()
}

// Per is how many times the counts are taken for one: a call of the function between whose calls they were taken.
func (p *Profile) Per() float64 {
	if p.Calls == 0 {
		return 1
	}
	return float64(p.Calls)
}
