"""The presets that a study trains: those that are named, or the variants that the paper measures, over a base."""

from collections.abc import Sequence
from dataclasses import dataclass

from sincut.config.resolve import DEFAULT_PRESET, load_preset, override, presets, schedule_flags
from sincut.config.sections import Config
from sincut.errors import ConfigError
from sincut.report.study_table import Entry

# Presets of the paper's ablations and of the methods that it compares with, in its order; those that are shipped are
# the ones that a study trains unless others are named.
ABLATIONS = (
    *("identity", "no-identity", "fifteen-negatives", "last-layer", "last-layer-no-identity"),
    *("external", "internal-and-external", "separate-encoders", "nce-not-to-decoder", "fastcut"),
    *("cyclegan", "gcgan", "distance", "self-distance"),
)
# Under all other settings: previews would cost time and memory that are no part of what is compared.
PLAIN_OUTPUT = ("output.previews=0", "output.log_every=10")


@dataclass(frozen=True)
class Lineup:
    """The presets of a study, each with its complete settings, and what was left out of it, in words."""

    entries: tuple[Entry, ...]
    configs: tuple[Config, ...]
    length: str  # of each training, in words
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        names: Sequence[str] = (),
        base: str | None = None,
        flags: Sequence[str] = (),
        minutes: float | None = None,
        steps: int | None = None,
    ) -> "Lineup":
        """The presets `names`, or with a `base` that one and each of `names` laid over it (`base+name`).

        Without names they are the shipped `ABLATIONS` over `base`, or over the default preset. `flags` are laid over
        all of them, and all have one length, `minutes` or `steps`: by default the minutes of the first. A preset that
        comes to the same settings as an earlier one is left out. Raises `ConfigError`.
        """
        chosen = _chosen(names, base)
        flags = [*PLAIN_OUTPUT, *flags, *_length(chosen[0], flags, minutes, steps)]
        entries, configs, notes = list[Entry](), list[Config](), list[str]()
        for name in chosen:
            preset = load_preset(name)
            config, called = override(preset.config, flags), preset.name
            if called.casefold() in (entry.name.casefold() for entry in entries):
                raise ConfigError(f"{called} is the name of two presets of the study; give one of them another name")
            if config in configs:
                notes.append(f"{called} is left out: its settings are those of {entries[configs.index(config)].name}")
                continue
            changes = config.changes(configs[0]) if configs else {}
            about = preset.about.removeprefix(f"{entries[0].about} ") if entries else preset.about
            entries.append(Entry(called, about, changes))
            configs.append(config)
        schedule = configs[0].schedule
        length = f"{schedule.steps:,} step" if schedule.steps else f"{schedule.minutes:g} minute"
        length += "s" if (schedule.steps or schedule.minutes) != 1 else ""
        return cls(tuple(entries), tuple(configs), length, tuple(notes))


def _chosen(names: Sequence[str], base: str | None) -> list[str]:
    """Names of presets as `load_preset` takes them, each once."""
    if names and base is None:
        return list(dict.fromkeys(names))
    base = base or DEFAULT_PRESET
    shipped = {preset.name for preset in presets()}
    others = names or [name for name in ABLATIONS if name in shipped]
    return list(dict.fromkeys([base, *(f"{base}+{name}" for name in others if name != base)]))


def _length(first: str, flags: Sequence[str], minutes: float | None, steps: int | None) -> list[str]:
    """Flags that give all trainings one length: that which is given, else what `flags` or the first preset say."""
    if minutes is not None or steps is not None:
        return schedule_flags(minutes, steps)
    typed = {flag.partition("=")[0].strip() for flag in flags}
    schedule = override(load_preset(first).config, flags).schedule
    if schedule.steps and "schedule.steps" in typed:
        return schedule_flags(steps=schedule.steps)
    if schedule.steps and "schedule.minutes" not in typed:
        raise ConfigError(f"{first} trains {schedule.steps:,} steps; give --minutes or --steps, for all trainings")
    return schedule_flags(schedule.minutes)
