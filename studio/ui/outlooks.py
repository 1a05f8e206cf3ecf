"""What the last checks found, kept for a few minutes, so that Start need not look at data and Hub a second time."""

from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic

from studio.preset import files
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.start import Outlook, look_ahead

KEEP_S, KEEP_COUNT = 300, 16


@dataclass
class Outlooks:
    """Checks of this server's visitors, newest last; a memory only, anything may be forgotten at any time."""

    settings: Settings
    _kept: "OrderedDict[tuple[str, str | None], tuple[float, Outlook]]" = field(default_factory=OrderedDict)

    def look(self, preset: Preset, token: str | None) -> Outlook:
        """Check now (seconds), and remember."""
        outlook = look_ahead(preset, self.settings, token)
        self._kept[files.dumps(preset, comments=False), token] = (monotonic(), outlook)
        while len(self._kept) > KEEP_COUNT:
            self._kept.popitem(last=False)
        return outlook

    def recent(self, preset: Preset, token: str | None) -> Outlook:
        """The last check of this very preset where it is fresh and nothing stood in the way, else a new one."""
        at, outlook = self._kept.get((files.dumps(preset, comments=False), token), (0.0, None))
        fresh = outlook is not None and outlook.may_start and monotonic() - at < KEEP_S
        return outlook if fresh else self.look(preset, token)
