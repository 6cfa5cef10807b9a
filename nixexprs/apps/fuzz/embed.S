/* The programs that run in ring 3, as files. */
	.section .rodata
	.balign	8
	.globl	attacker_start, attacker_end, reporter_start, reporter_end
attacker_start:
	.incbin	"attacker"
attacker_end:
	.balign	8
reporter_start:
	.incbin	"reporter"
reporter_end:
	.section .note.GNU-stack, "", @progbits
