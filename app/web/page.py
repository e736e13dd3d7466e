"""The Gradio page: five tabs, each one gr.HTML surface whose files lie in surface/."""

from pathlib import Path

import gradio

SURFACE = Path(__file__).parent / "surface"
TABS = ("Label", "Review", "Browse", "Progress", "Data")
HANDED_OVER = """
(window.raumSlots = window.raumSlots || []).push(["NAME", element.querySelector(".raum-slot")]);
window.dispatchEvent(new Event("raum-slot"));
"""


def build() -> gradio.Blocks:
    """The page; each tab's element is handed to the surface's own modules once Gradio has made it."""
    blocks = gradio.Blocks(title="RAUM", analytics_enabled=False, fill_width=True)
    with blocks, gradio.Tabs(elem_id="raum-tabs"):
        for name in TABS:
            with gradio.Tab(name, id=name.lower(), elem_id=f"raum-tab-{name.lower()}", elem_classes=["raum-tab"]):
                _surface(name.lower())
    return blocks


def theme() -> gradio.Theme:
    """Plain, with the machine's own fonts: nothing is fetched from elsewhere."""
    mono = ["ui-monospace", "Consolas", "monospace"]
    return gradio.themes.Base(
        primary_hue="orange", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=mono
    )


def css() -> str:
    """What Gradio's own frame needs to be calm and as wide as the window."""
    return (SURFACE / "frame.css").read_text(encoding="utf-8")


def _surface(name: str) -> gradio.HTML:
    return gradio.HTML(
        value="",
        html_template=f'<div class="raum-slot" data-surface="{name}"></div>',
        js_on_load=HANDED_OVER.replace("NAME", name),
        apply_default_css=False,
        elem_id=f"raum-{name}",
    )
