import contextlib
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cosmogan import session
from cosmogan.errors import ResourceError, TrainingError
from cosmogan.session import private

ROOT = Path(__file__).parents[1]


def python(script, *arguments, **environment):
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


# Scatter


@pytest.mark.cluster
def test_scatter_gives_every_result_once_whatever_is_in_flight(ray_session):
    def square(x):
        return x, x * x

    expected = [(x, x * x) for x in range(7)]
    for in_flight in (None, 1, 20):
        found = session.scatter(square, [(x,) for x in range(7)], in_flight=in_flight)
        assert sorted(found) == expected


@pytest.mark.cluster
def test_scatter_of_nothing_is_nothing(ray_session):
    seen = []
    assert list(session.scatter(abs, [], progress=lambda *p: seen.append(p))) == []
    assert seen == [(0, 0)]


@pytest.mark.cluster
def test_scatter_hands_out_no_more_than_asked(ray_session, tmp_path):
    def count(folder, number):
        mine = Path(folder) / str(number)
        mine.touch()
        time.sleep(0.05)
        running = len(list(Path(folder).iterdir()))
        mine.unlink()
        return running

    calls = [(str(tmp_path), number) for number in range(6)]
    assert set(session.scatter(count, calls, in_flight=1)) == {1}


@pytest.mark.cluster
def test_scatter_hands_out_the_next_call_only_when_one_is_done(ray_session):
    taken = []

    def calls():
        for number in range(10):
            taken.append(number)
            yield (number,)

    class Calls(list):
        __iter__ = staticmethod(calls)
        __len__ = staticmethod(lambda: 10)

    results = session.scatter(abs, Calls(), in_flight=3)
    assert taken == []
    next(results)
    assert taken == [0, 1, 2]
    results.close()


@pytest.mark.cluster
def test_progress_rises_to_the_total(ray_session):
    seen = []
    list(session.scatter(abs, [(-1,), (-2,)], progress=lambda *p: seen.append(p)))
    assert seen[0] == (0, 2)
    assert seen[-1] == (2, 2)
    assert seen == sorted(seen)


@pytest.mark.cluster
def test_an_error_of_ours_comes_back_as_itself(ray_session):
    def diverge(step):
        raise TrainingError(f"step {step}: diverged")

    with pytest.raises(TrainingError) as caught:
        list(session.scatter(diverge, [(7,)]))
    assert type(caught.value) is TrainingError
    assert str(caught.value) == "step 7: diverged"


@pytest.mark.cluster
def test_an_error_of_others_comes_back_with_the_trace_of_the_worker(ray_session):
    def divide(x):
        return 1 / x

    with pytest.raises(ZeroDivisionError) as caught:
        list(session.scatter(divide, [(0,)]))
    assert "in divide" in str(caught.value.__cause__)


@pytest.mark.cluster
def test_the_first_failure_ends_the_rest(ray_session, tmp_path):
    def work(folder, number):
        if number == 0:
            raise TrainingError("no")
        time.sleep(0.3)
        (Path(folder) / str(number)).touch()

    with pytest.raises(TrainingError):
        list(session.scatter(work, [(str(tmp_path), n) for n in range(100)], in_flight=20))
    time.sleep(1.5)
    assert len(list(tmp_path.iterdir())) <= 4  # those that ran; 19 were waiting


@pytest.mark.cluster
def test_a_call_whose_worker_is_killed_is_made_again(ray_session, tmp_path):
    def die_once(folder, number):
        mark = Path(folder) / str(number)
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)
        return number

    calls = [(str(tmp_path), number) for number in range(2)]
    assert sorted(session.scatter(die_once, calls)) == [0, 1]


@pytest.mark.cluster
def test_a_call_that_always_kills_its_worker_is_one_line(ray_session):
    def die():
        os.kill(os.getpid(), 9)

    with pytest.raises(ResourceError, match=r"^die: its worker died[^\n]*give the same command"):
        list(session.scatter(die, [()], retries=0))


@pytest.mark.cluster
def test_workers_get_the_threads_of_their_task_and_keep_their_memory(ray_session):
    def environment():
        return dict(os.environ)

    [found] = session.scatter(environment, [()])
    assert found["OMP_NUM_THREADS"] == "1"
    assert session.WORKER_ENVIRONMENT.items() <= found.items()


# Pool


