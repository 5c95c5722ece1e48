"""What a hostile command tries, one function an attempt: test_commands hands this text to python3 inside a command's place, with the name of one and its arguments.

An attempt that was stopped by an error returns; one that got through raises. Those that a limit has to stop never return.
"""
import ctypes
import errno
import os
import resource
import signal
import socket
import stat
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)


def refused(what, *args, **kwargs):
	"""The call must fail with an error of the system."""
	try:
		got = what(*args, **kwargs)
	except OSError as e:
		return e.errno
	raise AssertionError(f"{what.__name__}{args} got through: {got!r}")


def syscall_refused(name, *args):
	if getattr(libc, name)(*args) != -1:
		raise AssertionError(f"{name} got through")
	return ctypes.get_errno()


def fork_bomb():
	while True:
		try:
			if os.fork() == 0:
				own_session()
		except OSError:
			time.sleep(0.01)


def fork_limit():
	n = 0
	try:
		while n < 5000:
			if os.fork() == 0:
				time.sleep(60)
			n += 1
	except OSError as e:
		assert e.errno == errno.EAGAIN
	assert n < 300, n


def spin():
	while True:
		pass


def spin_deaf():
	signal.signal(signal.SIGXCPU, signal.SIG_IGN)
	spin()


def sleep_for_ever():
	while True:
		time.sleep(1000)


def sleep_deaf():
	for s in range(1, 65):
		try:
			signal.signal(s, signal.SIG_IGN)
		except (OSError, ValueError):
			pass
	sleep_for_ever()


def write_much():
	piece = b"x" * 65536
	while True:
		os.write(1, piece)


def make_files():
	n = 0
	try:
		while n < 1000000:
			os.close(os.open(f"/tmp/{n}", os.O_CREAT | os.O_WRONLY))
			n += 1
	except OSError as e:
		assert e.errno in (errno.ENOSPC, errno.EACCES, errno.EMFILE), e
	assert n < 20000, n


def fill_tmp():
	n = 0
	try:
		with open("/tmp/large", "wb", buffering=0) as f:
			while n < 1 << 32:
				n += f.write(b"x" * (1 << 20))
	except OSError as e:
		assert e.errno in (errno.ENOSPC, errno.EACCES, errno.EFBIG), e
	assert n <= 1 << 28, n


def own_session():
	"""Away from whoever kills the group; without namespaces it is refused."""
	for call, *args in ((os.setsid,), (os.setpgid, 0, 0)):
		try:
			call(*args)
		except OSError:
			pass


def daemon():
	if os.fork() == 0:
		own_session()
		if os.fork() == 0:
			own_session()
			sleep_deaf()
		os._exit(0)


def daemon_keeps_output():
	daemon()
	os.write(1, b"done")


def kill_others():
	"""Whether the calls fail or have no effect is the kernel's choice; the test sees that the answer comes."""
	for pid in (os.getppid(), 1, -1):
		for s in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
			if pid != -1 or s == signal.SIGKILL:
				try:
					os.kill(pid, s)
				except OSError:
					pass


def kill_process(pid):
	"""One that is not ours: not even there, or not to be signalled."""
	refused(os.kill, int(pid), 0)
	refused(os.kill, int(pid), signal.SIGKILL)


def use_descriptors():
	for fd in range(3, 1024):
		assert refused(os.write, fd, b"x") == errno.EBADF
		assert refused(os.fstat, fd) == errno.EBADF
	assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 256


def dump_core():
	assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
	os.abort()


