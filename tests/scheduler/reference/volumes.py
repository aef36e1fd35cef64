"""Volumes, slow and plain: where a pod may run because of its claims. One node, one claim at a time."""

from __future__ import annotations

from tests.scheduler.reference.cluster import Document, labels, name

ZONES = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class Volumes:
    """Claims, volumes, classes by name; capacities and drivers."""

    def __init__(self, *objects: Document) -> None:
        def named(kind: str) -> dict[str, Document]:
            return {name(one): one for one in objects if one["kind"] == kind}

        self.claims, self.volumes = named("PersistentVolumeClaim"), named("PersistentVolume")
        self.classes, self.drivers = named("StorageClass"), named("CSIDriver")
        self.capacities = list(named("CSIStorageCapacity").values())

    def fits(self, pod: Document, node: Document) -> bool:
        claims = [
            self.claims[one["persistentVolumeClaim"]["claimName"]] for one in pod["spec"].get("volumes", [])
        ]
        waiting = []
        for claim in claims:
            if claim["spec"].get("volumeName"):
                volume = self.volumes.get(claim["spec"]["volumeName"])
                if volume is None or not reaches(volume, node) or not same_zone(volume, node):
                    return False
            elif self.classes[claim["spec"]["storageClassName"]]["volumeBindingMode"] == "Immediate":
                return False
            else:
                waiting.append(claim)
        return self._can_serve(waiting, node)

    def _can_serve(self, claims: list[Document], node: Document) -> bool:
        """Whether there is any way: each claim takes its best volume that is left, or one is made for it."""
        taken: set[str] = set()
        for claim in claims:
            fitting = [v for v in self.volumes.values() if serves(v, claim) and reaches(v, node)]
            left = sorted((v for v in fitting if name(v) not in taken), key=rank)
            if left:
                taken.add(name(left[0]))
            elif not self._can_be_made(claim, node):
                return False
        return True

    def _can_be_made(self, claim: Document, node: Document) -> bool:
        kind = self.classes[claim["spec"]["storageClassName"]]
        if kind["provisioner"] == "kubernetes.io/no-provisioner":
            return False
        terms = kind.get("allowedTopologies", [])
        allowed = [
            all(labels(node).get(one["key"]) in one["values"] for one in term["matchLabelExpressions"])
            for term in terms
        ]
        if terms and not any(allowed):
            return False
        driver = self.drivers.get(kind["provisioner"])
        if driver is None or not driver["spec"].get("storageCapacity"):
            return True
        return any(
            one["storageClassName"] == name(kind)
            and all(labels(node).get(k) == v for k, v in one["nodeTopology"].get("matchLabels", {}).items())
            and gibibytes(one["capacity"]) >= size(claim)
            for one in self.capacities
        )


def reaches(volume: Document, node: Document) -> bool:
    required = volume["spec"].get("nodeAffinity", {}).get("required")
    return required is None or any(
        bool(term.get("matchExpressions") or term.get("matchFields"))
        and all(holds(one, labels(node)) for one in term.get("matchExpressions", []))
        and all(holds(one, {"metadata.name": name(node)}) for one in term.get("matchFields", []))
        for term in required["nodeSelectorTerms"]
    )


def holds(expression: Document, present: dict[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", [])
    match expression["operator"]:
        case "In":
            return present.get(key) in values
        case "NotIn":
            return present.get(key) not in values
        case "Exists":
            return key in present
        case "DoesNotExist":
            return key not in present
        case "Gt":
            return present.get(key, "").isdigit() and int(present[key]) > int(values[0])
        case other:
            raise AssertionError(other)


def same_zone(volume: Document, node: Document) -> bool:
    if not any(zone in labels(node) for zone in ZONES):
        return True
    return all(
        labels(node).get(zone) in labels(volume)[zone].split("__") for zone in ZONES if zone in labels(volume)
    )


def serves(volume: Document, claim: Document) -> bool:
    return bool(
        volume["status"]["phase"] == "Available" and "claimRef" not in volume["spec"]
        and volume["spec"]["storageClassName"] == claim["spec"]["storageClassName"]
        and gibibytes(volume["spec"]["capacity"]["storage"]) >= size(claim)
    )


def rank(volume: Document) -> tuple[int, str]:
    return gibibytes(volume["spec"]["capacity"]["storage"]), name(volume)


def size(claim: Document) -> int:
    return gibibytes(claim["spec"]["resources"]["requests"]["storage"])


def gibibytes(text: str) -> int:
    return int(text.removesuffix("Gi"))