class Adder:
    """Holds something, knows where it lives, and may die once."""

    def __init__(self, first, folder, weights=b""):
        if first < 0:
            raise TrainingError(f"{first} is negative")
        self.first, self.weights = first, weights
        self.mark = Path(folder) / f"made-{os.getpid()}"
        self.mark.touch()

    def call(self, number):
        if number == 13:
            dead = self.mark.with_name("dead")
            if not dead.exists():
                dead.touch()
                os.kill(os.getpid(), 9)
        return self.first + number


@pytest.fixture
def adder():
    """The class by value: workers cannot import a test."""
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield Adder
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.cluster
def test_a_pool_makes_its_object_once_a_process_and_calls_it_often(ray_session, adder, tmp_path):
    seen = []
    calls = [(number,) for number in range(12)]
    arguments = (100, str(tmp_path))
    found = session.pool(adder, arguments, calls, actors=2, progress=lambda *p: seen.append(p))
    assert sorted(found) == list(range(100, 112))
    assert 1 <= len(list(tmp_path.iterdir())) <= 2
    assert seen[0] == (0, 12)
    assert seen[-1] == (12, 12)


@pytest.mark.cluster
@pytest.mark.parametrize("weights", [b"", bytes(2**20)])
def test_a_pool_survives_the_death_of_a_process(ray_session, adder, tmp_path, weights, capfd):
    """Be what it was made of small or large; Ray warns of what it could not make again."""
    made_of, calls = (0, str(tmp_path), weights), [(n,) for n in range(11, 16)]
    assert sorted(session.pool(adder, made_of, calls, actors=1)) == [11, 12, 13, 14, 15]
    assert "object store" not in "".join(capfd.readouterr())


@pytest.mark.cluster
def test_an_error_of_the_making_comes_back_as_itself(ray_session, adder, tmp_path):
    with pytest.raises(TrainingError, match=r"^-1 is negative$"):
        list(session.pool(adder, (-1, str(tmp_path)), [(1,), (2,), (3,)], actors=1))


@pytest.mark.cluster
def test_a_pool_takes_no_more_processes_than_there_is_room_for(ray_session, adder, tmp_path):
    """Ray would wait for the others for ever."""
    calls = [(number,) for number in range(12)]
    for wanted in (7, None):
        found = session.pool(adder, (0, str(tmp_path)), calls, actors=wanted)
        assert sorted(found) == list(range(12))
    with pytest.raises(ResourceError, match="this cluster has no room for"):
        list(session.pool(adder, (0, str(tmp_path)), calls, resources={"num_gpus": 1}))


@pytest.mark.cluster
def test_a_pool_gives_its_processors_back(ray_session, adder, tmp_path):
    import ray

    for _ in range(2):
        assert list(session.pool(adder, (0, str(tmp_path)), [(1,)], actors=2)) == [1]
    assert list(session.scatter(abs, [(-1,)], cpus_per_task=2)) == [1]
    assert ray.cluster_resources()["CPU"] == 2


# The cluster


@pytest.mark.cluster
def test_a_cluster_inside_a_cluster_is_the_same_and_stays(ray_session):
    import ray

    before = ray.get_runtime_context().gcs_address
    with session.ray_cluster(cpus=7):
        assert ray.get_runtime_context().gcs_address == before
        assert ray.cluster_resources()["CPU"] == 2
    assert ray.is_initialized()


@pytest.mark.cluster
def test_the_token_and_its_folder_are_private(ray_session):
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert re.fullmatch("[0-9a-f]{64}", token.read_text())
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    assert token.read_text() not in " ".join(commands().values())


JOIN = """
import sys
from cosmogan import errors, session
session.WORKER_ENVIRONMENT["MARK"] = "seen"     # a cluster of others has no such thing
try:
    with session.ray_cluster(address=sys.argv[1]):
        print(list(session.scatter(session.os.getenv, [("MARK",)])))
except errors.ResourceError as error:
    print(error)
"""


@pytest.mark.cluster
def test_a_cluster_is_joined_with_its_token_alone(ray_session, tmp_path):
    import ray

    address = ray.get_runtime_context().gcs_address
    loopback = {session._ONE_MACHINE: "0"}
    joined = python(JOIN, address, **loopback)
    assert joined.stdout == "['seen']\n"
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    short = {"RAY_NUM_REDIS_GET_RETRIES": "2"}  # Ray asks 20 times, a second apart
    refused = python(JOIN, address, RAY_AUTH_TOKEN_PATH=str(wrong), **loopback, **short)
    assert refused.stdout.startswith(f"Ray: {address}: no entry")
    assert len(refused.stdout.splitlines()) == 1


def test_without_a_token_nothing_is_joined(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ResourceError, match=r"none: no token of the Ray cluster; set RAY_AUTH_T"):
        private.require_token()


