"""Bars for the figures of a comparison, as an SVG that can be read on light and dark ground. Shorter is better in all of them."""

from html import escape

WIDTH, LABELS, VALUES, BAR, GAP, HEAD, MARGIN = 860, 250, 110, 16, 6, 40, 16

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .head { font-weight: 600; font-size: 14px; }
  .bar { fill: #8c959f; }
  .ours { fill: #0969da; }
  .floor { fill: none; stroke: #8c959f; stroke-dasharray: 3 2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .bar { fill: #6e7681; }
    .ours { fill: #4493f8; }
    .floor { stroke: #6e7681; }
  }
"""


def draw(summary):
    """One group of bars for each workload and measure of it that can be compared."""
    parts, y = [], MARGIN
    for workload in summary.workloads:
        for measure in workload.measures:
            bars = [(server, summary.median(workload.name, server["name"], measure.key)) for server in summary.servers]
            bars = [(server, figure) for server, figure in bars if figure is not None]
            if len(bars) > 1:
                height = panel(parts, y, f"{workload.kind.capitalize()}: {workload.title}", measure, bars)
                y += height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">\n'
        f"<title>Campanile and others: shorter is better</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def panel(parts, y, title, measure, bars):
    """Draws one group and says how high it is."""
    longest = max(max(figure for _, figure in bars), 1e-9)
    room = WIDTH - LABELS - VALUES - 2 * MARGIN
    parts.append(f'<text class="head" x="{MARGIN}" y="{y + 14}">{escape(title)}</text>')
    parts.append(f'<text x="{MARGIN}" y="{y + 31}">{escape(measure.title)}</text>')
    at = y + HEAD
    for server, figure in bars:
        kind = "ours" if server["name"].startswith("campanile") else "floor" if server["name"] == "floor" else "bar"
        length = max(1.0, room * max(figure, 0) / longest)
        parts.append(f'<text x="{MARGIN + LABELS - 8}" y="{at + 13}" text-anchor="end">{escape(server["title"])}</text>')
        parts.append(f'<rect class="{kind}" x="{MARGIN + LABELS}" y="{at}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        parts.append(f'<text x="{MARGIN + LABELS + length + 8:.1f}" y="{at + 13}">{figure:,.{measure.digits}f}</text>')
        at += BAR + GAP
    return at - y + MARGIN
