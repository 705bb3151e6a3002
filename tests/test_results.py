"""Tables on disk: schemas, bytes, atomic commits, and what the reader counts."""

import dataclasses
import datetime
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import runner
from experiments.tables import SCHEMA_VERSION, TABLES
from markets.errors import ConfigError
from runner import execution, schemas, store
from runner.design import read_sweep
from runner.execution import Target, perform, write
from runner.folder import CannotWrite
from runner.single import run_once
from runner.spec import Request, plan_run

TINY = str(Path(__file__).with_name("tiny_market.py"))


def spec(seed=0, steps=12, **overrides):
    paths = {name.replace("__", "."): value for name, value in overrides.items()}
    return plan_run(Request(TINY, paths, steps), seed)


def files(out, table):
    return sorted((out / table).glob("part-*.parquet"))


def commit(out, *specs, parameters=None):
    return write([perform(each) for each in specs], Target(str(out), parameters or {}))


def test_every_column_says_its_unit_and_meaning():
    for name, table in TABLES.items():
        schema = schemas.table_schema(name)
        assert schema.names == ["run_id", *(column.name for column in table.columns)]
        for column in table.columns:
            metadata = schema.field(column.name).metadata
            assert metadata[b"unit"].decode() == column.unit
            assert metadata[b"meaning"].decode() == column.meaning


def test_undeclared_columns_are_a_bug_and_missing_ones_are_null():
    with pytest.raises(ValueError, match="steps declares no column depth"):
        schemas.to_arrow("steps", [("run", {"depth": [1.0]})])
    one = {"step": np.arange(3), "event": ["a", "b", "a"]}
    other = {"step": np.arange(2), "event": ["b", "c"], "value": np.array([0.5, np.nan])}
    table = schemas.to_arrow("events", [("one", one), ("other", other), ("none", {})])
    assert table["source"].null_count == 5
    assert table["event"].to_pylist() == ["a", "b", "a", "b", "c"]
    assert table["run_id"].to_pylist() == ["one"] * 3 + ["other"] * 2
    assert table["value"].to_pylist() == [None, None, None, 0.5, None]


def test_the_same_command_writes_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        assert run_once(Request(TINY, {"desk.fee": 0.01}), 5, tmp_path / name, False) == 0
    for table in TABLES:
        first, second = (files(tmp_path / name, table) for name in ("first", "second"))
        assert [part.name for part in first] == [part.name for part in second]
        assert first[0].read_bytes() == second[0].read_bytes()
    first, second = (pq.read_table(tmp_path / name / "runs") for name in ("first", "second"))
    stable = [name for name in first.column_names if name not in schemas.VOLATILE]
    assert first.select(stable).equals(second.select(stable), check_metadata=True)


def test_a_design_from_python_is_that_of_a_file_and_has_its_own_runs_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(TINY).parent)
    design = {
        "scenario": Path(TINY).name,
        "seeds": {"first": 3, "count": 2},
        "steps": 6,
        "set": {"buyer": {"fail": False}},
        "runs": [{"desk.fee": 0.02}, {"desk": {"fee": 0.03}}],
    }
    file = tmp_path / "study.toml"
    file.write_text(
        f'scenario = "{TINY}"\nseeds = [3, 4]\nsteps = 6\n'
        '[[runs]]\n"desk.fee" = 0.02\n[[runs]]\n"desk.fee" = 0.03\n'
    )
    one = runner.run({"scenario": Path(TINY).name, "steps": 6}, tmp_path)
    both = runner.run(design, tmp_path)
    assert sorted(both.runs["run_id"]) == sorted(spec.run_id for spec in read_sweep(file).specs)
    assert (one.parameters, both.parameters) == ([], ["p_desk.fee"])
    assert set(both.steps["run_id"].astype(str)) == set(both.runs["run_id"])
    assert len(runner.load(tmp_path).runs) == len(one.runs) + len(both.runs) == 5
    with pytest.raises(ConfigError, match="seeds"):
        runner.run(design | {"seeds": []}, tmp_path)


