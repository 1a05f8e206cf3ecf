"""Takes over what was uploaded as one data set: a file as it is, several files as one archive of them."""

import tempfile
import zipfile
from pathlib import Path

from studio.data.sources import store_upload
from studio.settings import Settings

PIECE_BYTES = 1_000_000


def store_uploads(settings: Settings, paths: list[Path]) -> str:
    """Copy the files into the uploads folder; returns the name for `data.dataset_name`.

    The same files in the same order are stored once. Raises `DataError` for a file that cannot hold rows.
    """
    if len(paths) == 1:
        return store_upload(settings, paths[0])
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / f"{paths[0].stem[:40]}-and-{len(paths) - 1}-more.zip"
        # not compressed: the server answers others meanwhile
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for number, path in enumerate(paths, 1):
                taken = path.name in archive.namelist()
                # without the time of the upload, so that the same files give the same archive
                member = zipfile.ZipInfo(f"{number}-{path.name}" if taken else path.name)
                with open(path, "rb") as source, archive.open(member, "w", force_zip64=True) as target:
                    while piece := source.read(PIECE_BYTES):
                        target.write(piece)
        return store_upload(settings, packed)
