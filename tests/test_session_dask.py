"""Dask in threads, processes, actors of Ray, jobs: the same results, whatever dies, and nobody else gets in."""

import copy
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import psutil
import pytest

from cosmogan import session
from cosmogan.errors import RecipeError, ResourceError, Stopped, TrainingError
from cosmogan.session import places, private

ROOT = Path(__file__).parents[1]
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.fixture(scope="module")
def local():
    """Two processes that the tests share."""
    with session.dask_cluster("local", workers=2) as workers:
        yield workers


@pytest.fixture(scope="module")
def in_ray(ray_session):
    """Two actors that the tests share."""
    with session.dask_cluster("ray", workers=2) as workers:
        yield workers


@pytest.fixture(
    params=["threads", "local", pytest.param("ray", marks=pytest.mark.cluster)], scope="module"
)
def anywhere(request):
    """Two workers of each kind."""
    if request.param == "threads":
        return request.getfixturevalue("threads")
    return request.getfixturevalue("local" if request.param == "local" else "in_ray")


@pytest.fixture(scope="module")
def threads():
    with session.dask_cluster(workers=2) as workers:
        yield workers


def square(x):
    return x * x


def refused(error, message, where, **options):
    """Ask for workers that are not to be had."""
    with pytest.raises(error, match=message) as caught, session.dask_cluster(where, **options):
        pass
    assert "\n" not in str(caught.value)


# Results


def test_results_come_in_order_from_everywhere(anywhere):
    def late(x):
        time.sleep(0.02 * (5 - x % 5))
        return x, x * x

    assert anywhere.count == 2
    calls = [(x,) for x in range(12)]
    assert anywhere.compute(late, calls) == [(x, x * x) for x in range(12)]
    assert anywhere.compute(late, []) == []


@pytest.mark.parametrize(("where", "workers"), [(None, 1), (None, 3), ("local", 3)])
def test_the_number_of_workers_changes_nothing(where, workers):
    def third(x, y=0.0):
        return (x + y) / 3

    calls = [(x, 0.1 * x) for x in range(7)]
    with session.dask_cluster(where, workers=workers) as found:
        assert found.count == workers
        assert found.compute(third, calls) == [third(*values) for values in calls]


@pytest.mark.parametrize("where", [None, "local"])
def test_by_default_there_are_as_many_workers_as_cpus(where, monkeypatch):
    monkeypatch.setattr("cosmogan.session.dask.available_cpus", lambda: 1)
    monkeypatch.setattr(places, "available_cpus", lambda: 1)
    with session.dask_cluster(where) as found:
        assert found.count == 1


def test_progress_rises_to_the_total(anywhere):
    def wait():
        time.sleep(0.01)

    seen = []
    anywhere.compute(wait, [()] * 5, lambda *state: seen.append(state))
    assert seen == [(done, 5) for done in range(6)]


def test_a_cube_larger_than_memory_gives_the_same_bits_everywhere(
    anywhere, tmp_path, make_universe
):
    from cosmogan.measure.slabs import SlabPlan, power_of_cube

    shape = {"dimension": 3, "grid": 12, "box_size": 16.0, "thickness": 16.0}
    fields = make_universe(tmp_path / "cube.fields", shards=1, rows=2, **shape)

    def one_by_one(function, arguments):
        return [function(*values) for values in arguments]

    found, expected = (
        power_of_cube(fields, 1, plan=how, scratch=tmp_path / "scratch", compute=compute)
        for how, compute in (
            (SlabPlan(12, 2, 3, 2), anywhere.compute),
            (SlabPlan(12, 12, 12, 1), one_by_one),
        )
    )
    for name, statistic in expected.items():
        assert found[name].samples.tobytes() == statistic.samples.tobytes()


def test_in_threads_nothing_is_copied(threads):
    thing = object()
    assert threads.compute(lambda x: (x, thing), [(thing,)]) == [(thing, thing)]


