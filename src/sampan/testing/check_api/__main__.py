"""`python -m sampan.testing.check_api --kubeconfig FILE`: one line a behaviour."""

from __future__ import annotations

import argparse
import asyncio
import sys

from sampan.apimachinery.errors import APIError
from sampan.client.transport import HTTPTransport
from sampan.testing.check_api import CHECKS, run


async def judge(kubeconfig: str, context: str, only: str) -> int:
    """How many behaviours do not hold."""
    transport = HTTPTransport.from_kubeconfig(kubeconfig, context, user_agent="check-api")
    chosen = [check for check in CHECKS if only in check.__name__]
    failed = 0
    try:
        for check in chosen:
            words = check.__name__.replace("_", " ")
            try:
                await run(check, transport)
                print(f"ok    {words}", flush=True)
            except (AssertionError, APIError, LookupError, TypeError, ValueError, TimeoutError) as error:
                failed += 1
                print(f"FAIL  {words}: {type(error).__name__}: {error}", flush=True)
    finally:
        await transport.close()
    print(f"{len(chosen) - failed} of {len(chosen)} hold")
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sampan.testing.check_api", description=__doc__)
    parser.add_argument("--kubeconfig", required=True, help="an administrator's kubeconfig")
    parser.add_argument("--context", default="", help="instead of the current context")
    parser.add_argument("--only", default="", help="only behaviours whose name contains this")
    arguments = parser.parse_args()
    sys.exit(1 if asyncio.run(judge(arguments.kubeconfig, arguments.context, arguments.only)) else 0)


if __name__ == "__main__":
    main()
