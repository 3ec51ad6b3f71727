"""Reads a file into a config, or into the list of everything that is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from pydantic import BaseModel, ValidationError

from router.config.document import Document, Path, Unreadable, read_document
from router.config.patterns import FIXES
from router.config.plain import mapped
from router.domain.errors import ConfigInvalid, ConfigProblem

if TYPE_CHECKING:
    from router.config.schema import Config


def load_config(path: FilePath, env: Mapping[str, str]) -> Config:
    """Raises ConfigInvalid with every mistake in the file, in the order of its lines."""
    return parse_config(_text_of(path), str(path), env)


def _text_of(path: FilePath) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigInvalid(ConfigProblem(str(path), 0, "", "there is no such file")) from None
    except (OSError, UnicodeDecodeError):
        problem = ConfigProblem(str(path), 0, "", "name a UTF-8 file that this process can read")
        raise ConfigInvalid(problem) from None


def _document(text: str, file: str) -> Document:
    try:
        return read_document(text)
    except Unreadable as error:
        raise ConfigInvalid(ConfigProblem(file, error.line, "", error.fix)) from None


def parse_config(text: str, file: str, env: Mapping[str, str]) -> Config:
    """Raises ConfigInvalid."""
    document = _document(text, file)
    # The rooms bring numpy, for which `--help` need not wait.
    from router.config.checks import cross_check  # noqa: PLC0415 - see above
    from router.config.schema import Config  # noqa: PLC0415 - see above

    found: dict[Path, str] = dict(cross_check(document.value, env))
    found |= document.mistakes
    config: Config | None = None
    try:
        config = Config.model_validate(document.value)
    except ValidationError as error:
        for path, fix in _schema_fixes(error, Config):
            found.setdefault(_as_written(path, document.value), fix)
    if found or config is None:
        raise ConfigInvalid(*_problems(found.items(), document, file))
    return config


def doubts_of(config: Config, path: FilePath, env: Mapping[str, str]) -> list[ConfigProblem]:
    """Returns what is well-formed in the file and probably not meant, in the order of its lines.

    config: as loaded from the file. Raises ConfigInvalid where the file went away meanwhile.
    """
    from router.config.lint import lint  # noqa: PLC0415 - the rooms bring numpy
    from router.config.values import keys_of  # noqa: PLC0415 - the same

    document = _document(_text_of(path), str(path))
    return _problems(lint(config, keys_of(config, env)), document, str(path))


def placed(error: ConfigInvalid, path: FilePath) -> ConfigInvalid:
    """Returns the error with the file and the lines that its keys stand on."""
    document = _document(_text_of(path), str(path))
    found = [(tuple(problem.key.split(".")), problem.fix) for problem in error.problems]
    return ConfigInvalid(*_problems(found, document, str(path)))


def _problems(
    found: Iterable[tuple[Path, str]], document: Document, file: str
) -> list[ConfigProblem]:
    problems = [
        ConfigProblem(file, document.line(path), ".".join(map(str, path)), fix)
        for path, fix in found
    ]
    return sorted(problems, key=lambda p: (p.line, p.key))


def _as_written(path: Path, value: Any) -> Path:
    """A plan that is a bare list has no key `rungs` in the file."""
    plans, plan, key = (*path, "", "", "")[:3]
    if (plans, key) != ("plans", "rungs") or not isinstance(value, dict):
        return path
    bare = not isinstance(mapped(value.get("plans")).get(str(plan)), dict)
    return (*path[:2], *path[3:]) if bare else path


_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
_FIXES = {
    "missing": "add this key",
    "literal_error": "write one of {expected}",
    "greater_than": "write a number > {gt}",
    "greater_than_equal": "write a number >= {ge}",
    "less_than": "write a number < {lt}",
    "less_than_equal": "write a number <= {le}",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "int_type": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "finite_number": "write a finite number",
    "string_type": "write text (quote it if it looks like a number)",
    "url_type": "write a URL that starts with http:// or https://",
    "url_parsing": "write a URL that starts with http:// or https://",
    "url_scheme": "write a URL that starts with http:// or https://",
    "dataclass_type": "write keys and values below this key",
    "model_type": "write keys and values below this key",
    "model_attributes_type": "write keys and values below this key",
    "dict_type": "write keys and values below this key",
    "tuple_type": "write a list",
    "path_type": "write a path",
    "too_short": "list at least {min_length}",
    "too_long": "list at most {max_length}",
    "string_too_short": "write some text",
    "string_too_long": "write at most {max_length} characters",
}


def _schema_fixes(error: ValidationError, root: type[BaseModel]) -> Iterator[tuple[Path, str]]:
    """Yields fixes in the file's words, never with the value written there: it may be a secret."""
    all_details = error.errors(include_url=False, include_input=False)
    for details in all_details:
        # A list with a bad item is also called too short: the item is the mistake.
        loc = details["loc"]
        if any(d["loc"][: len(loc)] == loc for d in all_details if len(d["loc"]) > len(loc)):
            continue
        path = tuple(part for part in details["loc"] if part != "[key]")
        kind = details["type"]
        plain = f"write a valid value here ({kind.replace('_', ' ')})"
        told = details.get("ctx", {})
        by_pattern = FIXES.get(str(told.get("pattern")), plain)
        fix = by_pattern if "pattern" in told else _FIXES.get(kind, plain).format(**_plain(told))
        yield path, _unknown(path, root) if kind in _UNKNOWN_KEY else fix


def _plain(limits: Mapping[str, Any]) -> dict[str, Any]:
    """10 rather than 10.0."""
    whole = (isinstance(v, float) and v.is_integer() for v in limits.values())
    return {k: int(v) if w else v for (k, v), w in zip(limits.items(), whole, strict=True)}


def _unknown(path: Path, root: type[BaseModel]) -> str:
    known = _known_keys(path[:-1], root)
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    if near:
        return f"no such key: did you mean {near[0]}?"
    return f"no such key: take it out (known here: {', '.join(known)})"


def _known_keys(path: Path, section: type) -> list[str]:
    """Keys of the section at a path: follow the schema down, stepping over names and indices."""
    for part in path:
        section = _section_of(_annotations(section).get(str(part))) or section
    return list(_annotations(section))


def _annotations(section: type) -> dict[str, Any]:
    """Returns the annotation of each key of a section."""
    if issubclass(section, BaseModel):
        return {name: field.annotation for name, field in section.model_fields.items()}
    return get_type_hints(section)


def _section_of(annotation: Any) -> type | None:
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or is_dataclass(annotation)
    ):
        return annotation
    inner = (_section_of(arg) for arg in get_args(annotation))
    return next((found for found in inner if found), None)
