"""Check the answer to an exercise: ddmlp exercise N ANSWER"""

from pathlib import Path

from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import ConfigError


def main() -> int:
    parser = Parser(
        prog="ddmlp exercise",
        description="Say whether the answer to an exercise of docs/exercises.md is right; without an answer, list the "
        "exercises. The exit status is 1 if the answer is wrong.",
    )
    parser.add_argument("number", nargs="?", type=int, metavar="N", help="the number of the exercise")
    parser.add_argument("answer", nargs="?", metavar="ANSWER", help="a number, a hash or a run, or a Python file "
                        "with a function, which is called in another process")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="OUT", help="write the data and the runs that the exercises use "
                        "into this new folder")  # fmt: skip
    args = parser.parse_args()
    if args.data is not None and args.number is not None:
        raise ConfigError("--data and an exercise exclude each other; give only one")
    from ddmlp.api.exercises import EXERCISES, check

    if args.data is not None:
        from ddmlp.api.exercises.problem import write_problem

        write_problem(args.data)
        print(f"wrote {args.data}")
        return 0
    if args.number is None:
        for number, each in enumerate(EXERCISES, 1):
            print(f"{number:2}  {each.title}{f': a file with {each.signature}' if each.signature else ''}")
        return 0
    if args.answer is None:
        raise ConfigError(f"exercise {args.number} has no answer: expected ddmlp exercise {args.number} ANSWER")
    wrong = check(args.number, args.answer)
    print(f"wrong: {wrong}" if wrong else f"right: {EXERCISES[args.number - 1].learned}")
    return 1 if wrong else 0


if __name__ == "__main__":
    command(main)
