# Owns how words become a namespace: unknown commands and flags are refused with the nearest known
# one, flags of the reference that Headrace does not have with what to do instead. Knows no command.
"""The parser behind every command."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, TypeAlias

from engine.cli import older_words

EXIT_USAGE = 2


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` most likely means, or None."""
    import difflib  # late, for speed: only mistakes need it

    found = difflib.get_close_matches(word, sorted(known), 1)
    return found[0] if found else None


class Parser(argparse.ArgumentParser):
    """An argument parser that helps who mistypes."""

    def __init__(self, **settings: Any) -> None:
        # A shortened flag would change its meaning when a flag is added.
        super().__init__(**settings, allow_abbrev=False)
        # What the reference has and this command has not: spelling and reason.
        self.unsupported: dict[str, str] = {}
        # Why there is no such command, if it is only known to be refused.
        self.refusal: str | None = None

    def add_unsupported(self, *flags: str, reason: str) -> None:
        """Refuse `flags`, with or without a value, for `reason`."""
        self.add_argument(*flags, nargs="?", action=_Unsupported, reason=reason)
        self.unsupported |= dict.fromkeys(flags, reason)

    def parse_known_args(  # type: ignore[override]  # as typeshed has it, without the overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does; the namespace says which parser took the last word."""
        if self.refusal is not None:
            self.exit(EXIT_USAGE, f"'{self.prog}' is not supported\n  hint: {self.refusal}\n")
        parsed, extras = super().parse_known_args(args, namespace)
        if getattr(parsed, "parser", None) is None:
            parsed.parser = self
        return parsed, extras

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As argparse does; what nobody knows is refused by the parser of the command."""
        parsed, extras = self.parse_known_args(args, namespace)
        if extras:
            parsed.parser.refuse(extras)
        return parsed

    def refuse(self, words: list[str]) -> NoReturn:
        """End with what is wrong with `words`, which belong to no flag."""
        word = next((word for word in words if word.startswith("-")), words[0])
        if not word.startswith("-"):
            self.error(f"unexpected argument '{word}'")
        flag = word.split("=", 1)[0]
        if flag in older_words.FLAGS:
            self.error(f"there is no flag '{flag}'; here that is {older_words.FLAGS[flag]}")
        guess = nearest(flag, self._option_string_actions)
        self.error(f"there is no flag '{flag}'" + (f"; did you mean '{guess}'?" if guess else ""))

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(
            EXIT_USAGE, f"{self.prog}: {message}\n  hint: '{self.prog} --help' says what there is\n"
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        guess = nearest(str(value), action.choices)
        text = f"'{value}' is not known"
        is_command = isinstance(action, argparse._SubParsersAction)
        if is_command and value in older_words.COMMANDS:
            text += f"; here that is {older_words.COMMANDS[value]}"
        elif guess:
            text += f"; did you mean '{guess}'?"
        elif not is_command:
            text += f": use {', '.join(map(str, action.choices))}"
        raise argparse.ArgumentError(action, text)


class _Unsupported(argparse.Action):
    """Refuses a flag of the reference."""

    def __init__(self, *, reason: str, **settings: Any) -> None:
        super().__init__(default=argparse.SUPPRESS, help=argparse.SUPPRESS, **settings)
        self.reason = reason

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        parser.error(f"{option_string} is not supported: {self.reason}")


Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"


def nouns_of(verbs: Verbs, verb: str, text: str) -> Verbs:
    """The commands that begin with `verb`, to be added to."""
    parser = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
    return parser.add_subparsers(title="what", metavar="WHAT", required=True)
