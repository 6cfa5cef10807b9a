/* count.c: a plugin of QEMU's TCG that counts every instruction of a guest by the functions that called each other to
 * come to it.
 *
 * arguments  functions=FD  reads there, a line each: START END NUMBER FLAGS, the first two hexadecimal, in order
 *            out=FD        writes there at the end: "instructions N", "calls N", and for each node of the tree of calls
 *                          NODE PARENT FUNCTION INSTRUCTIONS, parents first; node 0 is the root
 *            start=ADDRESS counts nothing before this instruction; without it from the reset on
 *            mark=ADDRESS  counts from the first call of the function there to the last one
 *
 * Instructions are counted one by one, as -icount does: one that ends in a page fault counts when it is done. To which
 * function they belong follows from the ends of blocks: a CALL puts its return address on a stack, and where control
 * comes to that address the frame goes. Interrupts and system calls put a frame on it, too. Each task of the kernel has
 * a stack of its own; which is next tells the address that __switch_to_asm() loads RSP from.
 *
 * The interface is that of docs/devel/tcg-plugins.rst, version 1 (QEMU 6.0 and later); what is used of it is declared
 * here, so that no header of QEMU takes part. One thread runs all processors (-accel tcg,thread=single), so nothing is
 * locked.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { NO_REGISTERS = 0, ADD_U64 = 0, READS_AND_WRITES = 3 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, void (*)(unsigned, uint32_t, uint64_t, void *), int, int,
				      void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

/* What the list says of a function. */
enum {
	ENTRY = 1,  /* the processor comes here by itself: an interrupt, an exception, SYSCALL */
	FIRST = 2,  /* a new task begins here */
	SWITCH = 4, /* loads RSP from the next task */
	LEAVES = 8, /* code of the kernel's entries, which also leaves the kernel */
	TABLE = 16, /* with ENTRY: the processor comes to many places in it, not to its beginning alone */
	FAULT = 32, /* with ENTRY: an instruction led here that has not been executed, and will be afterwards */
};

struct function {
	uint64_t start, end;
	uint32_t number, flags;
};

static struct function *functions;
static size_t n_functions;

/* Code that is in no function, of programs and of the kernel. */
static struct function nowhere[2] = { { 0, 0, 0, 0 }, { 1ull << 63, 0, 1, 0 } };

static struct function *function_of(uint64_t address)
{
	size_t low = 0, high = n_functions;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (functions[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low > 0 && address < functions[low - 1].end)
		return &functions[low - 1];
	return &nowhere[address >> 63];
}

/* How a block ends. */
enum end { GOES_ON, CALLS, RETURNS, LEAVES_INTERRUPT };

struct block {
	uint64_t start, last, after; /* addresses of the first and last instruction, and of what comes behind it */
	struct function *function;
	enum end end;
	bool is_start, is_mark;
};

/* The tree of calls. Instructions after the last mark are in `open`, and are not counted until there is another. */
struct node {
	uint32_t function, parent, child, sibling;
	uint64_t counted, open;
	bool is_open;
};

static struct node *nodes;
static uint32_t n_nodes, room, *open_nodes, n_open;

static void *checked(void *memory)
{
	if (!memory) {
		fputs("profile: no memory\n", stderr);
		exit(1);
	}
	return memory;
}

static uint32_t new_node(uint32_t function, uint32_t parent)
{
	if (n_nodes == room) {
		room = room ? 2 * room : 4096;
		nodes = checked(realloc(nodes, room * sizeof(*nodes)));
		open_nodes = checked(realloc(open_nodes, room * sizeof(*open_nodes)));
	}
	nodes[n_nodes] = (struct node){ .function = function, .parent = parent };
	return n_nodes++;
}

/* The node of a function that another one calls. Whoever was asked for last comes first. */
static uint32_t child(uint32_t parent, uint32_t function)
{
	uint32_t n, before = 0;

	for (n = nodes[parent].child; n; before = n, n = nodes[n].sibling)
		if (nodes[n].function == function)
			break;
	if (n && !before)
		return n;
	if (n)
		nodes[before].sibling = nodes[n].sibling;
	else
		n = new_node(function, parent);
	nodes[n].sibling = nodes[parent].child;
	nodes[parent].child = n;
	return n;
}

struct frame {
	uint32_t node;
	bool entry, fault;               /* into the kernel; see there */
	uint64_t back;                   /* the return address; 0 is unknown */
	const struct block *interrupted; /* of an entry: the block before */
};

/* Deeper calls count for the frame at this depth. */
enum { DEEPEST = 4096, SEARCHED = 64 };

struct stack {
	uint64_t task;
	struct stack *next;
	unsigned depth, size;
	struct frame *frame;
};

static struct stack *stacks[4096];

static struct stack *stack_of(uint64_t task)
{
	struct stack **s = &stacks[(task >> 6) % (sizeof(stacks) / sizeof(*stacks))], *found;

