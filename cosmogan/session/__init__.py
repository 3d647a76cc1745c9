"""The only place that starts or joins Ray and Dask.

`ray_cluster` starts a private Ray on this machine, or joins the one of ``RAY_ADDRESS``; `scatter`
and `pool` spread work over it; `dask_cluster` says where Dask computes. What is started is safe by
default:

* All of a private cluster listens on loopback only.
* Every connection needs a token. A private cluster gets its own, 64 hex digits in a file that only
  its user may read; it is never an argument of a command. To join a cluster, ``RAY_AUTH_TOKEN_PATH``
  names its token.
* No usage statistics are sent, no dashboard is served.
* Logs and sockets lie in a private folder of the machine's temporary folder, removed at the end; what a
  killed process left behind, the next one removes.

A cluster of several machines is started by `ray start` (see ``cluster/``), and there Ray's processes
listen on all interfaces: the token protects them, traffic is clear text unless ``RAY_USE_TLS`` is set.
Dask computes in threads of this process and listens nowhere, unless `dask_cluster` is told another place.
"""

import collections
import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

from cosmogan.errors import CosmoganError, ResourceError
from cosmogan.session.dask import dask_cluster, dask_threads
from cosmogan.session.private import (
    available_cpus,
    environment,
    private_folder,
    require_listener,
    require_token,
    write_token,
)

__all__ = [
    "WORKER_ENVIRONMENT",
    "available_cpus",
    "dask_cluster",
    "dask_threads",
    "pool",
    "ray_cluster",
    "scatter",
]

Result = TypeVar("Result")
Progress = Callable[[int, int], None]

WORKER_ENVIRONMENT = {
    # glibc gives large arrays back to the system at once, and the next one pays for every page
    # again: training steps took twice as long.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "MALLOC_TOP_PAD_": "67108864",
    # Threads of OpenMP that spin while they wait make training beside any other busy process ten
    # times slower; sleeping ones cost nothing measurable on an idle machine.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Set in every worker process. Ray adds OMP_NUM_THREADS, the CPUs of the task."""

_SAFE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # tasks that asked for no GPU see none
}
_ONE_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_LOOPBACK = {
    # Ray's switch against firewall questions on desktops: nodes take, and bind, 127.0.0.1.
    _ONE_MACHINE: "0",
    "GLOO_SOCKET_IFNAME": "lo",
}
_DROPPED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAY_AUTH_TOKEN")
_OBJECT_STORE_BYTES = 256 * 2**20  # records pass through it, fields do not
_PATIENCE = 1.0
_RETRIES = 3


