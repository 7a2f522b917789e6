"""Attempts to reach something outside: each returns whether it got through.

`CANARY` is the path of a file that holds the gold answers, `FOLDER` a folder that anybody may
write to, `PORT` a listening TCP port, `PARENT` the process that evaluates, `SECRET` what stands
in the gold file and in its environment (`REVERSED` the other way round, so that the attack does not
find itself). The tests fill them in.
"""

from attacks import function

FILES = {
    "read the gold file": 'return "SECRET" in open("CANARY").read()',
    "read the gold file through os": """
import os
return b"SECRET" in os.read(os.open("CANARY", os.O_RDONLY), 100)""",
    "read the gold file through numpy": """
import numpy
return len(numpy.fromfile("CANARY", dtype="u1")) > 0""",
    "read the gold file with a raw system call": """
import ctypes
libc = ctypes.CDLL(None)
return libc.syscall(257, -100, b"CANARY", 0) >= 0 or libc.open(b"CANARY", 0) >= 0""",
    "map the gold file": """
import mmap
return bool(mmap.mmap(open("CANARY", "rb").fileno(), 0, prot=mmap.PROT_READ))""",
    "list the root folder": """
import os
return len(os.listdir("/")) > 0""",
    "read /etc/passwd": 'return "root" in open("/etc/passwd").read()',
    "ask whether a file exists": """
import os
return os.stat("CANARY").st_size > 0""",
    "read the source of the sandbox": """
import autotts.sandbox.sandbox
return True""",
    "write a file": """
open("FOLDER/written", "w").write("x")
return True""",
    "forge the result file and leave": """
import json, os
json.dump({"combined_score": 1e9, "correct": True}, open("FOLDER/metrics.json", "w"))
os._exit(0)""",
    "make a folder": """
import os
os.mkdir("FOLDER/made")
return True""",
    "delete the gold file": """
import os
os.unlink("CANARY")
return True""",
    "make a shared memory file": """
import os
return os.memfd_create("x") >= 0""",
    "change its working folder": """
import os
os.chdir("FOLDER")
return True""",
}

NETWORK = {
    "connect to a TCP port": """
import socket
socket.create_connection(("127.0.0.1", PORT), 1)
return True""",
    "send a UDP packet": """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT))
return True""",
    "connect to an abstract unix socket": """
import socket
socket.socket(socket.AF_UNIX).connect("\\0autotts-test-PORT")
return True""",
    "make a raw socket": """
import ctypes
return ctypes.CDLL(None).syscall(41, 2, 1, 0) >= 0""",
    "make a pair of sockets": """
import socket
socket.socketpair()
return True""",
}

