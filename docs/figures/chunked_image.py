"""Draw ``docs/_static/chunked-image.svg``: an image of 6 x 6 x 6 voxels as 3 x 3 x 3 chunks of 2 x 2 x 2.

``python docs/figures/chunked_image.py`` draws it again; nothing but Python is needed.
"""

import itertools
import math
from pathlib import Path

VOXEL = 20.0  # edge [px]
GAP = 13.0  # between chunks that are drawn apart [px]
COSINE, SINE = math.cos(math.pi / 6), math.sin(math.pi / 6)
TOP, RIGHT, LEFT = "#dce6ee", "#9db4c6", "#bccddb"
MARKED = "#ffd591", "#e8963a", "#f7b25c"
LINE, MARKED_LINE, TEXT = "#5c7386", "#9c5a12", "#7a8793"


def project(x, y, z):
    """Isometric: x to the lower right, y to the lower left, z up."""
    return (x - y) * COSINE, (x + y) * SINE - z


def polygon(corners, fill, line, width):
    points = " ".join(f"{u:.1f},{v:.1f}" for u, v in (project(*c) for c in corners))
    return f'<polygon points="{points}" fill="{fill}" stroke="{line}" stroke-width="{width}" stroke-linejoin="round"/>'


def box(origin, edges, fills, line=LINE, width=1.4):
    """The three faces that are seen of a box, and the lines between its voxels."""
    (x, y, z), (a, b, c) = origin, (e * VOXEL for e in edges)
    faces = [
        [(x, y, z + c), (x + a, y, z + c), (x + a, y + b, z + c), (x, y + b, z + c)],
        [(x + a, y, z), (x + a, y + b, z), (x + a, y + b, z + c), (x + a, y, z + c)],
        [(x, y + b, z), (x + a, y + b, z), (x + a, y + b, z + c), (x, y + b, z + c)],
    ]
    lines = []
    for n in range(1, edges[0]):
        t = x + n * VOXEL
        lines += [[(t, y, z + c), (t, y + b, z + c)], [(t, y + b, z), (t, y + b, z + c)]]
    for n in range(1, edges[1]):
        t = y + n * VOXEL
        lines += [[(x, t, z + c), (x + a, t, z + c)], [(x + a, t, z), (x + a, t, z + c)]]
    for n in range(1, edges[2]):
        t = z + n * VOXEL
        lines += [[(x + a, y, t), (x + a, y + b, t)], [(x, y + b, t), (x + a, y + b, t)]]
    drawn = [polygon(face, fill, "none", 0) for face, fill in zip(faces, fills, strict=True)]
    for start, end in lines:
        (u, v), (s, t) = project(*start), project(*end)
        drawn.append(
            f'<line x1="{u:.1f}" y1="{v:.1f}" x2="{s:.1f}" y2="{t:.1f}" stroke="{line}" stroke-width="0.6" opacity="0.75"/>'
        )
    return drawn + [polygon(face, "none", line, width) for face in faces]


def text(u, v, words, size=14, anchor="middle", weight="normal", fill=TEXT):
    return f'<text x="{u:.1f}" y="{v:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{fill}">{words}</text>'


def arrow(start, end, name):
    (u, v), (s, t) = project(*start), project(*end)
    length = math.hypot(s - u, t - v)
    return [
        f'<line x1="{u:.1f}" y1="{v:.1f}" x2="{s:.1f}" y2="{t:.1f}" stroke="{TEXT}" stroke-width="1.3" marker-end="url(#head)"/>',
        text(s + 15 * (s - u) / length, t + 15 * (t - v) / length + 5, f"<tspan font-style='italic'>{name}</tspan>"),
    ]


def group(u, v, parts):
    return [f'<g transform="translate({u:.1f} {v:.1f})">', *parts, "</g>"]


def whole_image():
    """All voxels in one piece, with the axes."""
    edge = 6 * VOXEL
    axes = arrow((edge, edge, 0), (edge + 46, edge, 0), "x") + arrow((edge, edge, 0), (edge, edge + 46, 0), "y")
    axes += arrow((0, edge, edge), (0, edge, edge + 44), "z")
    return box((0, 0, 0), (6, 6, 6), (TOP, RIGHT, LEFT)) + axes


def chunk_grid(marked):
    """The chunks drawn apart, from the back to the front, and one of them marked."""
    step = 2 * VOXEL + GAP
    parts = []
    for i, j, k in sorted(itertools.product(range(3), repeat=3), key=sum):
        found = (i, j, k) == marked
        fills = MARKED if found else (TOP, RIGHT, LEFT)
        parts += box((i * step, j * step, k * step), (2, 2, 2), fills, MARKED_LINE if found else LINE)
    return parts


def shelf():
    """Chunks as they lie in a store: objects of different sizes, compressed each by itself."""
    rows = []
    for n, (name, width) in enumerate(
        [
            ("c/0/0/0", 80),
            ("c/0/0/1", 46),
            ("c/0/0/2", 92),
            ("c/0/1/0", 24),
            ("⋮", 0),
            ("c/2/2/1", 38),
            ("c/2/2/2", 101),
        ]
    ):
        marked = name == "c/2/2/2"
        fill, line = (MARKED[2], MARKED_LINE) if marked else (LEFT, LINE)
        rows.append(text(25, 25 * n + 14, name, 13, fill="#c0741c" if marked else TEXT))
        if width:
            rows.append(
                f'<rect x="62" y="{25 * n + 1}" width="{width}" height="17" rx="2.5" fill="{fill}" stroke="{line}"/>'
            )
    return rows


def drawing():
    width, height = 900, 400
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif" role="img">',
        "<title>A voxel image of 6 × 6 × 6 voxels, stored as a 3 × 3 × 3 grid of chunks of 2 × 2 × 2 voxels</title>",
        f'<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0,0.6 L8,4 L0,7.4 z" fill="{TEXT}"/></marker></defs>',
        *group(150, 180, whole_image()),
        *group(452, 168, chunk_grid((2, 2, 2))),
        *group(682, 112, shelf()),
    ]
    for u, first, second in (
        (150, "the image", "6 × 6 × 6 voxels"),
        (452, "its chunks", "3 × 3 × 3 of 2 × 2 × 2 voxels"),
        (765, "in the store", "one compressed object each"),
    ):
        parts += [text(u, 366, first, 16, weight="bold"), text(u, 387, second, 14)]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    target = Path(__file__).parent.parent / "_static" / "chunked-image.svg"
    target.write_text(drawing(), encoding="utf-8")