def test_a_design_takes_arrays_ranges_paths_and_any_thread(tmp_path):
    design = {
        "scenario": Path(TINY),
        "seeds": range(2),
        "steps": np.int64(5),
        "grid": {
            "desk": {"fee": np.linspace(0.01, 0.02, 2)},
            "volatility_per_year": [np.float64(1.5)],
        },
    }
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(runner.run, design, tmp_path).result()
    assert sorted(found.runs["p_desk.fee"]) == [0.01, 0.01, 0.02, 0.02]
    assert set(found.runs["seed"]) == {0, 1}
    for name, given in (
        ("set.desk.fee", {"set": {"desk": {"fee": None}}}),
        ("grid.desk.fee", {"grid": {"desk.fee": [0.1, 1j]}}),
        ("seeds", {"seeds": {1, 2}}),
        ("no such", {"no such": 1}),
    ):
        with pytest.raises(ConfigError, match=f"^{name}: "):
            runner.run(design | given, tmp_path)


def test_a_chunk_holds_the_same_rows_as_its_runs_alone(tmp_path):
    commit(tmp_path / "chunk", spec(1), spec(2))
    commit(tmp_path / "apart", spec(1))
    commit(tmp_path / "apart", spec(2))
    chunk, apart = (runner.load(tmp_path / name) for name in ("chunk", "apart"))
    for table in TABLES:
        assert chunk.table(table).to_pylist() == apart.table(table).to_pylist()


def test_the_footer_says_where_a_part_comes_from(tmp_path):
    commit(tmp_path, spec(4, desk__fee=0.5))
    for table in store.TABLE_NAMES:
        metadata = pq.read_schema(files(tmp_path, table)[0]).metadata
        origin = json.loads(metadata[b"fathom"])
        assert origin["table"] == table
        assert origin["schema_version"] == SCHEMA_VERSION
        assert origin["scenario"]["params"]["desk"]["fee"] == 0.5
        assert [run["seed"] for run in origin["runs"].values()] == [4]
        assert {"versions", "commit", "dirty", "code_version"} <= set(origin)


def test_a_run_row_says_how_to_do_it_again(tmp_path):
    commit(tmp_path, spec(3, desk__fee=0.25), parameters={"desk.fee": "float64"})
    run = runner.load(tmp_path).runs.iloc[0]
    assert run["status"] == "ok"
    assert run["p_desk.fee"] == 0.25
    assert run["m_ledger_residual_atoms"] == 0
    assert json.loads(run["params"])["desk"]["fee"] == 0.25
    assert run["replay"] == f"fathom run {TINY} --set desk.fee=0.25 --seed 3 --steps 12"
    assert "numpy" in json.loads(run["versions"])
    assert run["started_at"].tzinfo is not None


def test_tables_carry_the_parameters_of_their_run(tmp_path):
    for seed, fee in ((1, 0.5), (2, 0.25)):
        commit(tmp_path, spec(seed, desk__fee=fee), parameters={"desk.fee": "float64"})
    results = runner.load(tmp_path)
    for name in TABLES:
        frame = getattr(results, name)
        seeds = frame["p_desk.fee"].map({0.5: 1, 0.25: 2})
        assert frame["seed"].tolist() == seeds.tolist()
    fills = results.fills
    expected = fills["price"] * fills["size"] * fills["p_desk.fee"]
    np.testing.assert_allclose(fills["taker_fee"], expected, rtol=1e-6)


def test_parts_with_different_columns_are_read_with_all_of_them(tmp_path):
    commit(tmp_path, spec(1), parameters={})
    commit(tmp_path, spec(1, desk__fee=1), parameters={"desk.fee": "int64"})
    commit(tmp_path, spec(1, desk__fee=0.5), parameters={"desk.fee": "float64"})
    fees = runner.load(tmp_path).runs["p_desk.fee"]
    assert sorted(fees.dropna()) == [0.5, 1.0]
    assert fees.isna().sum() == 1


