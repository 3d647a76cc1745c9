"""Where Dask computes: in threads of this process, or in processes here, in Ray, in SLURM, or elsewhere.

`dask_cluster` gives an object whose `compute` calls a function once for each tuple of arguments and
returns the results in order, the same ones wherever the calls are made: a call whose worker dies is made
again, so that calling twice must do no harm, and what the function raises comes out as itself.

Dask sends functions, arguments and results as pickles (cloudpickle): whoever may send one may run anything.
So the clusters that are started here talk TLS with certificates on both sides that are made for this one
run and never written down (SLURM needs a file, which only its user may read), listen on loopback if they
are of one machine, and serve no dashboard. Ray hands the certificate to its actors, and is as secret as its
own connections are: see ``RAY_USE_TLS`` for several machines. A ``tcp://`` address is neither encrypted nor
authenticated, and is warned of; a ``tls://`` one needs ``distributed.comm.tls`` in Dask's configuration.
"""

import contextlib
import functools
import itertools
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from cosmogan.errors import CosmoganError, RecipeError, ResourceError
from cosmogan.session import places
from cosmogan.session.private import available_cpus

Progress = Callable[[int, int], None]
Arguments = Sequence[tuple[Any, ...]]

PLACES = ("local", "ray", "slurm", "tcp://host:port", "tls://host:port")
"""Where Dask may compute, beside this process."""

_RETRIES = 3


def _silent(_done: int, _total: int) -> None:
    pass


@dataclass(frozen=True)
class Threads:
    """So many threads of this process, which listens nowhere."""

    count: int

    def compute(
        self, function: Callable[..., Any], arguments: Arguments, progress: Progress = _silent
    ) -> list[Any]:
        """Call a function once for each tuple of arguments.

        Parameters
        ----------
        function : callable
            Neither it nor its arguments are copied.
        arguments : sequence of tuple
            Positional arguments of each call.
        progress : callable
            Told the number of calls done, and of all.

        Returns
        -------
        list
            The results, in order.

        Raises
        ------
        Exception
            What the first failing call raised.
        """
        import dask
        from dask.callbacks import Callback

        done = itertools.count(1)
        keys = {f"call-{number}" for number in range(len(arguments))}

        def finished(key: str, *_state: object) -> None:
            if key in keys:
                progress(next(done), len(arguments))

        progress(0, len(arguments))
        call = dask.delayed(functools.partial(_call, function, arguments), pure=False)
        tasks = [call(n, dask_key_name=f"call-{n}") for n in range(len(arguments))]
        with dask_threads(self.count), Callback(posttask=finished):
            return list(dask.compute(*tasks))


@dataclass(frozen=True)
class Processes:
    """So many workers of a scheduler of `distributed`."""

    count: int
    client: Any

    def compute(
        self, function: Callable[..., Any], arguments: Arguments, progress: Progress = _silent
    ) -> list[Any]:
        """Call a function once for each tuple of arguments.

        Parameters
        ----------
        function : callable
            It travels once to each worker; it is called again if its worker dies, or if it raises anything
            but a `CosmoganError`.
        arguments, progress
            As of `Threads.compute`.

        Returns
        -------
        list
            The results, in order.

        Raises
        ------
        Exception
            What the first failing call raised; the other calls are cancelled.
        ResourceError
            If a worker died again and again, or the scheduler is gone.
        """
        from distributed import as_completed

        submit = functools.partial(self.client.submit, pure=False, retries=_RETRIES)
        run = uuid.uuid4().hex
        # A call of its own, not scattered data: those are lost with the worker that holds them.
        sent = submit(_itself, function, key=f"function-{run}")
        numbers = {
            submit(_attempt, sent, *values, key=f"call-{run}-{number}"): number
            for number, values in enumerate(arguments)
        }
        results: dict[int, Any] = {}
        progress(0, len(arguments))
        try:
            for future in as_completed(numbers, loop=self.client.loop):
                results[numbers[future]] = _result(future, function)
                progress(len(results), len(arguments))
        finally:
            if len(results) < len(numbers):
                with contextlib.suppress(Exception):  # what ended it is what matters
                    self.client.cancel([*numbers, sent], force=True)
        return [results[number] for number in range(len(arguments))]