	for (found = *s; found; found = found->next)
		if (found->task == task)
			return found;
	found = checked(calloc(1, sizeof(*found)));
	found->task = task;
	found->next = *s;
	return *s = found;
}

static uint32_t top(const struct stack *s)
{
	return s->depth ? s->frame[s->depth - 1].node : 0;
}

static void push(struct stack *s, const struct function *f, uint64_t back, bool entry, const struct block *interrupted)
{
	uint32_t node = child(top(s), f->number);

	if (s->depth == s->size && s->size < DEEPEST) {
		s->size = s->size ? 2 * s->size : 64;
		s->frame = checked(realloc(s->frame, s->size * sizeof(*s->frame)));
	}
	if (s->depth < s->size)
		s->frame[s->depth++] = (struct frame){ node, entry, entry && f->flags & FAULT, back, interrupted };
}

/* The function at the top has jumped into another one, which returns where it would have. */
static void replace(struct stack *s, const struct function *f)
{
	struct frame *last;

	if (!s->depth) {
		push(s, f, 0, false, NULL);
		return;
	}
	last = &s->frame[s->depth - 1];
	if (nodes[last->node].function != f->number)
		last->node = child(s->depth > 1 ? s->frame[s->depth - 2].node : 0, f->number);
}

/* Takes frames off: of the calls that return to the address. */
static bool pop_to(struct stack *s, uint64_t address)
{
	for (unsigned i = s->depth; i-- > 0 && s->depth - i <= SEARCHED;) {
		if (s->frame[i].back == address) {
			s->depth = i;
			return true;
		}
		if (s->frame[i].entry)
			break;
	}
	return false;
}

/* Takes frames off until the function is at the top, if it is anywhere. */
static bool pop_to_function(struct stack *s, const struct function *f)
{
	for (unsigned i = s->depth; i-- > 0 && s->depth - i <= SEARCHED && !s->frame[i].entry;)
		if (nodes[s->frame[i].node].function == f->number) {
			s->depth = i + 1;
			return true;
		}
	return false;
}

/* Takes the last entry into the kernel off. The block before it, or NULL if there was none. */
static const struct block *pop_entry(struct stack *s, bool *fault)
{
	*fault = false;
	while (s->depth) {
		struct frame *f = &s->frame[--s->depth];

		*fault = f->fault;
		if (f->entry)
			return f->interrupted;
	}
	return NULL;
}

static struct processor {
	struct stack *stack;
	const struct block *before;
} processors[1024];

static struct processor *running;
static uint64_t executed, credited; /* instructions: all, and those that a node has */
static uint64_t calls;

static bool counting, marked;

/* An instruction that led to a fault was counted, and will be again. */
static void uncount(uint32_t node)
{
	struct node *n = &nodes[node];

	if (counting && n->open)
		n->open--;
	else if (counting && n->counted)
		n->counted--;
}

/* Gives the running function what was executed since the last time. */
static void credit(void)
{
	uint64_t n = executed - credited;
	uint32_t node;

	credited = executed;
	if (!counting || !running)
		return;
	node = top(running->stack);
	nodes[node].open += n;
	if (!nodes[node].is_open) {
		nodes[node].is_open = true;
		open_nodes[n_open++] = node;
	}
}

/* What is open counts. */
static void settle(void)
{
	while (n_open) {
		struct node *n = &nodes[open_nodes[--n_open]];

		n->counted += n->open;
		n->open = 0;
		n->is_open = false;
	}
}

/* Goes back from the kernel to where it was entered, or to a signal's handler, or back from one. */
static void leave(struct stack *s, const struct block *b)
{
	bool fault;
	const struct block *before = pop_entry(s, &fault);
	bool gone_on = before && (b->start < before->start || b->start > before->last);

	if (fault && before && !gone_on)
		uncount(top(s));
	if (gone_on && before->end == CALLS && b->start == before->after)
		return; /* from a gate */
	if (gone_on && before->end == RETURNS && pop_to(s, b->start))
		return;
	if (s->depth && nodes[top(s)].function == b->function->number && (!gone_on || before->end == GOES_ON))
		return;
	if (pop_to(s, b->start) || pop_to_function(s, b->function))
		return;
	push(s, b->function, gone_on && before->end == CALLS ? before->after : 0, false, NULL);
}

/* Follows the way from the block before to this one. */
static void follow(struct stack *s, const struct block *before, const struct block *b)
{
	const struct function *f = b->function;
	enum end end = before ? before->end : GOES_ON;
	bool kernel = b->start >> 63;

	if (f->flags & FIRST && b->start == f->start) {
		s->depth = 0;
		push(s, f, 0, false, NULL);
		return;
	}
	if (before && before->function->flags & LEAVES &&
	    (end == LEAVES_INTERRUPT || (!kernel && end != CALLS && !pop_to(s, b->start)))) {
		leave(s, b);
		return;
	}
	if (f->flags & ENTRY && (b->start == f->start || f->flags & TABLE) &&
	    !(before && before->function->flags & ENTRY)) {
		push(s, f, 0, true, before);
		return;
	}
	switch (end) {
	case CALLS:
		if (b->start == before->after)
			break;
		/* One of the kernel's entries that a program calls is a gate. */
		push(s, f, before->after, f->flags & LEAVES && !(before->start >> 63), before);
		break;
	case RETURNS:
		if (!pop_to(s, b->start) && !pop_to_function(s, f))
			replace(s, f);
		break;
	default:
		if (!s->depth || nodes[top(s)].function == f->number)
			break;
		if (s->frame[s->depth - 1].back != b->start || !pop_to(s, b->start))
			replace(s, f);
	}
	if (!s->depth)
		push(s, f, 0, false, NULL);
}

static void on_block(unsigned cpu, void *data)
{
	const struct block *b = data;

	credit();
	running = &processors[cpu];
	if (!running->stack)
		running->stack = stack_of(cpu); /* no task has such an address */
	follow(running->stack, running->before, b);
	running->before = b;
	if (b->is_start)
		counting = true;
	if (b->is_mark) {
		settle();
		calls += counting;
		counting = marked = true;
	}
}

static void on_switch(unsigned cpu, uint32_t info, uint64_t address, void *data)
{
	(void)info;
	(void)data;
	credit();
	processors[cpu].stack = stack_of(address);
}

static enum end end_of(const uint8_t *code, size_t size)
{
	size_t i = 0;