def test_to_processes_a_function_travels_once(local):
    pickled = []

    class Heavy:
        def __reduce__(self):
            pickled.append(1)
            return int, (7,)

    heavy = Heavy()
    local.compute(lambda x: (x, heavy), [(x,) for x in range(20)])
    assert 1 <= len(pickled) <= 2


# Errors


def test_an_error_of_ours_comes_back_as_itself_and_is_not_tried_again(anywhere, tmp_path):
    def diverge(step):
        (tmp_path / f"{time.monotonic_ns()}").touch()
        raise TrainingError(f"step {step}: diverged")

    with pytest.raises(TrainingError, match=r"^step 7: diverged$") as caught:
        anywhere.compute(diverge, [(7,)])
    assert type(caught.value) is TrainingError
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_of_others_comes_back_as_itself(anywhere):
    def divide(x):
        return 1 / x

    with pytest.raises(ZeroDivisionError):
        anywhere.compute(divide, [(1,), (0,)])


def test_an_error_that_passes_is_tried_again(local, tmp_path):
    def shy():
        mark = tmp_path / "mark"
        if not mark.exists():
            mark.touch()
            raise OSError("stale file handle")
        return "here"

    assert local.compute(shy, [()]) == ["here"]


def test_the_first_failure_ends_the_rest(local, tmp_path):
    def work(number):
        if number == 0:
            raise TrainingError("no")
        time.sleep(0.1)
        (tmp_path / str(number)).touch()

    with pytest.raises(TrainingError):
        local.compute(work, [(number,) for number in range(100)])
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) < 20
    assert local.compute(square, [(3,)]) == [9]


def test_who_asks_to_stop_is_heard_between_two_calls(anywhere):
    def stop(done, _total):
        if done == 2:
            raise Stopped("a signal")

    with pytest.raises(Stopped):
        anywhere.compute(lambda: time.sleep(0.02), [()] * 50, stop)
    assert anywhere.compute(square, [(3,)]) == [9]


# Death


def die_once(folder):
    def call(number):
        mark = Path(folder) / str(number)
        if number % 4 == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return number * number

    return call


def test_the_death_of_a_process_changes_nothing(local, tmp_path):
    found = local.compute(die_once(tmp_path), [(number,) for number in range(12)])
    assert found == [number * number for number in range(12)]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.cluster
def test_the_death_of_an_actor_changes_nothing(in_ray, tmp_path):
    found = in_ray.compute(die_once(tmp_path), [(number,) for number in range(12)])
    assert found == [number * number for number in range(12)]
    assert len(list(tmp_path.iterdir())) == 3
    for _ in range(300):
        if len(in_ray.client.nthreads()) == 2:
            break
        time.sleep(0.1)
    assert len(in_ray.client.nthreads()) == 2


def test_a_call_that_always_kills_its_worker_is_one_line(local):
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    message = r"^die: its worker died again and again; look for too little memory, then give"
    with pytest.raises(ResourceError, match=message) as caught:
        local.compute(die, [()])
    assert "\n" not in str(caught.value)


def test_a_process_that_takes_more_memory_than_it_may_is_ended():
    import dask

    def take(size):
        held = bytearray(size)
        held[:: os.sysconf("SC_PAGESIZE")] = bytes([1]) * len(held[:: os.sysconf("SC_PAGESIZE")])
        time.sleep(1)
        return len(held)

    once = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with once, session.dask_cluster("local", workers=1, memory=400_000_000) as workers:
        assert workers.compute(take, [(1000,)]) == [1000]
        with pytest.raises(ResourceError, match="look for too little memory"):
            workers.compute(take, [(500_000_000,)])


# Who gets in


def family(process=None):
    """Return this process and all that descend from it."""
    process = process or psutil.Process()
    return [process, *process.children(recursive=True)]


