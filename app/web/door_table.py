"""Who may ask for what: every route of the page and of Gradio by method and path, with the scope that it needs.

What is not in the table is refused like what is closed in it. tests/web/test_door.py lists the routes of the served app,
ours and Gradio's, and fails when one is missing here: a new version of Gradio opens nothing by itself.
"""

import re

OPEN, READ, LABEL, REVIEW, MANAGE = "open", "read", "label", "review", "manage"

OURS: dict[tuple[str, str], str] = {
    ("GET", "/healthz"): OPEN,
    ("GET", "/login"): OPEN,
    ("POST", "/login"): OPEN,
    ("GET", "/invite"): OPEN,
    ("POST", "/invite"): OPEN,
    ("POST", "/logout"): READ,
    ("GET", "/api/v1/me"): READ,
    ("GET", "/api/v1/status"): READ,
    ("GET", "/api/v1/classes"): READ,
    ("GET", "/api/v1/taxonomy"): READ,
    ("GET", "/api/v1/taxonomy/history"): READ,
    ("GET", "/api/v1/classes/{class_id}/card"): READ,
    ("GET", "/api/v1/classes/{class_id}/images"): READ,
    ("GET", "/api/v1/history"): READ,
    ("GET", "/api/v1/finish"): READ,
    ("GET", "/api/v1/rounds"): READ,
    ("GET", "/image/{image_id}"): READ,
    ("GET", "/thumb/{image_id}"): READ,
    ("GET", "/scene/{image_id}"): READ,
    ("GET", "/overlay/{publication}/{image_id}"): READ,
    ("GET", "/surface/{edition}/{name}"): READ,
    ("POST", "/api/v1/next"): LABEL,
    ("POST", "/api/v1/events"): LABEL,
    ("POST", "/api/v1/undo"): LABEL,
    ("GET", "/api/v1/answers"): LABEL,
    ("GET", "/api/v1/receipts"): LABEL,
    ("GET", "/api/v1/others"): LABEL,
    ("POST", "/api/v1/renew"): LABEL,
    ("GET", "/api/v1/modes"): LABEL,
    ("POST", "/api/v1/modes/grid"): LABEL,
    ("POST", "/api/v1/modes/yesno"): LABEL,
    ("POST", "/api/v1/modes/confirm"): LABEL,
    ("POST", "/api/v1/modes/undo"): LABEL,
    ("POST", "/api/v1/evidence"): LABEL,
    ("POST", "/api/v1/evidence/confirm"): LABEL,
    ("POST", "/api/v1/evidence/undo"): LABEL,
    ("POST", "/api/v1/release"): LABEL,
    ("GET", "/api/v1/review"): REVIEW,
    ("POST", "/api/v1/review"): REVIEW,
    ("POST", "/api/v1/review/undo"): REVIEW,
    ("GET", "/api/v1/people"): REVIEW,
    ("GET", "/api/v1/browse"): REVIEW,
    ("GET", "/api/v1/browse/ids"): REVIEW,
    ("GET", "/api/v1/browse/choices"): REVIEW,
    ("GET", "/api/v1/browse/image/{image_id}"): REVIEW,
    ("GET", "/api/v1/browse/map"): REVIEW,
    ("POST", "/api/v1/browse/act"): REVIEW,
    ("POST", "/api/v1/browse/undo"): REVIEW,
    ("GET", "/api/v1/pace"): REVIEW,
    ("GET", "/api/v1/steering"): REVIEW,
    ("GET", "/api/v1/study"): REVIEW,
    ("POST", "/api/v1/study"): REVIEW,
    ("GET", "/api/v1/confusion"): REVIEW,
    ("GET", "/api/v1/duplicates"): REVIEW,
    ("POST", "/api/v1/classes"): REVIEW,
    ("POST", "/api/v1/classes/{class_id}"): REVIEW,
    ("GET", "/api/v1/classes/{class_id}/preview"): REVIEW,
    ("POST", "/api/v1/taxonomy/undo"): REVIEW,
    ("POST", "/api/v1/commands"): MANAGE,  # ingest names a folder of this machine
    ("GET", "/api/v1/commands/{command_id}"): MANAGE,
    ("GET", "/api/v1/log"): MANAGE,
    ("POST", "/api/v1/uploads"): MANAGE,
    ("PUT", "/api/v1/uploads/{upload}"): MANAGE,
    ("POST", "/api/v1/uploads/{upload}/finish"): MANAGE,
    ("GET", "/api/v1/quarantine"): MANAGE,  # paths of this machine
    ("POST", "/api/v1/import"): MANAGE,  # may name other people
    ("GET", "/api/v1/export"): MANAGE,
    ("POST", "/api/v1/export"): MANAGE,
    ("GET", "/api/v1/users"): MANAGE,
    ("POST", "/api/v1/users"): MANAGE,
    ("POST", "/api/v1/users/invite"): MANAGE,
    ("POST", "/api/v1/users/role"): MANAGE,
    ("POST", "/api/v1/users/active"): MANAGE,
    ("POST", "/api/v1/users/logout"): MANAGE,
    ("GET", "/api/v1/acts"): MANAGE,
}