	while (i < size && (code[i] == 0x66 || code[i] == 0x67 || code[i] == 0xf2 || code[i] == 0xf3 || code[i] == 0x2e ||
			    code[i] == 0x36 || code[i] == 0x3e || code[i] == 0x26 || code[i] == 0x64 || code[i] == 0x65 ||
			    (code[i] & 0xf0) == 0x40))
		i++;
	if (i >= size)
		return GOES_ON;
	switch (code[i]) {
	case 0xe8:
		return CALLS;
	case 0xff:
		return i + 1 < size && ((code[i + 1] >> 3 & 7) == 2 || (code[i + 1] >> 3 & 7) == 3) ? CALLS : GOES_ON;
	case 0xc2:
	case 0xc3:
	case 0xca:
	case 0xcb:
		return RETURNS;
	case 0xcf:
		return LEAVES_INTERRUPT;
	case 0x0f:
		return i + 1 < size && code[i + 1] == 0x07 ? LEAVES_INTERRUPT : GOES_ON;
	}
	return GOES_ON;
}

static uint64_t start, mark;

/* QEMU may translate the same code again: the first block is the one. */
static struct block *block_of(uint64_t first, uint64_t last, size_t size, const uint8_t *code)
{
	static struct block **table;
	static size_t used, places;
	size_t at;

