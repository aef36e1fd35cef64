"""How an API server is configured: one frozen value, files given by path so that they can rotate while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class APIServerConfig:
    """`authorization` False switches authentication and authorisation off (unit tests, the simulator)."""

    hostname: str = ""
    """Where this server runs; under that name it keeps its identity Lease. Without one it keeps none."""
    shares_store: bool = False
    """Whether other API servers may use the same store: then they agree there on node ports."""
    advertise_address: str = "127.0.0.1"
    advertise_port: int = 6443
    service_cidr: str = "10.96.0.0/16"
    node_ports: tuple[int, int] = (30000, 32767)
    cluster_domain: str = "cluster.local"
    authorization: bool = True
    anonymous: bool = True
    client_ca_file: str = ""
    requestheader_client_ca_file: str = ""
    token_file: str = ""
    authentication_config_file: str = ""
    """An AuthenticationConfiguration: OIDC issuers, and who may be anonymous."""
    token_webhook_config_file: str = ""
    """A kubeconfig whose server answers TokenReviews."""
    token_webhook_cache_ttl_s: float = 120.0
    authorization_config_file: str = ""
    """An AuthorizationConfiguration: the authorisers in order; Node and RBAC without one."""
    service_account_issuer: str = "https://kubernetes.default.svc.cluster.local"
    service_account_key_files: tuple[str, ...] = ()
    """Public (or private) keys in PEM that verify ServiceAccount tokens."""
    service_account_signing_key_file: str = ""
    service_account_max_expiration_s: int = 0
    """The longest that a requested token may live; 0 leaves it to whoever asks."""
    api_audiences: tuple[str, ...] = ()
    """Audiences of the server itself; the issuer when empty."""
    kubelet_client_cert_file: str = ""
    kubelet_client_key_file: str = ""
    kubelet_ca_file: str = ""
    proxy_client_cert_file: str = ""
    proxy_client_key_file: str = ""
    """What the server proves itself with to aggregated API servers."""
    audit_log_path: str = ""
    audit_policy_file: str = ""
    """An audit.k8s.io Policy; without, everything is recorded at level Metadata."""
    audit_log_max_size_mb: int = 100
    """At this size the log is moved aside; 0 never."""
    audit_log_max_backups: int = 2
    disable_admission: tuple[str, ...] = ()
    enable_admission: tuple[str, ...] = ()
    admission_config_file: str = ""
    """An AdmissionConfiguration: what admission plugins are told; see docs/concepts/admission.md."""
    encryption_config_file: str = ""
    """An EncryptionConfiguration; nothing is sealed without."""
    max_body_bytes: int = 3 * 1024 * 1024
    max_connections: int = 10_000
    """Connections held at once; beyond that the longest idle gives way, or new ones are refused (429)."""
    request_timeout_s: float = 60.0
    watch_window_events: int = 4096
    """Events kept a kind for watches that come back."""
    watch_queue_events: int = 1024
    """Events a slow watcher may owe before it is cut off."""
    bookmark_interval_s: float = 60.0
    history_s: float = 3600.0
    """How long superseded states are kept for reads of the past; 0 keeps them for ever."""
    event_ttl_s: float = 3600.0
    """How long an Event is kept after it last happened; 0 keeps it for ever."""