def connect_out(port, abstract, path):
	for family, address in ((socket.AF_INET, ("127.0.0.1", int(port))), (socket.AF_INET6, ("::1", int(port))), (socket.AF_UNIX, "\0" + abstract),
				(socket.AF_UNIX, path)):
		def stream():
			with socket.socket(family, socket.SOCK_STREAM) as s:
				s.settimeout(1)
				s.connect(address)

		refused(stream)
	for family, address in ((socket.AF_INET, ("127.0.0.1", int(port))), (socket.AF_INET, ("192.0.2.1", 53))):
		def datagram():
			with socket.socket(family, socket.SOCK_DGRAM) as s:
				s.sendto(b"x", address)

		refused(datagram)
	for family in (socket.AF_NETLINK, socket.AF_PACKET, socket.AF_ALG, getattr(socket, "AF_VSOCK", 40)):
		refused(socket.socket, family, socket.SOCK_RAW if family != 38 else socket.SOCK_SEQPACKET)
	refused(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def look_into_processes():
	for pid in {"1", str(os.getppid())}:
		for name in ("environ", "mem", "maps", "root", "cwd", "exe"):
			refused(lambda p: open(p, "rb").read(1), f"/proc/{pid}/{name}")
		refused(os.listdir, f"/proc/{pid}/fd")


def trace():
	for request, pid in ((0, 0), (16, os.getppid()), (0x4206, 1)):
		syscall_refused("ptrace", request, pid, None, None)
	for call in (310, 311):  # process_vm_readv, process_vm_writev on x86-64
		if os.uname().machine == "x86_64":
			syscall_refused("syscall", call, 1, None, 0, None, 0, 0)


def gain_rights():
	try:
		with open("/proc/self/status") as f:
			status = dict(line.split(":", 1) for line in f.read().splitlines())
		for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
			assert int(status[name], 16) == 0, (name, status[name])
	except PermissionError:
		pass
	before = os.getresuid(), os.getresgid()
	for call in (os.setuid, os.setgid, os.seteuid):
		if before[0][0] != 0:
			refused(call, 0)
	refused(os.setgroups, [0])
	try:
		with open("/usr/bin/id", "rb") as f, open("/tmp/id", "wb") as g:
			g.write(f.read())
		os.chmod("/tmp/id", 0o4755)
	except OSError as e:
		assert e.errno == errno.EACCES
	refused(os.execv, "/tmp/id", ["id"])
	refused(os.mknod, "/tmp/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
	assert libc.prctl(39, 0, 0, 0, 0) == 1  # PR_GET_NO_NEW_PRIVS
	assert (os.getresuid(), os.getresgid()) == before


def leave_the_place():
	NEW = 0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000
	for flag in NEW:
		syscall_refused("unshare", flag)
	syscall_refused("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None)
	syscall_refused("mount", None, b"/", None, 32 | 4096, None)
	syscall_refused("umount2", b"/tmp", 2)
	syscall_refused("chroot", b"/tmp")
	syscall_refused("sethostname", b"x", 1)
	syscall_refused("setns", 0, 0)
	syscall_refused("personality", 0x0400000)


def read_files(*paths):
	for path in paths + ("/etc/shadow", "/root", "/var", "/home", "/sys", "/boot", "/dev/mem", "/dev/kmsg"):
		refused(lambda p: os.listdir(p) if os.path.isdir(p) else open(p, "rb").read(1), path)
		for around in ("/proc/1/root", "/proc/self/root/..", "/proc/self/cwd/../..", "/tmp/../.."):
			refused(lambda p: os.listdir(p) if os.path.isdir(p) else open(p, "rb").read(1), around + path)
	try:
		os.symlink("/etc/shadow", "/tmp/link")
	except OSError as e:
		assert e.errno == errno.EACCES
	refused(open, "/tmp/link")


def write_files():
	for folder in ("/", "/usr", "/usr/bin", "/usr/local", "/etc", "/etc/fonts", "/dev", "/proc", "/opt", "/var/tmp", "/dev/shm"):
		refused(os.open, folder + "/filemill-was-here", os.O_CREAT | os.O_WRONLY)
		refused(os.mkdir, folder + "/filemill-was-here")
	for path in ("/etc/passwd", "/etc/ld.so.cache", "/usr/bin/id", "/proc/self/oom_score_adj", "/proc/sys/kernel/core_pattern"):
		refused(os.open, path, os.O_WRONLY)
	before = os.stat("/usr/bin/id")
	for call, *args in ((os.chmod, 0o4755), (os.utime, (1, 1)), (os.chown, os.getuid(), os.getgid())):
		try:
			call("/usr/bin/id", *args)
		except OSError:
			pass
	assert os.stat("/usr/bin/id") == before


def write_to_the_input():
	def again(path, flags):
		fd = os.open(path, flags)
		os.pwrite(fd, b"x", 0)

	for path in ("/proc/self/fd/0", "/dev/stdin", "/proc/1/fd/0"):
		refused(again, path, os.O_RDWR)
		refused(again, path, os.O_WRONLY)
		refused(os.truncate, path, 0)
	refused(os.write, 0, b"x")
	refused(os.ftruncate, 0, 0)
	before = os.fstat(0)
	for what in (0, "/proc/self/fd/0"):
		for call, *args in ((os.chmod, 0o777), (os.utime, (1, 1)), (os.setxattr, "user.filemill", b"x"), (os.chown, os.getuid(), os.getgid())):
			try:
				call(what, *args)
			except OSError:
				pass
	for request in (0x40086602, 0x401C5820, 0x40806685):  # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_ENABLE_VERITY
		syscall_refused("ioctl", 0, ctypes.c_ulong(request), b"\0" * 128)
	assert os.fstat(0)[:9] == before[:9]


def allocate():
	try:
		x = bytearray(1 << 31)
	except MemoryError:
		return
	raise AssertionError(len(x))


def allocate_together():
	for _ in range(30):
		if os.fork() == 0:
			x = bytearray(os.urandom(4096)) * (64 << 8)  # 64 MiB, every page touched
			sleep_for_ever()
	sleep_for_ever()


def talk_on(n, code):
	"""More than is kept on standard error, with what is no text in it; then this exit code."""
	os.write(2, b"first words\n" + b"x" * int(n) + b"\xff\x00\x1b\xc3")
	os.write(2, "é last words\n".encode())
	sys.exit(int(code))


def surroundings():
	assert dict(os.environ) == {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp"}, os.environ
	assert os.getsid(0) == os.getpid()
	assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
	if os.getppid() == 1:
		assert os.getpid() < 5 and os.getcwd() == "/tmp" and os.listdir("/tmp") == []
		assert sorted(p for p in os.listdir("/proc") if p.isdigit()) == sorted({"1", str(os.getpid())})
		assert socket.gethostname() == "filemill"
		assert os.getuid() != 0


marker, name = sys.argv[1], sys.argv[2]
globals()[name](*sys.argv[3:])
