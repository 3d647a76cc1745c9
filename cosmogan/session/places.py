"""The places where workers of Dask can be had: started here, in Ray, in SLURM, or already there.

Each is a context that gives the number of workers and a client of `distributed`.
"""

import asyncio
import contextlib
import functools
import logging
import os
import shlex
import shutil
import socket
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from cosmogan.errors import RecipeError, ResourceError
from cosmogan.session.private import available_cpus, environment, private_folder

Place = tuple[int, Any]

_log = logging.getLogger(__name__)

CONFIGURATION = {
    # Results are small, so that spilling them frees nothing, and a worker that pauses may never go on.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 1.0,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.http.routes": [],
    "distributed.scheduler.http.routes": [],
    "distributed.admin.large-graph-warning-threshold": "1 GB",
}
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
_LOGGERS = ("distributed", "distributed.client", "tornado.application", "asyncio")
_SET_BY_DASK = ("PYTHONHASHSEED", "__DASK_PARENT_PID")  # in this process, for its children
_PATIENCE = 10.0
_START_PATIENCE = 120.0


@contextlib.contextmanager
def local(workers: int | None, memory: int | None) -> Iterator[Place]:
    """Start processes of this machine, which talk over loopback."""
    import dask
    from distributed import LocalCluster

    count = workers or available_cpus()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        stack.enter_context(dask.config.set({"temporary-directory": str(folder)}))
        # Inherited, also by a worker that takes the place of a dead one: the allocator reads its own early.
        stack.enter_context(environment(_variables(), drop=_SET_BY_DASK))
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tls://",
            security=_security(),
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
            **({"memory_limit": memory} if memory else {}),
        )
        yield stack.enter_context(_connected(stack.enter_context(cluster), count))


@contextlib.contextmanager
def in_ray(workers: int | None, memory: int | None) -> Iterator[Place]:
    """Start a scheduler and workers as actors: Ray owns the CPUs, and brings back what dies."""
    from cosmogan.session import ray_cluster

    with ray_cluster(cpus=workers), contextlib.ExitStack() as stack:
        import ray

        security, variables = _security(), {"env_vars": _variables()}
        scheduler = ray.remote(num_cpus=0)(_RayScheduler).remote()
        stack.callback(_end, scheduler)
        address = ray.get(scheduler.start.remote(security))
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        for _ in range(count):
            actor = ray.remote(
                num_cpus=1,
                max_restarts=-1,
                scheduling_strategy="SPREAD",
                runtime_env=variables,
            )(_RayWorker)
            stack.callback(_end, actor.remote(address, security, memory))
        yield stack.enter_context(_connected(address, count, security=security))


def _end(actor: Any) -> None:  # noqa: ANN401
    import ray

    if ray.is_initialized():
        ray.kill(actor)


class _RayScheduler:
    """The scheduler, in the event loop of an actor."""

    async def start(self, security: Any) -> str:  # noqa: ANN401
        """Listen, and return where."""
        import dask
        import ray
        from distributed import Scheduler

        _silence()
        dask.config.set(CONFIGURATION)
        host = ray.util.get_node_ip_address()
        self._scheduler = await Scheduler(
            host=host,
            port=0,
            protocol="tls://",
            security=security,
            dashboard=False,
            dashboard_address=f"{host}:0",
        )
        return str(self._scheduler.address)


class _RayWorker:
    """A worker, in a thread of an actor: Ray makes it again if it dies, and it registers itself."""

    def __init__(self, address: str, security: Any, memory: int | None) -> None:  # noqa: ANN401
        given = (address, security, memory)
        threading.Thread(target=self._live, args=given, daemon=True).start()

    def _live(self, *given: Any) -> None:  # noqa: ANN401
        try:
            asyncio.run(self._serve(*given))
        finally:
            os._exit(1)  # an actor without its worker is of no use: Ray makes another

    async def _serve(self, address: str, security: Any, memory: int | None) -> None:  # noqa: ANN401
        import dask
        import ray
        from distributed import Worker

        _silence()
        dask.config.set(CONFIGURATION)
        async with Worker(
            address,
            nthreads=1,
            host=ray.util.get_node_ip_address(),
            security=security,
            memory_limit=memory or "auto",
            dashboard=False,
        ) as worker:
            await worker.finished()


