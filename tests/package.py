"""The Debian package and the images, in bare Debian systems that debootstrap makes (chroots; minutes, and needs root):
the package is built, installed with what it recommends, run and purged; the lines of container/Dockerfile and of
container/pilotfish.def are carried out as they stand; then a worker of the image, without root, runs sshd, and a job
goes over it.
   package.py TINY SOURCE
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

tiny, source = (os.path.abspath(path) for path in sys.argv[1:3])
RELEASE = "bookworm"
PLAIN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
BARE = {**PLAIN, "DEBIAN_FRONTEND": "noninteractive"}


def say(text):
    print(f"== {text}", flush=True)


def call(command, **how):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **how)


class System:
    """A root folder with what a container's has: /proc, /sys, /dev, and this machine's way to packages."""

    def __init__(self, folder, base=None):
        self.folder, self.user, self.workdir = folder, None, "/"
        if base:
            call(["cp", "-a", "--one-file-system", base, folder])
        self.mount()

    def mount(self):
        for kind, at in (("proc", "proc"), ("sysfs", "sys"), ("tmpfs", "dev")):
            call(["mount", "-t", kind, kind, f"{self.folder}/{at}"])
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            open(f"{self.folder}/dev/{name}", "w").close()
            call(["mount", "--bind", f"/dev/{name}", f"{self.folder}/dev/{name}"])
        for name, kind, options in (("pts", "devpts", "newinstance,ptmxmode=0666"), ("shm", "tmpfs", "mode=1777")):
            os.mkdir(f"{self.folder}/dev/{name}")
            call(["mount", "-t", kind, "-o", options, kind, f"{self.folder}/dev/{name}"])
        for link, to in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                         ("stderr", "fd/2")):
            os.symlink(to, f"{self.folder}/dev/{link}")

    def command(self, words, user=None):
        user = user or self.user
        become = [f"--userspec={user}"] if user else []
        return ["chroot", *become, self.folder, "/usr/bin/env", "-C", self.workdir, *words]

    def run(self, script, user=None, quiet=True):
        """Its output is shown only where it fails."""
        home = {"HOME": f"/home/{user or self.user}"} if user or self.user else {}
        done = subprocess.run(self.command(["sh", "-ec", script], user), env={**BARE, **home}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT if quiet else None, encoding="latin-1")
        if done.returncode:
            sys.exit(f"WRONG: exit {done.returncode}: {script}\n{done.stdout[-3000:]}")
        return done.stdout

    def path(self, path):
        return os.path.join(self.folder, os.path.join(self.workdir, path).lstrip("/"))

    def copy(self, origins, to):
        into_folder = to.endswith(("/", ".")) or len(origins) > 1
        to = self.path(to)
        os.makedirs(to if into_folder else os.path.dirname(to), exist_ok=True)
        for origin in origins:
            call(["cp", "-r", f"{origin}/." if os.path.isdir(origin) else origin, to])


def bootstrap(folder):
    """Debian's smallest, from the mirror that apt uses here and by the same way to it."""
    said = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)"],
                          capture_output=True, text=True, check=True).stdout
    mirror = next((line.split()[0] for line in said.splitlines() if line.split()[1:3] == [RELEASE, "main"]), None)
    if not mirror:
        sys.exit(f"apt has no {RELEASE} main here: /etc/apt/sources.list.d")
    call(["debootstrap", "--variant=minbase", RELEASE, folder, mirror], stdout=subprocess.DEVNULL)
    for path in ("/etc/apt", "/etc/ssl/certs", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"):
        if os.path.isdir(path):
            shutil.rmtree(folder + path, ignore_errors=True)
            os.makedirs(os.path.dirname(folder + path), exist_ok=True)
            call(["cp", "-a", path, folder + path])
    shutil.copy("/etc/resolv.conf", f"{folder}/etc/resolv.conf")
    with open(f"{folder}/usr/sbin/policy-rc.d", "w") as f:
        f.write("#!/bin/sh\nexit 101\n")
    os.chmod(f"{folder}/usr/sbin/policy-rc.d", 0o755)


def context_of(folder):
    """The source as a build's context has it: what git knows."""
    names = subprocess.run(["git", "-C", source, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           capture_output=True, check=True).stdout
    os.mkdir(folder)
    for name in names.decode().rstrip("\0").split("\0"):
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        shutil.copy(os.path.join(source, name), os.path.join(folder, name))
    return folder


def carry_out_dockerfile(base, context, work):
    """Returns the systems of its stages. Every instruction that it has is known here."""
    with open(f"{source}/deploy/container/Dockerfile") as f:
        text = re.sub(r"^#.*\n", "", f.read(), flags=re.M).replace("\\\n", " ")
    systems, names = [], {}
    for line in filter(None, map(str.strip, text.splitlines())):
        what, rest = line.split(None, 1)
        say(line)
        if what == "FROM":
            image, *name = rest.split(" AS ")
            assert image == f"debian:{RELEASE}-slim", image
            systems.append(System(f"{work}/stage{len(systems)}", base))
            names.update({n: systems[-1] for n in name})
        elif what == "RUN":
            systems[-1].run(rest)
        elif what == "COPY":
            words = rest.split()
            of = names[words.pop(0).removeprefix("--from=")].folder if words[0].startswith("--from=") else context
            systems[-1].copy([f"{of}/{w.lstrip('/')}" for w in words[:-1]], words[-1])
        elif what == "USER":
            systems[-1].user = rest
        elif what == "WORKDIR":
            systems[-1].workdir = rest
            os.makedirs(systems[-1].path("."), exist_ok=True)
        else:
            assert what == "CMD", line
            print(systems[-1].run(" ".join(re.findall(r'"(.*?)"', rest))).splitlines()[0])
    return systems


def carry_out_apptainer(base, context, work):
    with open(f"{source}/deploy/container/pilotfish.def") as f:
        stages = f.read().split("Bootstrap: docker\n")[1:]
    systems = []
    for i, stage in enumerate(stages):
        sections = re.split(r"^%(\w+).*\n", stage, flags=re.M)
        section = dict(zip(sections[1::2], sections[2::2]))
        systems.append(System(f"{work}/apptainer{i}", base))
        for line in section["files"].split("\n"):
            if line.strip():
                origin, to = line.split()
                origin = f"{systems[0].folder}{origin}" if i else os.path.join(context, origin)
                systems[-1].copy([origin], to)
        say(f"%post of stage {i}")
        systems[-1].run(section["post"])
    print(systems[-1].run("set -- version\n" + stages[-1].split("%runscript")[1]).strip())


PAIR = "--big big.gguf --little little.gguf --raw -n 24 'Once upon a time'"


def try_package(base, package, work):
    say("the package, alone in a bare system")
    system = System(f"{work}/package", base)
    before = system.run("find / -xdev -not -path '/proc/*' | sort")
    shutil.copy(package, system.path("/pilotfish.deb"))
    system.run("apt-get update -q && apt-get install -q -y --no-install-recommends ./pilotfish.deb")
    installed = system.run("dpkg-query -W").lower()
    assert not re.search("cuda|nvidia|cmocka", installed), installed
    system.run("apt-get install -q -y openmpi-bin openssh-client")
    system.workdir = "/tmp"
    make_toys(system)
    alone = system.run(f"pilotfish generate {PAIR}", quiet=False)
    ranks = system.run(f"pilotfish-mpirun -n 4 pilotfish generate --tp 2 {PAIR}", quiet=False)
    assert alone and alone == ranks, (alone, ranks)
    system.run("pilotfish doctor --big big.gguf --little little.gguf")
    system.run("dpkg --purge pilotfish && rm -f /pilotfish.deb")
    left = set(system.run("find / -xdev -not -path '/proc/*'").splitlines()) - set(before.splitlines())
    assert not [path for path in left if "pilotfish" in path], left


def make_toys(system):
    for name, options in (("big", []), ("little", ["--left-out", "2"])):
        call([tiny, system.path(f"{name}.gguf"), *options])
        os.chmod(system.path(f"{name}.gguf"), 0o644)


def try_image(image, work):
    say("a job between two containers of the image, over ssh, without root")
    make_toys(image)
    image.run("mkdir -m 700 .ssh && cd .ssh && ssh-keygen -q -t rsa -N '' -f id_rsa && cp id_rsa.pub authorized_keys")
    with open(f"{image.folder}/etc/ssh/ssh_config.d/00-test.conf", "w") as f:
        f.write("Host worker\n    HostName 127.0.0.1\n")
    worker = System(f"{work}/worker", image.folder)
    worker.user, worker.workdir = image.user, image.workdir
    # As mpijob.yaml starts it, but for who can reach it.
    as_worker = ["unshare", "--uts", "--fork", "--kill-child", "sh", "-c", 'hostname worker && exec "$@"', "sh"]
    daemon = ["/usr/sbin/sshd", "-De", "-f", "/etc/ssh/pilotfish_sshd_config", "-o", "ListenAddress=127.0.0.1"]
    sshd = subprocess.Popen(as_worker + worker.command(daemon), env={**PLAIN, "HOME": f"/home/{image.user}"},
                            stdin=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if "worker" in image.run("ssh worker hostname 2> /dev/null || true"):
                break
            time.sleep(0.1)
        alone = image.run(f"pilotfish generate {PAIR}", quiet=False)
        loopback = "export OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo"
        image.run("printf '%s\\n' 'localhost slots=2' 'worker slots=2' > hosts")
        over = image.run(f"{loopback}; pilotfish-mpirun -n 4 --hostfile hosts pilotfish generate --tp 2 {PAIR}",
                         quiet=False)
        assert alone and alone == over, (alone, over)
        said = image.run(f"{loopback}; pilotfish-mpirun -n 4 --hostfile hosts pilotfish doctor --tp 2 --big big.gguf "
                         "--little little.gguf")
        assert len(re.findall(r"rank [23] .*worker", said)) == 2, said
    finally:
        sshd.kill()
        sshd.wait()


def main():
    if os.environ.get("PACKAGE_PY_INSIDE") != "1":  # mounts and processes go with these namespaces
        os.execvpe("unshare", ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
                               *sys.argv], {**os.environ, "PACKAGE_PY_INSIDE": "1"})
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        base = f"{work}/base"
        say("debootstrap")
        bootstrap(base)
        context = context_of(f"{work}/context")
        try:
            build, image = carry_out_dockerfile(base, context, work)
            try_package(base, f"{build.folder}/pilotfish.deb", work)
            try_image(image, work)
            carry_out_apptainer(base, context, work)
        finally:
            mounts = [line.split()[1] for line in open("/proc/mounts") if line.split()[1].startswith(work + "/")]
            for mount in reversed(mounts):
                call(["umount", "-l", mount])
    print("0 wrong")


main()
