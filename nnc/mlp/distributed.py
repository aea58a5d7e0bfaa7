"""Data-parallel training: one process, or the ranks of an MPI communicator, each with a share of the examples.

All ranks hold the same weights. In every step each computes the gradient of its part of the batch, the sum over the
ranks (Allreduce) is that of the batch, and all take the same step with it. It is the training of one process on the
shares joined in the order of the ranks: the same batches, and the same sums but for their rounding.

The ranks must run the same collective calls in the same order, or they wait for each other forever. So everything that
may fail on one of them, or runs the user's code, goes through `together`, after which all ranks know whether it failed
on any. Between two of these, and in the middle of an epoch, Ctrl-C waits for the next.
"""

import functools
import os
import pickle
import signal
import sys
import threading
import traceback

import numpy as np

from .. import _engine


def ranks(comm):
    """The processes that train together, a context manager for the training; `ALONE` for None."""
    if comm is None:
        return ALONE
    try:
        from mpi4py import MPI
    except ImportError:
        raise ImportError("fit: comm needs mpi4py: pip install mpi4py") from None
    if isinstance(comm, MPI.Comm) and comm == MPI.COMM_NULL:
        raise ValueError("fit: comm is MPI.COMM_NULL: this process is not in the communicator")
    if not isinstance(comm, MPI.Intracomm):
        raise TypeError(f"fit: comm must be a communicator of mpi4py, such as MPI.COMM_WORLD, not {comm!r}")
    return Ranks(comm, MPI)


class Alone:
    """One process: the methods of `Ranks` that do (next to) nothing."""

    rank, size, shared, comm = 0, 1, False, None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def together(self, work):
        return work()

    def gather(self, value):
        return [value]

    def agree(self, settings):
        pass

    def share_arrays(self, arrays):
        pass

    def joined(self, array):
        return array

    def engine_options(self, parameters, first, total):
        return {}


ALONE = Alone()


class Ranks:
    """The ranks of a communicator."""

    shared = True

    def __init__(self, comm, MPI):
        self.comm, self.MPI = comm, MPI
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.interruptible = self.interrupted = False
        self.shared_error = None  # the error that was raised on all ranks
        self.handler = None  # the one of Ctrl-C that this one replaces

    def __enter__(self):
        """Ctrl-C is handled where all ranks can be informed, and the ranks on one machine divide its cores."""
        self.threads = _engine.get_num_threads()
        _engine.set_num_threads(min(self.threads, self._cores()))
        if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
            self.handler = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, kind, error, trace):
        if self.handler is not None:
            signal.signal(signal.SIGINT, self.handler)
        _engine.set_num_threads(self.threads)
        if error is not None and error is not self.shared_error:
            self._abort(error)
        if self.interrupted and error is None:
            self.handler(signal.SIGINT, None)

    def together(self, work):
        """The result of work(), which every rank calls; if it raises on one of them, it raises on all.

        A rank on which it failed raises its own error, every other rank that of the first one on which it failed.
        """
        result = error = None
        try:
            self.interruptible = True
            if self.interrupted:
                self._interrupt(signal.SIGINT, None)
            result = work()
            self.interruptible = False
        except BaseException as raised:
            self.interruptible = False
            error = raised
        self._abort_if_lost(error)
        errors = self.gather(_packed(error))
        for rank, packed in enumerate(errors):
            if packed is not None and error is None:
                error = _unpacked(packed)
                error.__cause__ = Elsewhere(rank, packed)
        if error is not None:
            self.shared_error = error
            raise error
        return result

    def gather(self, value):
        """The ranks' values in their order, on all ranks."""
        return self._collective(self.comm.allgather, value)

    def agree(self, settings):
        """Refuse, on all ranks, settings that differ from those of rank 0."""
        everyone = self.gather(settings)
        self.together(lambda: _compare(everyone))

    def share_arrays(self, arrays):
        """Rank 0's arrays, on all ranks: two kinds of processor may round a step differently."""
        for array in arrays:
            self._collective(self.comm.Bcast, array)

    def joined(self, array):
        """The ranks' arrays as one, on all ranks."""
        return None if array is None else np.concatenate(self.gather(array))

    def engine_options(self, parameters, first, total):
        """What the engine needs to sum gradients over the ranks.

        Its call of `reduce` runs no Python code, and so no signal handler, which might raise before the other ranks
        have received this one's numbers.
        """
        gradient = np.zeros(sum(p.size for p in parameters) + 1, parameters[0].dtype)
        reduce = functools.partial(self.comm.Allreduce, self.MPI.IN_PLACE, gradient)
        return {"first": first, "total": total, "sum": gradient, "reduce": reduce}

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _interrupt(self, number, frame):
        self.interrupted = not self.interruptible
        if self.interruptible:
            self.handler(number, frame)

    def _cores(self):
        """The number of cores for this rank, at least one: those that it may use, by the ranks that share them."""
        own = _usable_cores()
        machine = self._collective(self.comm.Split_type, self.MPI.COMM_TYPE_SHARED)
        everyone = self._collective(machine.allgather, own)
        machine.Free()
        return max(1, len(own) // sum(bool(own & cores) for cores in everyone))

    def _collective(self, call, *arguments):
        try:
            return call(*arguments)
        except self.MPI.Exception as error:
            self._abort_if_lost(error)

    def _abort_if_lost(self, error):
        """After an error of MPI itself the ranks can no longer communicate, and would wait forever."""
        if isinstance(error, self.MPI.Exception):
            self._abort(error)

    def _abort(self, error):
        traceback.print_exception(type(error), error, error.__traceback__)
        sys.stderr.flush()
        self.comm.Abort(1)


def _compare(everyone):
    for rank, settings in enumerate(everyone):
        for name, value in everyone[0].items():
            if settings[name] != value:
                raise ValueError(
                    f"fit: {name} must be the same on all ranks, but is {_short(value)} on rank 0 and "
                    f"{_short(settings[name])} on rank {rank}"
                )


class Elsewhere(Exception):
    """The cause of an error that was raised here because it was raised on another rank."""

    def __init__(self, rank, packed):
        super().__init__(f"on rank {rank}:\n{packed[1]}")


def _packed(error):
    """(error, traceback as text), the error pickled; if it cannot be, a RuntimeError in its place."""
    if error is None:
        return None
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
    except Exception:
        pickled = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return pickled, text


def _unpacked(packed):
    try:
        return pickle.loads(packed[0])
    except Exception:  # of a class that this rank does not have
        return RuntimeError(packed[1].strip().splitlines()[-1])


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _usable_cores():
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