@contextlib.contextmanager
def in_slurm(workers: int | None, _memory: int | None) -> Iterator[Place]:
    """Submit jobs of workers; they are waited for when something is computed."""
    if workers is None:
        raise RecipeError("workers: say how many workers SLURM is to start")
    try:
        jobqueue = import_module("dask_jobqueue")
    except ModuleNotFoundError:
        raise ResourceError(
            "SLURM: dask-jobqueue is not installed; .venv/bin/pip install dask-jobqueue"
        ) from None
    if shutil.which("sbatch") is None:
        raise ResourceError("SLURM: there is no sbatch here; run it where jobs can be submitted")
    told = functools.partial(_told, "jobqueue.slurm")
    exports = [
        f"export {name}={shlex.quote(value)}"
        for name, value in (_variables() | _configuration_variables()).items()
    ]
    try:
        cluster = jobqueue.SLURMCluster(
            security=_security(),
            silence_logs="critical",
            shared_temp_directory=told("shared-temp-directory") or str(Path.home()),
            job_script_prologue=[*(told("job-script-prologue") or []), *exports],
            scheduler_options={
                "dashboard": False,
                "dashboard_address": ":0",
                **(told("scheduler-options") or {}),
            },
        )
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        raise ResourceError(
            f"SLURM: no jobs ({_first_line(error)}); complete ~/.config/dask/jobqueue.yaml"
        ) from error
    with cluster:
        cluster.scale(workers)
        with _connected(cluster, workers, wait=False) as found:
            yield found


def _configuration_variables() -> dict[str, str]:
    """Return `CONFIGURATION` as Dask reads it in the environment of a process."""
    return {
        f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": repr(value)
        for key, value in CONFIGURATION.items()
    }


def _told(section: str, name: str) -> Any:  # noqa: ANN401
    import dask

    return dask.config.get(f"{section}.{name}", default=None)


@contextlib.contextmanager
def joined(address: str) -> Iterator[Place]:
    """Connect to a scheduler that somebody else started, and leave it at the end."""
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"Dask: nobody listens at {address} ({error}); start a scheduler"
        ) from error
    if scheme == "tcp":
        _log.warning(
            "%s: not encrypted, and whoever reaches it may run anything; use tls://", address
        )
    with _connected(address, None) as found:
        yield found


@contextlib.contextmanager
def _connected(
    target: Any,  # noqa: ANN401  (a cluster or an address)
    count: int | None,
    *,
    security: Any = None,  # noqa: ANN401
    wait: bool = True,
) -> Iterator[Place]:
    from distributed import Client

    try:
        client = Client(target, security=security, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise ResourceError(
            f"Dask: {target}: no entry ({_first_line(error)}); see distributed.comm.tls of its "
            f"configuration"
        ) from error
    with client:
        try:
            if wait:
                client.wait_for_workers(1, timeout=_START_PATIENCE)
        except TimeoutError as error:
            raise ResourceError(
                f"Dask: no worker came within {_START_PATIENCE:.0f} s; free CPUs, or start workers"
            ) from error
        yield count or sum(client.nthreads().values()), client


def _security() -> Any:  # noqa: ANN401
    """Make a certificate for this run, in memory alone."""
    from distributed.security import Security

    try:
        return Security.temporary()
    except ImportError as error:
        raise ResourceError(
            "Dask: TLS needs cryptography; .venv/bin/pip install cryptography"
        ) from error


def _variables() -> dict[str, str]:
    from cosmogan.session import WORKER_ENVIRONMENT

    return WORKER_ENVIRONMENT | _ONE_THREAD


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Have `distributed` and what it is made of log nothing inside the block."""
    import_module("distributed")  # it sets the levels, and the defaults of its configuration
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    _silence()
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _silence() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
