# Owns the reading of tokens one by one, and the grammar of expressions. parser.py builds on it.
"""Parsing of InfluxQL expressions."""

import math
from collections.abc import Mapping

from engine.errors import QueryError
from engine.influxql import tree
from engine.influxql.lexer import Token, TokenKind, duration_ns, syntax_error

_DEPTH_MAX = 100
_CHAINED_MAX = 300
_END_OF_FIELD = frozenset({"FROM", "INTO", "AS"})

_PRECEDENCE = {
    "OR": 1,
    "AND": 2,
    **dict.fromkeys(("=", "!=", "<>", "<", "<=", ">", ">=", "=~", "!~"), 3),
    **dict.fromkeys(("+", "-", "|", "^"), 4),
    **dict.fromkeys(("*", "/", "%", "&"), 5),
}


class ExpressionParser:
    """Reads expressions; the place in the tokens moves on."""

    def __init__(self, tokens: list[Token], parameters: Mapping[str, object]) -> None:
        self._tokens = tokens
        self._parameters = parameters
        self._at = 0
        self._depth = 0

    # -- tokens -----------------------------------------------------------------------------------

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _is_at_end(self) -> bool:
        return self._token.kind is TokenKind.END

    def _next(self) -> Token:
        token = self._token
        self._at += 1
        return token

    def _is_word(self, *words: str) -> bool:
        for index, word in enumerate(words):
            token = self._tokens[min(self._at + index, len(self._tokens) - 1)]
            if token.kind is not TokenKind.WORD or token.text.upper() != word:
                return False
        return True

    def _took(self, *words: str) -> bool:
        if not self._is_word(*words):
            return False
        self._at += len(words)
        return True

    def _is_symbol(self, symbol: str) -> bool:
        return self._token.kind is TokenKind.SYMBOL and self._token.text == symbol

    def _took_symbol(self, symbol: str) -> bool:
        if not self._is_symbol(symbol):
            return False
        self._at += 1
        return True

    def _expect(self, *words: str) -> None:
        if not self._took(*words):
            raise self._unexpected(" ".join(words))

    def _expect_symbol(self, symbol: str) -> None:
        if not self._took_symbol(symbol):
            raise self._unexpected(symbol)

    def _unexpected(self, expected: str) -> QueryError:
        token = self._token
        found = "EOF" if token.kind is TokenKind.END else token.text
        return syntax_error(f"found {found}, expected {expected}", token.offset)

    def _name(self, what: str = "identifier") -> str:
        if self._token.kind in (TokenKind.WORD, TokenKind.NAME):
            return self._next().text
        raise self._unexpected(what)

    # -- expressions ------------------------------------------------------------------------------

    def _expression(self, least: int = 1) -> tree.Expression:
        left = self._operand()
        chained = 0
        while True:
            token = self._token
            operator = token.text.upper() if token.kind is TokenKind.WORD else token.text
            rank = (
                _PRECEDENCE.get(operator, 0)
                if token.kind in (TokenKind.WORD, TokenKind.SYMBOL)
                else 0
            )
            if rank < least:
                return left
            self._at += 1
            chained += 1
            if chained > _CHAINED_MAX:
                raise QueryError("error parsing query: the expression is too long")
            right = self._expression(rank + 1)
            left = tree.Binary("!=" if operator == "<>" else operator, left, right)

    def _operand(self) -> tree.Expression:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise QueryError("error parsing query: the expression is nested too deeply")
        try:
            return self._primary()
        finally:
            self._depth -= 1

    def _primary(self) -> tree.Expression:
        token = self._token
        if self._took_symbol("("):
            inner = self._expression()
            self._expect_symbol(")")
            return inner
        if self._took_symbol("-"):
            return _negated(self._operand())
        if self._took_symbol("+"):
            return self._operand()
        if self._took_symbol("*"):
            return tree.Wildcard(self._cast())
        match token.kind:
            case TokenKind.INTEGER | TokenKind.NUMBER:
                self._at += 1
                return tree.Literal(number_of(token))
            case TokenKind.STRING:
                self._at += 1
                return tree.Literal(token.text)
            case TokenKind.DURATION:
                self._at += 1
                return tree.Duration(duration_ns(token.text))
            case TokenKind.REGEX:
                self._at += 1
                return tree.Regex(token.text)
            case TokenKind.PARAMETER:
                self._at += 1
                return self._parameter(token)
            case TokenKind.NAME | TokenKind.WORD:
                return self._named()
            case _:
                raise self._unexpected("identifier, string, number, bool")

    def _named(self) -> tree.Expression:
        token = self._next()
        if token.kind is TokenKind.WORD:
            if self._is_symbol("("):
                return self._call(token.text.lower())
            word = token.text.upper()
            if word in ("TRUE", "FALSE"):
                return tree.Literal(word == "TRUE")
            if word == "DISTINCT" and self._token.kind in (TokenKind.WORD, TokenKind.NAME):
                return tree.Call("distinct", (self._named(),))
            if word in _END_OF_FIELD:
                self._at -= 1
                raise self._unexpected("identifier, string, number, bool")
        return tree.Reference(token.text, self._cast())

    def _cast(self) -> str:
        return self._name("type").lower() if self._took_symbol("::") else ""

    def _call(self, name: str) -> tree.Expression:
        self._expect_symbol("(")
        arguments: list[tree.Expression] = []
        if not self._is_symbol(")"):
            arguments.append(self._expression())
            while self._took_symbol(","):
                arguments.append(self._expression())
        self._expect_symbol(")")
        if name == "now" and not arguments:
            return tree.Now()
        return tree.Call(name, tuple(arguments))

    def _parameter(self, token: Token) -> tree.Expression:
        name = token.text.removeprefix("$").strip('"')
        if name not in self._parameters:
            raise QueryError(f"missing parameter: {name}")
        value = self._parameters[name]
        if isinstance(value, dict) and len(value) == 1:
            ((kind, content),) = value.items()
            if kind == "regex":
                return tree.Regex(str(content))
            if kind == "duration":
                return tree.Duration(duration_ns(str(content)))
            value = content
        if isinstance(value, (bool, int, float, str)):
            return tree.Literal(value)
        raise QueryError(f"the value of ${name} is neither a number, a text nor a truth value")


def _negated(operand: tree.Expression) -> tree.Expression:
    if isinstance(operand, tree.Literal) and not isinstance(operand.value, (bool, str)):
        return tree.Literal(-operand.value)
    if isinstance(operand, tree.Duration):
        return tree.Duration(-operand.ns)
    return tree.Negation(operand)


def number_of(token: Token) -> int | float:
    """The value of a number.

    Raises:
        QueryError: It is larger than all numbers.
    """
    if token.kind is TokenKind.INTEGER and int(token.text) < 2**64:
        return int(token.text)
    value = float(token.text)
    if math.isinf(value):
        raise syntax_error(f"the number {token.text} is too large", token.offset)
    return value
