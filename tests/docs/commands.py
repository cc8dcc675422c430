#!/usr/bin/env python3
"""Every command in a ```sh fence of README.md and docs/*.md is run somewhere, and commands.txt says where.

usage: commands.py SOURCE_DIR PROGRAM

A line of commands.txt is `WHERE | COMMAND`:
  PATH       the script or test at PATH runs it, or the same with smaller numbers; PATH must exist and hold the command's subcommand
             (its first word that is no option, after the program's name)
  hand       run by hand only: it starts this test itself, or needs what a test has not (a network, a cluster, a GPU)
Fails when a shown command is not listed, a listed one is shown nowhere, or the place named does not run it; and when a command or the text
of a page names an option that no --help of PROGRAM has (of the command itself; in the text, of any), nor any script or tool of OTHERS.
"""
import functools
import pathlib
import re
import subprocess
import sys

source, program = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
OTHERS = {"no-python", "nproc-per-node", "logdir", "gtest_filter"}  # torchrun, TensorBoard, GoogleTest
SUBCOMMANDS = ["pretrain", "knn", "linear", "embed", "info", "check", "pack", "augment preview", "augment replay", "augment bench"]
OPTION = r"(?<![\w-])--([a-z][\w.-]*\w)"


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


@functools.cache
def options(subcommand):
    """Of a subcommand of the program, by its --help."""
    text = subprocess.run([program, *subcommand.split(), "--help"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^ +--([\w.-]+)", text, re.M))


def unknown_options(command):
    """Those of `unlabel SUBCOMMAND ...` that it does not take."""
    for name in SUBCOMMANDS:
        found = re.search(rf"(^|[ /])unlabel {name}( |$)", command)
        if found:
            return [option for option in re.findall(OPTION, command[found.end():]) if option not in options(name)]
    return []


def options_elsewhere():
    """Of scripts, tests and build files of the tree, by their text; other tools' are listed here."""
    text = "".join(path.read_text(errors="replace") for folder in ("scripts", "tests/bench", "tests/consumer", "tests/golden")
                   for path in (source / folder).rglob("*") if path.is_file())
    return set(re.findall(OPTION, text)) | OTHERS


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

for command, page in commands.items():
    for option in unknown_options(command):
        problems.append(f"{page}: `{command}` has --{option}, which the program does not take there")
known = set.union(*(options(name) for name in SUBCOMMANDS)) | options_elsewhere()
for page in [source / "README.md", *sorted((source / "docs").rglob("*.md"))]:
    for option in sorted(set(re.findall(OPTION, page.read_text())) - known):
        if any(name.startswith(option + ".") for name in known):
            continue  # a section
        problems.append(f"{page.relative_to(source)}: --{option} is an option of nothing here")

print(f"{len(commands)} commands, of which {sum(where == 'hand' for where in places.values())} are run by hand only")
for problem in problems:
    print(problem, file=sys.stderr)
sys.exit(bool(problems) or not commands)
