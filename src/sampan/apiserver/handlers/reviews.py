"""Reviews: who is this, and what may they do? Documents that are answered and never stored.

    TokenReview                 whose token is this, for which audiences
    SelfSubjectReview           who am I
    SubjectAccessReview         may that user …        (LocalSubjectAccessReview: in one namespace)
    SelfSubjectAccessReview     may I …
    SelfSubjectRulesReview      what may I, in a namespace, as far as the authorisers can tell
"""

from __future__ import annotations

from sampan import effects
from sampan.api.resources import SELF_SUBJECT_ACCESS_REVIEWS, SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from sampan.apimachinery import errors
from sampan.apimachinery.errors import BadRequest, Unauthorized
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apimachinery.object import Object, dig, namespace_of
from sampan.apimachinery.resource import Resource
from sampan.apiserver.answers import document
from sampan.apiserver.authz import selector_attributes
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.review_body import decoded
from sampan.apiserver.seams import Attributes, Decision, Route, ServerParts

_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
SELF_SUBJECT_REVIEWS = Resource(_AUTHENTICATION, "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
LOCAL_SUBJECT_ACCESS_REVIEWS = Resource(_AUTHORIZATION, "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview")
SELF_SUBJECT_RULES_REVIEWS = Resource(
    _AUTHORIZATION, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False
)


async def token_review(ctx: RequestContext, parts: ServerParts) -> Response:
    """Runs the server's own authenticators on the token of the review, as if it had come with a request."""
    review = decoded(ctx, TOKEN_REVIEWS)
    token = str(dig(review, "spec", "token", default=""))
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    audiences = tuple(dig(review, "spec", "audiences", default=()))
    request = Request("GET", "/", headers={"authorization": f"Bearer {token}"}, remote=ctx.request.remote)
    probe = RequestContext(request, audiences=audiences)
    try:
        user = await parts.authenticate(probe)
    except Unauthorized:
        review["status"] = {"user": {}, "error": "invalid bearer token"}
        return _created(review)
    if user is None or (audiences and not probe.audiences):
        review["status"] = {"user": {}}
        return _created(review)
    review["status"] = {"authenticated": True, "user": shown(user)}
    own = parts.config.api_audiences or (parts.config.service_account_issuer,)
    review["status"]["audiences"] = list(probe.audiences or own)
    return _created(review)


async def self_subject_review(ctx: RequestContext, parts: ServerParts) -> Response:
    """Who the server takes the caller for: `kubectl auth whoami`."""
    review = decoded(ctx, SELF_SUBJECT_REVIEWS, empty=True)
    review.setdefault("metadata", {})["creationTimestamp"] = effects.timestamp()
    review["status"] = {"userInfo": shown(_caller(ctx))}
    return _created(review)


async def subject_access_review(ctx: RequestContext, parts: ServerParts) -> Response:
    review = decoded(ctx, SUBJECT_ACCESS_REVIEWS)
    problems = _attribute_problems(review) + _subject_problems(review) + _metadata_problems(review)
    return await _answer_access(parts, review, SUBJECT_ACCESS_REVIEWS, problems)


async def local_subject_access_review(ctx: RequestContext, parts: ServerParts) -> Response:
    review = decoded(ctx, LOCAL_SUBJECT_ACCESS_REVIEWS)
    problems = _attribute_problems(review) + _subject_problems(review) + _metadata_problems(review, "namespace")
    path = Path("spec").child("resourceAttributes").child("namespace")
    wanted = str(dig(review, "spec", "resourceAttributes", "namespace", default=""))
    if dig(review, "spec", "nonResourceAttributes") is not None:
        detail = "disallowed on this kind of request"
        problems.append(invalid(Path("spec").child("nonResourceAttributes"), {}, detail))
    elif wanted != ctx.namespace or (namespace_of(review) or ctx.namespace) != ctx.namespace:
        problems.append(invalid(path, wanted, "must match metadata.namespace"))
    return await _answer_access(parts, review, LOCAL_SUBJECT_ACCESS_REVIEWS, problems)


async def self_subject_access_review(ctx: RequestContext, parts: ServerParts) -> Response:
    """`kubectl auth can-i`."""
    review = decoded(ctx, SELF_SUBJECT_ACCESS_REVIEWS)
    problems = _attribute_problems(review) + _metadata_problems(review)
    return await _answer_access(parts, review, SELF_SUBJECT_ACCESS_REVIEWS, problems, _caller(ctx))


async def self_subject_rules_review(ctx: RequestContext, parts: ServerParts) -> Response:
    """`kubectl auth can-i --list`: the rules that authorisers have for the caller in a namespace."""
    review = decoded(ctx, SELF_SUBJECT_RULES_REVIEWS)
    namespace = str(dig(review, "spec", "namespace", default=""))
    if not namespace:
        raise BadRequest("no namespace on request")
    known = parts.rules_for(_caller(ctx), namespace)
    status: Object = {
        "incomplete": known.incomplete, "resourceRules": known.resources, "nonResourceRules": known.urls,
    }
    if known.problems:
        shown = known.problems[0] if len(known.problems) == 1 else f"[{', '.join(known.problems)}]"
        status["evaluationError"] = shown
    review["status"] = status
    return _created(review)


async def _answer_access(
    parts: ServerParts, review: Object, resource: Resource, problems: list[FieldError], user: UserInfo | None = None
) -> Response:
    if problems:
        raise errors.invalid(resource, "", problems)
    spec = review["spec"]
    asked = _asked(spec, user or _subject(spec))
    verdict = await parts.authorize(asked)
    status: Object = {"allowed": verdict.allowed}
    if verdict.decision is Decision.DENY:
        status["denied"] = True
    if verdict.reason:
        status["reason"] = verdict.reason
    _, _, ignored = selector_attributes.of_review(spec.get("resourceAttributes") or {})
    if ignored:
        status["evaluationError"] = ignored
    review["status"] = status
    return _created(review)


def _asked(spec: Object, user: UserInfo) -> Attributes:
    about = spec.get("resourceAttributes")
    if about is None:
        path = spec["nonResourceAttributes"]
        return Attributes(user, str(path.get("verb", "")), is_resource=False, path=str(path.get("path", "")))
    fields, labels, _ = selector_attributes.of_review(about)
    return Attributes(
        user, str(about.get("verb", "")), group=about.get("group", ""), version=about.get("version", ""),
        resource=about.get("resource", ""), subresource=about.get("subresource", ""),
        namespace=about.get("namespace", ""), name=about.get("name", ""), fields=fields, labels=labels,
    )


def _subject(spec: Object) -> UserInfo:
    extra = {key.lower(): tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return UserInfo(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _attribute_problems(review: Object) -> list[FieldError]:
    spec = review.setdefault("spec", {})
    about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    at = Path("spec").child("resourceAttributes")
    if about is not None and path is not None:
        field = Path("spec").child("nonResourceAttributes")
        return [invalid(field, path, "cannot be specified in combination with resourceAttributes")]
    if about is None and path is None:
        return [invalid(at, None, "exactly one of nonResourceAttributes or resourceAttributes must be specified")]
    return selector_attributes.problems(about or {}, at)


def _metadata_problems(review: Object, *but: str) -> list[FieldError]:
    """A review has no name: it is answered, never stored."""
    metadata = review.get("metadata") or {}
    if not any(value for key, value in metadata.items() if key not in ("managedFields", *but)):
        return []
    return [invalid(Path("metadata"), metadata, "must be empty except for namespace" if but else "must be empty")]


def _subject_problems(review: Object) -> list[FieldError]:
    spec = review["spec"]
    if not spec.get("user") and not spec.get("groups"):
        return [required(Path("spec").child("user"), "at least one of user or group must be specified")]
    return []


def shown(user: UserInfo) -> Object:
    """As `authentication.k8s.io/v1 UserInfo`."""
    found: Object = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found


def _caller(ctx: RequestContext) -> UserInfo:
    if ctx.user is None:
        raise Unauthorized("Unauthorized")
    return ctx.user


def _created(review: Object) -> Response:
    return document(review, 201)


ROUTES: tuple[Route, ...] = (
    Route(TOKEN_REVIEWS, "", ("create",), TOKEN_REVIEWS, token_review),
    Route(SELF_SUBJECT_REVIEWS, "", ("create",), SELF_SUBJECT_REVIEWS, self_subject_review),
    Route(SUBJECT_ACCESS_REVIEWS, "", ("create",), SUBJECT_ACCESS_REVIEWS, subject_access_review),
    Route(LOCAL_SUBJECT_ACCESS_REVIEWS, "", ("create",), LOCAL_SUBJECT_ACCESS_REVIEWS, local_subject_access_review),
    Route(SELF_SUBJECT_ACCESS_REVIEWS, "", ("create",), SELF_SUBJECT_ACCESS_REVIEWS, self_subject_access_review),
    Route(SELF_SUBJECT_RULES_REVIEWS, "", ("create",), SELF_SUBJECT_RULES_REVIEWS, self_subject_rules_review),
)