# What the page loads of Gradio's; seen in the browser, tried by tests/web/test_door.py.
GRADIO: dict[tuple[str, str], str] = {
    ("GET", "/"): READ,
    ("GET", "/assets/{file}"): READ,  # Gradio's own bundle, flat
    ("GET", "/theme.css"): READ,
    ("GET", "/static/js/iframeResizer.contentWindow.min.js"): READ,
    ("GET", "/manifest.json"): OPEN,  # a title; browsers ask for it without cookies
    ("GET", "/favicon.ico"): OPEN,
    ("GET", "/robots.txt"): OPEN,
}

# Gradio's other routes, whatever the method: its queue and calls, files, uploads, streams, profiles, editors, logs.
_CLOSED = """
    /login/ /logout /svelte/{path:path} /static/{path:path} /assets/{path:path} /config /config/ /pwa_icon /pwa_icon/{size}
    /monitoring /monitoring/summary /monitoring/{key} /docs /redoc /openapi.json
    /gradio_api/api/{api_name} /gradio_api/app_id /gradio_api/call/{api_name} /gradio_api/call/{api_name}/{event_id}
    /gradio_api/call/v2/{api_name} /gradio_api/call/v2/{api_name}/{event_id} /gradio_api/cancel
    /gradio_api/component_server /gradio_api/custom_component/{id}/{environment}/{type}/{file_name}
    /gradio_api/deep_link /gradio_api/dev/reload /gradio_api/file/{path:path} /gradio_api/file={path_or_url:path}
    /gradio_api/heartbeat/{session_hash} /gradio_api/info /gradio_api/login_check /gradio_api/openapi.json
    /gradio_api/process_recording /gradio_api/proxy={url_path:path} /gradio_api/queue/data /gradio_api/queue/join
    /gradio_api/queue/status /gradio_api/reset /gradio_api/run/{api_name} /gradio_api/runs /gradio_api/startup-events
    /gradio_api/stream/{event_id} /gradio_api/stream/{event_id}/close
    /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file
    /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8
    /gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}
    /gradio_api/theme.css /gradio_api/token /gradio_api/undo-vibe-edit /gradio_api/upload /gradio_api/upload_progress
    /gradio_api/user /gradio_api/vibe-code /gradio_api/vibe-edit /gradio_api/vibe-starter-queries
"""
CLOSED = tuple(_CLOSED.split())
TABLE = {**OURS, **GRADIO}


def _expression(template: str) -> re.Pattern[str]:
    made = ("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]+\})", template))
    return re.compile("".join(made))


_EXACT = {key: scope for key, scope in TABLE.items() if "{" not in key[1]}
_SHAPED = [(method, _expression(path), scope) for (method, path), scope in TABLE.items() if "{" in path]


def needed(method: str, path: str) -> str | None:
    """The scope that this request needs, OPEN for anybody's; None where nothing is served."""
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact
    return next((scope for asked, shape, scope in _SHAPED if asked == method and shape.fullmatch(path)), None)
