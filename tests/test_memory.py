"""What a sweep holds does not grow with the number of its runs."""

import gc
import weakref
from pathlib import Path

import pyarrow.parquet as pq

import runner
from experiments.scenario import find_scenario
from experiments.simulate import resolve
from experiments.tables import TABLES
from experiments.world import World
from runner import compaction, store
from runner.execution import Target, perform, write
from runner.spec import Request, plan_run

TINY = str(Path(__file__).with_name("tiny_market.py"))


def test_a_finished_world_is_let_go():
    module = find_scenario(TINY)
    worlds = []
    for seed in range(3):
        world = World(module.build(resolve(module, {})), seed)
        assert [trader.unique_id for trader in world.traders] == [1]
        world.step()
        worlds.append(weakref.ref(world))
    del world
    gc.collect()
    assert [each() for each in worlds] == [None] * 3


def test_merging_holds_a_few_parts_at_a_time(tmp_path, monkeypatch):
    specs = [plan_run(Request(TINY, {"desk.fee": 0.25}, 12), seed) for seed in range(5)]
    for spec in specs:
        write([perform(spec)], Target(str(tmp_path), {"desk.fee": "float64"}))
    before = {name: runner.load(tmp_path).table(name) for name in ("runs", *TABLES)}
    monkeypatch.setattr(compaction, "GROUP_BYTES", 1)
    merged = compaction.merge(store.folder_at(tmp_path), store.parts(tmp_path, "runs"))
    steps = pq.ParquetFile(tmp_path / "steps" / merged)
    assert steps.num_row_groups == len(specs)
    assert pq.ParquetFile(tmp_path / "accounts" / merged).metadata.num_rows > 0
    for name, table in before.items():
        assert runner.load(tmp_path).table(name).to_pandas().equals(table.to_pandas())