def listening(processes):
    return {
        (c.laddr.ip, c.laddr.port)
        for process in processes
        for c in process.net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    }


def test_processes_of_this_machine_listen_on_loopback_only_and_serve_no_page():
    import urllib.request

    before = listening(family())
    with session.dask_cluster("local", workers=1) as workers:
        workers.compute(square, [(1,)])
        found = listening(family()) - before
        assert len(found) >= 3  # the scheduler, a nanny and a worker
        assert {ip for ip, _ in found} <= LOOPBACK
        for ip, port in found:
            for page in ("health", "status", "metrics", "info/main/workers.html"):
                with pytest.raises(OSError, match=r"Not Found|reset|closed|timed out"):
                    urllib.request.urlopen(f"http://{ip}:{port}/{page}", timeout=1)


@pytest.mark.cluster
def test_actors_of_a_private_ray_listen_on_loopback_only(in_ray):
    in_ray.compute(square, [(1,), (2,)])
    assert {ip for ip, _ in listening(family())} <= LOOPBACK


def test_without_the_certificate_nobody_is_let_in(anywhere):
    if not hasattr(anywhere, "client"):
        return  # threads listen nowhere
    import dask
    from distributed import Client, Security

    address = anywhere.client.scheduler.address
    assert address.startswith("tls://")
    assert all(worker.startswith("tls://") for worker in anywhere.client.nthreads())
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), places.quiet():
        for target, security in (
            (address.replace("tls://", "tcp://"), None),
            (address, Security.temporary()),
        ):
            with pytest.raises(OSError, match=r"Timed out|Failed|closed|TLS"):
                Client(target, security=security, timeout=1, set_as_default=False)
    assert anywhere.compute(square, [(3,)]) == [9]


# What workers find, and what is left


@pytest.mark.parametrize("where", ["local", pytest.param("in_ray", marks=pytest.mark.cluster)])
def test_workers_keep_their_memory_and_compute_on_one_thread(request, where):
    [found] = request.getfixturevalue(where).compute(lambda: dict(os.environ), [()])
    assert session.WORKER_ENVIRONMENT.items() <= found.items()
    for name in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        assert found[f"{name}_NUM_THREADS"] == "1"


LIFE = """
import os, sys, warnings
import dask
warnings.simplefilter("error")
from pathlib import Path
from cosmogan import session

def die_once(folder):
    if not Path(folder, "dead").exists():
        Path(folder, "dead").touch()
        os.kill(os.getpid(), 9)
    return os.getpid()

if __name__ == "__main__":
    before = dict(os.environ)
    with session.dask_cluster("local", workers=2) as workers:
        pids = workers.compute(die_once, [(sys.argv[1],)])
        from distributed.client import default_client
        try:
            default_client()
        except ValueError:
            print("no default")
        workers.client.wait_for_workers(2)
        print(workers.client.run(os.getpid).values(), flush=True)
        if sys.argv[2] == "kill":
            os.kill(os.getpid(), 9)
    # Dask's own defaults, which came while they were changed.
    print(dask.config.get("distributed.worker.memory.target"))
    print(before == dict(os.environ))
"""


@pytest.mark.parametrize("how", ["end", "kill"])
def test_it_is_quiet_and_leaves_nothing_not_even_when_it_is_killed(tmp_path, how):
    script, temporary = tmp_path / "life.py", tmp_path / "tmp"
    script.write_text(LIFE)
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, script, tmp_path, how],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "no default"
    pids = [int(pid) for pid in re.findall(r"\d+", lines[1])]
    assert len(pids) == 2
    if how == "kill":
        assert done.returncode == -signal.SIGKILL
        # What Python itself says of processes whose parent is gone.
        assert all("resource_tracker" in line for line in done.stderr.splitlines()[::2])
    else:
        assert done.stderr == ""
        assert lines[2:] == ["0.6", "True"]
        assert list(temporary.iterdir()) == []
    for _ in range(100):
        if not (left := [pid for pid in pids if psutil.pid_exists(pid)]):
            break
        time.sleep(0.1)
    assert left == []
    private.clean(private.short_temporary_folder())
    assert list(temporary.iterdir()) == []


