"""Builds the hello image, applies hello.yaml, waits for it and says how to reach it. `make up` runs this."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SAMPAN = Path(sys.executable).with_name("sampan")


def sampan(*arguments: str, quiet: bool = False) -> str:
    done = subprocess.run([SAMPAN, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr or done.stdout)
    if not quiet:
        print("  " + done.stdout.strip().replace("\n", "\n  "))
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="sampan")
    name = parser.parse_args().name
    kubectl = ("kubectl", "--name", name)
    print("\nexamples/hello")
    if "docker.io/library/hello:1.0" not in sampan("image", "ls", "--name", name, quiet=True):
        sampan("image", "build", "--name", name, str(HERE / "image.yaml"))
    sampan(*kubectl, "apply", "-f", str(HERE / "hello.yaml"))
    sampan(*kubectl, "rollout", "status", "deployment/hello", "--timeout=60s", quiet=True)
    sampan(*kubectl, "get", "deployments,pods,services", "-l", "app=hello", "-o", "wide")
    config = sampan("kubeconfig", "path", "--name", name, quiet=True).strip()
    print(f"""
Next:
  export KUBECONFIG={config}
  kubectl get pods -A                                # what runs
  kubectl port-forward service/hello 8080:80 &       # reach it: curl http://127.0.0.1:8080/cgi-bin/index.cgi
  kubectl scale deployment hello --replicas 5        # change something
  kubectl logs -l app=hello --prefix                 # see what it says
  make down                                          # remove every trace""")


if __name__ == "__main__":
    main()
