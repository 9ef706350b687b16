"""The graph behind a result: which ops it was computed by, from which leaves, as text or SVG.

Within find_mistakes() each op also knows the line of the program that called it.
"""

from html import escape

from tinygrad_lite.tensor import Node, Tensor

MOST = 2000  # ops that are drawn
WIDE, HIGH, GAP, ROOM = 150, 40, 14, 46  # of a box in SVG, and between boxes and between rows


def draw(tensor: Tensor, kind: str = "text", names: dict[str, Tensor] | None = None) -> str:
    """The graph of a result that requires gradients, as "text", a line an op, or "svg".

    names   of leaves, such as dict(model.named_parameters())
    """
    if kind not in ("text", "svg"):
        raise ValueError(f"draw: a graph is drawn as 'text' or 'svg'.\n  got {kind!r}\n  try 'svg'")
    if tensor._node is None:
        raise ValueError(
            "draw: there is a graph behind what is computed from leaves with gradients.\n"
            f"  got a tensor of shape {tensor.shape} without one\n"
            "  try requires_grad=True on the inputs, and compute it outside no_grad()"
        )
    nodes = _nodes(tensor._node)
    known = {id(t): name for name, t in (names or {}).items()}
    return _text(nodes, known) if kind == "text" else _svg(nodes, known)


def _nodes(root: Node) -> list[Node | Tensor]:
    """All that a result depends on, operands first"""
    seen: set[Node | Tensor] = {root}
    stack: list[Node] = [root]
    while stack:
        node = stack.pop()
        if node.vjp is None:
            raise RuntimeError(
                "draw: what backward() has walked through is freed.\n"
                f"  got {node.name}\n  try draw before it, or backward(retain_graph=True)"
            )
        for parent in node.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                if isinstance(parent, Node):
                    stack.append(parent)
        if len(seen) > MOST:
            raise ValueError(
                f"draw: a graph of up to {MOST} ops can be looked at.\n"
                f"  got more, from {root.name}\n  try a smaller model, or a part of it"
            )
    leaves = [x for x in seen if isinstance(x, Tensor)]
    return [*leaves, *sorted((x for x in seen if isinstance(x, Node)), key=lambda n: n.index)]


def _label(x: Node | Tensor, known: dict[int, str]) -> tuple[str, str]:
    """A name, and what else there is to say"""
    shape = f"{x.shape} {x.dtype}"
    if isinstance(x, Tensor):
        return known.get(id(x), "leaf"), shape
    return x.name, shape


def _text(nodes: list[Node | Tensor], known: dict[int, str]) -> str:
    numbers = {node: i for i, node in enumerate(nodes)}
    lines = []
    for node, number in numbers.items():
        name, shape = _label(node, known)
        given = ""
        if isinstance(node, Node):
            operands = ("·" if p is None else f"%{numbers[p]}" for p in node.parents)
            given = f"({', '.join(operands)})"
        line = getattr(node, "line", None)
        lines.append(f"%{number} = {name}{given}  {shape}" + (f"  {line}" if line else ""))
    return "\n".join(lines)


def _svg(nodes: list[Node | Tensor], known: dict[int, str]) -> str:
    levels: dict[Node | Tensor, int] = {}
    for node in nodes:
        parents = node.parents if isinstance(node, Node) else ()
        levels[node] = max((levels[p] + 1 for p in parents if p is not None), default=0)
    for node in reversed(nodes):  # leaves just above what they are used by
        if isinstance(node, Tensor):
            users = [n for n in nodes if isinstance(n, Node) and any(p is node for p in n.parents)]
            levels[node] = max(0, min(levels[user] for user in users) - 1)
    rows: dict[int, list[Node | Tensor]] = {}
    for node in nodes:
        rows.setdefault(levels[node], []).append(node)
    width = max(len(row) for row in rows.values()) * (WIDE + GAP) + GAP
    height = len(rows) * (HIGH + ROOM) + GAP
    places = {}
    for number, level in enumerate(sorted(rows)):
        row = rows[level]
        left = (width - len(row) * (WIDE + GAP) + GAP) / 2
        for i, node in enumerate(row):
            places[node] = (left + i * (WIDE + GAP), GAP + number * (HIGH + ROOM))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
        f' viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="white"/>'
    ]
    for node, (x, y) in places.items():
        for parent in node.parents if isinstance(node, Node) else ():
            if parent is not None:
                a, b = places[parent]
                parts.append(
                    f'<path d="M{a + WIDE / 2:g} {b + HIGH:g} C{a + WIDE / 2:g} {b + HIGH + 20:g}'
                    f' {x + WIDE / 2:g} {y - 20:g} {x + WIDE / 2:g} {y:g}" fill="none"'
                    ' stroke="#888"/>'
                )
    for node, (x, y) in places.items():
        name, shape = _label(node, known)
        line = getattr(node, "line", None)
        colour = "#fff3d6" if isinstance(node, Tensor) else "#e3eefb"
        told = f"<title>{escape(line)}</title>" if line else ""
        parts.append(
            f'<g>{told}<rect x="{x:g}" y="{y:g}" width="{WIDE}" height="{HIGH}" rx="6"'
            f' fill="{colour}" stroke="#555"/><text x="{x + WIDE / 2:g}" y="{y + 16:g}"'
            f' text-anchor="middle" font-weight="bold">{escape(name)}</text>'
            f'<text x="{x + WIDE / 2:g}" y="{y + 32:g}" text-anchor="middle">{escape(shape)}'
            "</text></g>"
        )
    return "\n".join([*parts, "</svg>"])
