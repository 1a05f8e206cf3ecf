"""The stand-in Hub's rented machines: secrets and hardware of Spaces, and the Inference Endpoints' own service.

Endpoints are reached below `<endpoint>/v2`, which a test puts in the place of huggingface_hub's fixed address. Nothing
is started: a new endpoint is pending, and a test sets its state.
"""

from typing import Any

from tests.hub_content import HubError

QUOTA = {"maxAccelerators": 2, "usedAccelerators": 0}
COMPUTES = (
    ("aws", "us-east-1", "cpu", "intel-spr", "x2", "Intel Sapphire Rapids", 1, 4, None, 0.067, "available"),
    ("aws", "us-east-1", "gpu", "nvidia-t4", "x1", "Nvidia T4", 1, 15, 16, 0.5, "available"),
    ("aws", "us-east-1", "gpu", "nvidia-l4", "x1", "Nvidia L4", 1, 30, 24, 0.8, "available"),
    ("gcp", "us-east4", "gpu", "nvidia-l4", "x1", "Nvidia L4", 1, 30, 24, 0.7, "not_available"),
    ("gcp", "us-east4", "gpu", "nvidia-a100", "x1", "Nvidia A100", 1, 170, 80, 3.6, "low_availability"),
    ("aws", "us-east-1", "neuron", "inf2", "x1", "AWS Inferentia2", 1, 14, 32, 0.75, "available"),
)


class RentedRoutes:
    """Routes of the stand-in's handler for what costs money."""

    def _space_route(self, repo_id: str, rest: list[str]):
        if rest == ["secrets"]:
            return "secrets", lambda: self._add_secret(repo_id)
        return "hardware", lambda: self._set_hardware(repo_id)

    def _add_secret(self, repo_id: str) -> dict:
        asked = self._json()
        self._writable("spaces", repo_id)
        self.hub.secrets.setdefault(repo_id, {})[asked["key"]] = asked["value"]
        return {}

    def _set_hardware(self, repo_id: str) -> dict:
        asked = self._json()
        self._writable("spaces", repo_id)
        self.hub.space_hardware[repo_id] = (asked["flavor"], asked.get("sleepTimeSeconds"))
        return {"stage": "BUILDING", "hardware": {"current": "cpu-basic", "requested": asked["flavor"]},
                "gcTimeout": asked.get("sleepTimeSeconds")}

    def _endpoint_route(self, parts: list[str]):
        if parts[:1] == ["provider"]:
            return "ep-hardware", lambda: self._hardware(parts[1])
        namespace, name, action = (*parts[1:], "", "")[:3]
        if not name:
            return "ep-create", lambda: self._create_endpoint(namespace)
        if self.command == "DELETE":
            return "ep-delete", lambda: self._delete_endpoint(namespace, name)
        if action:
            return "ep-act", lambda: self._act_on_endpoint(namespace, name, action)
        return "ep-get", lambda: self._endpoint(namespace, name)

    def _hardware(self, namespace: str) -> dict:
        self._require_rent(namespace)
        vendors: dict[str, dict[str, list]] = {}
        for vendor, region, kind, type_, size, chip, count, memory, gpu, price, status in COMPUTES:
            vendors.setdefault(vendor, {}).setdefault(region, []).append({
                "id": f"{vendor}-{region}-{type_}-{size}", "accelerator": kind, "instanceType": type_,
                "instanceSize": size, "architecture": chip, "numAccelerators": count, "numCpus": 4, "memoryGb": memory,
                "gpuMemoryGb": gpu, "pricePerHour": price, "status": status, "quota": QUOTA})
        return {"vendors": [{"name": vendor, "regions": [
            {"name": region, "computes": computes} for region, computes in regions.items()]}
            for vendor, regions in vendors.items()]}

    def _create_endpoint(self, namespace: str) -> dict:
        asked = self._json()
        self._require_rent(namespace)
        key = namespace, asked["name"]
        if key in self.hub.endpoints:
            raise HubError(409, f"Endpoint {asked['name']} already exists")
        self.hub.endpoints[key] = asked | {
            "healthRoute": "/health", "status": {
                "state": "pending", "message": "", "url": None, "createdAt": "2026-01-01T00:00:00.000Z",
                "updatedAt": "2026-01-01T00:00:00.000Z"}}
        return self.hub.endpoints[key]

    def _endpoint(self, namespace: str, name: str) -> dict[str, Any]:
        self._require_rent(namespace)
        if (namespace, name) not in self.hub.endpoints:
            raise HubError(404, f"Endpoint {name} not found")
        return self.hub.endpoints[namespace, name]

    def _act_on_endpoint(self, namespace: str, name: str, action: str) -> dict:
        self._drain()
        found = self._endpoint(namespace, name)
        found["status"]["state"] = {"pause": "paused", "resume": "pending", "scale-to-zero": "scaledToZero"}[action]
        return found

    def _delete_endpoint(self, namespace: str, name: str) -> dict:
        self._endpoint(namespace, name)
        del self.hub.endpoints[namespace, name]
        return {}

    def _require_rent(self, namespace: str) -> None:
        user = self._signed_in()
        if namespace != user.name and namespace not in user.orgs:
            raise HubError(403, f"You may not manage endpoints of {namespace}")