@contextlib.contextmanager
def ray_cluster(
    *,
    address: str | None = None,
    cpus: int | None = None,
    prepare: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Have a Ray cluster inside the block.

    If this process is connected to one, that is used and stays. Else the cluster at `address` is
    joined and left, or a private one is started and stopped.

    Parameters
    ----------
    address : str, optional
        ``host:port``, or ``"local"`` for a private cluster; ``RAY_ADDRESS`` by default, and a private
        one without it.
    cpus : int, optional
        Of a private cluster; by default all that this process may use.
    prepare : callable, optional
        Every worker process calls it as it starts: for those who change the package from outside.

    Raises
    ------
    ResourceError
        If there is no cluster at the address, or its token is not known here; or if there is
        something to prepare, and workers that began without it.
    """
    wanted = address or os.environ.get("RAY_ADDRESS") or "local"
    with contextlib.ExitStack() as stack:
        if not _connected():
            hook = {"worker_process_setup_hook": prepare} if prepare else {}
            start = _private(cpus, hook) if wanted == "local" else _joined(wanted, hook)
            stack.enter_context(start)
        elif prepare:
            raise ResourceError("Ray: connected already; prepare its workers before that")
        yield


def scatter(
    function: Callable[..., Result],
    arguments: Sequence[tuple[Any, ...]],
    *,
    cpus_per_task: float = 1,
    in_flight: int | None = None,
    retries: int = _RETRIES,
    progress: Progress = lambda _done, _total: None,
) -> Iterator[Result]:
    """Call a function once for each tuple of arguments, on the whole cluster.

    Parameters
    ----------
    function : callable
        It is called again if its worker dies, so that calling it twice must do no harm.
    arguments : sequence of tuple
        Positional arguments of each call.
    cpus_per_task : float
        CPUs that each call occupies.
    in_flight : int, optional
        Calls handed to Ray at a time, at most; by default twice what the cluster can run.
    retries : int
        How often a call is repeated whose worker died.
    progress : callable
        Told the number of calls done, and of all; about every second.

    Yields
    ------
    object
        The results, as they are completed: in no order.

    Raises
    ------
    Exception
        What the first failing call raised, as itself; the other calls are cancelled.
    ResourceError
        If a worker died more than `retries` times.
    """
    with ray_cluster():
        import ray

        def call(*values: Any) -> Result:  # noqa: ANN401  (Ray takes no builtin, no partial)
            return function(*values)

        task = ray.remote(num_cpus=cpus_per_task, max_retries=retries)(call)
        room = in_flight or 2 * max(1, int(ray.cluster_resources().get("CPU", 1) / cpus_per_task))
        yield from _stream([task.remote] * room, arguments, _name(function), progress)


def pool(
    make: Callable[..., Any],
    arguments: tuple[Any, ...],
    calls: Sequence[tuple[Any, ...]],
    *,
    actors: int | None = None,
    resources: Mapping[str, float] = {"num_cpus": 1},
    retries: int = _RETRIES,
    progress: Progress = lambda _done, _total: None,
) -> Iterator[Any]:
    """Call the method ``call`` of objects that live in processes of their own, for what is costly to load.

    Parameters
    ----------
    make : callable
        Makes the object, once in each process, at its first call.
    arguments : tuple
        Of `make`.
    calls : sequence of tuple
        Positional arguments of each call. One is made again if its process dies.
    actors : int, optional
        Processes; each is handed two calls at a time. Never more than the cluster has room for, as many as
        that, and calls, by default.
    resources : mapping
        What each process occupies, as Ray names it: ``num_cpus``, ``num_gpus``.
    retries, progress
        As of `scatter`.

    Yields
    ------
    object
        The results, as they are completed: in no order.

    Raises
    ------
    Exception
        As `scatter` does.
    """
    with ray_cluster():
        import ray

        options = {"max_restarts": retries, "max_task_retries": retries, **resources}
        actor = ray.remote(**options)(_Holder)
        room = min(actors or len(calls), len(calls), _room(resources))
        held = [actor.remote() for _ in range(room)]
        # Ray resolves what a call needs again wherever it is repeated, and not what a birth needs.
        how = ray.put((make, arguments))
        try:
            slots = [functools.partial(holder.call.remote, how) for holder in held]
            yield from _stream(2 * slots, calls, _name(make), progress)
        finally:
            for holder in held if ray.is_initialized() else ():
                ray.kill(holder)


def _room(resources: Mapping[str, float]) -> int:
    """Return how many processes that occupy so much the cluster holds: Ray would wait for more for ever."""
    import ray

    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    found = ray.cluster_resources()
    room = [found.get(names[key], 0) / each for key, each in resources.items() if each]
    if room and min(room) < 1:
        raise ResourceError(
            f"Ray: this cluster has no room for {dict(resources)}; start a node that has"
        )
    return int(min(room, default=1))


def _connected() -> bool:
    with environment(_SAFE):  # Ray reads some of it as it is imported
        import ray
    return bool(ray.is_initialized())


@contextlib.contextmanager
def _private(cpus: int | None, runtime: Mapping[str, Any]) -> Iterator[None]:
    """Start a cluster of this machine alone, and stop it at the end."""
    import ray

    with private_folder() as folder, contextlib.ExitStack() as stack:
        token = {"RAY_AUTH_TOKEN_PATH": str(write_token(folder / "token"))}
        stack.enter_context(_settings(_SAFE | token))
        stack.callback(ray.shutdown)
        with _settings(_LOOPBACK | WORKER_ENVIRONMENT, drop=_DROPPED):
            _init(
                address="local",
                num_cpus=cpus or available_cpus(),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                runtime_env=dict(runtime) or None,
                _temp_dir=str(folder / "ray"),
            )
        yield


@contextlib.contextmanager
def _joined(address: str, runtime: Mapping[str, Any]) -> Iterator[None]:
    """Connect to a cluster that somebody else started, and leave it at the end."""
    import ray

    require_token()
    require_listener(address)
    with _settings(_SAFE), contextlib.ExitStack() as stack:
        stack.callback(ray.shutdown)
        _init(address=address, runtime_env={"env_vars": WORKER_ENVIRONMENT, **runtime})
        yield


def _init(address: str, **options: object) -> None:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        what = "a private cluster does not start" if address == "local" else f"{address}: no entry"
        raise ResourceError(
            f"Ray: {what} ({_first_line(error)}); see RAY_ADDRESS and RAY_AUTH_TOKEN_PATH"
        ) from error


class _Holder:
    """Makes its object at the first call: Ray loses the errors of an actor's birth."""

    def __init__(self) -> None:
        self._made: Any = None

    def call(self, how: tuple[Callable[..., Any], tuple[Any, ...]], *values: Any) -> Any:  # noqa: ANN401
        """Pass on a call."""
        if self._made is None:
            make, arguments = how
            self._made = make(*arguments)
        return self._made.call(*values)


def _stream(
    slots: Sequence[Callable[..., Any]],
    calls: Sequence[tuple[Any, ...]],
    name: str,
    progress: Progress,
) -> Iterator[Any]:
    """Give each slot that is free the next call; yield results as they come."""
    import ray

    idle, todo, done = collections.deque(slots), iter(calls), 0
    running: dict[Any, Callable[..., Any]] = {}
    progress(0, len(calls))
    try:
        while True:
            while idle and (values := next(todo, None)) is not None:
                slot = idle.popleft()
                running[slot(*values)] = slot
            if not running:
                return
            ready, _ = ray.wait(list(running), timeout=_PATIENCE)
            for reference in ready:
                idle.append(running.pop(reference))
                result = _result(reference, name)
                done += 1
                yield result
            progress(done, len(calls))
    finally:
        for reference in running if ray.is_initialized() else ():
            ray.cancel(reference)


def _result(reference: Any, name: str) -> Any:  # noqa: ANN401
    """Fetch one result; raise what the function raised, not Ray's wrapping."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, CosmoganError):
            raise error.cause from None
        raise error.cause from error
    except RayError as error:
        raise ResourceError(
            f"{name}: its worker died again and again ({_first_line(error)}); "
            "look for too little memory, then give the same command again"
        ) from error


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", function))


@contextlib.contextmanager
def _settings(values: Mapping[str, str], drop: Sequence[str] = ()) -> Iterator[None]:
    """Change the environment inside the block, and have Ray follow."""
    with contextlib.ExitStack() as stack:
        stack.callback(_reread)
        stack.enter_context(environment(values, drop))
        _reread()
        yield


def _reread() -> None:
    """Make Ray read the environment again: it did so as it was imported, and keeps the token."""
    from ray._private import ray_constants

    raylet = import_module("ray._raylet")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
    ray_constants.ENABLE_RAY_CLUSTER = os.environ.get(_ONE_MACHINE) != "0"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
