"""Hash the lines of a log into a Merkle tree, and prove that one is in it: RFC 9162, section 2.1, with SHA-256."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

SHOWN_UNTIL = b',"groups":'
"""Where the part of a record's line ends that may be shown alone. No text of a client holds it: there, quotes are
escaped."""


def hash_leaf(entry: bytes) -> bytes:
    return sha256(b"\0" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def split_line(line: bytes) -> tuple[bytes, bytes]:
    """Split a line into what says who was answered what, and the rest, which is empty but for records."""
    end = line.find(SHOWN_UNTIL)
    return (line, b"") if end < 0 else (line[:end], line[end:])


def hash_line_leaf(line: bytes) -> bytes:
    """Hash a line as a leaf: the digests of its two parts, so that one is shown without the other."""
    end = line.find(SHOWN_UNTIL)
    if end < 0:
        return hash_leaf(sha256(line).digest())
    return sha256(b"\0" + sha256(line[:end]).digest() + sha256(line[end:]).digest()).digest()


class MerkleTree:
    """A tree that grows by leaves and keeps only the roots of its whole subtrees, as many as its size has bits."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        self.size += 1
        node, size = leaf, self.size
        while not size & 1:
            node = hash_node(self._roots.pop(), node)
            size >>= 1
        self._roots.append(node)

    def compute_root(self) -> bytes:
        """Return the root; of no leaves it is the digest of nothing."""
        if not self._roots:
            return sha256().digest()
        root = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            root = hash_node(left, root)
        return root


def compute_root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaves."""
    tree = MerkleTree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.compute_root()


def build_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of a leaf, from its sibling up (section 2.1.3.1)."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*build_path(leaves[:half], index), compute_root(leaves[half:])]
    return [*build_path(leaves[half:], index - half), compute_root(leaves[:half])]


def compute_root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a leaf has by its audit path (section 2.1.3.2); None: the path is none of such a tree."""
    if not 0 <= index < size:
        return None
    node, place, last = leaf, index, size - 1
    for sibling in path:
        if not last:
            return None
        if place & 1 or place == last:
            node = hash_node(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = hash_node(node, sibling)
        place, last = place >> 1, last >> 1
    return None if last else node