def test_orphans_are_not_counted_and_the_next_writer_removes_them(tmp_path):
    name = commit(tmp_path, spec(1))
    commit(tmp_path, spec(2))
    (tmp_path / "runs" / name).unlink()
    (tmp_path / "steps" / ".part-half.tmp").write_text("half")
    (tmp_path / f".figure-{'0' * 32}.tmp").write_text("half")
    (tmp_path / ".notes.tmp").write_text("somebody's own")
    assert runner.load(tmp_path).steps["seed"].unique().tolist() == [2]
    commit(tmp_path, spec(1), spec(3))
    assert len(runner.load(tmp_path).steps) == 3 * 12
    assert store.sweep_up(tmp_path) == 0
    assert [each.name for each in tmp_path.rglob("*.tmp")] == [".notes.tmp"]
    assert len(files(tmp_path, "steps")) == 2


def test_a_run_in_two_parts_counts_once(tmp_path):
    commit(tmp_path, spec(1))
    commit(tmp_path, spec(1), spec(2))
    results = runner.load(tmp_path)
    assert results.runs["seed"].tolist() == [1, 2]
    assert len(results.steps) == 2 * 12
    assert not results.fills.duplicated(["run_id", "step"]).any()


def test_a_run_that_failed_and_then_went_well_went_well(tmp_path):
    once = spec(1)
    write([execution.failed(once, RuntimeError("gone"))], Target(str(tmp_path), {}))
    assert runner.load(tmp_path).runs["error"].tolist() == ["RuntimeError: gone"]
    commit(tmp_path, once, spec(2))
    results = runner.load(tmp_path)
    assert set(results.runs["status"]) == {"ok"}
    assert len(results.runs) == 2


def test_a_run_done_again_with_other_code_counts_as_the_newest(tmp_path):
    old = dataclasses.replace(spec(1), run_id="0" * 16)
    commit(tmp_path, old, spec(2))
    commit(tmp_path, spec(1))
    results = runner.load(tmp_path)
    assert results.runs["seed"].tolist() == [1, 2]
    assert old.run_id not in set(results.steps["run_id"])
    assert len(results.steps) == 2 * 12


def rewrite(out, change):
    """Every file as another version of Fathom would have left it."""
    for file in out.rglob("part-*.parquet"):
        table = pq.read_table(file)
        origin = json.loads(table.schema.metadata[b"fathom"])
        table = change(table, origin)
        pq.write_table(table.replace_schema_metadata({"fathom": json.dumps(origin)}), file)


def test_parts_of_an_older_version_are_read_and_what_they_lack_is_null(tmp_path):
    commit(tmp_path, spec(1))

    def older(table, origin):
        origin["schema_version"] = 1
        lacking = [name for name in ("generation", "seconds") if name in table.column_names]
        return table.drop_columns(lacking)

    rewrite(tmp_path, older)
    shutil.rmtree(tmp_path / "events")
    commit(tmp_path, spec(2))
    results = runner.load(tmp_path)
    assert results.runs["generation"].isna().tolist() == [True, False]
    steps = results.steps
    assert steps.loc[steps["seed"] == 1, "seconds"].isna().all()
    assert steps.loc[steps["seed"] == 2, "seconds"].notna().all()
    assert results.table("steps").schema.field("seconds").type == pa.float64()
    assert len(steps) == 2 * 12
    assert store.next_generation(tmp_path) == 1
    assert set(results.events["seed"]) <= {2}


def test_parts_of_a_newer_version_are_refused_by_name(tmp_path):
    commit(tmp_path, spec(1))

    def newer(table, origin):
        origin["schema_version"] = SCHEMA_VERSION + 1
        return table

    rewrite(tmp_path, newer)
    with pytest.raises(ConfigError, match=f"schema version {SCHEMA_VERSION + 1}; .* reads up to"):
        runner.load(tmp_path)


