"""Rounds, commands, workers and settings: small state, each change by name."""

import pytest

from store import commands, database, errors, rounds, settings, workers


def _begin(db: database.Database, pid: int = 11, now: float = 1.0) -> int:
    with db.write() as tx:
        return rounds.begin(tx, 7, {"method": "raum"}, 3, now, pid=pid)


def test_a_round_from_begin_to_publish(db: database.Database) -> None:
    round_id = _begin(db)
    with db.write() as tx:
        begun = rounds.running(tx)
        assert begun is not None
        assert (begun.id, begun.seed, begun.settings, begun.watermark, begun.pid) == (
            round_id,
            7,
            {"method": "raum"},
            3,
            11,
        )
        rounds.progress(tx, round_id, "train", 0.5, "step 5", 120.0, 9.0)
        half = rounds.get(tx, round_id)
        assert (half.phase, half.fraction, half.message, half.throughput, half.eta_s) == (
            "train",
            0.5,
            "step 5",
            120.0,
            9.0,
        )
        assert rounds.last(tx) is None
        rounds.publish(tx, round_id, {"accuracy": 0.5}, "checkpoints/1.safetensors", 9.0)
        done = rounds.last(tx)
        assert done is not None
        assert (done.status, done.metrics, done.checkpoint) == (
            "published",
            {"accuracy": 0.5},
            "checkpoints/1.safetensors",
        )
        assert rounds.running(tx) is None


def test_a_failed_round_keeps_its_phase_and_reason(db: database.Database) -> None:
    round_id = _begin(db)
    with db.write() as tx:
        rounds.progress(tx, round_id, "calibrate", 0.9)
        rounds.fail(tx, round_id, "loss is not finite", 4.0)
        (failed,) = rounds.all_(tx)
        assert rounds.all_(tx, after=failed.id) == []
        assert (failed.status, failed.phase, failed.error, failed.finished_at) == (
            "failed",
            "calibrate",
            "loss is not finite",
            4.0,
        )


def test_a_round_ends_once(db: database.Database) -> None:
    round_id = _begin(db)
    with db.write() as tx:
        rounds.fail(tx, round_id, "why", 2.0)
        with pytest.raises(errors.NotRunning, match="is failed"):
            rounds.publish(tx, round_id, {}, None, 3.0)
        with pytest.raises(errors.NotRunning):
            rounds.progress(tx, round_id, "train", 0.1)
        with pytest.raises(errors.UnknownRound):
            rounds.fail(tx, 99, "why", 2.0)


def test_rounds_whose_process_is_gone_fail_by_name(db: database.Database) -> None:
    dead, alive = _begin(db, pid=11), _begin(db, pid=12)
    with db.write() as tx:
        assert rounds.fail_stale(tx, 5.0, alive=lambda pid: pid == 12) == [dead]
        assert rounds.get(tx, dead).error == "process 11 ended without a word during 'begin'"
        running = rounds.running(tx)
        assert running is not None
        assert running.id == alive


def test_commands_are_taken_once_in_order(db: database.Database) -> None:
    with db.write() as tx:
        first, second = commands.ask(tx, "train", {"steps": 3}, 1.0), commands.ask(tx, "pause", {}, 2.0)
        taken = commands.take(tx, 3.0)
        assert taken is not None
        assert (taken.id, taken.kind, taken.payload, taken.taken_at) == (first, "train", {"steps": 3}, 3.0)
        assert [command.id for command in commands.pending(tx)] == [first, second]
        commands.finish(tx, first, {"round": 1}, now=4.0)
        again = commands.take(tx, 5.0)
        assert again is not None
        assert again.id == second
        assert commands.take(tx, 6.0) is None
        commands.finish(tx, second, error="no", now=7.0)
        assert commands.pending(tx) == []
        assert (commands.get(tx, first).result, commands.get(tx, second).error) == ({"round": 1}, "no")
        assert commands.last(tx, "train") == commands.get(tx, first)
        assert commands.last(tx, "nothing") is None
        with pytest.raises(errors.UnknownCommand):
            commands.finish(tx, 99, now=1.0)


def test_after_a_crash_commands_are_offered_again_or_fail_by_name(db: database.Database) -> None:
    with db.write() as tx:
        ids = [commands.ask(tx, kind, {}, 1.0) for kind in ("ingest", "train", "ingest")]
        commands.take(tx, 2.0)
        commands.take(tx, 2.0)
        failed = commands.recover(tx, 3.0, again={"ingest"})
        assert [command.id for command in failed] == [ids[1]]
        assert "while it did 'train'" in str(failed[0].error)
        assert [command.taken_at for command in commands.pending(tx)] == [None, None]


def test_a_beat_replaces_the_one_before(db: database.Database) -> None:
    with db.write() as tx:
        workers.beat(tx, "worker", 5, "idle", now=1.0)
        workers.beat(tx, "worker", 6, "refresh", 0.5, "busy", 100.0, 2.0, "cpu", now=2.0)
        workers.beat(tx, "round", 7, "train", now=2.0)
        assert [state.name for state in workers.workers(tx)] == ["round", "worker"]
        state = workers.get(tx, "worker")
        assert state is not None
        assert (state.pid, state.phase, state.fraction, state.device, state.beat_at) == (6, "refresh", 0.5, "cpu", 2.0)
        workers.forget(tx, "worker")
        assert workers.get(tx, "worker") is None


def test_settings_hold_json(db: database.Database) -> None:
    with db.write() as tx:
        assert settings.get_setting(tx, "a") is None
        assert settings.get_setting(tx, "a", 3) == 3
        for value in ({"b": [1, None, 0.5]}, False, "text"):
            settings.set_setting(tx, "a", value)
            assert settings.get_setting(tx, "a") == value
