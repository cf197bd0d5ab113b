"""What the API would take and the user may not mean: pure rules, each a sentence. None of them stops a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vidu_run.graph import Leaning
from vidu_run.job import Continued, Frame, Image, Job, Request
from vidu_run.price import Prices, is_extrapolated
from vidu_run.providers.rules import Effective, Provider
from vidu_run.spec.check import Finding, ImageRules


def request_caveats(provider: Provider, prices: Prices, request: Request, made: Effective) -> Iterator[Finding]:
    """About the fields whose meaning depends on the model; `made` is the clip they ask for."""
    model = provider.models[made.model]
    for name in model.ignores:
        if request.get(name):
            yield (name,), f"{name} has no effect on {made.model}"
    if request.get("off_peak") and model.off_peak_needs_audio and request.get("audio") is False:
        yield ("off_peak",), f"off_peak is documented for {made.model} only together with audio: true"
    if model.audio and "audio" not in request and "audio" not in model.ignores:
        yield (), f"audio is left out, and {made.model} makes sound by itself: write audio: true or false"
    if request.get("is_rec"):
        added = prices.is_rec_credits
        yield ("is_rec",), f"is_rec adds {added} credits, and the service writes a prompt of its own and ignores yours"
    if is_extrapolated(prices, made.model, made.resolution, made.seconds):
        yield ("duration",), f"the price list says nothing of {made.seconds} s: its rate is carried on"


def seed_caveat(seed: object) -> Finding | None:
    """About a job that the service draws a seed for."""
    if seed is None:
        return (), "no seed: the service draws one, and the same clip cannot be asked for again"
    if seed == 0:
        return ("seed",), "seed 0: the service draws one, and the same clip cannot be asked for again"
    return None


def continued_caveats(jobs: Iterable[Job], leaning: Leaning, rules: ImageRules) -> Iterator[tuple[Job, str]]:
    """About pairs of which one is a frame of another job's clip: a clip has the shape of its first frame, and one that
    does not go with its partner is refused when the clip is paid for. `jobs` are in the order of the graph.
    """
    shapes: dict[str, Frame] = {}

    def shape(image: Image) -> Frame | None:
        if isinstance(image, Continued):
            return next((shapes[name] for name in leaning.of(image) if name in shapes), None)
        return image if isinstance(image, Frame) and not image.turned else None

    for job in jobs:
        known = [shape(image) for image in job.images]
        if known and known[0] is not None:
            shapes[job.name] = known[0]
        match known:
            case [Frame() as first, Frame() as last] if job.continued:
                if apart := rules.apart(first, last):
                    yield job, f"{_shapes(job, first, last)}: {apart}"


def _shapes(job: Job, first: Frame, last: Frame) -> str:
    return " and ".join(
        f"{image.source} will be as {frame.source}, {frame.width}x{frame.height}"
        if isinstance(image, Continued)
        else f"{frame.source} is {frame.width}x{frame.height}"
        for image, frame in zip(job.images, (first, last), strict=True)
    )


def image_caveats(images: Sequence[Image], rules: ImageRules) -> Iterator[Finding]:
    """About frames that the rules let pass; a link is the API's to judge."""
    frames = [(number, image) for number, image in enumerate(images) if isinstance(image, Frame)]
    for number, frame in frames:
        if frame.turned:
            yield (
                ("images", number),
                f"{frame.source} is stored as {frame.width}x{frame.height} and turned by its EXIF data, which the API "
                "may ignore: save it upright",
            )
    if len(frames) != 2:
        return
    (_, first), (_, last) = frames
    if first.sha256 == last.sha256:
        yield ("images",), f"{first.source} and {last.source} are the same picture"
    elif not all(
        rules.closeness_min <= quotient <= rules.closeness_max
        for quotient in (first.width / last.width, first.height / last.height)
    ):
        yield (
            ("images",),
            f"{first.source} is {first.width}x{first.height} and {last.source} {last.width}x{last.height}: the shapes "
            f"agree, but a strict reading of the API's rule wants the sizes within {rules.closeness_min} to "
            f"{rules.closeness_max} of one another too",
        )
