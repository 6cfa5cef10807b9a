/* attacker.h: what arguments the system calls take. */
#ifndef ATTACKER_H
#define ATTACKER_H

#define _GNU_SOURCE
#include "fuzz.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

/* A letter for each argument: see argument() in attacker.c. A call that is not here gets any words. */
static const char *const signatures[] = {
	[SYS_read] = "fan", [SYS_write] = "fan", [SYS_open] = "sxm", [SYS_close] = "f", [SYS_stat] = "sa",
	[SYS_fstat] = "fa", [SYS_lstat] = "sa", [SYS_poll] = "aNc", [SYS_lseek] = "foc", [SYS_mmap] = "yYxxfo",
	[SYS_mprotect] = "yYx", [SYS_munmap] = "yY", [SYS_brk] = "w", [SYS_rt_sigaction] = "gka8",
	[SYS_rt_sigprocmask] = "caa8", [SYS_ioctl] = "fCa", [SYS_pread64] = "fano", [SYS_pwrite64] = "fano",
	[SYS_readv] = "fIN", [SYS_writev] = "fIN", [SYS_access] = "sc", [SYS_pipe] = "a", [SYS_select] = "caaat",
	[SYS_sched_yield] = "", [SYS_mremap] = "yYYxy", [SYS_msync] = "yYx", [SYS_mincore] = "yYa",
	[SYS_madvise] = "yYc", [SYS_shmget] = "wnx", [SYS_shmat] = "wyx", [SYS_shmctl] = "wca", [SYS_dup] = "f",
	[SYS_dup2] = "ff", [SYS_nanosleep] = "ta", [SYS_getitimer] = "ca", [SYS_alarm] = "c", [SYS_setitimer] = "cta",
	[SYS_getpid] = "", [SYS_sendfile] = "ffan", [SYS_socket] = "Dcc", [SYS_connect] = "fAn", [SYS_accept] = "faa",
	[SYS_sendto] = "fanxAn", [SYS_recvfrom] = "fanxaa", [SYS_sendmsg] = "fMx", [SYS_recvmsg] = "fMx",
	[SYS_shutdown] = "fc", [SYS_bind] = "fAn", [SYS_listen] = "fc", [SYS_getsockname] = "faa",
	[SYS_getpeername] = "faa", [SYS_socketpair] = "Dcca", [SYS_setsockopt] = "fccan", [SYS_getsockopt] = "fccaa",
	[SYS_wait4] = "paxa", [SYS_kill] = "pg", [SYS_uname] = "a", [SYS_semget] = "wNx", [SYS_semop] = "waN",
	[SYS_semctl] = "wNcw", [SYS_shmdt] = "y", [SYS_msgget] = "wx", [SYS_msgsnd] = "wanx", [SYS_msgrcv] = "wanwx",
	[SYS_msgctl] = "wca", [SYS_fcntl] = "fcw", [SYS_flock] = "fc", [SYS_fsync] = "f", [SYS_fdatasync] = "f",
	[SYS_truncate] = "so", [SYS_ftruncate] = "fo", [SYS_getdents] = "fan", [SYS_getcwd] = "an", [SYS_chdir] = "s",
	[SYS_fchdir] = "f", [SYS_rename] = "ss", [SYS_mkdir] = "sm", [SYS_rmdir] = "s", [SYS_creat] = "sm",
	[SYS_link] = "ss", [SYS_unlink] = "s", [SYS_symlink] = "ss", [SYS_readlink] = "san", [SYS_chmod] = "sm",
	[SYS_fchmod] = "fm", [SYS_chown] = "scc", [SYS_fchown] = "fcc", [SYS_lchown] = "scc", [SYS_umask] = "m",
	[SYS_gettimeofday] = "aa", [SYS_getrlimit] = "ca", [SYS_getrusage] = "ca", [SYS_sysinfo] = "a",
	[SYS_times] = "a", [SYS_ptrace] = "cpva", [SYS_getuid] = "", [SYS_syslog] = "can", [SYS_getgid] = "",
	[SYS_setuid] = "c", [SYS_setgid] = "c", [SYS_geteuid] = "", [SYS_getegid] = "", [SYS_setpgid] = "pp",
	[SYS_getppid] = "", [SYS_getpgrp] = "", [SYS_setsid] = "", [SYS_setreuid] = "cc", [SYS_setregid] = "cc",
	[SYS_getgroups] = "Na", [SYS_setgroups] = "Na", [SYS_setresuid] = "ccc", [SYS_getresuid] = "aaa",
	[SYS_setresgid] = "ccc", [SYS_getresgid] = "aaa", [SYS_getpgid] = "p", [SYS_setfsuid] = "c",
	[SYS_setfsgid] = "c", [SYS_getsid] = "p", [SYS_capget] = "aa", [SYS_capset] = "aa",
	[SYS_rt_sigpending] = "an", [SYS_rt_sigtimedwait] = "aat8", [SYS_rt_sigqueueinfo] = "pga",
	[SYS_sigaltstack] = "aa", [SYS_utime] = "sa", [SYS_mknod] = "smw", [SYS_personality] = "x",
	[SYS_ustat] = "wa", [SYS_statfs] = "sa", [SYS_fstatfs] = "fa", [SYS_sysfs] = "caa", [SYS_getpriority] = "cp",
	[SYS_setpriority] = "cpc", [SYS_sched_setparam] = "pa", [SYS_sched_getparam] = "pa",
	[SYS_sched_setscheduler] = "pca", [SYS_sched_getscheduler] = "p", [SYS_sched_rr_get_interval] = "pa",
	[SYS_mlock] = "yY", [SYS_munlock] = "yY", [SYS_mlockall] = "x", [SYS_munlockall] = "", [SYS_vhangup] = "",
	[SYS_modify_ldt] = "can", [SYS_pivot_root] = "ss", [SYS_prctl] = "cwwww", [SYS_arch_prctl] = "Cv",
	[SYS_adjtimex] = "a", [SYS_setrlimit] = "ca", [SYS_chroot] = "s", [SYS_sync] = "", [SYS_acct] = "s",
	[SYS_settimeofday] = "ta", [SYS_mount] = "ssSxa", [SYS_umount2] = "sx", [SYS_swapon] = "sx",
	[SYS_swapoff] = "s", [SYS_sethostname] = "an", [SYS_setdomainname] = "an", [SYS_iopl] = "c",
	[SYS_ioperm] = "wnc", [SYS_init_module] = "aas", [SYS_delete_module] = "sx", [SYS_quotactl] = "Cspa",
	[SYS_gettid] = "", [SYS_readahead] = "fon", [SYS_setxattr] = "saanx", [SYS_lsetxattr] = "saanx",
	[SYS_fsetxattr] = "faanx", [SYS_getxattr] = "saan", [SYS_lgetxattr] = "saan", [SYS_fgetxattr] = "faan",
	[SYS_listxattr] = "san", [SYS_flistxattr] = "fan", [SYS_removexattr] = "sa", [SYS_fremovexattr] = "fa",
	[SYS_tkill] = "pg", [SYS_time] = "a", [SYS_futex] = "acwtac", [SYS_sched_setaffinity] = "pna",
	[SYS_sched_getaffinity] = "pna", [SYS_io_setup] = "ca", [SYS_io_destroy] = "w", [SYS_io_getevents] = "wNNat",
	[SYS_io_submit] = "wNa", [SYS_io_cancel] = "waa", [SYS_lookup_dcookie] = "wan", [SYS_epoll_create] = "c",
	[SYS_remap_file_pages] = "yYcnx", [SYS_getdents64] = "fan", [SYS_set_tid_address] = "v",
	[SYS_restart_syscall] = "", [SYS_semtimedop] = "waNt", [SYS_fadvise64] = "fonc", [SYS_timer_create] = "iEa",
	[SYS_timer_settime] = "cxta", [SYS_timer_gettime] = "ca", [SYS_timer_getoverrun] = "c",
	[SYS_timer_delete] = "c", [SYS_clock_settime] = "it", [SYS_clock_gettime] = "ia", [SYS_clock_getres] = "ia",
	[SYS_clock_nanosleep] = "ixta", [SYS_epoll_wait] = "faNc", [SYS_epoll_ctl] = "fcfa", [SYS_tgkill] = "ppg",
	[SYS_utimes] = "st", [SYS_mbind] = "yYcanx", [SYS_set_mempolicy] = "can", [SYS_get_mempolicy] = "aanyx",
	[SYS_mq_open] = "sxma", [SYS_mq_unlink] = "s", [SYS_mq_timedsend] = "fanct", [SYS_mq_timedreceive] = "fanat",
	[SYS_mq_notify] = "fE", [SYS_mq_getsetattr] = "faa", [SYS_kexec_load] = "vNax", [SYS_waitid] = "cpaxa",
	[SYS_add_key] = "ssanp", [SYS_request_key] = "sssp", [SYS_keyctl] = "cwwww", [SYS_ioprio_set] = "cpw",
	[SYS_ioprio_get] = "cp", [SYS_inotify_init] = "", [SYS_inotify_add_watch] = "fsx",
	[SYS_inotify_rm_watch] = "fc", [SYS_migrate_pages] = "pnaa", [SYS_openat] = "dsxm", [SYS_mkdirat] = "dsm",
	[SYS_mknodat] = "dsmw", [SYS_fchownat] = "dsccx", [SYS_futimesat] = "dst", [SYS_newfstatat] = "dsax",
	[SYS_unlinkat] = "dsx", [SYS_renameat] = "dsds", [SYS_linkat] = "dsdsx", [SYS_symlinkat] = "sds",
	[SYS_readlinkat] = "dsan", [SYS_fchmodat] = "dsm", [SYS_faccessat] = "dsc", [SYS_pselect6] = "caaata",
	[SYS_ppoll] = "aNta8", [SYS_unshare] = "x", [SYS_set_robust_list] = "vn", [SYS_get_robust_list] = "paa",
	[SYS_splice] = "fafanx", [SYS_tee] = "ffnx", [SYS_sync_file_range] = "foox", [SYS_vmsplice] = "fINx",
	[SYS_move_pages] = "pNaaax", [SYS_utimensat] = "dstx", [SYS_epoll_pwait] = "faNca8", [SYS_signalfd] = "fa8",
	[SYS_timerfd_create] = "ix", [SYS_eventfd] = "c", [SYS_fallocate] = "fxoo", [SYS_timerfd_settime] = "fxta",
	[SYS_timerfd_gettime] = "fa", [SYS_accept4] = "faax", [SYS_signalfd4] = "fa8x", [SYS_eventfd2] = "cx",
	[SYS_epoll_create1] = "x", [SYS_dup3] = "ffx", [SYS_pipe2] = "ax", [SYS_inotify_init1] = "x",
	[SYS_preadv] = "fINo", [SYS_pwritev] = "fINo", [SYS_rt_tgsigqueueinfo] = "ppga",
	[SYS_perf_event_open] = "Ppcfx", [SYS_recvmmsg] = "fMNxt", [SYS_fanotify_init] = "xx",
	[SYS_fanotify_mark] = "fxxds", [SYS_prlimit64] = "pcaa", [SYS_name_to_handle_at] = "dsaax",
	[SYS_open_by_handle_at] = "fax", [SYS_clock_adjtime] = "ia", [SYS_syncfs] = "f", [SYS_sendmmsg] = "fMNx",
	[SYS_setns] = "fx", [SYS_getcpu] = "aaa", [SYS_process_vm_readv] = "pININx",
	[SYS_process_vm_writev] = "pININ0", [SYS_kcmp] = "ppcww", [SYS_finit_module] = "fsx",
	[SYS_sched_setattr] = "pa0", [SYS_sched_getattr] = "panc", [SYS_renameat2] = "dsdsx", [SYS_seccomp] = "cxa",
	[SYS_getrandom] = "anx", [SYS_memfd_create] = "sx", [SYS_kexec_file_load] = "ffnax", [SYS_bpf] = "cBn",
	[SYS_userfaultfd] = "x", [SYS_membarrier] = "xxc", [SYS_mlock2] = "yYx", [SYS_copy_file_range] = "fafanx",
	[SYS_preadv2] = "fINo0x", [SYS_pwritev2] = "fINo0x", [SYS_pkey_mprotect] = "yYxc", [SYS_pkey_alloc] = "xx",
	[SYS_pkey_free] = "c", [SYS_statx] = "dsxxa", [SYS_io_pgetevents] = "wNNata", [SYS_rseq] = "vnxw",
	[SYS_pidfd_send_signal] = "fgax", [SYS_io_uring_setup] = "cU", [SYS_io_uring_enter] = "fNNxaw",
	[SYS_io_uring_register] = "fcaN", [SYS_open_tree] = "dsx", [SYS_move_mount] = "fsfsx", [SYS_fsopen] = "sx",
	[SYS_fsconfig] = "fcsac", [SYS_fsmount] = "fxx", [SYS_fspick] = "dsx", [SYS_pidfd_open] = "px",
	[SYS_close_range] = "ffx", [SYS_openat2] = "dsHn", [SYS_pidfd_getfd] = "ffx", [SYS_faccessat2] = "dscx",
	[SYS_process_madvise] = "fINcx", [SYS_epoll_pwait2] = "faNta8", [SYS_mount_setattr] = "dsxan",
	[SYS_quotactl_fd] = "fCpa", [SYS_landlock_create_ruleset] = "anx", [SYS_landlock_add_rule] = "fcax",
	[SYS_landlock_restrict_self] = "fx", [SYS_memfd_secret] = "x", [SYS_process_mrelease] = "fx",
	[SYS_futex_waitv] = "aNxti", [SYS_set_mempolicy_home_node] = "yYcx",
};

