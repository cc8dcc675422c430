#!/usr/bin/env python3
"""Every command in a ```sh fence of README.md and docs/*.md is run somewhere, and commands.txt says where.

usage: commands.py SOURCE_DIR

A line of commands.txt is `WHERE | COMMAND`:
  PATH       the script or test at PATH runs it, or the same with smaller numbers; PATH must exist and hold the command's subcommand
             (its first word that is no option, after the program's name)
  hand       run by hand only: it starts this test itself, or needs what a test has not (a network, a cluster, a GPU)
Fails when a shown command is not listed, a listed one is shown nowhere, or the place named does not run it.
"""
import pathlib
import re
import sys

source = pathlib.Path(sys.argv[1]).resolve()


def shown():
    commands = {}
    for page in [source / "README.md", *sorted((source / "docs").rglob("*.md"))]:
        for fence in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.M | re.S):
            for line in fence.replace("\\\n", " ").splitlines():
                command = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
                if command:
                    commands.setdefault(command, page.relative_to(source))
    return commands


def listed():
    places = {}
    for line in (source / "tests/docs/commands.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            where, command = (part.strip() for part in line.split("|", 1))
            places[" ".join(command.split())] = where
    return places


def subcommand(command):
    """`build/release/unlabel knn --data x` -> knn; `scripts/test --all` -> scripts/test; `cmake --install x` -> --install."""
    words = [word for word in command.split() if not re.match(r"[A-Z_]+=", word)]
    for i, word in enumerate(words[:-1]):
        if word.endswith("unlabel") and not words[i + 1].startswith("-"):
            return words[i + 1]
    return words[1] if words[0] == "cmake" and words[1].startswith("--") else words[0]


problems = []
commands, places = shown(), listed()
for command, page in commands.items():
    if command not in places:
        problems.append(f"{page}: `{command}` is run nowhere; run it in a test and list it in tests/docs/commands.txt")
for command, where in places.items():
    if command not in commands:
        problems.append(f"tests/docs/commands.txt: `{command}` is shown nowhere")
    elif where != "hand":
        path = source / where
        if not path.is_file():
            problems.append(f"tests/docs/commands.txt: `{command}` is said to be run by {where}, which is not there")
        elif path.name not in command and subcommand(command) not in path.read_text():
            problems.append(f"tests/docs/commands.txt: {where} does not run `{subcommand(command)}`")

print(f"{len(commands)} commands, of which {sum(where == 'hand' for where in places.values())} are run by hand only")
for problem in problems:
    print(problem, file=sys.stderr)
sys.exit(bool(problems) or not commands)
