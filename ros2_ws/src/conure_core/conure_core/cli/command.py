"""`conure` itself: find the verb that the words begin with, and call it."""

import sys
from collections.abc import Sequence

from conure_core.cli.registry import family, load_verb, summary, verbs
from conure_core.cli.running import call
from conure_core.errors import unknown_name

HELP = ("-h", "--help", "help")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb. Returns the exit status.

    0 done; 1 refused, one line on stderr says why; 130 interrupted; 143 told to end by SIGTERM.
    """
    return call("conure", _dispatch, sys.argv[1:] if arguments is None else arguments)


def _dispatch(words: list[str]) -> int | None:
    """Run the verb that these words begin with, or list the verbs. Raises: ConfigError."""
    members = family(words[0]) if words else []
    valid = members or list(verbs())
    length = 2 if members else 1
    if len(words) < length or words[length - 1] in HELP:
        print(_usage(valid))
        return None
    name = " ".join(words[:length])
    if name not in valid:
        raise unknown_name("verb", name, valid)
    return call(f"conure {name}", lambda rest: load_verb(name)(rest), words[length:])


def _usage(names: Sequence[str]) -> str:
    """List these verbs for a person, a line each."""
    width = max(map(len, names))
    lines = ["conure VERB [key=value ...]   (conure VERB --help lists a verb's keys)", ""]
    for name in names:
        lines.append(f"  {name.ljust(width)}  {summary(verbs()[name])}")
    return "\n".join(lines)
