"""Installs a peer's package without starting it as a service."""
import os
import shutil
import subprocess
import tempfile

from server import Failed

# Debian's package scripts ask this before they start anything; 101 says no.
policy_file, policy = "/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n"


def find(program):
    for place in ("/usr/bin", "/usr/sbin", "/usr/lib/postgresql/15/bin"):
        if os.access(os.path.join(place, program), os.X_OK):
            return os.path.join(place, program)
    return shutil.which(program)


def ensure(package, program):
    """Returns the program's path. Raises Failed when it is not there and cannot be installed."""
    if found := find(program):
        return found
    if os.geteuid() != 0:
        raise Failed(f"{program} is not there: apt-get install --no-install-recommends {package}")
    own_policy = not os.path.exists(policy_file)
    if own_policy:
        with open(policy_file, "w") as file:
            file.write(policy)
        os.chmod(policy_file, 0o755)
    try:
        with tempfile.TemporaryFile() as log:
            for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "--no-install-recommends", package]):
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
            if done.returncode != 0:
                log.seek(0)
                raise Failed(f"{package} cannot be installed:\n" + log.read().decode(errors="replace")[-1000:])
    finally:
        if own_policy:
            os.remove(policy_file)
    if found := find(program):
        return found
    raise Failed(f"{package} has no {program}")