Workers = Threads | Processes


@contextlib.contextmanager
def dask_cluster(
    where: str | None = None, *, workers: int | None = None, memory: int | None = None
) -> Iterator[Workers]:
    """Have Dask workers inside the block.

    Parameters
    ----------
    where : str, optional
        By default threads of this process. ``"local"`` for processes of this machine, one thread each (they
        import the main script again, which must guard what it runs by ``__name__``); ``"ray"`` for actors of
        the cluster of `cosmogan.session.ray_cluster`, one CPU each; ``"slurm"`` for jobs as
        ``~/.config/dask/jobqueue.yaml`` describes them; ``"tls://host:port"`` or ``"tcp://host:port"`` for
        the workers of a scheduler that runs already.
    workers : int, optional
        How many; by default all that the machine, or the Ray cluster, has CPUs for. SLURM must be told;
        those of a running scheduler are as many as there are.
    memory : int, optional
        At which a process, ``"local"`` or ``"ray"``, is taken to be broken [bytes]; by default its share of
        the machine. SLURM has its own.

    Yields
    ------
    Threads or Processes
        With `count`, how many, and `compute`.

    Raises
    ------
    RecipeError
        If there is no such place, or the workers are no count.
    ResourceError
        If the place is not to be had.
    """
    if workers is not None and workers < 1:
        raise RecipeError(f"workers = {workers} must be at least 1")
    if where is None:
        yield Threads(workers or available_cpus())
        return
    start = {"local": places.local, "ray": places.in_ray, "slurm": places.in_slurm}.get(where)
    if start is None and not re.fullmatch(r"(tcp|tls)://[^/]+:\d+", where):
        raise RecipeError(
            f"dask = {where!r}: give one of {', '.join(PLACES)}, or nothing for threads"
        )
    import dask

    place = start(workers, memory) if start else places.joined(where)
    with places.quiet(), dask.config.set(places.CONFIGURATION), place as found:
        yield Processes(*found)


@contextlib.contextmanager
def dask_threads(workers: int | None = None) -> Iterator[int]:
    """Let Dask compute in threads of this process inside the block.

    Parameters
    ----------
    workers : int, optional
        Threads; by default as many as there are CPUs.

    Yields
    ------
    int
        The number of threads.
    """
    import dask

    count = workers or available_cpus()
    with dask.config.set(scheduler="threads", num_workers=count):
        yield count


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _call(function: Callable[..., Any], arguments: Arguments, number: int) -> Any:  # noqa: ANN401
    return function(*arguments[number])


@dataclass(frozen=True)
class _Refusal:
    """An error on purpose, which travels as a result: to try again would change nothing."""

    error: CosmoganError


def _attempt(function: Callable[..., Any], *values: Any) -> Any:  # noqa: ANN401
    try:
        return function(*values)
    except CosmoganError as error:
        return _Refusal(error)


def _result(future: Any, function: Callable[..., Any]) -> Any:  # noqa: ANN401
    """Fetch one result; raise what the function raised."""
    from distributed import KilledWorker
    from distributed.client import CancelledError

    try:
        result = future.result()
    except KilledWorker as error:
        _give_up(function, "its worker died again and again; look for too little memory", error)
    except CancelledError as error:
        _give_up(function, "the scheduler is gone; look after it", error)
    if isinstance(result, _Refusal):
        raise result.error
    return result


def _give_up(function: Callable[..., Any], why: str, error: BaseException) -> NoReturn:
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    name = getattr(inner, "__name__", str(inner))
    raise ResourceError(f"{name}: {why}, then give the same command again") from error