enum { SIGNATURES = sizeof signatures / sizeof signatures[0] };

/* Second arguments of ioctl, and first ones of arch_prctl. */
static const unsigned commands[] = {
	0x5401, 0x5402, 0x540e, 0x540f, 0x5410, 0x5412, 0x5413, 0x541b, 0x541d, 0x5421, 0x5422, 0x5423, 0x5424, 0x5428, 0x5450,
	0x5451, 0x5452, 0x5460, /* terminals, FIONBIO, FIOASYNC, FIONREAD, FIOQSIZE */
	0x8901, 0x8902, 0x8903, 0x8904, 0x8905, 0x8906, 0x8910, 0x8912, 0x8913, 0x8914, 0x8915, 0x8927, 0x89e0, /* sockets */
	0x40086602, 0x80086601, 0x401c5820, 0x801c581f, 0xc0045877, 0xc0045878, 0x40049409, 0x4020940d, /* files */
	0xc018aa3f, 0xc020aa00, 0x8010aa01, 0x8010aa02, 0xc028aa03, 0xc020aa04, 0xc018aa06, 0xc018aa07, /* userfaultfd */
	0x2400, 0x2401, 0x2402, 0x2403, 0x40082404, 0x2405, 0x40082406, 0x80082407, 0x40042408, 0x40042409, /* perf */
	0x1001, 0x1002, 0x1003, 0x1004, 0x1011, 0x1012, 0x2001, 0x2003, 0x1021, 0x1022, 0x1023, /* arch_prctl */
	0x5000aea0, 0xae00, 0xae01, 0x127a, 0x1260, 0x40081272, 0x125d, 0x4b46, 0x7201, 0x40107446, /* KVM, disks, ... */
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

#endif
