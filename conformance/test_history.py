"""The judge itself: a good story passes, and every planted fault is found and named."""

import pyarrow as pa
import pytest

from history import History, Log, Rows, judge, make_put

SIZES = (1, 40, 7, 300, 2, 64)


@pytest.fixture
def world(tmp_path):
    """A history of two producers on two buckets, one of them sequenced, with a reader of bucket 0; and its logs."""
    history = History(tmp_path / "history")
    puts = {}
    for number, rows in enumerate(SIZES):
        for client, writer in ((1, None), (2, 4)):
            batch = make_put(client, number, rows, 20)
            puts[client, number] = batch
            history.sent(client, number, rows, Rows(batch).digest(), writer)
    layout = {0: [], 1: []}  # the plain producer sends to bucket 0, writer 4 by 4 + sequence
    for number in range(len(SIZES)):
        layout[0].append((1, number))
        layout[number % 2].append((2, number))
    return history, puts, layout


def logs_of(puts, layout):
    return {bucket: Log(0, Rows(pa.Table.from_batches([puts[key] for key in keys]))) for bucket, keys in layout.items()}


def acknowledge(history, puts, layout, leave_out=()):
    for bucket, keys in layout.items():
        offset = 0
        for key in keys:
            if key not in leave_out:
                history.done(*key, bucket, offset)
            offset += puts[key].num_rows


def faults_of(history, logs, buckets=2):
    return sorted({fault.split(":")[0] for fault in judge(history.story(), logs, buckets)})


def test_a_good_story_passes(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    logs = logs_of(puts, layout)
    for start, stop in ((0, 3), (3, 100), (100, len(logs[0].rows))):
        history.saw("r", 0, start, stop, logs[0].rows.digest(start, stop))
    assert judge(history.story(), logs, 2) == []


def test_a_repeat_at_its_first_offsets_passes(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    acknowledge(history, puts, layout)
    assert faults_of(history, logs_of(puts, layout)) == []


@pytest.mark.parametrize("there", [True, False])
def test_an_unknown_put_may_be_there_or_not(world, there):
    history, puts, layout = world
    history.unknown(1, 5)
    if not there:
        layout[0].remove((1, 5))
    acknowledge(history, puts, layout, [(1, 5)])
    assert faults_of(history, logs_of(puts, layout)) == []


def test_a_put_without_any_answer_may_be_there_or_not(world):
    history, puts, layout = world
    layout[1].remove((2, 5))
    acknowledge(history, puts, layout, [(1, 5), (2, 5)])
    assert faults_of(history, logs_of(puts, layout)) == []


def test_a_refused_put_is_not_there(world):
    history, puts, layout = world
    history.refused(1, 5)
    acknowledge(history, puts, layout, [(1, 5)])
    assert faults_of(history, logs_of(puts, layout)) == ["stored"]
    layout[0].remove((1, 5))
    assert faults_of(history, logs_of(puts, layout)) == []


def test_a_refusal_does_not_undo_an_earlier_unknown(world):
    history, puts, layout = world
    history.unknown(2, 5)
    history.sent(2, 5, puts[2, 5].num_rows, Rows(puts[2, 5]).digest(), 4)
    history.refused(2, 5)
    acknowledge(history, puts, layout, [(2, 5)])
    assert faults_of(history, logs_of(puts, layout)) == []


@pytest.mark.parametrize(("key", "want"), [((1, 5), ["lost"]), ((2, 4), ["lost", "moved"]), ((2, 5), ["lost"]), ((1, 0), ["lost", "moved"]), ((2, 1), ["gap", "lost", "moved"])])
def test_lost(world, key, want):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    for keys in layout.values():
        if key in keys:
            keys.remove(key)
    assert faults_of(history, logs_of(puts, layout)) == want


def test_lost_where_the_offset_was_not_told(world):
    history, puts, layout = world
    layout[0].remove((1, 5))
    acknowledge(history, puts, layout)
    history.done(1, 5)
    assert faults_of(history, logs_of(puts, layout)) == ["lost"]


def test_doubled(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    layout[0].append((2, 4))
    assert faults_of(history, logs_of(puts, layout)) == ["doubled"]


def test_doubled_in_the_other_bucket(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    layout[1].append((2, 4))
    assert faults_of(history, logs_of(puts, layout)) == ["doubled", "reordered", "routed"]


def test_reordered(world):
    history, puts, layout = world
    keys = layout[0]
    a, b = keys.index((1, 3)), keys.index((1, 4))
    keys[a], keys[b] = keys[b], keys[a]
    acknowledge(history, puts, layout)
    assert faults_of(history, logs_of(puts, layout)) == ["reordered"]


def test_left_out(world):
    history, puts, layout = world
    layout[1].remove((2, 3))
    acknowledge(history, puts, layout)
    history.unknown(2, 3)
    assert faults_of(history, logs_of(puts, layout)) == ["gap"]


def test_changed(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    batch = puts[1, 3]
    texts = batch["text"].to_pylist()
    texts[200] = "x" * len(texts[200] or "yy")
    puts[1, 3] = batch.set_column(4, batch.schema.field("text"), pa.array(texts))
    assert faults_of(history, logs_of(puts, layout)) == ["changed"]


def test_torn(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    puts[1, 5] = puts[1, 5].slice(0, 63)
    assert faults_of(history, logs_of(puts, layout)) == ["torn"]


def test_invented(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    puts[9, 9] = make_put(9, 9, 3, 10)
    layout[0].append((9, 9))
    assert faults_of(history, logs_of(puts, layout)) == ["invented"]


def test_told_two_places(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    history.done(2, 3, 1, 12345)
    assert faults_of(history, logs_of(puts, layout)) == ["moved", "told twice"]


def test_dirty_read(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    logs = logs_of(puts, layout)
    end = len(logs[0].rows)
    history.saw("beyond", 0, 10, end + 1, 0)
    assert faults_of(history, logs) == ["dirty"]


def test_read_of_other_rows(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    logs = logs_of(puts, layout)
    history.saw("r", 0, 10, 20, logs[0].rows.digest(11, 21))
    assert faults_of(history, logs) == ["dirty"]


@pytest.mark.parametrize("second", [(19, 30), (21, 30)])
def test_reader_repeats_or_skips(world, second):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    logs = logs_of(puts, layout)
    for start, stop in ((10, 20), second):
        history.saw("r", 0, start, stop, logs[0].rows.digest(start, stop))
    assert faults_of(history, logs) == ["resumed"]


def test_a_log_that_begins_later_misses_nothing_before(world):
    history, puts, layout = world
    acknowledge(history, puts, layout)
    logs = logs_of(puts, layout)
    table = pa.Table.from_batches([puts[key] for key in layout[0]])
    logs[0] = Log(60, Rows(table.slice(60)))
    history.saw("r", 0, 0, 60, 1)
    assert faults_of(history, logs) == []
    logs[0] = Log(60, Rows(table.slice(60, len(table) - 60 - 64)))
    assert faults_of(history, logs) == ["lost"]


def test_other_rows_under_one_name_are_a_fault_of_the_test(world):
    history, puts, layout = world
    history.sent(2, 5, 1, 2, 4)
    acknowledge(history, puts, layout)
    assert faults_of(history, logs_of(puts, layout)) == ["the test itself"]
