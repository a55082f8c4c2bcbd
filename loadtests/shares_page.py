"""A chart of the shares of near, Redis and MongoDB beside Locust's own pages."""

from collections.abc import Callable
from typing import Any, Final

from loadtests.ledger import Ledger
from loadtests.shares import shares

_FRONT: Final = "locust.index"
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Where answers come from</title>
<style>
:root { color-scheme: light dark; --near: #2a78b8; --redis: #d8762b; --mongo: #3f9a55; }
body { font: 14px/1.5 system-ui, sans-serif; margin: 12px; }
h1 { font-size: 15px; margin: 0 0 8px; }
svg { width: 100%; height: 120px; background: color-mix(in srgb, currentColor 6%, transparent); }
.key::before { content: ""; display: inline-block; width: 10px; height: 10px; margin-right: 4px; }
.near::before { background: var(--near) } .redis::before { background: var(--redis) }
.mongo::before { background: var(--mongo) }
.key { margin-right: 12px; }
td, th { text-align: right; padding: 1px 10px 1px 0; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; }
</style>
<h1>Where answers come from, the last two minutes</h1>
<svg viewBox="0 0 120 100" preserveAspectRatio="none" role="img"
 aria-label="shares of near, Redis and MongoDB over time"></svg>
<p><span class="key near">near</span><span class="key redis">Redis</span>
<span class="key mongo">MongoDB</span></p>
<table><thead><tr><th>method</th><th>calls</th><th>near</th><th>Redis</th><th>MongoDB</th></tr>
</thead><tbody></tbody></table>
<script>
const percent = (share) => (100 * share).toFixed(1) + " %";
function row(name, of, layers) {
  const tr = document.createElement("tr");
  for (const text of [name, of.calls, ...layers.map((layer) => percent(of[layer]))]) {
    tr.appendChild(document.createElement("td")).textContent = text;
  }
  return tr;
}
function bars(recent, layers) {
  const newest = recent.length ? recent[recent.length - 1].at_s : 0;
  const drawn = [];
  for (const second of recent) {
    let top = 100;
    for (const layer of layers) {
      const height = 100 * second[layer];
      top -= height;
      drawn.push(`<rect x="${119 - (newest - second.at_s)}" y="${top}" width="1.02"` +
        ` height="${height}" fill="var(--${layer})"/>`);
    }
  }
  return drawn.join("");
}
async function draw() {
  const found = await (await fetch("shares.json")).json();
  document.querySelector("svg").innerHTML = bars(found.recent, found.layers);
  const rows = Object.entries(found.methods).map(([name, of]) => row(name, of, found.layers));
  document.querySelector("tbody").replaceChildren(...rows, row("all", found.total, found.layers));
}
draw();
setInterval(() => draw().catch(() => {}), 2000);
</script>
</html>
"""

_PANEL: Final = """\
<details open style="position:fixed;right:12px;bottom:12px;z-index:1000;width:min(440px,94vw);
background:Canvas;color:CanvasText;border:1px solid GrayText;border-radius:6px">
<summary style="padding:4px 12px;cursor:pointer">near / Redis / MongoDB</summary>
<iframe src="shares" title="near, Redis and MongoDB shares"
style="width:100%;height:330px;border:0"></iframe></details></body>"""


def add_shares_chart(web_ui: Any, ledger: Callable[[], Ledger]) -> None:
    """Add the chart as ``/shares``, its figures as ``/shares.json``, and both to the front page."""
    app, protected = web_ui.app, web_ui.auth_required_if_enabled
    front = app.view_functions[_FRONT]

    def figures() -> Any:
        return app.json.response(shares(ledger()))

    def page() -> str:
        return _PAGE

    def with_panel() -> Any:
        shown = front()
        return shown.replace("</body>", _PANEL) if isinstance(shown, str) else shown

    app.add_url_rule("/shares.json", "shop_shares_figures", protected(figures))
    app.add_url_rule("/shares", "shop_shares", protected(page))
    app.view_functions[_FRONT] = with_panel
