"""Reads the rows of a data set on the Hub, without ever running code from it."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.errors import DataError
from studio.network import BAD_TOKEN, BAD_TOKEN_STATUS, hub_reachable

BATCH_ROWS = 1000
# a part of a split, as `datasets` writes it; others (several parts, counted from the end) are left to a download
SLICE = re.compile(r"(?P<split>[\w.-]+)\[(?P<start>\d*%?):(?P<end>\d*%?)\]")
HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9._-]{1,96}")


def is_hub_name(name: str) -> bool:
    """Whether the name has the form owner/name."""
    return HUB_NAME.fullmatch(name) is not None


def unknown_source(name: str) -> DataError:
    """What to say of a name that means neither a file nor a data set."""
    return DataError(f'"{name}" is neither a file here nor a data set of the Hub.',
                     "Hub data sets are named owner/name; files end in .jsonl, .json, .csv or .parquet.")


@dataclass(frozen=True)
class HubRows:
    """A split of a data set on the Hub, or a part of it: rows in batches, and how many there are where that is known.

    The iterator raises `DataError` where the rest cannot be had.
    """

    batches: Iterator[list[dict[str, Any]]]
    total: int | None


def read_hub(
    name: str, config: str, split: str, token: str | None, limit: int, revision: str = ""
) -> tuple[list[dict[str, Any]], int | None]:
    """Read a split's rows, at most `limit` (0: all); returns them and the split's row count where that is known.

    `split` may name a part of one, as train[:1000]. With a limit only as much is downloaded as is needed. Raises
    `DataError` for an unknown or gated data set, a missing configuration, split or revision, a wrong token, and a Hub
    that cannot be reached.
    """
    source = _Source(name, config, split, token, revision)
    with source.explained():
        if not limit:
            rows = source.downloaded().with_format("arrow")[:].to_pylist()
            return rows, len(rows)
        loaded, total = source.streamed()
        return list(loaded.take(limit)), total


def stream_hub(
    name: str, config: str, split: str, token: str | None, revision: str = "", limit: int = 0,
    keep: Callable[[Iterator[Any]], Iterator[Any]] = lambda tables: tables,
) -> HubRows:
    """The same held in batches only, and nothing of it kept on disk, unless `keep` does, through which the tables go.

    What was downloaded whole before is read from this machine. Raises as `read_hub`.
    """
    source = _Source(name, config, split, token, revision)

    def batches() -> Iterator[list[dict[str, Any]]]:
        with source.explained():
            for table in keep(loaded.with_format("arrow").iter(BATCH_ROWS)):
                yield table.to_pylist()

    with source.explained():
        loaded, total = source.streamed()
    if limit:
        loaded, total = loaded.take(limit), total and min(total, limit)
    return HubRows(batches(), total)


@dataclass(frozen=True)
class _Source:
    """What a person names on the Hub."""

    name: str
    config: str
    split: str
    token: str | None
    revision: str

    def downloaded(self) -> Any:
        """The split as a data set of this machine's cache; raises what `datasets` raises."""
        return self._load(self.split, streaming=False)

    def streamed(self) -> tuple[Any, int | None]:
        """The split as a stream, with its row count; a part given in percent needs that count, or else a download."""
        part = SLICE.fullmatch(self.split)
        if part is None and "[" not in self.split and "+" not in self.split:
            loaded = self._load(self.split, streaming=True)
            return loaded, _row_count(loaded, self.split)
        loaded = self._load(part["split"], streaming=True) if part else None
        total = _row_count(loaded, part["split"]) if part else None
        if part is None or (total is None and "%" in self.split):
            loaded = self._load(self.split, streaming=False)
            return loaded.to_iterable_dataset(), len(loaded)
        start, end = (_border(part[name], total) for name in ("start", "end"))
        ends = [border for border in (end if part["end"] else None, total) if border is not None]
        loaded = loaded.skip(start)
        if part["end"]:
            loaded = loaded.take(max(0, end - start))
        return loaded, max(0, min(ends) - start) if total is not None else None

    def _load(self, split: str, streaming: bool) -> Any:
        import datasets
        import huggingface_hub.constants

        datasets.disable_progress_bars()
        # a stream would load it for nothing, which takes seconds and 300 MB
        datasets.config.TORCH_AVAILABLE = sys.modules.get("torch") is not None
        if not hub_reachable():
            # both libraries look this up at each call, and would retry for half a minute before they take the cached
            # copy
            huggingface_hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
        source = {"path": self.name, "name": self.config or None, "revision": self.revision or None,
                  "token": self.token}
        if not streaming:
            return datasets.load_dataset(**source, split=split)
        builder = datasets.load_dataset_builder(**source)
        if not Path(builder.cache_dir).is_dir():
            return builder.as_streaming_dataset(split=split)
        # downloaded before, as by a run
        rows = builder.as_dataset(split=split).to_iterable_dataset()
        rows.info.splits = builder.info.splits
        return rows

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what the client libraries raise into a `DataError`."""
        name = self.name
        if not is_hub_name(name):
            raise unknown_source(name)
        from datasets.exceptions import DataFilesNotFoundError, DatasetNotFoundError, DatasetsError
        from httpx import HTTPError
        from huggingface_hub.errors import HfHubHTTPError

        try:
            yield
        except DatasetNotFoundError as error:
            raise self._not_found(str(error)) from None
        except ValueError as error:
            raise _wrong_name(name, self.config, self.split, str(error)) from None
        except ConnectionError:
            raise DataError(f"The Hub cannot be reached, and {name} is not on this machine.",
                            "Check the network and try again, or upload the rows as a file.") from None
        except (HTTPError, HfHubHTTPError, FileNotFoundError) as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code == BAD_TOKEN_STATUS:
                raise DataError(*BAD_TOKEN) from None
            raise DataError(f"The Hub did not give {name}: {_first_line(error)}.",
                            "Check the network and try again, or upload the rows as a file.") from None
        except (RuntimeError, DatasetsError, DataFilesNotFoundError) as error:
            raise DataError(f"{name} cannot be read: {_first_line(error)}.",
                            "Choose a data set of plain files, or upload its rows as a file.") from None

    def _not_found(self, reason: str) -> DataError:
        if "gated" in reason:
            return DataError(f"{self.name} is gated: its owner must let you in.",
                             f"Ask for access at huggingface.co/datasets/{self.name} and sign in as yourself.")
        if "Revision" in reason:
            return DataError(f'{self.name} has no revision "{self.revision}".',
                             "Use a branch, a tag or a whole commit id, or leave it empty.", "data.dataset_revision")
        return DataError(f"There is no data set {self.name} on the Hub that you may see.",
                         "Check the name; a private one needs a token.")


def _row_count(loaded: Any, split: str) -> int | None:
    info = loaded.info.splits
    return info[split].num_examples if info and split in info else None


def _border(text: str, total: int | None) -> int:
    """Where a part begins or ends, in rows; percentages are rounded as `datasets` rounds them."""
    if text.endswith("%"):
        return round(int(text[:-1]) * total / 100)
    return int(text or 0)


def _wrong_name(name: str, config: str, split: str, reason: str) -> DataError:
    if "Config name is missing" in reason or "BuilderConfig" in reason:
        known = re.findall(r"'([^']+)'", reason.partition("[")[2].partition("]")[0])
        hint = f"Choose one of {', '.join(known[:12])}." if known else "Look them up on the data set's page."
        said = f'{name} has no configuration "{config}".' if config else f"{name} has several configurations."
        return DataError(said, hint, field="data.dataset_config")
    if "split" in reason.lower():
        known = re.findall(r"'([^']+)'", reason)
        hint = f"It has {', '.join(known[:12])}." if known else "Look its splits up on the data set's page."
        return DataError(f'{name} has no split "{split}".', hint, field="data.dataset_train_split")
    return DataError(f"{name} cannot be read: {reason.splitlines()[0].rstrip('.')}.", "Choose another data set.")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
