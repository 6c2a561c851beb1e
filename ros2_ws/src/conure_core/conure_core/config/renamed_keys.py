"""Keys of the command line that have another name now: for one release the old one works too, and
a hint says the new.

A module of configurations lists them in `RENAMED`, by the name of the configuration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from conure_core.errors import ConfigError

SIGNS = "+~"
"""What Hydra allows in front of a key."""


@dataclass(frozen=True)
class Renamed:
    """One old name.

    Example:
        Renamed("latent.*", "method.*", "method", ("latent", "steered"))
        Renamed("escape=true", "method=latent_escape", "method", ("latent",))
        Renamed("escape=false", "")
    """

    old: str
    """A key, `section.*` for every key below it, or `key=value` for one value alone."""
    new: str
    """What stands in its place, in the same form; empty: nothing, for it says the default."""
    group: str = ""
    """The group that decides whether it has a meaning; empty: it always has."""
    options: tuple[str, ...] = ()
    """Options of that group with which it has one."""

    def below(self, place: str) -> "Renamed":
        """Return the same row where the whole configuration stands below a key, as `rl` does in the
        demo.
        """
        new = f"{place}.{self.new}" if self.new else ""
        group = f"{place}.{self.group}" if self.group else ""
        return replace(self, old=f"{place}.{self.old}", new=new, group=group)

    def matches(self, key: str, value: str) -> bool:
        """Tell whether an override is the old name's.

        Args:
            key: The key, without Hydra's sign in front.
            value: The value as text; compared in lower case where the old name is `key=value`.

        Returns:
            True for the old name itself, and for every key below an old `section.*`.
        """
        if "=" in self.old:
            return f"{key}={value.lower()}" == self.old
        if self.old.endswith(".*"):
            return key.startswith(self.old[:-1])
        return key == self.old

    def applies(self, chosen: Mapping[str, str]) -> bool:
        """Tell whether the row has a meaning with these chosen options, by group."""
        if not self.group:
            return True
        return chosen.get(self.group) in self.options

    def current(self, key: str, value: str) -> str:
        """Write an override under its new name.

        Args:
            key: The old key, without Hydra's sign in front; `matches` holds for it.
            value: The value as text, which is kept.

        Returns:
            `key=value` with the new key; the new text alone where one value was renamed; empty
            where nothing takes its place.
        """
        if "=" in self.old or not self.new:
            return self.new
        if self.old.endswith(".*"):
            below = key.removeprefix(self.old[:-1])
            return f"{self.new[:-1]}{below}={value}"
        return f"{self.new}={value}"


def with_current_names(
    words: Sequence[str],
    table: Sequence[Renamed],
    chosen: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """Overrides under the names that their keys have now.

    Args:
        words: Overrides, `key=value`.
        table: The old names. Those that choose an option come before those that ask for one.
        chosen: The options that stand without these words, by group.

    Returns:
        The overrides, and a hint for each that had an old name.

    Raises:
        ConfigError: An old name chooses an option beside another one.
    """
    current = list(words)
    hints = []
    for choosing in (True, False):
        given = {key: value for _, key, value in map(_parts, current)}
        options = {**chosen, **given}
        rows = [row for row in table if ("=" in row.old) == choosing]
        for word in list(current):
            new = _renamed(word, rows, options)
            if new == word:
                continue
            if choosing and new:  # it takes the place of the option that it refines
                key, _, option = new.partition("=")
                current = [other for other in current if _parts(other)[1] != key]
                options[key] = option
            current = [new if other == word else other for other in current]
            hints.append(_hint(word, new))
    return [word for word in current if word], hints


def _hint(word: str, new: str) -> str:
    if not new:
        return f"leave out {word}; it has no effect here"
    return f"write {new} instead of {word}; the old name works until the next release"


def _renamed(word: str, rows: Sequence[Renamed], options: Mapping[str, str]) -> str:
    """The word, what it is called now, or nothing where it has no meaning."""
    sign, key, value = _parts(word)
    matching = [row for row in rows if row.matches(key, value)]
    row = next((row for row in matching if row.applies(options)), None)
    if row is not None:
        new = row.current(key, value)
        if not new or "=" in row.old:
            return new
        return f"{sign}{new}"
    if matching and "=" in matching[0].old:
        wanted = matching[0]
        raise ConfigError(
            f"{word} goes with {wanted.group}={'|'.join(wanted.options)}, not with"
            f" {wanted.group}={options.get(wanted.group, '')}; write {wanted.new} alone"
        )
    return "" if matching else word


def _parts(word: str) -> tuple[str, str, str]:
    """Sign, key and value of an override."""
    unsigned = word.lstrip(SIGNS)
    sign = word.removesuffix(unsigned)
    key, _, value = unsigned.partition("=")
    return sign, key, value.strip("'\"")
