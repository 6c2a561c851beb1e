"""The one command, `conure VERB [overrides]`.

A verb is an entry point of any installed distribution: `name = "module:function [extra]"` in the
group `conure.commands`, where the function takes the list of words after the verb. The module is
imported when the verb is called. What `conure` lists beside the name is the first line of the
function's docstring. The extra of `conure` brings what the verb needs. A verb may be two words:
`conure bench` alone lists every `bench X`.
"""

from conure_core.cli.command import main
from conure_core.cli.registry import ANYWHERE, GROUP, summary, verbs
from conure_core.cli.running import call

__all__ = ["ANYWHERE", "GROUP", "call", "main", "summary", "verbs"]
