"""What a download of a run's file sends."""

from studio.ui.downloads import BLOCK_BYTES, first_bytes


def test_a_log_that_grows_while_it_is_sent_ends_where_it_was_announced_to_end(tmp_path):
    log = tmp_path / "worker.log"
    log.write_bytes(b"1" * (BLOCK_BYTES + 10))
    blocks = first_bytes(log, BLOCK_BYTES + 10)
    first = next(blocks)
    with log.open("ab") as grown:
        grown.write(b"2" * 100)
    assert first + b"".join(blocks) == b"1" * (BLOCK_BYTES + 10)
