/* The kernel's own matters, namespaces, privileges, and taking the seal off again. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct sock_filter all_goes[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
static const struct sock_fprog loose = {1, all_goes};

/* Where a call would do harm if it went through, an argument makes it fail there too. */
CALL(mount_over, SYS_mount, "none", "/filemill-probe", "tmpfs", 0, NULL)
CALL(unmount, SYS_umount2, "/filemill-probe", 0)
CALL(change_root, SYS_chroot, "/filemill-probe")
CALL(pivot, SYS_pivot_root, "/filemill-probe", "/filemill-probe")
CALL(open_mounts, SYS_open_tree, AT_FDCWD, "/", 0)
CALL(open_filesystem, SYS_fsopen, "tmpfs", 0)
CALL(quotas, SYS_quotactl, (unsigned)Q_SYNC << SUBCMDSHIFT | USRQUOTA, NULL, 0, NULL)
CALL(io_rings, SYS_io_uring_setup, 0, (char[256]){})
CALL(io_rings_enter, SYS_io_uring_enter, RUNNER_ZYGOTE_FD, 0, 0, 0, NULL, 0)
CALL(async_io, SYS_io_setup, 1, &(unsigned long){0})
CALL(load_bpf, SYS_bpf, BPF_MAP_CREATE, (char[128]){}, 128)
CALL(perf_events, SYS_perf_event_open, &(struct perf_event_attr){}, 0, -1, -1, 0)
CALL(keyrings, SYS_keyctl, 0, -3, 0)
CALL(new_key, SYS_add_key, "user", "filemill", "x", 1, -3)
CALL(ask_for_key, SYS_request_key, "user", "filemill", NULL, 0)
CALL(user_faults, SYS_userfaultfd, 1)
CALL(own_users, SYS_unshare, CLONE_NEWUSER)
CALL(own_mounts, SYS_unshare, CLONE_NEWNS)
CALL(enter_namespace, SYS_setns, RUNNER_ZYGOTE_FD, CLONE_NEWNET)
CALL(readable_is_executable, SYS_personality, READ_IMPLIES_EXEC)
CALL(become_root, SYS_setuid, 0)
CALL(become_somebody, SYS_setresuid, 65534, 65534, 65534)
CALL(groups, SYS_setgroups, 0, NULL)
CALL(capabilities, SYS_capset, (struct __user_cap_header_struct[1]){{_LINUX_CAPABILITY_VERSION_3, 0}},
     (struct __user_cap_data_struct[2]){{~0u, ~0u, 0}, {~0u, ~0u, 0}})
CALL(restart_machine, SYS_reboot, 0, 0, 0, NULL)
CALL(host_name, SYS_sethostname, "x", -1L)
CALL(domain_name, SYS_setdomainname, "x", -1L)
CALL(swapping, SYS_swapon, "/filemill-probe", 0)
CALL(load_module, SYS_init_module, NULL, 0, "")
CALL(load_module_file, SYS_finit_module, RUNNER_ZYGOTE_FD, "", 0)
CALL(remove_module, SYS_delete_module, "filemill-probe", O_NONBLOCK)
CALL(next_kernel, SYS_kexec_load, 0, -1L, NULL, 0)
CALL(next_kernel_file, SYS_kexec_file_load, -1, -1, 0, NULL, 0)
CALL(kernel_log, SYS_syslog, 10, NULL, 0)
CALL(accounting, SYS_acct, "/filemill-probe")
CALL(set_clock, SYS_clock_settime, CLOCK_REALTIME, NULL)
CALL(tune_clock, SYS_clock_adjtime, CLOCK_REALTIME, NULL)
CALL(type_for_somebody, SYS_ioctl, STDIN_FILENO, TIOCSTI, "x")
CALL(take_terminal, SYS_ioctl, STDIN_FILENO, TIOCSCTTY, 1)
CALL(another_filter, SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &loose)
CALL(another_filter_by_prctl, SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &loose, 0, 0)
CALL(no_filter, SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_DISABLED, NULL, 0, 0)
CALL(privileges_again, SYS_prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)
CALL(dumpable_again, SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)
CALL(outlive_the_zygote, SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0)
CALL(let_somebody_trace, SYS_prctl, PR_SET_PTRACER, -1L, 0, 0, 0)
CALL(other_landlock, SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)
CALL(apply_other_landlock, SYS_landlock_restrict_self, -1, 0)
CALL(other_stack_for_signals, SYS_sigaltstack, NULL, &(stack_t){})
CALL(more_memory, SYS_prlimit64, 0, RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}, NULL)
CALL(more_files, SYS_setrlimit, RLIMIT_NOFILE, &(struct rlimit){1 << 20, 1 << 20})
CALL(more_output, SYS_prlimit64, 0, RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}, NULL)

/* As the kernel's struct, whatever glibc's looks like. */
static const struct {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
} ignored = {.handler = (void *)1};

CALL(ignore_refusals, SYS_rt_sigaction, SIGSYS, &ignored, NULL, 8)
CALL(ignore_refusals_by_upper_bits, SYS_rt_sigaction, SIGSYS | 1L << 32, &ignored, NULL, 8)
CALL(ignore_end_of_time, SYS_rt_sigaction, SIGXCPU, &ignored, NULL, 8)

/* A blocked signal cannot be told of: the kernel ends the process. */
static long block_refusals(const struct sealed_job *j)
{
	unsigned long all = ~0ul;

	if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8) != 0)
		return 0;
	return syscall(SYS_socket, 2, 1, 0);
}

