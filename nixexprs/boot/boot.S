/* boot.S: the boot sector of a disk or CD that internal/build/disk writes.
 *
 * It knows nothing of Linux but where its real-mode code begins. A table behind it says what to load where; internal/build/disk
 * fills it in, has put command line and addresses into the kernel's header, and lays everything out in blocks of 2048 bytes,
 * so that the same table is right for sectors of 512 (disk) and of 2048 bytes (CD).
 *
 * From:  the BIOS, at 0x7c00, DL is the drive. Needs its disk extensions (INT 13h, 42h and 48h).
 * To:    SETUP:0x200 with DS=ES=SS=SETUP, as Documentation/x86/boot.rst asks for.
 * Else:  one line on the screen and on the first serial port, then INT 18h: the BIOS tries the next drive.
 */
	.set	SETUP, 0x4000		/* segment of the kernel's real-mode code */
	.set	STACK, 0xe000		/* in it; the heap ends below, see internal/build/disk */
	.set	BUFFER, 0x2000		/* segment of what is being moved */
	.set	CHUNK, 16		/* blocks at a time: 32 KiB, no more than every BIOS takes */
	.set	TABLE, 392		/* offset of the table; the partition table begins at 446 */
	.set	ENTRIES, 4
	.set	COM1, 0x3f8

	.code16
	.text
	.globl	_start
_start:
	ljmp	$0, $start		/* some begin at 07c0:0000 */
start:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	cli
	movw	%ax, %ss
	movw	$_start, %sp
	sti
	cld
	movb	%dl, drive

	/* The drive's sector size: a disk's sectors are a quarter of a block. */
	movb	$0x48, %ah
	movw	$parameters, %si
	movw	$0x1e, (%si)
	int	$0x13
	movw	$no_read, %si
	jc	fail
	cmpw	$2048, parameters + 0x18
	je	1f
	movb	$2, shift
1:
	/* The memory above 16 MB in blocks of 64 KB, if the BIOS tells: a kernel that has too little ends without a word. */
	movw	$0xe801, %ax
	int	$0x15
	jc	1f
	movw	$no_memory, %si
	cmpw	needs, %dx
	jb	fail
1:
	movw	$table, %bx
	movw	$ENTRIES, %bp
entry:
	movl	4(%bx), %eax		/* blocks that are left */
	testl	%eax, %eax
	jz	next
	cmpl	$CHUNK, %eax
	jbe	1f
	movw	$CHUNK, %ax
1:
	movw	%ax, %di
	movb	shift, %cl
	shlw	%cl, %ax
	movw	%ax, packet + 2
	movl	(%bx), %eax
	shll	%cl, %eax
	movl	%eax, packet + 8
	movb	drive, %dl
	movw	$packet, %si
	movb	$0x42, %ah
	int	$0x13
	movw	$no_read, %si
	jc	fail

	/* Above 1 MB only the BIOS can write from here. */
	movl	8(%bx), %eax
	movw	%ax, target + 2
	shrl	$16, %eax
	movb	%al, target + 4
	movb	%ah, target + 7
	movw	%di, %cx
	shlw	$10, %cx		/* 1024 words a block */
	xorw	%ax, %ax
	movw	%ax, %es
	movw	$descriptors, %si
	movb	$0x87, %ah
	int	$0x15
	movw	$no_memory, %si
	jc	fail

	movzwl	%di, %eax
	addl	%eax, (%bx)
	subl	%eax, 4(%bx)
	shll	$11, %eax
	addl	%eax, 8(%bx)
	jmp	entry
next:
	addw	$12, %bx
	decw	%bp
	jnz	entry

	movw	$SETUP, %ax
	movw	%ax, %ds
	cmpl	$0x53726448, 0x202	/* "HdrS" */
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	jne	1f
	cli
	movw	%ax, %ss
	movw	$STACK, %sp
	ljmp	$SETUP + 0x20, $0
1:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	$no_kernel, %si

	/* SI is a line that ends with a NUL. */
fail:
	lodsb
	testb	%al, %al
	jz	1f
	movw	$COM1, %dx
	outb	%al, %dx
	movb	$0x0e, %ah
	xorw	%bx, %bx
	int	$0x10
	jmp	fail
1:
	int	$0x18

no_read:	.asciz	"ukl: cannot read\r\n"
no_memory:	.asciz	"ukl: too little memory\r\n"
no_kernel:	.asciz	"ukl: no kernel\r\n"
drive:		.byte	0
shift:		.byte	0

	/* INT 13h, 42h: size, sectors, offset, segment, first sector */
	.balign	4
packet:		.word	16, 0, 0, BUFFER
		.quad	0

	/* INT 15h, 87h: of the six descriptors the third is the source, the fourth the target; two are never looked at. */
descriptors:	.quad	0, 0
source:		.word	0xffff, (BUFFER << 4) & 0xffff
		.byte	BUFFER >> 12, 0x93, 0, 0
target:		.word	0xffff, 0
		.byte	0, 0x93, 0, 0

	/* blocks of 64 KB above 16 MB, of which there must be so many */
	.org	TABLE - 2
needs:		.word	0

	/* first block, number of blocks, address */
	.org	TABLE
table:		.fill	ENTRIES * 3, 4, 0
	.org	510
	.word	0xaa55

	/* Memory behind the sector. */
	.set	parameters, _start + 0x400