def test_a_parameter_of_two_kinds_is_read_as_text(tmp_path):
    commit(tmp_path, spec(1, desk__fee=0.5), parameters={"desk.fee": "float64"})
    commit(tmp_path, spec(2, desk__fee=0.25), parameters={"desk.fee": "string"})
    assert runner.load(tmp_path).runs["p_desk.fee"].astype(str).tolist() == ["0.25", "0.5"]


@pytest.mark.slow
@pytest.mark.parametrize("library", ["polars", "duckdb"])
def test_other_libraries_take_a_table_as_it_is(library, tmp_path):
    module = pytest.importorskip(library, reason="make full")
    commit(tmp_path, spec(1, desk__fee=0.5), parameters={"desk.fee": "float64"})
    flows = runner.load(tmp_path).table("flows")
    if library == "polars":
        assert module.from_arrow(flows)["p_desk.fee"].unique().to_list() == [0.5]
    else:
        assert module.sql('select distinct "p_desk.fee" from flows').fetchall() == [(0.5,)]


def test_a_writer_that_dies_in_the_middle_leaves_nothing_that_counts(tmp_path, monkeypatch):
    moved = []

    def dies_at_the_fourth(source, target):
        moved.append(target)
        if len(moved) == 4:
            raise OSError("disk full")
        Path(source).rename(target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies_at_the_fourth)
        with pytest.raises(CannotWrite, match="disk full"):
            commit(tmp_path, spec(1))
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]
    assert store.committed(tmp_path) == {}
    with pytest.raises(ConfigError, match="no results"):
        runner.load(tmp_path)


def test_a_writer_whose_folder_was_taken_commits_nothing(tmp_path):
    store.claim(tmp_path, "first")
    store.claim(tmp_path, "second")
    with pytest.raises(store.FolderTaken):
        write([perform(spec(1))], Target(str(tmp_path), {}, "first"))
    assert store.committed(tmp_path) == {}
    write([perform(spec(1))], Target(str(tmp_path), {}, "second"))
    assert len(store.committed(tmp_path)) == 1


def test_wipe_removes_the_tables_and_nothing_else(tmp_path):
    commit(tmp_path, spec(1))
    (tmp_path / "notes.txt").write_text("mine")
    store.wipe(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_other_tools_read_the_folder_as_it_is(tmp_path):
    import pyarrow.dataset as ds

    commit(tmp_path, spec(1), spec(2))
    steps = ds.dataset(tmp_path / "steps").to_table()
    assert steps.num_rows == 2 * 12
    assert pa.types.is_dictionary(steps.schema.field("venue").type)


def test_an_unknown_table_is_named(tmp_path):
    commit(tmp_path, spec(1))
    with pytest.raises(ConfigError, match="trades"):
        runner.load(tmp_path).table("trades")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "int64"),
        ([1, 0.5], "float64"),
        ([True, False], "bool"),
        (["a", "b"], "string"),
        ([[1, 2], [3]], "string"),
        ([1, "a"], "string"),
        ([None, 2], "int64"),
        ([None], "string"),
        ([True, 2], "string"),
    ],
)
def test_a_varied_parameter_gets_the_narrowest_kind_that_holds_it(values, kind):
    assert schemas.kind_of(values) == kind
    held = [schemas.cell(value, kind) for value in values]
    assert pa.array(held, pa.string() if kind == "string" else schemas.TYPES[kind]).null_count == (
        values.count(None)
    )


def test_a_run_that_was_never_heard_of_again_has_a_row():
    gone = execution.failed(spec(1), RuntimeError("worker died"))
    assert not gone.ok
    assert gone.started_at.tzinfo is datetime.UTC
    assert gone.error == "RuntimeError: worker died"