def test_it_leaves_no_process_and_nothing_changed():
    import dask
    import distributed  # noqa: F401  (it adds its defaults)

    def state():
        names = ("distributed", "distributed.client", "asyncio")
        levels = [logging.getLogger(name).level for name in names]
        return levels, copy.deepcopy(dask.config.config), dict(os.environ)

    before, processes = state(), set(family())
    with session.dask_cluster("local", workers=1) as workers:
        workers.compute(square, [(1,)])
        assert set(family()) != processes
    assert set(family()) == processes
    assert state() == before


# Elsewhere


SCHEDULER = """
import asyncio, sys
from distributed import Nanny, Scheduler, Security, Worker

async def main():
    scheme, workers, pem = sys.argv[1:]
    security = Security(require_encryption=True, tls_ca_file=pem, tls_scheduler_cert=pem,
                        tls_worker_cert=pem) if scheme == "tls" else None
    options = {"host": "127.0.0.1", "port": 0, "protocol": scheme, "security": security}
    async with Scheduler(dashboard_address="127.0.0.1:0", **options) as scheduler:
        for _ in range(int(workers)):
            await Worker(scheduler.address, nthreads=1, host="127.0.0.1", security=security)
        print(scheduler.address, flush=True)
        await scheduler.finished()

asyncio.run(main())
"""


@pytest.fixture
def scheduler(tmp_path):
    """Return a function that starts a scheduler in a process of its own."""
    from distributed.security import Security

    started = []
    security = Security.temporary()
    pem = tmp_path / "both.pem"
    pem.write_text(security.tls_scheduler_key + security.tls_ca_file)

    def start(scheme, workers=1):
        process = subprocess.Popen(
            [sys.executable, "-c", SCHEDULER, scheme, str(workers), str(pem)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"TMPDIR": str(tmp_path)},
        )
        started.append(process)
        return process, process.stdout.readline().strip(), pem

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_scheduler_that_runs_is_joined_with_its_certificate_alone(scheduler):
    import dask

    process, address, pem = scheduler("tls", workers=2)
    refused(ResourceError, rf"{address}: no entry .*distributed.comm.tls", address)
    tls = {"ca-file": str(pem), "client.cert": str(pem)}
    certificate = dask.config.set({f"distributed.comm.tls.{k}": v for k, v in tls.items()})
    with certificate, session.dask_cluster(address) as workers:
        assert workers.count == 2
        assert workers.compute(square, [(2,), (3,)]) == [4, 9]
    assert process.poll() is None


def test_a_scheduler_without_tls_is_warned_of_and_may_be_lost(
    scheduler, caplog, capfd, monkeypatch
):
    import dask

    process, address, _ = scheduler("tcp")

    def wait(number):
        time.sleep(0.05)
        return number

    def kill(done, _total):
        if done == 2:
            process.kill()

    monkeypatch.setattr(places, "_PATIENCE", 1.0)
    impatient = dask.config.set({"distributed.comm.timeouts.connect": "1s"})
    with impatient, session.dask_cluster(address) as workers:
        assert workers.compute(wait, [(2,), (3,)]) == [2, 3]
        assert "whoever reaches it may run anything; use tls://" in caplog.text
        with pytest.raises(ResourceError, match=r"^wait: the scheduler is gone") as caught:
            workers.compute(wait, [(n,) for n in range(100)], kill)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert {record.name for record in caplog.records} == {"cosmogan.session.places"}


def test_a_scheduler_without_workers_is_one_line(scheduler, monkeypatch):
    monkeypatch.setattr(places, "_START_PATIENCE", 0.5)
    _, address, _ = scheduler("tcp", workers=0)
    refused(ResourceError, r"no worker came within 0 s; free CPUs, or start", address)


