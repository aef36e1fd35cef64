"""projected: several sources in one directory, among them ServiceAccount tokens, renewed at 80 % of their life."""

from __future__ import annotations

from sampan.apimachinery.object import Object, dig
from sampan.kubelet import spec
from sampan.kubelet.errors import VolumeError
from sampan.kubelet.volumes import atomic_writer, downward_api, keys, mounting
from sampan.kubelet.volumes.atomic_writer import File
from sampan.kubelet.volumes.context import MountedVolume, VolumeContext

PLUGIN = "projected"
DEFAULT_TOKEN_LIFETIME_S = 3600


async def mount(context: VolumeContext) -> MountedVolume:
    source = context.volume["projected"]
    mode = source.get("defaultMode")
    default_mode = keys.DEFAULT_MODE if mode is None else mode
    files: dict[str, File] = {}
    for item in source.get("sources") or []:
        files.update(await _files(context, item, default_mode))
    path = context.path(PLUGIN)
    path.mkdir(parents=True, exist_ok=True)
    if not mounting.is_own_filesystem(path):  # it holds tokens: memory only
        mounting.mount_tmpfs(path, 0)
        path.chmod(0o755)
    atomic_writer.write(path, files, context.fs_group)
    return MountedVolume(path, readonly=True, is_live=True)


async def _files(context: VolumeContext, item: Object, default_mode: int) -> dict[str, File]:
    if item.get("configMap"):
        return await keys.files(context, "configmap", item["configMap"], default_mode)
    if item.get("secret"):
        return await keys.files(context, "secret", item["secret"], default_mode)
    if item.get("downwardAPI") is not None:
        return downward_api.files(context, item["downwardAPI"], default_mode)
    if item.get("serviceAccountToken"):
        return await _token(context, item["serviceAccountToken"], default_mode)
    raise VolumeError(f'MountVolume.SetUp failed for volume "{context.name}" : unsupported source {sorted(item)}')


async def _token(context: VolumeContext, source: Object, default_mode: int) -> dict[str, File]:
    lifetime = int(source.get("expirationSeconds") or DEFAULT_TOKEN_LIFETIME_S)
    token = await context.token(context.pod, source.get("audience") or "", lifetime)
    owner = common_user(context.pod)
    is_private = context.fs_group is not None or owner is not None
    return {source["path"]: File(token.encode(), 0o600 if is_private else default_mode, owner)}


def common_user(pod: Object) -> int | None:
    """The one uid that every container runs as, if there is one: it may then own the token."""
    default = dig(pod, "spec", "securityContext", "runAsUser")
    users = {dig(item, "securityContext", "runAsUser", default=default) for item in spec.all_containers(pod)}
    return users.pop() if len(users) == 1 else None