@pytest.mark.parametrize("address", ["ray://somewhere:1", "somewhere", "auto", ":port"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ResourceError, match=r"not host:port; give"):
        private.require_listener(address)


def test_an_address_where_nobody_listens_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        private.require_listener(address)
    with pytest.raises(ResourceError, match=f"nobody listens at {address}.*correct RAY_ADDRESS"):
        private.require_listener(address)


LIFE = """
import os, sys
from pathlib import Path
import ray                              # too early for the settings: they must hold all the same
from cosmogan import session
before = dict(os.environ)
for last in (False, True):              # the second has another token
    with session.ray_cluster(cpus=1):
        folder = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).parent
        assert list(session.scatter(abs, [(-1,)])) == [1]
        assert ray._raylet.get_authentication_mode() == ray._raylet.AuthenticationMode.TOKEN
        if last:
            print(folder, flush=True)
            os.kill(os.getpid(), 9)
    assert not folder.exists()
    assert dict(os.environ) == before
"""


@pytest.mark.cluster
def test_a_private_cluster_is_quiet_and_leaves_nothing_not_even_when_it_is_killed(tmp_path):
    done = python(LIFE, HOME=str(tmp_path), RAY_AUTH_MODE="disabled")
    assert (done.returncode, done.stderr) == (-9, "")
    assert list(tmp_path.iterdir()) == []
    folder = Path(done.stdout.strip())
    assert folder.exists()
    for _ in range(300):
        if not (left := [c for c in commands().values() if str(folder) in c]):
            break
        time.sleep(0.1)
    assert left == []
    private.clean(folder.parent)
    assert not folder.exists()


@pytest.mark.cluster
def test_a_private_cluster_listens_on_loopback_only(ray_session):
    list(session.scatter(abs, [(-1,)]))  # workers listen too
    family = descendants(os.getpid())
    addresses = [address for pid in family for address in listening(pid)]
    assert len(addresses) > 5
    assert {a for a in addresses if a not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")} == set()


# Dask, CPUs, folders


def test_dask_computes_in_threads_of_this_process():
    import dask

    with session.dask_threads(3) as count:
        assert count == 3
        assert dask.config.get("scheduler") == "threads"
        assert dask.config.get("num_workers") == 3
        pids = dask.compute(*(dask.delayed(os.getpid)() for _ in range(4)))
    assert set(pids) == {os.getpid()}
    assert dask.config.get("num_workers", None) is None


def test_available_cpus_follow_affinity(monkeypatch):
    before = os.sched_getaffinity(0)
    assert 1 <= session.available_cpus() <= len(before)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert session.available_cpus() == 1


def test_a_long_temporary_folder_is_not_used_for_sockets(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(long))
    with private.private_folder() as folder:
        assert len(str(folder)) <= private.LONGEST
        assert not folder.is_relative_to(long)


def test_folders_of_the_living_and_of_others_are_not_cleaned(tmp_path, monkeypatch):
    monkeypatch.setattr(private, "short_temporary_folder", lambda: tmp_path)
    dead, foreign = tmp_path / "cosmogan-dead", tmp_path / "cosmogan-foreign"
    for folder in (dead, foreign):
        folder.mkdir()
    (dead / "lock").touch()
    with private.private_folder() as living, private.private_folder():
        assert living.exists()
        assert not dead.exists()
    assert list(tmp_path.iterdir()) == [foreign]


def test_a_token_that_others_can_read_is_warned_of(tmp_path, monkeypatch, caplog):
    token = tmp_path / "token"
    token.write_text("0" * 64)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    token.chmod(0o600)
    private.require_token()
    assert caplog.records == []
    token.chmod(0o644)
    private.require_token()
    assert f"{token}: others can read this token; chmod 600 it" in caplog.text


# What the system knows of processes


def commands():
    """Return the command line of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode()
    return found


def descendants(pid):
    children = Path(f"/proc/{pid}/task").glob("*/children")
    found = {int(child) for path in children for child in path.read_text().split()}
    return found.union(*(descendants(child) for child in found))


def listening(pid):
    """Return the addresses a process listens on."""
    inodes = set()
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            inodes |= set(re.findall(r"socket:\[(\d+)\]", str(path.readlink())))
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                yield readable(words[1].partition(":")[0])


def readable(address):
    import ipaddress

    words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
    return str(ipaddress.ip_address(b"".join(words))).replace("::ffff:7f00:1", "::ffff:127.0.0.1")