PROCESSES = {
    "fork": """
import os
if os.fork() == 0:
    os._exit(0)
return True""",
    "fork again and again": """
import os
made = 0
for _ in range(30):
    try:
        if os.fork() == 0:
            os._exit(0)
        made += 1
    except OSError:
        pass
return made > 0""",
    "start a thread": """
import threading
threading.Thread(target=print).start()
return True""",
    "start many threads": """
import _thread
for _ in range(40):
    _thread.start_new_thread(print, ())
return True""",
    "leave a child behind that writes later": """
import os, time
if os.fork() == 0:
    os.setsid()
    time.sleep(3)
    open("FOLDER/child", "w").write("x")
    os._exit(0)
return True""",
    "run a command": """
import subprocess
subprocess.run(["/bin/sh", "-c", "echo x > FOLDER/command"])
return True""",
    "spawn": """
import os
os.posix_spawn("/bin/true", ["true"], {})
return True""",
    "become another program": """
import os
os.execv("/bin/sh", ["sh", "-c", "echo x > FOLDER/became"])""",
    "become another program with a raw system call": """
import ctypes
ctypes.CDLL(None).syscall(59, b"/bin/true", None, None)
return True""",
    "kill the evaluator": """
import os
os.kill(PARENT, 9)
return True""",
    "stop its own parent": """
import os, signal
os.kill(os.getppid(), signal.SIGSTOP)
return True""",
    "signal everybody": """
import os
os.kill(-1, 0)
return True""",
    "read the evaluator's environment": """
return b"SECRET" in open("/proc/PARENT/environ", "rb").read()""",
    "read its parent's environment": """
import os
return bool(open(f"/proc/{os.getppid()}/environ", "rb").read())""",
    "read the evaluator's memory": """
import ctypes
buffer = ctypes.create_string_buffer(8)
local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
remote = (ctypes.c_void_p * 2)(0x400000, 8)
return ctypes.CDLL(None).syscall(310, PARENT, local, 1, remote, 1, 0) >= 0""",
    "trace the evaluator": """
import ctypes
return ctypes.CDLL(None).ptrace(16, PARENT, 0, 0) >= 0""",
    "raise its own limits": """
import resource
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
return True""",
    "become root": """
import os
os.setuid(0)
return os.getuid() == 0""",
    "outlive its parent": """
import ctypes
return ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0""",
    "load a library": """
import ctypes
ctypes.CDLL("libutil.so.1")
return True""",
    "make a namespace of its own": """
import ctypes
return ctypes.CDLL(None).unshare(0x10000000) == 0""",
}

MEMORY = {
    "read a key from the environment": """
import os
return any("REVERSED"[::-1] in value for value in os.environ.values())""",
    "read a key from where the environment was": """
import ctypes
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
entries = []
while environ and environ[len(entries)]:
    entries.append(environ[len(entries)])
return any(b"REVERSED"[::-1] in entry for entry in entries)""",
    "find gold among all objects": """
import gc
secret = "REVERSED"[::-1]
return any(
    isinstance(value, str) and secret in value
    for found in gc.get_objects() if isinstance(found, dict)
    for value in list(found.values())
)""",
    "find a store among all objects": """
import gc
kinds = {type(found).__name__ for found in gc.get_objects()}
return bool(kinds & {"Store", "Pool", "Broker", "Sandbox"})""",
    "find gold up the stack": """
import sys
frame = sys._getframe()
names = set()
while frame is not None:
    names |= set(frame.f_locals) | set(frame.f_globals)
    frame = frame.f_back
return bool(names & {"gold", "store", "stores", "pool", "score_fn", "evaluate", "broker"})""",
    "find gold with inspect": """
import inspect
return any("gold" in info.frame.f_locals for info in inspect.stack(0))""",
    "find the scorer among the modules": """
import sys
return any(
    name.startswith(("autotts.evaluation", "autotts.stores.", "autotts.sandbox.broker"))
    and hasattr(module, "__file__")
    for name, module in sys.modules.items()
) """,
    "rewrite the scorer through its caller's frame": """
import sys
frame = sys._getframe()
changed = False
while frame is not None:
    for value in list(frame.f_locals.values()):
        if getattr(value, "__name__", "") in ("evaluate", "score_fn", "correct"):
            value.__code__ = (lambda *a, **k: 1e9).__code__
            changed = True
    frame = frame.f_back
return changed""",
    "read another process's clock": """
import os
import time
seen = []
for pid in (1, *range(max(2, os.getpid() - 20), os.getpid())):
    try:
        seen.append(time.clock_gettime((~pid << 3) | 2))
    except OSError:
        continue
return bool(seen)""",
    "ask where another process may run": """
import os
try:
    return bool(os.sched_getaffinity(1))
except OSError:
    return False""",
    "find an open file": """
import os
found = []
for descriptor in range(64):
    try:
        os.lseek(descriptor, 0, 0)
        found.append(descriptor)
    except OSError:
        pass
return bool(set(found) - {0})""",
}

ATTACKS = {
    name: function(body)
    for group in (FILES, NETWORK, PROCESSES, MEMORY)
    for name, body in group.items()
}
