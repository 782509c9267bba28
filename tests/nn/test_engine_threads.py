"""The engine's threads: kept, asleep between calls, shared by callers, and new after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from rtlgrad.nn.engines import get_engine

# A call of several threads, and how many there are besides those that NumPy brought.
CALL = """
import os, time, numpy as np
from rtlgrad.nn.engines import LookupTable, get_engine
engine = get_engine("native")
table = LookupTable(np.arange(65536, dtype=np.int32).reshape(256, 256))
a = np.arange(2000 * 300, dtype=np.int64).astype(np.uint8).reshape(2000, 300)
b = a[:300, :40].copy()
def call(threads): return int(engine.matmul(a, b, table, threads=threads).sum())
def threads(): return len(os.listdir("/proc/self/task"))
before = threads()
"""


def run(script):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CALL + script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    return done.stdout.split()


def test_threads_are_started_once_and_no_more_than_asked_for():
    script = """
call(1); print(threads() - before)
for _ in range(5): call(3)
print(threads() - before)
call(2); print(threads() - before)
call(4); print(threads() - before)
"""
    assert run(script) == ["0", "2", "2", "3"]


def test_idle_threads_take_no_time():
    script = """
call(4)
time.sleep(0.1)
def ticks(): return sum(sum(map(int, open(f"/proc/self/task/{t}/stat").read().rsplit(")", 1)[1].split()[11:13])) for t in os.listdir("/proc/self/task"))
start = ticks()
time.sleep(1)
print(ticks() - start)
"""
    # A spinning thread would take 100 ticks of 10 ms each.
    assert int(run(script)[0]) <= 5


def test_a_forked_child_has_threads_of_its_own():
    script = """
want = call(4)
child = os.fork()
if child == 0:
    alone = threads()
    right = call(4) == want and call(2) == want
    os._exit(0 if right and threads() - alone == 3 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), call(4) == want)
"""
    assert run(script) == ["0", "True"]


def test_a_child_forked_during_a_call_works_too():
    script = """
import threading
want, stop = call(2), threading.Event()
def busy():
    while not stop.is_set(): call(4)
callers = [threading.Thread(target=busy) for _ in range(2)]
for caller in callers: caller.start()
codes = []
for _ in range(10):
    child = os.fork()
    if child == 0: os._exit(0 if call(3) == want else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
for caller in callers: caller.join()
time.sleep(0.2)  # until the system has let go of them
print(sum(codes), threads() - before)
"""
    assert run(script) == ["0", "3"]


@pytest.mark.parametrize("threads", [2, 5])
def test_several_callers_share_the_threads(threads):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (900, 200)).astype(np.uint8)
    b = rng.integers(0, 256, (200, 60)).astype(np.uint8)
    table = rng.integers(-(2**20), 2**20, (256, 256)).astype(np.int32)
    engine = get_engine("native")
    want = engine.matmul(a, b, table, threads=1)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(engine.matmul, a, b, table, threads=threads) for _ in range(40)]
        assert all(np.array_equal(call.result(), want) for call in calls)


def test_data_loader_workers_compute_as_their_parent():
    script = """
import torch
from torch.utils.data import DataLoader, Dataset
call(4)
class Sums(Dataset):
    def __len__(self): return 4
    def __getitem__(self, index):
        from rtlgrad.nn.table_ops import table_matmul
        codes = torch.full((500, 300), index, dtype=torch.uint8)
        return table_matmul(codes, codes[:300, :20].contiguous(), torch.from_numpy(table.products)).sum(), torch.get_num_threads()
parent = [Sums()[i][0].item() for i in range(4)]
loaded = [(value.item(), int(n)) for value, n in DataLoader(Sums(), batch_size=None, num_workers=2, multiprocessing_context="fork")]
print([value for value, _ in loaded] == parent, {n for _, n in loaded} == {1})
"""
    assert run(script) == ["True", "True"]


def test_layers_have_as_many_threads_as_torch():
    script = """
import torch
from rtlgrad.nn.table_ops import table_matmul
codes, other = torch.from_numpy(a), torch.from_numpy(b)
def layer(): table_matmul(codes, other, torch.from_numpy(table.products))
for setting in (1, 3):
    torch.set_num_threads(setting)
    layer()
    alone = threads()
    layer()
    print(threads() - before, threads() - alone)
"""
    assert run(script) == ["0", "0", "2", "0"]