	if (2 * used >= places) {
		struct block **old = table;
		size_t before = places;

		places = places ? 2 * places : 1 << 16;
		table = checked(calloc(places, sizeof(*table)));
		for (size_t i = 0; i < before; i++)
			if (old[i]) {
				for (at = old[i]->start * 0x9e3779b97f4a7c15 >> 32; table[at % places]; at++)
					;
				table[at % places] = old[i];
			}
		free(old);
	}
	for (at = first * 0x9e3779b97f4a7c15 >> 32; table[at % places]; at++) {
		struct block *b = table[at % places];

		if (b->start == first && b->last == last && b->after == last + size && b->end == end_of(code, size))
			return b;
	}
	used++;
	table[at % places] = checked(malloc(sizeof(struct block)));
	*table[at % places] = (struct block){
		.start = first,
		.last = last,
		.after = last + size,
		.function = function_of(first),
		.end = end_of(code, size),
		.is_start = start && first == start,
		.is_mark = mark && first == mark,
	};
	return table[at % places];
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, 0), *last = qemu_plugin_tb_get_insn(tb, n - 1);
	struct block *b = block_of(qemu_plugin_insn_vaddr(first), qemu_plugin_insn_vaddr(last), qemu_plugin_insn_size(last),
				   qemu_plugin_insn_data(last));

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, b);
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const uint8_t *code = qemu_plugin_insn_data(insn);

		qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &executed, 1);
		/* mov displacement(%rsi),%rsp; QEMU 7.2 tells nothing of instructions that are asked for reads alone */
		if (b->function->flags & SWITCH && qemu_plugin_insn_size(insn) > 3 && code[0] == 0x48 && code[1] == 0x8b &&
		    (code[2] & 0x3f) == 0x26)
			qemu_plugin_register_vcpu_mem_cb(insn, on_switch, NO_REGISTERS, READS_AND_WRITES, NULL);
	}
}

static FILE *out;

static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
	uint64_t total = 0;

	(void)id;
	(void)data;
	credit();
	if (!marked)
		settle();
	for (uint32_t i = 0; i < n_nodes; i++)
		total += nodes[i].counted;
	fprintf(out, "instructions %" PRIu64 "\ncalls %" PRIu64 "\n", total, calls);
	for (uint32_t i = 1; i < n_nodes; i++)
		fprintf(out, "%" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu64 "\n", i, nodes[i].parent, nodes[i].function,
			nodes[i].counted);
	fputs("end\n", out);
	fclose(out);
}

static bool read_functions(int fd)
{
	FILE *in = fdopen(fd, "r");
	size_t space = 0;
	struct function f;

	if (!in)
		return false;
	while (fscanf(in, "%" SCNx64 " %" SCNx64 " %" SCNu32 " %" SCNu32, &f.start, &f.end, &f.number, &f.flags) == 4) {
		if (n_functions == space) {
			space = space ? 2 * space : 65536;
			functions = checked(realloc(functions, space * sizeof(*functions)));
		}
		functions[n_functions++] = f;
	}
	fclose(in);
	return n_functions > 0;
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	new_node(0, 0);
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		uint64_t number = value ? strtoull(value + 1, NULL, 0) : 0;

		if (!strncmp(argv[i], "functions=", 10) && !read_functions(number))
			return 1;
		if (!strncmp(argv[i], "out=", 4))
			out = fdopen(number, "w");
		if (!strncmp(argv[i], "start=", 6))
			start = number;
		if (!strncmp(argv[i], "mark=", 5))
			mark = number;
	}
	if (!out || !functions)
		return 1;
	counting = !start && !mark;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}