static const struct probe rows[] = {
	{"mount_over", mount_over, BOTH_REFUSE(SYS_mount)},
	{"unmount", unmount, BOTH_REFUSE(SYS_umount2)},
	{"change_root", change_root, BOTH_REFUSE(SYS_chroot)},
	{"pivot", pivot, BOTH_REFUSE(SYS_pivot_root)},
	{"open_mounts", open_mounts, BOTH_REFUSE(SYS_open_tree)},
	{"open_filesystem", open_filesystem, BOTH_REFUSE(SYS_fsopen)},
	{"quotas", quotas, BOTH_REFUSE(SYS_quotactl)},
	{"io_rings", io_rings, BOTH_REFUSE(SYS_io_uring_setup)},
	{"io_rings_enter", io_rings_enter, BOTH_REFUSE(SYS_io_uring_enter)},
	{"async_io", async_io, BOTH_REFUSE(SYS_io_setup), PROBE_BARE},
	{"load_bpf", load_bpf, BOTH_REFUSE(SYS_bpf)},
	{"perf_events", perf_events, BOTH_REFUSE(SYS_perf_event_open)},
	{"keyrings", keyrings, BOTH_REFUSE(SYS_keyctl)},
	{"new_key", new_key, BOTH_REFUSE(SYS_add_key)},
	{"ask_for_key", ask_for_key, BOTH_REFUSE(SYS_request_key)},
	{"user_faults", user_faults, BOTH_REFUSE(SYS_userfaultfd)},
	{"own_users", own_users, BOTH_REFUSE(SYS_unshare)},
	{"own_mounts", own_mounts, BOTH_REFUSE(SYS_unshare)},
	{"enter_namespace", enter_namespace, BOTH_REFUSE(SYS_setns)},
	{"readable_is_executable", readable_is_executable, BOTH_REFUSE(SYS_personality), PROBE_BARE},
	{"become_root", become_root, BOTH_REFUSE(SYS_setuid)},
	{"become_somebody", become_somebody, BOTH_REFUSE(SYS_setresuid)},
	{"groups", groups, BOTH_REFUSE(SYS_setgroups)},
	{"capabilities", capabilities, BOTH_REFUSE(SYS_capset)},
	{"restart_machine", restart_machine, BOTH_REFUSE(SYS_reboot)},
	{"host_name", host_name, BOTH_REFUSE(SYS_sethostname)},
	{"domain_name", domain_name, BOTH_REFUSE(SYS_setdomainname)},
	{"swapping", swapping, BOTH_REFUSE(SYS_swapon)},
	{"load_module", load_module, BOTH_REFUSE(SYS_init_module)},
	{"load_module_file", load_module_file, BOTH_REFUSE(SYS_finit_module)},
	{"remove_module", remove_module, BOTH_REFUSE(SYS_delete_module)},
	{"next_kernel", next_kernel, BOTH_REFUSE(SYS_kexec_load)},
	{"next_kernel_file", next_kernel_file, BOTH_REFUSE(SYS_kexec_file_load)},
	{"kernel_log", kernel_log, BOTH_REFUSE(SYS_syslog)},
	{"accounting", accounting, BOTH_REFUSE(SYS_acct)},
	{"set_clock", set_clock, BOTH_REFUSE(SYS_clock_settime)},
	{"tune_clock", tune_clock, BOTH_REFUSE(SYS_clock_adjtime)},
	{"type_for_somebody", type_for_somebody, BOTH_TELL(ENOTTY)},
	{"take_terminal", take_terminal, BOTH_TELL(ENOTTY)},
	{"another_filter", another_filter, BOTH_REFUSE(SYS_seccomp)},
	{"another_filter_by_prctl", another_filter_by_prctl, ONCE_TELLS(SYS_prctl, EPERM)},
	{"no_filter", no_filter, ONCE_TELLS(SYS_prctl, EPERM)},
	{"privileges_again", privileges_again, ONCE_TELLS(SYS_prctl, EPERM)},
	{"dumpable_again", dumpable_again, ONCE_TELLS(SYS_prctl, EPERM), PROBE_BARE},
	{"outlive_the_zygote", outlive_the_zygote, ONCE_TELLS(SYS_prctl, EPERM), PROBE_BARE},
	{"let_somebody_trace", let_somebody_trace, ONCE_TELLS(SYS_prctl, EPERM)},
	{"other_landlock", other_landlock, BOTH_REFUSE(SYS_landlock_create_ruleset)},
	{"apply_other_landlock", apply_other_landlock, BOTH_REFUSE(SYS_landlock_restrict_self)},
	{"other_stack_for_signals", other_stack_for_signals, BOTH_REFUSE(SYS_sigaltstack), PROBE_BARE},
	{"more_memory", more_memory, BOTH_REFUSE(SYS_prlimit64)},
	{"more_files", more_files, BOTH_REFUSE(SYS_setrlimit)},
	{"more_output", more_output, BOTH_REFUSE(SYS_prlimit64)},
	{"ignore_refusals", ignore_refusals, BOTH_REFUSE(SYS_rt_sigaction), PROBE_BARE},
	{"ignore_refusals_by_upper_bits", ignore_refusals_by_upper_bits, BOTH_REFUSE(SYS_rt_sigaction), PROBE_BARE},
	{"ignore_end_of_time", ignore_end_of_time, BOTH_REFUSE(SYS_rt_sigaction), PROBE_BARE},
	{"block_refusals", block_refusals, BOTH_KILL(SIGSYS)},
};
const struct probe_list probes_kernel = {rows, ARRAY_LEN(rows)};
