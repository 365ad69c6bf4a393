"""What the documentation site makes by itself, as a hook of mkdocs (``mkdocs.yml``): the reference of commands, the benchmark's table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COMMANDS, FIGURES = "<!-- all commands -->", "<!-- all figures -->"


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill the places that pages leave open."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, "\n".join(commands()))
    if FIGURES in markdown:
        markdown = markdown.replace(FIGURES, "\n".join(figures()))
    return markdown


def commands() -> Iterator[str]:
    """Every command with its arguments and options, as the command line itself has them."""
    import typer

    from recon import cli

    cli._add_extensions()
    yield from _command(typer.main.get_command(cli.app), "recon")


def _command(command: Any, name: str) -> Iterator[str]:
    if inner := getattr(command, "commands", None):
        for key, found in sorted(inner.items()):
            yield from _command(found, f"{name} {key}")
        return
    yield f"\n### {name} {{ data-toc-label='{name}' }}\n\n{_cell(command.help)}\n"
    yield "| argument or option | default | meaning |\n|---|---|---|"
    for parameter in command.params:
        is_option = parameter.param_type_name == "option"
        names = ", ".join((*parameter.opts, *parameter.secondary_opts)) if is_option else parameter.metavar or parameter.name.upper()
        default = parameter.default
        shown = "" if default is None or callable(default) or default in ([], (), False, "") else default
        yield f"| `{_cell(names)}` | {_cell(str(getattr(shown, 'value', shown)))} | {_cell(getattr(parameter, 'help', None))} |"


def figures() -> Iterator[str]:
    """The kept figures, a table a bar."""
    from bench.table import _shown, kept

    found = kept()
    machine = found["machine"]
    yield f"Measured on {machine['cores']} cores, {machine['memory_gb']} GB, {machine['platform']}, recon {machine['recon']}.\n"
    for group, rows in sorted(found["rows"].items()):
        yield f"\n## {group}\n\n| set | figure | measured | wanted | met |\n|---|---|---|---|---|"
        for row in rows:
            met = "" if not row["wanted"] else "yes" if row["met"] else "**no**"
            yield f"| {_cell(row['set'])} | {_cell(row['figure'])} | {_shown(row['value'])} | {_cell(row['wanted'])} | {met} |"


def _cell(text: str | None) -> str:
    """One line of a Markdown table, in which nothing is markup."""
    words = " ".join((text or "").split())
    return words.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
