"""Run the benchmarks: ``python -m benchmarks [command] [--runs N] [--results FOLDER]``."""

import argparse
from importlib import import_module
from pathlib import Path

COMMANDS = ("distance", "join", "pages", "recovery", "server", "throughput")
"""Modules beside this one; imported by ``main`` alone, as every actor imports this one, too."""


def main() -> None:
    """Run the commands that are named, or all."""
    commands = {name: import_module(f"benchmarks.{name}") for name in COMMANDS}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Benchmarks, each beside others in the same run. Without a command: all.",
        epilog="\n".join(f"  {name:12}{each.SUMMARY}" for name, each in commands.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("commands", nargs="*", metavar="command", help="see below")
    parser.add_argument("--runs", type=int, help="how often each is measured, at least 2")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(__file__).parent / "results",
        metavar="FOLDER",
        help="where the figures and the plot go; default: %(default)s",
    )
    args = parser.parse_args()
    unknown = set(args.commands) - set(COMMANDS)
    if unknown:
        there_is = ", ".join(COMMANDS)
        parser.error(f"no such command: {', '.join(sorted(unknown))}; there is {there_is}")
    if args.runs is not None and args.runs < 2:
        parser.error("--runs takes a number from 2 on")
    args.results.mkdir(parents=True, exist_ok=True)
    for name, command in commands.items():
        if not args.commands or name in args.commands:
            print(f"{name}: {command.SUMMARY}", flush=True)
            command.run(args.results, args.runs or command.RUNS)


if __name__ == "__main__":
    main()