def test_an_address_where_nobody_listens_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    before = time.monotonic()
    refused(ResourceError, rf"nobody listens at {address} .*start a scheduler", address)
    assert time.monotonic() - before < 5


@pytest.mark.parametrize("where", ["threads", "tcp://somewhere", "http://host:1", "", "Local"])
def test_a_place_that_is_none_is_refused(where):
    refused(RecipeError, r"dask = .*: give one of local, ray, slurm, tcp://host", where)


@pytest.mark.parametrize("where", [None, "local", "ray"])
def test_no_workers_are_refused(where):
    refused(RecipeError, "workers = 0 must be at least 1", where, workers=0)


# SLURM, of which there is none here


@pytest.fixture
def slurm(monkeypatch, tmp_path):
    """A dask_jobqueue whose jobs are processes of this machine, and what it was told."""
    from distributed import LocalCluster

    told = {}

    class SLURMCluster(LocalCluster):
        def __init__(self, **given):
            told.update(given)
            if "fail" in told.get("job_script_prologue", []):
                raise ValueError("You must specify how much cores and memory\nfor example")
            super().__init__(
                n_workers=0,
                threads_per_worker=1,
                host="127.0.0.1",
                protocol="tls://",
                security=given["security"],
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.CRITICAL,
                local_directory=str(tmp_path),
            )

        def scale(self, n):
            told.setdefault("scale", []).append(n)
            super().scale(n)

    module = types.ModuleType("dask_jobqueue")
    module.SLURMCluster = SLURMCluster
    monkeypatch.setitem(sys.modules, "dask_jobqueue", module)
    (tmp_path / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "sbatch").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return told


def test_slurm_is_told_what_the_user_wrote_and_what_workers_need(slurm):
    import dask

    mine = {
        "job-script-prologue": ["module load python"],
        "scheduler-options": {"interface": "ib0"},
    }
    configured = dask.config.set({"jobqueue.slurm": mine})
    with configured, session.dask_cluster("slurm", workers=1) as workers:
        assert workers.compute(square, [(2,), (3,)]) == [4, 9]
        assert workers.count == 1
    assert slurm["scale"][0] == 1
    assert slurm["security"].require_encryption
    assert slurm["shared_temp_directory"] == str(Path.home())
    assert slurm["scheduler_options"]["interface"] == "ib0"
    assert slurm["scheduler_options"]["dashboard"] is False
    first, *exports = slurm["job_script_prologue"]
    assert first == "module load python"
    script = "\n".join(
        [*exports, f"exec {sys.executable} -c 'import os, json, dask; import distributed"]
    )
    script += (
        '; print(json.dumps([dict(os.environ), dask.config.get("distributed.worker.memory")]))\''
    )
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    variables, memory = json.loads(done.stdout)
    assert session.WORKER_ENVIRONMENT.items() <= variables.items()
    assert variables["OMP_NUM_THREADS"] == "1"
    assert memory["pause"] is False
    assert memory["terminate"] == 1.0


def test_what_slurm_lacks_is_one_line(slurm, monkeypatch):
    import dask

    refused(RecipeError, "say how many workers SLURM is to start", "slurm")
    with dask.config.set({"jobqueue.slurm.job-script-prologue": ["fail"]}):
        told = r"You must specify .*memory\); complete ~/.config/dask/jobqueue"
        refused(ResourceError, told, "slurm", workers=1)
    monkeypatch.setenv("PATH", "/nowhere")
    refused(ResourceError, "there is no sbatch here", "slurm", workers=1)
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    told = r"not installed; .venv/bin/pip install dask-jobqueue"
    refused(ResourceError, told, "slurm", workers=1)


def test_tls_without_cryptography_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    refused(ResourceError, r"TLS needs cryptography; .venv/bin/pip install", "local", workers=1)
