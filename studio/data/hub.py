"""Reads the rows of a data set on the Hub, without ever running code from it."""

import re
from typing import Any

from studio.errors import DataError
from studio.network import hub_reachable

HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9._-]{1,96}")


def is_hub_name(name: str) -> bool:
    """Whether the name has the form owner/name."""
    return HUB_NAME.fullmatch(name) is not None


def read_hub(
    name: str, config: str, split: str, token: str | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Read a split's rows, at most `limit` (0: all); returns them and the split's row count where that is known.

    With a limit only as much is downloaded as is needed. Raises `DataError` for an unknown or gated data set, a missing
    configuration or split, and a Hub that cannot be reached.
    """
    if not is_hub_name(name):
        raise DataError(f'"{name}" is neither a file here nor a data set of the Hub.',
                        "Hub data sets are named owner/name; files end in .jsonl, .json, .csv or .parquet.")
    import datasets
    import httpx
    import huggingface_hub.constants
    from huggingface_hub.errors import HfHubHTTPError

    datasets.disable_progress_bars()
    if not hub_reachable():
        # both libraries look this up at each call, and would retry for half a minute before they take the cached copy
        huggingface_hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        loaded = datasets.load_dataset(name, config or None, split=split, token=token, streaming=bool(limit))
        info = loaded.info.splits
        total = info[split].num_examples if info and split in info else None
        rows = list(loaded.take(limit)) if limit else loaded.with_format("arrow")[:].to_pylist()
        return rows, total
    except datasets.exceptions.DatasetNotFoundError as error:
        if "gated" in str(error):
            raise DataError(f"{name} is gated: its owner must let you in.",
                            f"Ask for access at huggingface.co/datasets/{name} and sign in as yourself.") from None
        raise DataError(f"There is no data set {name} on the Hub that you may see.",
                        "Check the name; a private one needs a token.") from None
    except ValueError as error:
        raise _wrong_name(name, config, split, str(error)) from None
    except ConnectionError:
        raise DataError(f"The Hub cannot be reached, and {name} is not on this machine.",
                        "Check the network and try again, or upload the rows as a file.") from None
    except (httpx.HTTPError, HfHubHTTPError, FileNotFoundError) as error:
        raise DataError(f"The Hub did not give {name}: {_first_line(error)}.",
                        "Check the network and try again, or upload the rows as a file.") from None
    except (RuntimeError, datasets.exceptions.DatasetsError, datasets.exceptions.DataFilesNotFoundError) as error:
        raise DataError(f"{name} cannot be read: {_first_line(error)}.",
                        "Choose a data set of plain files, or upload its rows as a file.") from None


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
