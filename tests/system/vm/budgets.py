"""The budgets of our services, held by the kernel: something greedy is put into each service's cgroup. What it takes
beyond the budget ends it and the service, which is started again; all others live on. Told on a serial line that ends
outside (standard output).

    budget WHO memory=BYTES swap=BYTES tasks=COUNT      what the kernel holds it to
    tasks WHO COUNT                                     so many there were when it got no more
    memory WHO                                          what took too much was ended, and WHO is back
    BROKEN WHO …                                        what is not so
    looked                                              that was all
"""

import json, os, signal, subprocess, time

CGROUPS = "/sys/fs/cgroup"
UNITS = {"recueild": "recueild.service", "courier": "recueil-courier.service", "hostd": "recueil-hostd.service"}
MIB = 1 << 20
WAIT_S = 240


class Broken(Exception):
    pass


def tell(*words):
    print(*words, flush=True)


def shown(unit, *names):
    command = ["systemctl", "show", unit, *(f"--property={name}" for name in names)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def kernel(cgroup, name):
    return open(f"{CGROUPS}{cgroup}/{name}").read().strip()


def mains():
    return {who: shown(unit, "MainPID")["MainPID"] for who, unit in UNITS.items()}


def devices():
    """The hosts' cgroups, where every device has one."""
    done = subprocess.run(["recueilctl", "--quiet", "--json", "devices"], capture_output=True, text=True)
    if done.returncode:
        return None
    listed = json.loads(done.stdout)["devices"]
    below = f"{CGROUPS}/system.slice/{UNITS['hostd']}"
    # One in which something died that was not hostd's may stay behind, empty.
    hosts = sorted(
        name
        for name in os.listdir(below)
        if name.startswith("host-") and open(f"{below}/{name}/cgroup.procs").read()
    )
    return hosts if listed and all(one["state"] == "ready" for one in listed) and len(hosts) == len(listed) else None


def until(what, look):
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.5)
    raise Broken(what)


def inside(cgroup, work):
    """Runs something greedy in a cgroup; gives how it ended."""
    child = os.fork()
    if child == 0:
        code = 9
        try:
            with open(f"{CGROUPS}{cgroup}/cgroup.procs", "w") as procs:
                procs.write(str(os.getpid()))
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_on(most):
    """Forks until it may not, and ends what it made; 0 where it was refused and has no more than allowed."""

    def work():
        children = []
        try:
            while len(children) < 2000:
                child = os.fork()
                if child == 0:
                    signal.pause()
                children.append(child)
        except BlockingIOError:
            return 0 if len(children) < most else 1
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
        return 2

    return work


def take(limit):
    def work():
        kept = []
        while len(kept) * 16 * MIB < limit + 256 * MIB:
            kept.append(os.urandom(1) * (16 * MIB))
        return 1

    return work


def tasks(who, cgroup, most):
    ended = inside(cgroup, fork_on(int(most)))
    if ended != 0:
        raise Broken(f"forks on beyond {most} tasks ({ended})")
    tell("tasks", who, most)


def service(who):
    unit = UNITS[who]
    said = shown(unit, "ControlGroup", "MemoryMax", "MemorySwapMax", "TasksMax")
    cgroup = said["ControlGroup"]
    kept = [kernel(cgroup, name) for name in ("memory.max", "memory.swap.max", "pids.max")]
    if kept != [said[name].replace("infinity", "max") for name in ("MemoryMax", "MemorySwapMax", "TasksMax")]:
        raise Broken(f"the kernel has {kept}, systemd {said}")
    tell("budget", who, *map("=".join, zip(("memory", "swap", "tasks"), kept)))
    return cgroup, kept[0], kept[2]


def memory(who, cgroup, most):
    before, restarts = mains(), shown(UNITS[who], "NRestarts")["NRestarts"]
    ended = inside(cgroup, take(int(most)))
    if ended != -signal.SIGKILL:
        raise Broken(f"took more than {most} bytes and ended by {ended}")

    def back():
        now = shown(UNITS[who], "NRestarts", "ActiveState", "MainPID")
        return now["NRestarts"] != restarts and now["ActiveState"] == "active" and now["MainPID"] != before[who]

    until("is not started again", back)
    others = {other: pid for other, pid in before.items() if other != who}
    if others != {other: pid for other, pid in mains().items() if other != who}:
        raise Broken(f"took others with it: {before}, {mains()}")
    tell("memory", who)


def hosts():
    """One device's host over its budget: the others' hosts live on, and so does hostd."""
    found = until("has not a host for each device", devices)
    below = f"/system.slice/{UNITS['hostd']}"
    chosen = f"{below}/{found[0]}"
    kept = [kernel(chosen, name) for name in ("memory.max", "memory.swap.max", "pids.max")]
    tell("budget", "host", *map("=".join, zip(("memory", "swap", "tasks"), kept)))
    tasks("host", chosen, kept[2])
    procs = {name: kernel(f"{below}/{name}", "cgroup.procs") for name in found[1:]}
    before = mains()
    ended = inside(chosen, take(int(kept[0])))
    if ended != -signal.SIGKILL:
        raise Broken(f"took more than {kept[0]} bytes and ended by {ended}")
    until("has no new host", lambda: (now := devices()) and found[0] not in now)
    if before != mains() or procs != {name: kernel(f"{below}/{name}", "cgroup.procs") for name in procs}:
        raise Broken(f"took others with it: {before}, {mains()}")
    tell("memory", "host")


def look(who, job):
    try:
        job()
    except (Broken, OSError, subprocess.SubprocessError) as broken:
        tell("BROKEN", who, str(broken).replace("\n", " "))


def whole(who):
    cgroup, bytes_most, tasks_most = service(who)
    if who == "hostd":
        # Its own processes are in a leaf; what its hosts take is theirs.
        tasks(who, cgroup + "/hostd", tasks_most)
    else:
        tasks(who, cgroup, tasks_most)
        memory(who, cgroup, bytes_most)


look("host", hosts)
for who in ("hostd", "courier", "recueild"):
    look(who, lambda: whole(who))
tell("looked")
