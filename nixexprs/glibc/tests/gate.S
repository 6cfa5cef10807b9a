/* gate.S - __ukl_syscall for an ordinary process: the call that the C library makes becomes the syscall instruction.
 *
 * A tool for tests: with it a program that is linked against this project's C library runs on any Linux, in ring 3.
 * In an image, the kernel's gate takes its place.
 *
 * From:  the C library, by CALL.  The registers are those of a system call.
 * Stack: the caller's, with the return address on top.  It may stay there during most system calls.  It may not where
 *        the kernel looks at the stack pointer (rt_sigreturn), where a child goes on with another stack, or where it
 *        goes on with the same one while the parent sleeps and overwrites the word (vfork).  For those it is kept in
 *        R9, which none of them takes and no caller of them needs afterwards.
 * Gives: RAX.  Destroyed: RCX, R11, the flags, and R9 as said.
 */
#include <sys/syscall.h>

#define CLONE_VM 0x100

	.text
	.globl	__ukl_syscall
	.type	__ukl_syscall, @function
__ukl_syscall:
	.cfi_startproc
	cmp	$SYS_clone, %eax
	je	.Lclone
	cmp	$SYS_vfork, %eax
	je	.Lreturn_address_in_r9
	cmp	$SYS_clone3, %eax
	je	.Lreturn_address_in_r9
	cmp	$SYS_rt_sigreturn, %eax
	je	.Lsigreturn
.Lreturn_address_on_stack:
	syscall
	ret

.Lclone:
	/* fork: the child has a copy of this very stack. The C library inlines it and may have a use for R9. */
	test	%rsi, %rsi
	jnz	.Lreturn_address_in_r9
	test	$CLONE_VM, %edi
	jz	.Lreturn_address_on_stack
.Lreturn_address_in_r9:
	pop	%r9
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %r9
	syscall
	jmp	*%r9

.Lsigreturn:
	.cfi_def_cfa_offset 8
	.cfi_restore %rip
	/* Does not come back. The frame begins where the stack pointer was before the call. */
	add	$8, %rsp
	.cfi_adjust_cfa_offset -8
	.cfi_undefined %rip
	syscall
	ud2
	.cfi_endproc
	.size	__ukl_syscall, . - __ukl_syscall
	.section .note.GNU-stack, "", @progbits
