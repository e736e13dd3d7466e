"""What the last measurement lets a person read: the certificate for an error rate, estimate, forecast and stop advice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app import errors, predictions

LEAST, MOST = 0.001, 0.5  # error rates that may be asked for
STABLE, LOOKS = 0.99, 3  # Cohen's kappa between looks, and how many of them must be above
WORTH = 0.005  # points of accuracy (0..1) that the next 100 labels must bring to be worth asking


def finish(workspace: Path, *, wrong: float) -> dict[str, Any]:
    """Numbers and sentences for the error rate `wrong` (0..1); `measured` False where nothing was measured yet."""
    share = checked(wrong)
    told = predictions.measured(workspace)
    if told is None:
        return {"measured": False, "wrong": share, "sentence": "Not yet measured."}
    best = choose(told["frontier"], people=told["people"], share=share)
    model = best["model"] if best else 0
    need = _needed(told["needed"], share)
    forecast = told.get("forecast") or {}
    numbers = {
        "measured": True,
        "wrong": share,
        "confidence": told["confidence"],
        "publication": told["publication"],
        "people": told["people"],
        "model": model,
        "labelled": told["people"] + model,
        "left": told["open"] - model,
        "most_wrong": best["wrong"] / max(told["people"] + model, 1) if best else 0.0,
        "answers": told["answers"],
        "needed": need,
        "estimate": told.get("estimate") or None,
        "forecast": forecast or None,
        "agreement": told.get("agreement", []),
    }
    return numbers | {
        "sentence": _sentence(numbers),
        "forecast_sentence": _buys(forecast),
        "advice": advice(told.get("agreement", []), forecast),
    }


def choose(frontier: Sequence[dict[str, Any]], *, people: int, share: float) -> dict[str, Any] | None:
    """The loosest threshold that keeps the promise: at most `share` of people's and the model's labels are wrong."""
    kept = [each for each in frontier if each["model"] and each["wrong"] <= share * (people + each["model"])]
    return max(kept, key=lambda each: int(each["model"]), default=None)


def checked(wrong: float) -> float:
    """The error rate, or BadRequest where it is none that can be asked for."""
    if not LEAST <= wrong <= MOST:
        raise errors.BadRequest(f"the error rate must be between {LEAST} and {MOST} (0.02 means 2 %), not {wrong}")
    return float(wrong)


def advice(agreement: Sequence[float], forecast: dict[str, Any]) -> dict[str, Any]:
    """Whether more labels are worth asking, with the facts; advice only, nothing ever stops by itself."""
    looks = [round(each, 3) for each in agreement[-LOOKS:]]
    gain = next((each for each in forecast.get("gains", []) if each["more"] == 100), None)
    if len(looks) < LOOKS or gain is None:
        return {"stop": None, "sentence": "Too early to say whether more labels are worth it.", "agreement": looks}
    stable, little = min(looks) > STABLE, gain["gain"] < WORTH
    same = f"the last {LOOKS} looks at the same images agree (kappa {', '.join(f'{each:.3f}' for each in looks)})"
    change = f"predictions still change (kappa {min(looks):.3f}, stable is above {STABLE})"
    buys = f"the next 100 labels buy about {_points(gain)}"
    if stable and little:
        sentence = f"You may stop: {same}, and {buys}."
    else:
        sentence = f"Go on: {', and '.join(([] if stable else [change]) + ([] if little else [buys]))}."
    return {"stop": stable and little, "sentence": sentence, "agreement": looks}


def percent(share: float) -> str:
    """A share as people write it: 2 %, 0.5 %."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _sentence(numbers: dict[str, Any]) -> str:
    rate = f"at most {percent(numbers['wrong'])} wrong at {percent(numbers['confidence'])} confidence"
    if numbers["model"]:
        return (
            f"Export now: {numbers['labelled']:,} labelled by people or model with {rate}; "
            f"{numbers['left']:,} left for you."
        )
    need = numbers["needed"]
    more = f"it needs about {need:,} more blind answers" if need else "it needs a better model, or a higher error rate"
    return f"The model may label nothing yet with {rate}: {more}. {numbers['people']:,} are labelled by people."


def _needed(table: Sequence[Sequence[Any]], share: float) -> int | None:
    below = [need for at, need in table if at <= share + 1e-9]
    return below[-1] if below else table[0][1] if table else None


def _buys(forecast: dict[str, Any]) -> str:
    gain = next((each for each in forecast.get("gains", []) if each["more"] == 150), None)
    if gain is None:
        return ""
    return f"About 150 more labels buy {_points(gain)}."


def _points(gain: dict[str, Any]) -> str:
    expected, low, high = (f"{100 * gain[name]:.1f}".removesuffix(".0") for name in ("gain", "low", "high"))
    return f"{expected} points (95 % range {low} to {high})"
